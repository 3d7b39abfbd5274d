namespace EventVault.Client;

/// <summary>
/// No member of the vault has the number that was asked for. Nothing was done. <see cref="VaultCluster.StatusAsync"/> lists them.
/// </summary>
public sealed class NodeNotFoundException : VaultException
{
    internal NodeNotFoundException(string message, IReadOnlyList<VaultFailure> failures)
        : base(VaultErrorCode.NodeNotFound, message, failures)
    {
    }
}
