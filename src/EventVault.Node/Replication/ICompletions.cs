namespace EventVault.Node.Replication;

/// <summary>Runs what appends' callers are told, off the sequencer's thread.</summary>
internal interface ICompletions
{
    void Queue(IThreadPoolWorkItem item);
}

/// <summary>On the thread pool.</summary>
internal sealed class PooledCompletions : ICompletions
{
    public void Queue(IThreadPoolWorkItem item) => ThreadPool.UnsafeQueueUserWorkItem(item, preferLocal: false);
}
