namespace EventVault.Storage.Backups;

/// <summary>How a backup is restored.</summary>
public sealed record RestoreOptions
{
    /// <summary>The vault ends with the last append that ends at or before this position; null: no such bound.</summary>
    public Position? UntilPosition { get; init; }

    /// <summary>The vault ends with the last append that was recorded at or before this time, 100 ns ticks since 1970; null: no such bound.</summary>
    public long? UntilTime { get; init; }

    /// <summary>The node's number in its vault, from 1.</summary>
    public uint NodeId { get; init; } = 1;

    /// <summary>The membership in which a node with this number and disk is the only voter, as consensus encodes it.</summary>
    public required Func<uint, Guid, byte[]> OnlyVoter { get; init; }

    /// <summary>Makes the ids of vault and disk; null: the system's generator.</summary>
    public Random? Random { get; init; }
}

/// <summary>What a restore made.</summary>
/// <param name="From">What the backup holds.</param>
/// <param name="VaultId">The new vault's id.</param>
/// <param name="Last">Position of its last event; <see cref="Position.None"/>: it has none.</param>
/// <param name="LastTime">When the last group that was restored was recorded, 100 ns ticks since 1970; 0: none was.</param>
/// <param name="LastIndex">Log index of that group.</param>
/// <param name="Segments">Segment files written.</param>
public sealed record RestoreReport(BackupContent From, Guid VaultId, Position Last, long LastTime, LogIndex LastIndex, int Segments);
