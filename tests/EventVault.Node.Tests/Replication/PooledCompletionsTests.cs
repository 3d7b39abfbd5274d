using System.Diagnostics;
using EventVault.Node.Replication;

namespace EventVault.Node.Tests.Replication;

/// <summary>Callers are told before the next group begins, if that is soon (decision 0025).</summary>
public sealed class PooledCompletionsTests
{
    private static readonly TimeSpan ForEver = TimeSpan.FromHours(1);

    [Fact]
    public void What_is_finished_soon_is_waited_for()
    {
        var completions = new PooledCompletions(ForEver);
        completions.LetFinish(); // Of nothing.

        using var queued = new ManualResetEventSlim();
        Item[] items = [.. Enumerable.Range(0, 50).Select(_ => new Item(() => queued.Wait()))];
        foreach (var item in items)
        {
            completions.Queue(item);
        }

        queued.Set();
        completions.LetFinish();
        Assert.All(items, item => Assert.Equal(1, item.Runs));
    }

    [Fact]
    public void What_hangs_holds_nobody_up()
    {
        var completions = new PooledCompletions();
        using var mayEnd = new ManualResetEventSlim();
        using var hasEnded = new ManualResetEventSlim();
        completions.Queue(new Item(() =>
        {
            mayEnd.Wait();
            hasEnded.Set();
        }));
        completions.LetFinish();
        Assert.False(hasEnded.IsSet);
        mayEnd.Set();
        hasEnded.Wait();
    }

    [Fact]
    public void What_was_waited_for_in_vain_is_not_waited_for_again()
    {
        using var mayEnd = new ManualResetEventSlim();
        var waits = new Stopwatch();
        var completions = new PooledCompletions(TimeSpan.FromSeconds(1));
        completions.Queue(new Item(() => mayEnd.Wait()));
        completions.LetFinish();
        waits.Start();
        for (var i = 0; i < 1000; i++)
        {
            completions.LetFinish();
        }

        Assert.True(waits.Elapsed < TimeSpan.FromSeconds(500), "each of them waited");
        mayEnd.Set();
    }

    [Fact]
    public void What_is_kept_for_its_caller_is_not_waited_for()
    {
        var completions = new PooledCompletions(ForEver) { KeepsNext = true };
        var item = new Item(static () => { });
        completions.Queue(item);
        completions.LetFinish();
        Assert.Equal(0, item.Runs);
        Assert.Same(item, completions.TakeKept());
        Assert.Null(completions.TakeKept());
    }

    private sealed class Item(Action run) : IThreadPoolWorkItem
    {
        private int _runs;

        public int Runs => Volatile.Read(ref _runs);

        public void Execute()
        {
            run();
            Interlocked.Increment(ref _runs);
        }
    }
}
