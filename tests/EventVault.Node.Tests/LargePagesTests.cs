using EventVault.Node.Services;
using EventVault.Rpc;

namespace EventVault.Node.Tests;

public sealed class LargePagesTests
{
    private const int Page = 1 << 20;
    private const int Half = (int)(LargePages.MostBytes / 2);
    private readonly SteppedClock _clock = new();
    private readonly object _a = new();
    private readonly object _b = new();

    // They are made before they wait, so these count as well.
    [Fact]
    public async Task Answers_that_wait_are_bounded_too()
    {
        var pages = new LargePages(_clock);
        var held = new List<LargePages.Part>();
        while (pages.TryTake(Page, _a, Never) is { } part)
        {
            held.Add(part);
        }

        var waiting = Enumerable.Range(0, Half / Page).Select(_ => pages.HoldAsync(Page, _a, Never, default).AsTask()).ToList();
        Assert.DoesNotContain(waiting, task => task.IsCompleted);
        var refused = await Assert.ThrowsAsync<RpcException>(() => pages.HoldAsync(Page, _a, Never, default).AsTask());
        Assert.Equal(RpcCode.ResourceExhausted, refused.Code);
        (await pages.HoldAsync(Page, _b, Never, default)).Dispose(); // Another connection has its own part.

        // Who gets on makes room, and so does who goes away.
        pages.GiveBack(held[0]);
        pages.GiveBack(held[1]);
        (await waiting[0].WaitAsync(Support.Wait.Limit)).Dispose();
        using var gone = new CancellationTokenSource();
        waiting.Add(pages.HoldAsync(Page, _a, Never, gone.Token).AsTask());
        await gone.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => waiting[^1]);
        held[2..].ForEach(pages.GiveBack);
        foreach (var task in waiting[1..^1])
        {
            (await task.WaitAsync(Support.Wait.Limit)).Dispose();
        }

