using System.Threading.Tasks.Sources;

namespace EventVault.Client;

/// <summary>
/// Wakes one waiting loop. A signal that comes while nobody waits is kept; several are one. Without allocation,
/// because it fires for nearly every append of a lone appender.
/// </summary>
internal sealed class AsyncSignal : IValueTaskSource
{
    private const int Quiet = 0;
    private const int Waiting = 1;
    private const int Signalled = 2;

    private ManualResetValueTaskSourceCore<bool> _source = new() { RunContinuationsAsynchronously = true };
    private int _state;

    /// <summary>Wakes the waiter, or lets its next wait pass at once. Any thread.</summary>
    public void Set()
    {
        // What the signal is about must be visible before a signal that still stands is taken for this one.
        Interlocked.MemoryBarrier();
        if (Volatile.Read(ref _state) != Signalled && Interlocked.Exchange(ref _state, Signalled) == Waiting)
        {
            _source.SetResult(true);
        }
    }

    /// <summary>Waits for a signal and uses it up. One waiter at a time.</summary>
    public ValueTask WaitAsync()
    {
        if (Interlocked.CompareExchange(ref _state, Quiet, Signalled) == Signalled)
        {
            return ValueTask.CompletedTask;
        }

        _source.Reset();
        return Interlocked.CompareExchange(ref _state, Waiting, Quiet) == Quiet
            ? new ValueTask(this, _source.Version)
            : Used();
    }

    void IValueTaskSource.GetResult(short token)
    {
        _source.GetResult(token);

        // A whole fence: what the waiter looks at next must not be read before the signal is gone.
        Interlocked.Exchange(ref _state, Quiet);
    }

    ValueTaskSourceStatus IValueTaskSource.GetStatus(short token) => _source.GetStatus(token);

    void IValueTaskSource.OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _source.OnCompleted(continuation, state, token, flags);

    private ValueTask Used()
    {
        Interlocked.Exchange(ref _state, Quiet);
        return ValueTask.CompletedTask;
    }
}
