namespace EventVault.Client;

/// <summary>
/// The time is not over yet: what is recorded until then would change the answer. <see cref="AsOf.OrWait"/> waits for it.
/// </summary>
public sealed class AsOfInFutureException : VaultException
{
    internal AsOfInFutureException(string message, IReadOnlyList<VaultFailure> failures)
        : base(VaultErrorCode.AsOfInFuture, message, failures)
    {
    }

    /// <summary>The newest time that is over, and so can be asked for; null: the node has not said.</summary>
    public DateTimeOffset? ClosedTime => Failures[0].ClosedTime;
}
