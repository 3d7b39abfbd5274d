using EventVault.Node.Services;

namespace EventVault.Node.Tests;

public sealed class LargePagesTests
{
    private const int Half = (int)(LargePages.MostBytes / 2);
    private readonly SteppedClock _clock = new();

    [Fact]
    public async Task Whoever_asks_first_is_given_first_and_never_more_than_there_is()
    {
        var pages = new LargePages(_clock);
        var first = pages.TryTake(Half, Never)!;
        var second = pages.TryTake(Half, Never)!;
        Assert.Null(pages.TryTake(1, Never));
        var third = pages.TakeAsync(Half, Never, default).AsTask();
        var fourth = pages.TakeAsync(1, Never, default).AsTask();
        Assert.Equal(LargePages.MostBytes, pages.HeldBytes);
        pages.GiveBack(first);
        var given = await third.WaitAsync(Support.Wait.Limit);
        Assert.False(fourth.IsCompleted);
        Assert.Null(pages.TryTake(1, Never)); // Not past one that waits.
        pages.GiveBack(second);
        pages.GiveBack(await fourth.WaitAsync(Support.Wait.Limit));
        pages.GiveBack(given);
        Assert.Equal(0, pages.HeldBytes);
    }

    [Fact]
    public void One_page_alone_may_be_larger_than_the_bound()
    {
        var pages = new LargePages(_clock);
        var huge = pages.TryTake((int)LargePages.MostBytes + 1, Never);
        Assert.NotNull(huge);
        Assert.Null(pages.TryTake(1, Never));
        pages.GiveBack(huge);
        Assert.NotNull(pages.TryTake(1, Never));
    }

    [Fact]
    public async Task A_call_that_ends_while_it_waits_lets_the_next_one_pass()
    {
        var pages = new LargePages(_clock);
        var held = pages.TryTake(Half + 1, Never)!;
        using var ends = new CancellationTokenSource();
        var large = pages.TakeAsync(Half, Never, ends.Token).AsTask();
        var small = pages.TakeAsync(1, Never, default).AsTask();
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
        pages.TryTake(Half, () => cut.Add("slow"));
        _clock.Step(LargePages.Patience);
        Assert.Equal(0, pages.CutSlow());
        pages.TryTake(Half, () => cut.Add("young"));
        var waits = pages.TakeAsync(Half, () => cut.Add("waiting"), default).AsTask();
        Assert.Equal(1, pages.CutSlow());
        Assert.Equal(["slow"], cut);
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
