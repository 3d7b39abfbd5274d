namespace EventVault.Client;

/// <summary>
/// How the client goes on after a transient failure: a lost connection, an overloaded or stopping node. Waits
/// double from <see cref="InitialDelay"/> to <see cref="MaxDelay"/>, each shortened at random by up to half, so
/// that many clients don't come back at once.
/// </summary>
public sealed record RetryPolicy
{
    /// <summary>50 ms doubling to 2 s, giving up after 30 s.</summary>
    public static RetryPolicy Default { get; } = new();

    /// <summary>No retries: the first failure is final.</summary>
    public static RetryPolicy None { get; } = new() { GiveUpAfter = TimeSpan.Zero };

    /// <summary>Wait after the first failure.</summary>
    public TimeSpan InitialDelay { get; init; } = TimeSpan.FromMilliseconds(50);

    /// <summary>Longest wait between two attempts, unless the node asks for a longer one.</summary>
    public TimeSpan MaxDelay { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>
    /// How long after the first failure attempts go on. The time-out of an append, or of a call that answers once, ends them
    /// too; a read has none for all its attempts. Zero: no retries; <see cref="Timeout.InfiniteTimeSpan"/>: no end.
    /// </summary>
    public TimeSpan GiveUpAfter { get; init; } = TimeSpan.FromSeconds(30);
}
