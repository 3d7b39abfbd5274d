namespace EventVault.Client;

/// <summary>
/// The node can't be added: it can't be reached by the leader, or belongs to a vault already (<see cref="VaultFailure.Why"/>). Nothing was
/// done. A node to be added is started with <c>--join</c> on an empty directory.
/// </summary>
public sealed class NodeUnusableException : VaultException
{
    internal NodeUnusableException(string message, IReadOnlyList<VaultFailure> failures)
        : base(VaultErrorCode.NodeUnusable, message, failures)
    {
    }
}
