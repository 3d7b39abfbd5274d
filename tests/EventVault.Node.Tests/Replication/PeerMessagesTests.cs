using EventVault.Node.Replication;
using EventVault.Raft;

namespace EventVault.Node.Tests.Replication;

/// <summary>A follower with a log of 5 entries, the first 3 committed, gets messages that no leader sends.</summary>
public sealed class PeerMessagesTests
{
    private static readonly ReplicaId Self = new(1, new Guid(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11));
    private static readonly ReplicaId Leader = new(2, new Guid(2, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11));
    private static readonly Entry Known = new(new Term(2), EntryKind.Appends, 100);
    private static readonly Message Good = new(MessageKind.Append, Leader, Self, new Term(4))
    {
        Index = new LogIndex(5),
        LogTerm = new Term(2),
        Entries = [new Entry(new Term(3), EntryKind.Appends, 100), new Entry(new Term(4), EntryKind.NoOp, 100)],
    };

    private readonly RaftCore _core = new(
        new RaftOptions { Id = Self, Random = new Random(1) },
        new RaftState
        {
            Term = new Term(2),
            LastIndex = new LogIndex(5),
            CommitIndex = new LogIndex(3),
            Terms = [new TermRun(new LogIndex(1), new Term(1)), new TermRun(new LogIndex(3), new Term(2))],
            Memberships = [(new LogIndex(0), Membership.OfVoters(Self, Leader))],
        },
        new Entries());

    [Fact]
    public void What_a_leader_sends_is_sane()
    {
        Assert.True(IsSane(Good));
        Assert.True(IsSane(Good with { Index = new LogIndex(3), Entries = [Known, Known] }));
        Assert.True(IsSane(new Message(MessageKind.Heartbeat, Leader, Self, new Term(4)) { Commit = new LogIndex(3) }));
    }

    [Fact]
    public void Terms_that_rise_and_fall_or_that_nobody_reached_are_refused()
    {
        Assert.False(IsSane(Good with { Term = new Term(ulong.MaxValue) }));
        Assert.False(IsSane(Good with { Term = default }));
        Assert.False(IsSane(Good with { LogTerm = new Term(5) }));
        Assert.False(IsSane(Good with { Entries = [new Entry(new Term(4), EntryKind.NoOp, 1), new Entry(new Term(3), EntryKind.NoOp, 1)] }));
        Assert.False(IsSane(Good with { Entries = [new Entry(new Term(5), EntryKind.NoOp, 1)] }));
        Assert.False(IsSane(Good with { Entries = [new Entry(default, EntryKind.NoOp, 1)] }));
        Assert.False(IsSane(Good with { Entries = [new Entry(new Term(1), EntryKind.NoOp, 1)] }));
    }

    [Fact]
    public void What_contradicts_a_committed_entry_is_refused()
    {
        Assert.False(IsSane(Good with { Index = new LogIndex(3), LogTerm = new Term(1) }));
        Assert.False(IsSane(Good with { Index = new LogIndex(2), LogTerm = new Term(1), Entries = [new Entry(new Term(3), EntryKind.Appends, 1)] }));
        Assert.True(IsSane(Good with { Index = new LogIndex(3), LogTerm = new Term(2), Entries = [new Entry(new Term(3), EntryKind.Appends, 1)] }));
    }

    [Fact]
    public void Senders_without_identity_unknown_kinds_and_missing_parts_are_refused()
    {
        Assert.False(IsSane(Good with { From = new ReplicaId(0, Leader.Incarnation) }));
        Assert.False(IsSane(Good with { From = new ReplicaId(2, Guid.Empty) }));
        Assert.False(IsSane(Good with { Kind = (MessageKind)77 }));
        Assert.False(IsSane(Good with { Entries = null! }));
        Assert.False(PeerMessages.IsSane(new PeerMessage(Guid.NewGuid(), Good, null!), _core));
        Assert.False(PeerMessages.IsSane(new PeerMessage(Guid.NewGuid(), Good, []), _core));
        Assert.False(IsSane(Good with { Kind = MessageKind.Heartbeat }));
    }

    private bool IsSane(in Message message)
    {
        var groups = new byte[message.Entries?.Length ?? 0][];
        Array.Fill(groups, []);
        return PeerMessages.IsSane(new PeerMessage(Guid.NewGuid(), message, groups), _core);
    }

    private sealed class Entries : IEntrySource
    {
        public LogIndex First => new(1);

        public LogIndex FirstThere => new(1);

        public void Read(LogIndex from, LogIndex until, int most, long mostBytes, List<Entry> into)
        {
            for (var index = from; index <= until; index += 1)
            {
                into.Add(Known);
            }
        }
    }
}
