namespace EventVault.Raft;

/// <summary>What a message is.</summary>
public enum MessageKind : byte
{
    /// <summary>Asks whether a vote would be given, without changing any term (thesis §9.6).</summary>
    PreVote = 1,

    /// <summary>Answers <see cref="PreVote"/>.</summary>
    PreVoteAnswer,

    /// <summary>Asks for a vote (paper §5.2).</summary>
    Vote,

    /// <summary>Answers <see cref="Vote"/>; leaves only when the vote is durable.</summary>
    VoteAnswer,

    /// <summary>Entries behind (Index, LogTerm); may be empty, as a probe (paper §5.3).</summary>
    Append,

    /// <summary>Index = durable and matching up to here; or Rejected with a hint where to try next.</summary>
    AppendAnswer,

    /// <summary>Keeps followers quiet, moves their commit index, and confirms leadership for reads.</summary>
    Heartbeat,

    /// <summary>Answers <see cref="Heartbeat"/> with its <see cref="Message.Read"/>.</summary>
    HeartbeatAnswer,

    /// <summary>The leader hands over: campaign at once (thesis §3.10).</summary>
    TimeoutNow,

    /// <summary>A follower asks the leader for a read index (thesis §6.4).</summary>
    ReadIndex,

    /// <summary>Answers <see cref="ReadIndex"/>: Index, or Rejected.</summary>
    ReadIndexAnswer,
}

/// <summary>What an entry holds, as far as consensus cares. The bytes stay with whoever keeps the log.</summary>
public enum EntryKind : byte
{
    /// <summary>Appends of clients.</summary>
    Appends = 1,

    /// <summary>Nothing: the first entry of each leader, which lets it commit what earlier terms left.</summary>
    NoOp,

    /// <summary>A membership; counts from the moment it stands in the log, committed or not.</summary>
    Membership,
}

/// <summary>An entry without its bytes. Its index follows from where it stands.</summary>
/// <param name="Term">Term of the leader that made it.</param>
/// <param name="Kind">What it holds.</param>
/// <param name="Bytes">Its length in the log; for flow control.</param>
/// <param name="Membership">Of an entry of kind Membership; otherwise null.</param>
public readonly record struct Entry(Term Term, EntryKind Kind, int Bytes, Membership? Membership = null);

/// <summary>
/// A message between replicas. May be lost, late, doubled and out of order; must arrive whole or not at all.
/// </summary>
/// <param name="Kind">What it is; says which of the other fields mean something.</param>
/// <param name="From">Who sent it.</param>
/// <param name="To">For whom: exactly this incarnation. Others ignore it.</param>
/// <param name="Term">Term of the sender; of PreVote and a granted PreVoteAnswer: the term it would be.</param>
public readonly record struct Message(MessageKind Kind, ReplicaId From, ReplicaId To, Term Term)
{
    /// <summary>
    /// Append: index before the entries. AppendAnswer: durable and matching up to here; rejected: the index that was asked
    /// for. Vote, PreVote: last index of the log. ReadIndexAnswer: the read index.
    /// </summary>
    public LogIndex Index { get; init; }

    /// <summary>Term of the entry at <see cref="Index"/> (Append, Vote, PreVote).</summary>
    public Term LogTerm { get; init; }

    /// <summary>Append, Heartbeat: the leader's commit index; in a heartbeat no more than what the receiver holds.</summary>
    public LogIndex Commit { get; init; }

    /// <summary>Append: what follows <see cref="Index"/>. Not changed after it was sent.</summary>
    public Entry[] Entries { get; init; } = [];

    /// <summary>Whether an answer says no.</summary>
    public bool Rejected { get; init; }

    /// <summary>Rejected AppendAnswer: the highest index that may match.</summary>
    public LogIndex Hint { get; init; }

    /// <summary>Rejected AppendAnswer: term of the follower's entry at <see cref="Hint"/>.</summary>
    public Term HintTerm { get; init; }

    /// <summary>Heartbeats, their answers and read indexes: which attempt this is. 0: none.</summary>
    public ulong Read { get; init; }

    /// <summary>Vote: the leader asked for this election, so its lease does not stand against it.</summary>
    public bool IsTransfer { get; init; }
}
