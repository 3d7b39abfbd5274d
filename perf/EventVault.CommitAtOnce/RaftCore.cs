namespace EventVault.Raft;

/// <summary>What is flushed is committed: the least that can stand where the real core stands. For benchmarks alone.</summary>
public sealed class RaftCore(RaftOptions options, RaftState state, IEntrySource entries)
{
    private static readonly Term Only = new(1);

    public RaftOutput Output { get; } = new();

    public Role Role => Role.Leader;

    public Term Term => Only;

    public ReplicaId? Leader => options.Id;

    public LogIndex CommitIndex { get; private set; } = state.LastIndex;

    public LogIndex DurableIndex => CommitIndex;

    public LogIndex HeldIndex => CommitIndex;

    public LogIndex LastIndex { get; private set; } = state.LastIndex;

    public long UncommittedBytes => 0;

    public Membership Membership => Membership.Empty;

    public LogIndex MembershipIndex => default;

    public bool MayCampaign { get; set; }

    public bool IsSoleVoter => true;

    public bool IsCaughtUpLeader => true;

    public bool IsTransferring => false;

    public ProposeResult Propose(int bytes)
    {
        LastIndex += 1;
        Output.AppendFrom = LastIndex;
        Output.Append.Add(new Entry(Only, EntryKind.Appends, bytes));
        return ProposeResult.Taken;
    }

    public void AppendDone(Term term, LogIndex index) => CommitIndex = index;

    public Term? TermAt(LogIndex index) => index <= LastIndex && entries.First <= index ? Only : null;

    // The rest of the real core's surface: a benchmark of one node never comes here.
    public void Campaign()
    {
    }

    public void Tick() => throw new NotSupportedException();

    public void Step(in Message message) => throw new NotSupportedException();

    public void SaveDone(ulong number) => throw new NotSupportedException();

    public void ReadIndex(ulong id) => throw new NotSupportedException();

    public void ReportUnreachable(ReplicaId replica) => throw new NotSupportedException();

    public void ShipDone(ReplicaId replica, LogIndex last, bool ok) => throw new NotSupportedException();

    public ProposeResult ProposeMembership(Membership target) => throw new NotSupportedException();

    public bool Transfer(ReplicaId to) => throw new NotSupportedException();

    public RaftStatus Status() => throw new NotSupportedException();
}
