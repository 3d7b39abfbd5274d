namespace EventVault.Client;

/// <summary>
/// The change was refused: fewer voters that are there and caught up would remain than a majority needs, and the vault would take no
/// appends. Nothing was done. Bring the nodes back, or add others, first; or force it.
/// </summary>
public sealed class UnsafeChangeException : VaultException
{
    internal UnsafeChangeException(string message, IReadOnlyList<VaultFailure> failures)
        : base(VaultErrorCode.UnsafeChange, message, failures)
    {
    }
}
