namespace EventVault.Client;

/// <summary>The vault has no such position yet. <see cref="AsOf.OrWait"/> waits for it.</summary>
public sealed class PositionNotReachedException : VaultException
{
    internal PositionNotReachedException(string message, IReadOnlyList<VaultFailure> failures)
        : base(VaultErrorCode.PositionNotReached, message, failures)
    {
    }

    /// <summary>The vault's last position; null: it has no events.</summary>
    public ulong? LastPosition => Failures[0].Position;
}
