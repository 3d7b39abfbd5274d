namespace EventVault.Client;

/// <summary>The stream, <see cref="VaultException.Stream"/>, has no such version yet. <see cref="AsOf.OrWait"/> waits for it.</summary>
public sealed class VersionNotReachedException : VaultException
{
    internal VersionNotReachedException(string message, IReadOnlyList<VaultFailure> failures)
        : base(VaultErrorCode.VersionNotReached, message, failures)
    {
    }

    /// <summary>The stream's last version; null: it has no events.</summary>
    public ulong? LastVersion => Failures[0].Version;
}
