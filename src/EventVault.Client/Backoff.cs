namespace EventVault.Client;

/// <summary>Counts the failures of one operation since it last made progress. Used by one thread at a time.</summary>
internal sealed class Backoff(RetryPolicy policy, TimeSpan giveUpAfter)
{
    private int _failures;
    private long _failingSince;

    public Backoff(RetryPolicy policy)
        : this(policy, policy.GiveUpAfter)
    {
    }

    public TimeSpan GiveUpAfter { get; set; } = giveUpAfter;

    public void Progressed() => _failures = 0;

    /// <summary>How long to wait before the next attempt; null: give up.</summary>
    public TimeSpan? Next(TimeSpan? askedFor)
    {
        long now = Environment.TickCount64;
        if (_failures == 0)
        {
            _failingSince = now;
        }

        _failures++;
        double delay = policy.InitialDelay.TotalMilliseconds * Math.Pow(2, Math.Min(_failures - 1, 30));
        delay = Math.Min(delay, policy.MaxDelay.TotalMilliseconds) * (0.5 + (Random.Shared.NextDouble() / 2));
        var wait = TimeSpan.FromMilliseconds(Math.Max(delay, askedFor?.TotalMilliseconds ?? 0));
        if (GiveUpAfter == Timeout.InfiniteTimeSpan)
        {
            return wait;
        }

        // A wait is cut to what is left, so that a long one does not give up earlier than promised.
        TimeSpan left = GiveUpAfter - TimeSpan.FromMilliseconds(now - _failingSince);
        return left <= TimeSpan.Zero ? null : wait < left ? wait : left;
    }
}
