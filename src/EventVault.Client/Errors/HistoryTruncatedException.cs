namespace EventVault.Client;

/// <summary>
/// The moment lies before what is left of the stream, <see cref="VaultException.Stream"/>: the events before were truncated, or
/// deleted and scavenged. No later call can answer it.
/// </summary>
public sealed class HistoryTruncatedException : VaultException
{
    internal HistoryTruncatedException(string message, IReadOnlyList<VaultFailure> failures)
        : base(VaultErrorCode.HistoryTruncated, message, failures)
    {
    }

    /// <summary>The earliest moment that can still be told; null: none can.</summary>
    public EarliestState? Earliest => Failures[0].Earliest;
}
