namespace EventVault.Client;

/// <summary>
/// The node was started to join a vault and belongs to none yet, or to none any more. Nothing was done. Add it to a vault
/// (<see cref="VaultCluster.AddAsync"/>), begin one with it (<see cref="VaultCluster.InitAsync"/>), or take it out of the address.
/// </summary>
public sealed class NotJoinedException : VaultException
{
    internal NotJoinedException(string message, IReadOnlyList<VaultFailure> failures, Exception? inner)
        : base(VaultErrorCode.NotJoined, message, failures, inner)
    {
    }
}
