namespace EventVault.Node;

/// <summary>
/// Wakes readers that wait for the next commit. Nothing is allocated while nobody waits; all that wait share one task.
/// </summary>
internal sealed class CommitSignal
{
    private TaskCompletionSource? _waiting;

    /// <summary>
    /// A task that ends at the next commit after this call. Take it, then look at the head, then await: a commit in
    /// between is not missed.
    /// </summary>
    public Task Next
    {
        get
        {
            var waiting = Volatile.Read(ref _waiting);
            while (waiting is null)
            {
                var made = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
                waiting = Interlocked.CompareExchange(ref _waiting, made, null) ?? made;
            }

            return waiting.Task;
        }
    }

    /// <summary>Called after a commit has become visible.</summary>
    public void Publish()
    {
        // The commit must be visible before this looks for waiters; without the fence the processor may look first, find
        // nobody, and a reader that came in between has seen the old head and sleeps until the next commit.
        Interlocked.MemoryBarrier();
        if (Volatile.Read(ref _waiting) is not null)
        {
            Interlocked.Exchange(ref _waiting, null)?.SetResult();
        }
    }
}
