namespace EventVault.Client;

/// <summary>
/// The node has lost the majority of the vault's nodes, so nobody can say what the newest state is. Reads that ask for less
/// (<see cref="Consistency.Local"/>) are answered. Look at the nodes: <c>vault-admin cluster status</c>.
/// </summary>
public sealed class NoQuorumException : VaultException
{
    internal NoQuorumException(string message, IReadOnlyList<VaultFailure> failures, Exception? inner)
        : base(VaultErrorCode.NoQuorum, message, failures, inner)
    {
    }
}
