namespace EventVault.Client;

/// <summary>Counts the failures of one operation since it last made progress. Used by one thread at a time.</summary>
internal sealed class Backoff(RetryPolicy policy, TimeSpan giveUpAfter)
{
    // Attempts that follow each other without a wait, since the last progress: to the leader that was named, and when that has just changed.
    private const int MostAtOnce = 3;

    private int _failures;
    private int _atOnce;
    private long _failingSince;

    public Backoff(RetryPolicy policy)
        : this(policy, policy.GiveUpAfter)
    {
    }

    public TimeSpan GiveUpAfter { get; set; } = giveUpAfter;

    public void Progressed() => (_failures, _atOnce) = (0, 0);

    /// <summary>How long to wait before the next attempt; null: give up.</summary>
    /// <param name="askedFor">What the node asks for at least.</param>
    /// <param name="nodes">How many nodes take turns: waits double when all of them have failed.</param>
    /// <param name="elsewhere">The next attempt goes to a node that has not failed yet: there a few need no wait.</param>
    public TimeSpan? Next(TimeSpan? askedFor, int nodes = 1, bool elsewhere = false)
    {
        long now = Environment.TickCount64;
        if (_failures == 0)
        {
            _failingSince = now;
        }

        _failures++;
        double delay = policy.InitialDelay.TotalMilliseconds * Math.Pow(2, Math.Min((_failures - 1) / nodes, 30));
        delay = Math.Min(delay, policy.MaxDelay.TotalMilliseconds) * (0.5 + (Random.Shared.NextDouble() / 2));
        var wait = TimeSpan.FromMilliseconds(Math.Max(delay, askedFor?.TotalMilliseconds ?? 0));
        if (elsewhere && _atOnce < MostAtOnce)
        {
            _atOnce++;
            wait = TimeSpan.Zero;
        }

        if (GiveUpAfter == Timeout.InfiniteTimeSpan)
        {
            return wait;
        }

        // A wait is cut to what is left, so that a long one does not give up earlier than promised.
        TimeSpan left = GiveUpAfter - TimeSpan.FromMilliseconds(now - _failingSince);
        return left <= TimeSpan.Zero ? null : wait < left ? wait : left;
    }
}
