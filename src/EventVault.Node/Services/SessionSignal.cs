using System.Threading.Tasks.Sources;

namespace EventVault.Node.Services;

/// <summary>
/// Wakes the one loop of a session that waits on it; a signal with nobody waiting is kept, many are one. Nothing is
/// allocated. The waiter goes on inside <see cref="Set"/>: it is the session's own code, which never blocks, and the
/// thread-pool item saved is a good part of an append's time.
/// </summary>
internal sealed class SessionSignal : IValueTaskSource
{
    private const int Idle = 0;
    private const int Signalled = 1;
    private const int Waiting = 2;

    private ManualResetValueTaskSourceCore<bool> _source;
    private int _state;

    /// <summary>Ends at the next signal, or at once if there was one since the last wait. One waiter at a time.</summary>
    public ValueTask WaitAsync()
    {
        _source.Reset();
        if (Interlocked.CompareExchange(ref _state, Waiting, Idle) == Signalled)
        {
            // Only Set leaves Signalled alone, so nobody else changes the state now. A whole fence: what the waiter looks
            // at next must not be read before the signal is gone, or a signal dropped meanwhile is lost for good.
            Interlocked.Exchange(ref _state, Idle);
            return ValueTask.CompletedTask;
        }

        return new ValueTask(this, _source.Version);
    }

    /// <summary>Wakes the waiter. Thread-safe.</summary>
    public void Set()
    {
        // What the signal is about must be visible before the state is read: a signal that still stands is left alone,
        // and its waiter may be using it up at this moment, having looked before.
        Interlocked.MemoryBarrier();
        while (true)
        {
            switch (Volatile.Read(ref _state))
            {
                case Signalled:
                    return;
                case Idle:
                    if (Interlocked.CompareExchange(ref _state, Signalled, Idle) == Idle)
                    {
                        return;
                    }

                    break;
                default:
                    if (Interlocked.CompareExchange(ref _state, Idle, Waiting) == Waiting)
                    {
                        _source.SetResult(true);
                        return;
                    }

                    break;
            }
        }
    }

    void IValueTaskSource.GetResult(short token) => _source.GetResult(token);

    ValueTaskSourceStatus IValueTaskSource.GetStatus(short token) => _source.GetStatus(token);

    void IValueTaskSource.OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _source.OnCompleted(continuation, state, token, flags);
}
