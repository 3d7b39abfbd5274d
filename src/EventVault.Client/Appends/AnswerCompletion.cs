namespace EventVault.Client;

/// <summary>
/// Completes the appends of one answer in one thread-pool item. The callers' code runs inside, so one of them may
/// block, against all advice even on another append of the same answer. <see cref="Rescue"/> then sends a second
/// thread after the rest: the others are late, never stuck.
/// </summary>
internal sealed class AnswerCompletion(List<PendingAppend> appends) : IThreadPoolWorkItem
{
    private int _next;
    private int _seen = -1;

    private bool IsFinished => Volatile.Read(ref _next) >= appends.Count;

    public void Execute()
    {
        while (Interlocked.Increment(ref _next) - 1 is var i && i < appends.Count)
        {
            appends[i].Complete();
        }
    }

    public void Start(Queue<AnswerCompletion> unfinished)
    {
        // Receive loop and timer both come here; what one peeks at the other must not dequeue.
        lock (unfinished)
        {
            while (unfinished.TryPeek(out AnswerCompletion? oldest) && oldest.IsFinished)
            {
                unfinished.Dequeue();
            }

            unfinished.Enqueue(this);
        }

        ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
    }

    /// <summary>Called by one timer, now and then.</summary>
    /// <returns>Whether something is left to watch.</returns>
    public static bool Rescue(Queue<AnswerCompletion> unfinished)
    {
        bool any = false;
        lock (unfinished)
        {
            foreach (AnswerCompletion completion in unfinished)
            {
                if (completion.IsFinished)
                {
                    continue;
                }

                any = true;
                int next = Volatile.Read(ref completion._next);
                if (next == completion._seen)
                {
                    ThreadPool.UnsafeQueueUserWorkItem(completion, preferLocal: false);
                }

                completion._seen = next;
            }
        }

        return any;
    }
}