        Assert.Equal(0, pages.HeldBytes);
    }

    [Fact]
    public async Task A_connection_holds_no_more_than_it_leaves_and_who_holds_least_is_given_first()
    {
        var pages = new LargePages(_clock);
        var greedy = new List<LargePages.Part>();
        while (pages.TryTake(Page, _a, Never) is { } part)
        {
            greedy.Add(part);
        }

        Assert.Equal(Half / Page, greedy.Count);
        var waiting = Enumerable.Range(0, 100).Select(_ => pages.TakeAsync(Page, _a, Never, default).AsTask()).ToList();
        var others = new List<LargePages.Part>();
        while (pages.TryTake(Page, new object(), Never) is { } part)
        {
            others.Add(part); // They hold less than the one that waits: not behind it.
        }

        Assert.Equal((Half / Page) - 1, others.Count);
        var modest = pages.TakeAsync(Page, _b, Never, default).AsTask();
        var second = pages.TakeAsync(Page, _b, Never, default).AsTask();
        Assert.False(modest.IsCompleted);
        pages.GiveBack(greedy[0]);
        await modest.WaitAsync(Support.Wait.Limit);
        pages.GiveBack(greedy[1]);
        Assert.False(second.IsCompleted); // Two for it would leave one.
        pages.GiveBack(greedy[2]);
        await second.WaitAsync(Support.Wait.Limit);
        Assert.DoesNotContain(waiting, task => task.IsCompleted);

        // They are not forgotten: all of them in the end, in their order, and never more than there is.
        others.ForEach(pages.GiveBack);
        greedy[3..].ForEach(pages.GiveBack);
        pages.GiveBack(await modest);
        pages.GiveBack(await second);
        foreach (var task in waiting)
        {
            Assert.True(pages.HeldBytes <= LargePages.MostBytes);
            pages.GiveBack(await task.WaitAsync(Support.Wait.Limit));
        }

        Assert.Equal(0, pages.HeldBytes);
    }

    [Fact]
    public void Whoever_waits_is_passed_by_those_who_hold_less_only()
    {
        var pages = new LargePages(_clock);
        Assert.NotNull(pages.TryTake(Half, _a, Never));
        var waits = pages.TakeAsync(Half, _b, Never, default).AsTask();
        Assert.False(waits.IsCompleted);
        Assert.Null(pages.TryTake(1, new object(), Never)); // Holds as little, and came later.
        Assert.Null(pages.TryTake(1, _a, Never));
    }

    [Fact]
    public void One_page_alone_may_be_larger_than_the_bound()
    {
        var pages = new LargePages(_clock);
        var huge = pages.TryTake((int)LargePages.MostBytes + 1, _a, Never);
        Assert.NotNull(huge);
        Assert.Null(pages.TryTake(1, _b, Never));
        pages.GiveBack(huge);
        Assert.NotNull(pages.TryTake(1, _b, Never));
    }

    [Fact]
    public async Task A_call_that_ends_while_it_waits_lets_the_next_one_pass()
    {
        var pages = new LargePages(_clock);
        var held = pages.TryTake(Half + 1, _a, Never)!;
        using var ends = new CancellationTokenSource();
        var large = pages.TakeAsync(Half, _b, Never, ends.Token).AsTask();
        var small = pages.TakeAsync(1, _b, Never, default).AsTask();
        Assert.False(small.IsCompleted);
        await ends.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => large);
        pages.GiveBack(await small.WaitAsync(Support.Wait.Limit));
        pages.GiveBack(held);
        Assert.Equal(0, pages.HeldBytes);
    }

    [Fact]
    public void Slow_ones_are_cut_only_while_others_wait_and_only_after_their_time()
    {
        var pages = new LargePages(_clock);
        var cut = new List<string>();
        pages.TryTake(Half, _a, () => cut.Add("slow"));
        _clock.Step(LargePages.Patience);
        Assert.Equal(0, pages.CutSlow());
        pages.TryTake(Half / 2, _b, () => cut.Add("young"));
        var waits = pages.TakeAsync(Half, new object(), () => cut.Add("waiting"), default).AsTask();
        Assert.Equal(1, pages.CutSlow());
        Assert.Equal(["slow"], cut);
        Assert.False(waits.IsCompleted);
    }

    [Fact]
    public void Who_waits_for_what_it_holds_itself_has_nobody_else_cut()
    {
        var pages = new LargePages(_clock);
        var cut = new List<string>();
        Assert.NotNull(pages.TryTake(Half, _a, () => cut.Add("a")));
        Assert.NotNull(pages.TryTake(Half / 4, _b, () => cut.Add("b")));
        _clock.Step(LargePages.Patience);
        var greedy = pages.TakeAsync(Page, _a, Never, default).AsTask();
        Assert.Equal(1, pages.CutSlow());
        Assert.Equal(["a"], cut);
        Assert.False(greedy.IsCompleted);
    }

    [Fact]
    public void Who_waits_for_others_has_those_cut_that_hold_as_much()
    {
        var pages = new LargePages(_clock);
        var cut = new List<string>();
        Assert.NotNull(pages.TryTake(Half, _b, () => cut.Add("b")));
        Assert.NotNull(pages.TryTake(Half / 2, _a, () => cut.Add("a")));
        Assert.NotNull(pages.TryTake(Half / 4, new object(), () => cut.Add("c")));
        _clock.Step(LargePages.Patience);
        var waits = pages.TakeAsync(Half / 2, _a, Never, default).AsTask();
        Assert.Equal(2, pages.CutSlow());
        Assert.Equal(["a", "b"], cut.Order());
        Assert.False(waits.IsCompleted);
    }

    [Fact]
    public void The_more_calls_are_open_the_smaller_their_pages()
    {
        var share = new PageShare(_clock);
        Assert.Equal(EventPage.MostBytes, share.FullBytes);
        var full = (int)(PageShare.SharedBytes / EventPage.MostBytes);
        for (var i = 0; i < 10_000; i++)
        {
            share.Enter();
            Assert.Equal(i < full, share.FullBytes == EventPage.MostBytes);
            Assert.True(share.FullBytes * (i + 1L) <= PageShare.SharedBytes || share.FullBytes == PageShare.LeastBytes);
        }

        for (var i = 0; i < 10_000; i++)
        {
            share.Leave();
        }

        Assert.Equal(EventPage.MostBytes, share.FullBytes);
    }

    private static void Never() => Assert.Fail("Nobody is to be cut.");

    private sealed class SteppedClock : TimeProvider
    {
        private long _now;

        public override long TimestampFrequency => TimeSpan.TicksPerSecond;

        public void Step(TimeSpan time) => _now += time.Ticks;

        public override long GetTimestamp() => _now;
    }
}
