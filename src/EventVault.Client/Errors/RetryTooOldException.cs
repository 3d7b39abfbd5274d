namespace EventVault.Client;

/// <summary>
/// A repeat of an append came too late: the vault no longer keeps operation ids that old, so whether an earlier attempt was
/// written can't be told by its id. This attempt wrote nothing. Read the streams concerned, and append anew, with a new
/// operation id, only if the events are not there.
/// </summary>
public sealed class RetryTooOldException : VaultException
{
    internal RetryTooOldException(string message, IReadOnlyList<VaultFailure> failures)
        : base(VaultErrorCode.RetryTooOld, message, failures)
    {
    }

    /// <summary>Operation ids of appends at or before this position are no longer kept; null: the node did not say.</summary>
    public ulong? Floor => Failures[0].Floor;
}
