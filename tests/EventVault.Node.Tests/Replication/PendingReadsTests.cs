using EventVault.Node.Replication;
using EventVault.Raft;
using StoredIndex = EventVault.Storage.LogIndex;

namespace EventVault.Node.Tests.Replication;

public sealed class PendingReadsTests
{
    private readonly PendingReads _reads = new(patienceTicks: 3);

    [Fact]
    public void A_confirmed_read_waits_until_its_index_is_applied()
    {
        var waiter = new Waiter();
        _reads.Decide(new ReadResult(_reads.Add(waiter), new LogIndex(7), Ok: true));
        _reads.Applied(6);
        Assert.Null(waiter.Answer);
        _reads.Applied(7);
        Assert.True(waiter.Answer);
    }

    [Fact]
    public void What_it_rests_on_must_be_applied_too()
    {
        var waiter = new Waiter(atLeast: 9);
        _reads.Decide(new ReadResult(_reads.Add(waiter), new LogIndex(7), Ok: true));
        _reads.Applied(8);
        Assert.Null(waiter.Answer);
        _reads.Applied(9);
        Assert.True(waiter.Answer);
    }

    [Fact]
    public void A_read_whose_message_was_lost_fails_and_a_late_answer_changes_nothing()
    {
        var waiter = new Waiter();
        var read = _reads.Add(waiter);
        for (var tick = 0; tick < 3; tick++)
        {
            _reads.Tick();
        }

        Assert.Null(waiter.Answer);
        _reads.Tick();
        Assert.False(waiter.Answer);
        _reads.Decide(new ReadResult(read, new LogIndex(1), Ok: true));
        _reads.Applied(1);
        Assert.Equal(1, waiter.Answers);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_read_that_rests_on_what_was_cut_off_fails(bool isConfirmed)
    {
        var gone = new Waiter(atLeast: 9);
        var stays = new Waiter(atLeast: 8);
        foreach (var waiter in new[] { gone, stays })
        {
            var read = _reads.Add(waiter);
            if (isConfirmed)
            {
                _reads.Decide(new ReadResult(read, new LogIndex(7), Ok: true));
            }
        }

        _reads.FailBehind(8);
        Assert.False(gone.Answer);
        Assert.Null(stays.Answer);

        // Another entry at the same index: the read must not be answered by it.
        _reads.Applied(9);
        Assert.Equal(1, gone.Answers);
    }

    [Fact]
    public void All_that_wait_are_asked_whether_their_callers_have_waited_long_enough()
    {
        var unconfirmed = new Waiter();
        var unapplied = new Waiter();
        _reads.Add(unconfirmed);
        _reads.Decide(new ReadResult(_reads.Add(unapplied), new LogIndex(7), Ok: true));
        _reads.GiveUp(1234);
        Assert.Equal((1234, 1234), (unconfirmed.GaveUpAt, unapplied.GaveUpAt));
        _reads.FailAll();
        Assert.Equal((false, false), (unconfirmed.Answer, unapplied.Answer));
    }

    private sealed class Waiter(ulong atLeast = 0) : IReadWaiter
    {
        public StoredIndex AtLeast => new(atLeast);

        public bool? Answer { get; private set; }

        public int Answers { get; private set; }

        public long GaveUpAt { get; private set; }

        public void OnRead(bool ok) => (Answer, Answers) = (ok, Answers + 1);

        public void GiveUp(long nowMs) => GaveUpAt = nowMs;
    }
}
