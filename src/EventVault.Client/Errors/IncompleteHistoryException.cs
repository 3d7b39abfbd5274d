namespace EventVault.Client;

/// <summary>
/// Events that went into the state of the stream, <see cref="VaultException.Stream"/>, were truncated, and the reducer had not been
/// named for its category by then, so nothing stands in for them. <see cref="StateOptions.AllowPartial"/> gives the state of what is left.
/// </summary>
public sealed class IncompleteHistoryException : VaultException
{
    internal IncompleteHistoryException(string message, IReadOnlyList<VaultFailure> failures)
        : base(VaultErrorCode.IncompleteHistory, message, failures)
    {
    }

    /// <summary>The earliest moment that can be told with <see cref="StateOptions.AllowPartial"/>; null: the node has not said.</summary>
    public EarliestState? Earliest => Failures[0].Earliest;
}
