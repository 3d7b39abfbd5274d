namespace EventVault.Client;

/// <summary>
/// Why a call failed. Codes below 100 come from the node (the contract's <c>Reason</c>, same numbers); those
/// from 100 on are the client's own.
/// </summary>
/// <remarks>
/// For an append, every code but <see cref="OutcomeUnknown"/> and <see cref="RetryTooOld"/> means that the call has definitely not
/// written it, with none of its attempts.
/// </remarks>
public enum VaultErrorCode
{
    /// <summary>The node failed in a way that this client has no name for; the message has its words.</summary>
    Unknown = 0,

    /// <summary>A name is empty, not valid UTF-8 or holds control characters.</summary>
    InvalidName = 1,

    /// <summary>Names that start with <c>$</c> belong to the vault.</summary>
    ReservedName = 2,

    /// <summary>An event is not well formed.</summary>
    InvalidEvent = 3,

    /// <summary>The node does not know, or does not serve yet, a field of the request.</summary>
    UnknownField = 4,

    /// <summary>A named limit was exceeded; see <see cref="LimitExceededException"/>.</summary>
    LimitExceeded = 5,

    /// <summary>The request contradicts itself or lacks something.</summary>
    InvalidRequest = 6,

    /// <summary>The text of a reducer breaks the rules; see <see cref="BadReducerException"/>.</summary>
    BadReducer = 7,

    /// <summary>The moment lies before what is left of the stream; see <see cref="HistoryTruncatedException"/>.</summary>
    HistoryTruncated = 10,

    /// <summary>The stream has no such version yet; see <see cref="VersionNotReachedException"/>.</summary>
    VersionNotReached = 11,

    /// <summary>The vault has no such position yet; see <see cref="PositionNotReachedException"/>.</summary>
    PositionNotReached = 12,

    /// <summary>A stream is not where the append expected it; see <see cref="WrongExpectedVersionException"/>.</summary>
    WrongExpectedVersion = 20,

    /// <summary>An event matches a condition of the append; see <see cref="ConditionFailedException"/>.</summary>
    ConditionFailed = 21,

    /// <summary>A reducer's newest version is not the expected one; see <see cref="DefinitionConflictException"/>.</summary>
    DefinitionConflict = 22,

    /// <summary>The operation id belongs to an append with other content.</summary>
    OperationIdReused = 30,

    /// <summary>
    /// The vault no longer keeps operation ids as old as this repeat: this attempt wrote nothing, but whether an earlier one
    /// did can't be told; see <see cref="RetryTooOldException"/>.
    /// </summary>
    RetryTooOld = 35,

    /// <summary>The stream was ended for ever; see <see cref="StreamTombstonedException"/>.</summary>
    StreamTombstoned = 36,

    /// <summary>A legal hold forbids to delete or truncate the stream; see <see cref="StreamHeldException"/>.</summary>
    StreamHeld = 37,

    /// <summary>The time that a state was asked for as of is not over yet; see <see cref="AsOfInFutureException"/>.</summary>
    AsOfInFuture = 38,

    /// <summary>Events that went into the state are gone, and nothing stands in for them; see <see cref="IncompleteHistoryException"/>.</summary>
    IncompleteHistory = 39,

    /// <summary>The stream has no events; see <see cref="StreamNotFoundException"/>.</summary>
    StreamNotFound = 40,

    /// <summary>No append with this operation id is among those that the vault remembers.</summary>
    OperationNotFound = 41,

    /// <summary>There is no reducer of that name, or no such version of it; see <see cref="ReducerNotFoundException"/>.</summary>
    ReducerNotFound = 42,

    /// <summary>No member of the vault has this number; see <see cref="NodeNotFoundException"/>.</summary>
    NodeNotFound = 43,

    /// <summary>The node's queue is full.</summary>
    Overloaded = 50,

    /// <summary>The node's disk is full: appends are refused, reads go on.</summary>
    StoreFull = 51,

    /// <summary>The state is larger than states may be. Keep less of each event, or fold fewer keys.</summary>
    StateTooLarge = 52,

    /// <summary>There are more events to fold than one call may.</summary>
    ScanLimit = 53,

    /// <summary>The node is stopping.</summary>
    Draining = 60,

    /// <summary>
    /// Whether the append was written is not known. Send it again with the same operation id: a repeat is
    /// answered with the first answer and writes nothing.
    /// </summary>
    OutcomeUnknown = 61,

    /// <summary>The node does not lead; see <see cref="NotLeaderException"/>.</summary>
    NotLeader = 62,

    /// <summary>The vault has no majority of its nodes; see <see cref="NoQuorumException"/>.</summary>
    NoQuorum = 63,

    /// <summary>The node belongs to no vault; see <see cref="NotJoinedException"/>.</summary>
    NotJoined = 64,

    /// <summary>The node is being opened, which may take minutes where it got much from others; ask another one.</summary>
    Opening = 66,

    /// <summary>The append waited in the node's queue for longer than its time-out.</summary>
    TimedOutInQueue = 70,

    /// <summary>The node has not reached the position that the read asked for; <see cref="VaultFailure.Position"/> is how far it is.</summary>
    TimedOutBehind = 71,

    /// <summary>Stored data is damaged; the node does not serve it.</summary>
    Damaged = 80,

    /// <summary>Another change of the vault's nodes is under way; see <see cref="ChangePendingException"/>.</summary>
    ChangePending = 90,

    /// <summary>Too few voters would remain; see <see cref="UnsafeChangeException"/>.</summary>
    UnsafeChange = 91,

    /// <summary>A node can't be added; see <see cref="NodeUnusableException"/>.</summary>
    NodeUnusable = 92,

    /// <summary>No credentials were sent, or wrong ones (<see cref="VaultClientOptions.Credentials"/>).</summary>
    NotAuthenticated = 95,

    /// <summary>While a call ran its credentials ended, or what they allow was changed. The client calls again with what there is now.</summary>
    CredentialsEnded = 96,

    /// <summary>The client's user may not do that; <see cref="VaultFailure.Why"/> is the right that it takes.</summary>
    NotAllowed = 97,

    /// <summary>The node can't be reached, or the connection was lost.</summary>
    Unreachable = 100,

    /// <summary>The call's time-out passed without an answer.</summary>
    TimedOut = 101,

    /// <summary>The peer's bytes break the contract: it is no EventVault node, or one of another generation.</summary>
    ProtocolViolation = 102,

    /// <summary>The client was disposed before the call was answered.</summary>
    Closed = 103,

    /// <summary>
    /// At the client's address there is another vault now than the one that it began with, such as a restored one. The call was not sent; a new client takes that vault. A client finds
    /// out when it comes back to a node where a call of it has failed, and once a minute; what it calls before, without an open session or subscription, may go there.
    /// </summary>
    OtherVault = 104,
}
