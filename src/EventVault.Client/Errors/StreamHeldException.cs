namespace EventVault.Client;

/// <summary>
/// The stream, <see cref="VaultException.Stream"/>, is under a legal hold, its own or its category's: it can't be deleted,
/// tombstoned or truncated until the hold is taken back. <see cref="VaultClient.GetRetentionAsync"/> tells whose it is.
/// </summary>
public sealed class StreamHeldException : VaultException
{
    internal StreamHeldException(string message, IReadOnlyList<VaultFailure> failures)
        : base(VaultErrorCode.StreamHeld, message, failures)
    {
    }
}
