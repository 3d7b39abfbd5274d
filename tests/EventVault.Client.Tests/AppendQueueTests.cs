using EventVault.Client.Tests.Support;

namespace EventVault.Client.Tests;

public sealed class AppendQueueTests
{
    [Fact]
    public void Sends_no_more_than_the_limits_until_answers_make_room()
    {
        var queue = new AppendQueue(maxInFlightAppends: 4, maxInFlightBytes: 1 << 20);
        PendingAppend[] appends = Fill(queue, 10);
        var taken = new PendingAppend[10];
        Assert.Equal(4, queue.TakeUnsent(taken, int.MaxValue));
        Assert.Equal(appends[..4], taken[..4]);
        queue.MarkWritten();
        Assert.Equal(0, queue.TakeUnsent(taken, int.MaxValue));
        Assert.Same(appends[0], queue.Answered(1, out bool wasWaiting));
        Assert.True(wasWaiting);
        Assert.Equal(1, queue.TakeUnsent(taken, int.MaxValue));
        Assert.Same(appends[4], taken[0]);
    }

    [Fact]
    public void Encodes_ahead_only_what_the_byte_limit_allows()
    {
        int size = NewAppend().Size;
        var queue = new AppendQueue(100, maxInFlightBytes: size * 3);
        for (int i = 0; i < 3; i++)
        {
            Assert.True(queue.HasRoomFor(size));
            PendingAppend append = NewAppend();
            append.Encode();
            queue.TryAdd(append);
        }

        Assert.False(queue.HasRoomFor(size));
        var taken = new PendingAppend[10];
        Assert.Equal(3, queue.TakeUnsent(taken, int.MaxValue));
        queue.MarkWritten();
        queue.Answered(1, out _);
        Assert.True(queue.HasRoomFor(size));
    }

    [Fact]
    public void A_rewound_queue_sends_the_unanswered_again_in_order_before_anything_newer()
    {
        var queue = new AppendQueue(100, 1 << 20);
        PendingAppend[] appends = Fill(queue, 3);
        var taken = new PendingAppend[10];
        queue.TakeUnsent(taken, int.MaxValue);
        queue.MarkWritten();
        queue.Answered(1, out _);
        PendingAppend[] newer = Fill(queue, 2);
        queue.Rewind(refusedFrom: null, giveUpAt: long.MaxValue);
        Assert.Equal(4, queue.TakeUnsent(taken, int.MaxValue));
        Assert.Equal([appends[1], appends[2], newer[0], newer[1]], taken[..4]);
        Assert.Equal([true, true, false, false], taken[..4].Select(a => a.MayBeWritten));
    }

    [Fact]
    public void What_was_refused_is_definitely_not_written_unless_an_earlier_attempt_left_doubt()
    {
        var queue = new AppendQueue(100, 1 << 20);
        PendingAppend[] appends = Fill(queue, 2);
        var taken = new PendingAppend[10];
        queue.TakeUnsent(taken, int.MaxValue);
        queue.Rewind(refusedFrom: 2, giveUpAt: long.MaxValue);
        Assert.True(appends[0].MayBeWritten);
        Assert.False(appends[1].MayBeWritten);
        queue.TakeUnsent(taken, int.MaxValue);
        queue.Rewind(refusedFrom: 1, giveUpAt: long.MaxValue);
        Assert.True(appends[0].MayBeWritten);
        Assert.False(appends[1].MayBeWritten);
    }

    [Fact]
    public async Task An_append_behind_one_that_was_decided_and_never_answered_wakes_whoever_sends()
    {
        var queue = new AppendQueue(100, 1 << 20);
        PendingAppend refused = Fill(queue, 1)[0];
        queue.TakeUnsent(new PendingAppend[1], int.MaxValue);
        queue.MarkWritten();
        queue.Rewind(refusedFrom: 1, giveUpAt: long.MaxValue);
        Assert.True(queue.TryDecide(refused));
        await queue.Work.WaitAsync();
        Task waiting = queue.Work.WaitAsync().AsTask();
        Assert.False(waiting.IsCompleted);

        Fill(queue, 1);
        await waiting.WaitAsync(Wait.Limit);
    }

    [Fact]
    public void Expired_appends_leave_without_disturbing_the_answers_of_the_others()
    {
        var queue = new AppendQueue(maxInFlightAppends: 3, 1 << 20);
        PendingAppend[] appends = Fill(queue, 6);
        var taken = new PendingAppend[10];
        Assert.Equal(3, queue.TakeUnsent(taken, int.MaxValue));
        queue.MarkWritten();
        appends[1].EndsAt = 0;
        appends[4].EndsAt = 0;
        var expired = new List<PendingAppend>();
        queue.TakeExpired(1, expired);
        Assert.Equal([appends[1], appends[4]], expired);
        Assert.True(appends[1].MayBeWritten);
        Assert.False(appends[4].MayBeWritten);

        queue.Answered(1, out _);
        queue.Answered(2, out bool wasWaiting);
        Assert.False(wasWaiting);
        queue.Answered(3, out _);
        Assert.Equal(2, queue.TakeUnsent(taken, int.MaxValue));
        Assert.Equal([appends[3], appends[5]], taken[..2]);
        queue.MarkWritten();
        Assert.Same(appends[3], queue.Answered(4, out _));
        Assert.Same(appends[5], queue.Answered(6, out _));
        Assert.Equal(0, queue.Undecided);
    }

