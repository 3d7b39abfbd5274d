namespace EventVault.Client;

/// <summary>
/// Another change of the vault's nodes is under way; one is made at a time. Nothing was done. Try again when it is over
/// (<see cref="VaultException.RetryAfter"/>).
/// </summary>
public sealed class ChangePendingException : VaultException
{
    internal ChangePendingException(string message, IReadOnlyList<VaultFailure> failures)
        : base(VaultErrorCode.ChangePending, message, failures)
    {
    }
}
