namespace EventVault.Node.Security;

/// <summary>
/// Tells the log whose credentials are refused: a line a second at the most, whoever guesses, and with it how many there were in between. Safe for concurrent use.
/// </summary>
internal sealed class RefusedCredentials(ILogger log, TimeProvider clock)
{
    /// <summary>Between two lines.</summary>
    private static readonly TimeSpan Every = TimeSpan.FromSeconds(1);

    private long _toldAt = long.MinValue; // Never.
    private long _untold;

    /// <summary>Some were refused.</summary>
    /// <param name="origin">Where they came from.</param>
    /// <param name="user">Whom they name, if there is such a user; what else stands there may be a secret.</param>
    /// <param name="why">What the caller was told.</param>
    public void Tell(CallOrigin origin, string? user, string why)
    {
        Interlocked.Increment(ref _untold);
        var (last, now) = (Volatile.Read(ref _toldAt), clock.GetTimestamp());
        if ((last == long.MinValue || clock.GetElapsedTime(last, now) >= Every) && Interlocked.CompareExchange(ref _toldAt, now, last) == last)
        {
            SecurityLogMessages.Refused(log, origin.Peer, user ?? "nobody who is known", why, Interlocked.Exchange(ref _untold, 0) - 1);
        }
    }
}
