namespace EventVault.Client;

/// <summary>
/// The node does not lead, and nobody who does was found in time; <see cref="VaultException.LeaderAddress"/> says whom it takes for the leader.
/// Nothing was done. The client looks for the leader by itself, so this is seen only while the nodes elect one for longer than the call may
/// take, without retries, or if the leader's address can't be reached from here.
/// </summary>
public sealed class NotLeaderException : VaultException
{
    internal NotLeaderException(string message, IReadOnlyList<VaultFailure> failures, Exception? inner)
        : base(VaultErrorCode.NotLeader, message, failures, inner)
    {
    }
}
