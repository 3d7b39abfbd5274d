// Consensus on one log: a state machine without files, sockets, clocks, threads and async. Ticks, messages and completions
// go in, what is to be written, sent and committed comes out (RaftOutput).
namespace EventVault.Raft;

/// <summary>The roles of Raft.</summary>
public enum Role
{
    /// <summary>Follows a leader, or waits for one.</summary>
    Follower,

    /// <summary>Asks whether it would be voted for.</summary>
    PreCandidate,

    /// <summary>Asks for votes.</summary>
    Candidate,

    /// <summary>Orders the entries of its term.</summary>
    Leader,
}

/// <summary>Whether a proposal was taken.</summary>
public enum ProposeResult
{
    /// <summary>It stands in the log, not yet durable.</summary>
    Taken,

    /// <summary>This replica is not the leader.</summary>
    NotLeader,

    /// <summary>Leadership is being handed over.</summary>
    Transferring,

    /// <summary>Too many bytes are uncommitted already (<see cref="RaftOptions.MaxUncommittedBytes"/>).</summary>
    TooMuchUncommitted,

    /// <summary>A membership: another change is under way, or nothing of this term is committed yet.</summary>
    ChangePending,
}

/// <summary>How the leader sends to a follower.</summary>
public enum ProgressState
{
    /// <summary>One message at a time, until it is known where the logs match.</summary>
    Probe,

    /// <summary>Ahead of the answers, up to the limits in flight.</summary>
    Replicate,

    /// <summary>Segments are on their way; no entries.</summary>
    Ship,
}

/// <summary>A leader's view of a follower.</summary>
public readonly record struct FollowerProgress(
    ReplicaId Id, ProgressState State, LogIndex Match, LogIndex Next, int InFlightMessages, long InFlightBytes, bool IsActive, bool IsPaused);

/// <summary>How a replica stands; for status pages, checkers and scripts.</summary>
public sealed record RaftStatus(
    ReplicaId Id, Role Role, Term Term, ReplicaId? VotedFor, ReplicaId? Leader, LogIndex CommitIndex, LogIndex LastIndex, LogIndex DurableIndex,
    Membership Membership, LogIndex MembershipIndex, ReplicaId? TransferTo, IReadOnlyList<FollowerProgress> Followers);

/// <summary>Consensus on one log.</summary>
public sealed class RaftCore
{
    /// <param name="options">How it behaves.</param>
    /// <param name="state">What is durable.</param>
    /// <param name="entries">The log, to look up entries that are to be sent.</param>
    public RaftCore(RaftOptions options, RaftState state, IEntrySource entries) => throw new NotImplementedException();

    /// <summary>What is to be done. Handle and clear it after every input.</summary>
    public RaftOutput Output => throw new NotImplementedException();

    /// <summary>What it is in this term.</summary>
    public Role Role => throw new NotImplementedException();

    /// <summary>Its term.</summary>
    public Term Term => throw new NotImplementedException();

    /// <summary>Who leads this term, as far as is known.</summary>
    public ReplicaId? Leader => throw new NotImplementedException();

    /// <summary>Entries up to here are committed.</summary>
    public LogIndex CommitIndex => throw new NotImplementedException();

    /// <summary>The last entry of its log, durable or not.</summary>
    public LogIndex LastIndex => throw new NotImplementedException();

    /// <summary>The newest membership in its log, committed or not: the one that counts.</summary>
    public Membership Membership => throw new NotImplementedException();

    /// <summary>Ticks after which this replica campaigns without hearing from a leader; settable for tests, until it is drawn anew.</summary>
    public int ElectionTimeoutTicks { get; set; }

    /// <summary>Whether it may campaign: not with a clock far off or a broken disk. It votes all the same.</summary>
    public bool MayCampaign { get; set; } = true;

    /// <summary>Whether it leads and an entry of its term is committed: what it knows to be committed is all there is.</summary>
    public bool IsCaughtUpLeader => throw new NotImplementedException();

    /// <summary>A tick passed.</summary>
    public void Tick() => throw new NotImplementedException();

    /// <summary>Begins an election at once (still with PreVote). A quorum of one leads as soon as its vote is durable.</summary>
    public void Campaign() => throw new NotImplementedException();

    /// <summary>A message came.</summary>
    public void Step(in Message message) => throw new NotImplementedException();

    /// <summary>A leader's own entry with appends. Taken: it has index LastIndex and the current term, and stands in the output.</summary>
    public ProposeResult Propose(int bytes) => throw new NotImplementedException();

    /// <summary>
    /// Changes the membership towards <paramref name="target"/>, through a joint one if voters change; that is left by itself
    /// when it is committed. Counts from the moment it is appended.
    /// </summary>
    public ProposeResult ProposeMembership(Membership target) => throw new NotImplementedException();

    /// <summary>Term and vote of this and every earlier request are durable.</summary>
    public void SaveDone(ulong number) => throw new NotImplementedException();

    /// <summary>
    /// Entries up to this one are durable. Ignored if another entry stands at the index now: the one that was flushed has been
    /// truncated since, and has come back under another term (the ABA race).
    /// </summary>
    public void AppendDone(Term term, LogIndex index) => throw new NotImplementedException();

    /// <summary>Asks for a read index. Answered in <see cref="RaftOutput.Reads"/>, unless messages are lost: have a deadline.</summary>
    /// <param name="id">Fresh for each attempt, at this replica. Not 0.</param>
    public void ReadIndex(ulong id) => throw new NotImplementedException();

    /// <summary>Hands leadership over (thesis §3.10). False: not leader, or not to such a replica. Given up after an election timeout.</summary>
    public bool Transfer(ReplicaId to) => throw new NotImplementedException();

    /// <summary>A message to it was lost for certain: back to probing.</summary>
    public void ReportUnreachable(ReplicaId replica) => throw new NotImplementedException();

    /// <summary>Shipping ended: the follower has all up to <paramref name="last"/>, or it failed and is probed again.</summary>
    public void ShipDone(ReplicaId replica, LogIndex last, bool ok) => throw new NotImplementedException();

    /// <summary>Term of an entry; null if it is not in the log. 0 at index 0.</summary>
    public Term? TermAt(LogIndex index) => throw new NotImplementedException();

    /// <summary>Terms of the log.</summary>
    public IReadOnlyList<TermRun> Terms() => throw new NotImplementedException();

    /// <summary>The newest committed membership and all behind it.</summary>
    public IReadOnlyList<(LogIndex Index, Membership Membership)> Memberships() => throw new NotImplementedException();

    /// <summary>How it stands.</summary>
    public RaftStatus Status() => throw new NotImplementedException();
}
