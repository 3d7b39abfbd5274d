namespace EventVault.Client;

/// <summary>An append that waits until it may be sent. Its time-out runs from its call on; if that passes before, it is never sent.</summary>
/// <param name="send">Sends it, with the time that is left, and what the look-up failed with for which it waited (null: it did not).</param>
/// <param name="timeout">How long it may take in all.</param>
internal sealed class WaitingAppend(Func<TimeSpan, VaultException?, Task<AppendResult>> send, TimeSpan timeout)
{
    private readonly TaskCompletionSource<Task<AppendResult>> _sent = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly long _since = Environment.TickCount64;
    private int _decided;

    /// <summary>It is its turn.</summary>
    /// <param name="failure">What it waited for failed with; null: it did not.</param>
    public void Send(VaultException? failure)
    {
        TimeSpan left = timeout == Timeout.InfiniteTimeSpan ? timeout : timeout - TimeSpan.FromMilliseconds(Environment.TickCount64 - _since);
        if ((left > TimeSpan.Zero || left == Timeout.InfiniteTimeSpan) && TryDecide())
        {
            Task<AppendResult> sent = send(left, failure);

            // A caller that cancelled its waiting is not there to look at the exception any more.
            _ = sent.ContinueWith(
                static s => _ = s.Exception, CancellationToken.None, TaskContinuationOptions.OnlyOnFaulted | TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
            _sent.SetResult(sent);
        }
    }

    /// <summary>Where it was written.</summary>
    /// <param name="cancellation">Cancels the waiting, not the append.</param>
    /// <exception cref="VaultException">It failed.</exception>
    public async Task<AppendResult> ResultAsync(CancellationToken cancellation)
    {
        TimeSpan wait = timeout.TotalMilliseconds > int.MaxValue ? Timeout.InfiniteTimeSpan : timeout; // Timers reach no further.
        await ((Task)_sent.Task).WaitAsync(wait, cancellation).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        cancellation.ThrowIfCancellationRequested();
        return TryDecide()
            ? throw new VaultException(
                VaultErrorCode.TimedOut,
                "The append, or one before it, is over the default limits, and the node has not told its own within the time-out; it was definitely not written. Look whether the node answers, or allow more time.")
            : await (await _sent.Task.ConfigureAwait(false)).WaitAsync(cancellation).ConfigureAwait(false);
    }

    private bool TryDecide() => Interlocked.Exchange(ref _decided, 1) == 0;
}