    [Fact]
    public void Answers_out_of_turn_are_refused_and_repeated_ones_ignored()
    {
        var queue = new AppendQueue(100, 1 << 20);
        Fill(queue, 3);
        var taken = new PendingAppend[1];
        queue.TakeUnsent(taken, int.MaxValue);

        // Not copied into the call yet: no honest answer can exist.
        Assert.Equal(VaultErrorCode.ProtocolViolation, Assert.Throws<VaultException>(() => queue.Answered(1, out _)).Code);
        queue.MarkWritten();
        Assert.Throws<VaultException>(() => queue.Answered(2, out _));
        Assert.NotNull(queue.Answered(1, out _));
        Assert.Null(queue.Answered(1, out _));
        Assert.Throws<VaultException>(() => queue.Answered(2, out _));
    }

    [Fact]
    public void A_flush_takes_at_most_its_bytes_but_always_one_append()
    {
        int size = NewAppend().Size;
        var queue = new AppendQueue(100, 1 << 20);
        Fill(queue, 5);
        var taken = new PendingAppend[10];
        Assert.Equal(1, queue.TakeUnsent(taken, maxBytes: 1));
        Assert.Equal(2, queue.TakeUnsent(taken, maxBytes: size * 2));
    }

    [Fact]
    public async Task A_closed_queue_takes_nothing_and_tells_when_all_is_decided()
    {
        var queue = new AppendQueue(100, 1 << 20);
        PendingAppend[] appends = Fill(queue, 2);
        Task emptied = queue.CloseAsync();
        Assert.False(queue.TryAdd(NewAppend()));
        Assert.True(queue.TryDecide(appends[0]));
        Assert.False(queue.TryDecide(appends[0]));
        Assert.False(emptied.IsCompleted);
        queue.TryDecide(appends[1]);
        await emptied.WaitAsync(Wait.Limit);
    }

    /// <summary>Thousands of random steps against a plain list.</summary>
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Behaves_like_a_list(int seed)
    {
        var random = new Random(seed);
        var queue = new AppendQueue(maxInFlightAppends: 20, 1 << 20);
        var waiting = new List<PendingAppend>();
        var sent = new List<PendingAppend>();
        var taken = new PendingAppend[8];
        for (int step = 0; step < 20_000; step++)
        {
            switch (random.Next(12))
            {
                case < 5:
                    PendingAppend added = NewAppend();
                    Assert.True(queue.TryAdd(added));
                    waiting.Add(added);
                    break;
                case < 8:
                    int count = queue.TakeUnsent(taken, int.MaxValue);
                    int expected = Math.Min(Math.Min(taken.Length, waiting.Count), 20 - sent.Count);
                    Assert.Equal(expected, count);
                    Assert.Equal(waiting[..count], taken[..count]);
                    sent.AddRange(waiting[..count]);
                    waiting.RemoveRange(0, count);
                    queue.MarkWritten();
                    break;
                case < 11 when sent.Count > 0:
                    Assert.Same(sent[0], queue.Answered(sent[0].RequestId, out bool wasWaiting));
                    Assert.NotEqual(sent[0].EndsAt == 0, wasWaiting);
                    sent.RemoveAt(0);
                    break;
                case 11 when random.Next(10) == 0:
                    queue.Rewind(null, long.MaxValue);
                    waiting.InsertRange(0, sent.Where(a => a.EndsAt != 0));
                    sent.Clear();
                    break;
                case 11:
                    List<PendingAppend> all = [.. sent, .. waiting];
                    if (all.Count > 0 && all[random.Next(all.Count)] is { EndsAt: not 0 } append)
                    {
                        append.EndsAt = 0;
                        var expired = new List<PendingAppend>();
                        queue.TakeExpired(1, expired);
                        Assert.Equal([append], expired);
                        waiting.Remove(append);
                    }

                    break;
                default:
                    break;
            }

            Assert.Equal(waiting.Count + sent.Count(a => a.EndsAt != 0), queue.Undecided);
        }
    }

    private static PendingAppend NewAppend()
    {
        StreamAppend[] streams = [new("s", ExpectedVersion.Any, [Some.Event()])];
        return new PendingAppend(Guid.NewGuid(), streams, AppendEncoder.Measure(streams, VaultLimits.Defaults), TimeSpan.FromMinutes(1));
    }

    private static PendingAppend[] Fill(AppendQueue queue, int count)
    {
        PendingAppend[] appends = [.. Enumerable.Range(0, count).Select(_ => NewAppend())];
        Array.ForEach(appends, a => Assert.True(queue.TryAdd(a)));
        return appends;
    }
}
