namespace EventVault.Node.Replication;

/// <summary>Runs what appends' callers are told, outside of the sequencer's step.</summary>
internal interface ICompletions
{
    void Queue(IThreadPoolWorkItem item);
}

/// <summary>On the thread pool.</summary>
internal sealed class PooledCompletions : ICompletions
{
    private IThreadPoolWorkItem? _kept;

    /// <summary>Whether the first item that comes is kept for whoever takes it. Who steps the sequencer sets it, and takes it.</summary>
    public bool KeepsNext { get; set; }

    public void Queue(IThreadPoolWorkItem item)
    {
        if (KeepsNext && _kept is null)
        {
            _kept = item;
            return;
        }

        ThreadPool.UnsafeQueueUserWorkItem(item, preferLocal: false);
    }

    /// <summary>The item that was kept; null: none came.</summary>
    public IThreadPoolWorkItem? TakeKept()
    {
        var kept = _kept;
        _kept = null;
        return kept;
    }
}
