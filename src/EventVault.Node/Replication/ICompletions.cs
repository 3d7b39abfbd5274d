using System.Collections.Concurrent;
using System.Diagnostics;

namespace EventVault.Node.Replication;

/// <summary>Runs what appends' callers are told, outside of the sequencer's step.</summary>
internal interface ICompletions
{
    void Queue(IThreadPoolWorkItem item);
}

/// <summary>On the thread pool.</summary>
/// <param name="patience">How long <see cref="LetFinish"/> waits at the most; null: <see cref="UsualPatience"/>.</param>
internal sealed class PooledCompletions(TimeSpan? patience = null) : ICompletions, IThreadPoolWorkItem
{
    /// <summary>50 µs, about half of the flushes that we measured: what waits already must not wait much longer (decision 0025).</summary>
    public static readonly TimeSpan UsualPatience = TimeSpan.FromMicroseconds(50);

    private readonly long _patience = (long)((patience ?? UsualPatience).TotalSeconds * Stopwatch.Frequency);
    private readonly ConcurrentQueue<IThreadPoolWorkItem> _queued = new();
    private IThreadPoolWorkItem? _kept;
    private int _unfinished;
    private bool _hasNew; // Since the last wait.

    /// <summary>Whether the first item that comes is kept for whoever takes it. Who steps the sequencer sets it, and takes it.</summary>
    public bool KeepsNext { get; set; }

    public void Queue(IThreadPoolWorkItem item)
    {
        if (KeepsNext && _kept is null)
        {
            _kept = item;
            return;
        }

        Interlocked.Increment(ref _unfinished);
        Volatile.Write(ref _hasNew, true);
        _queued.Enqueue(item);
        ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
    }

    /// <summary>The item that was kept; null: none came.</summary>
    public IThreadPoolWorkItem? TakeKept()
    {
        var kept = _kept;
        _kept = null;
        return kept;
    }

    /// <summary>
    /// Lets the items finish that were queued since the last time, if that is soon: many a caller comes back at once with the next append, and then
    /// it goes into the next group instead of the one behind it. One thread, which runs no items.
    /// </summary>
    public void LetFinish()
    {
        if (!Volatile.Read(ref _hasNew))
        {
            return;
        }

        Volatile.Write(ref _hasNew, false);
        var until = Stopwatch.GetTimestamp() + _patience;
        while (Volatile.Read(ref _unfinished) > 0 && Stopwatch.GetTimestamp() < until)
        {
            Thread.Yield(); // They may have to run where this thread does.
        }
    }

    void IThreadPoolWorkItem.Execute()
    {
        var taken = _queued.TryDequeue(out var item);
        Invariant.Check(taken);
        item!.Execute();
        Interlocked.Decrement(ref _unfinished);
    }
}
