using EventVault.Storage;
using LogIndex = EventVault.Raft.LogIndex;

namespace EventVault.Node.Replication;

/// <summary>
/// Bytes of the groups that were sent last: each is copied out of the log once, however many followers get it. Arrays that
/// were handed out are never changed.
/// </summary>
internal sealed class SentGroups(VaultStorage storage)
{
    /// <summary>Groups kept; as many as may be on their way to a follower.</summary>
    private const int Kept = 64;

    /// <summary>Larger ones are not kept: with the above it bounds the memory to 64 MiB.</summary>
    private const int MostBytes = 1024 * 1024;

    private readonly (LogIndex Index, byte[]? Bytes)[] _kept = new (LogIndex, byte[]?)[Kept];

    /// <summary>The bytes of a group in the log.</summary>
    public byte[] Bytes(LogIndex index)
    {
        ref var kept = ref _kept[index.Value % Kept];
        if (kept.Bytes is not null && kept.Index == index)
        {
            return kept.Bytes;
        }

        var bytes = storage.ReadGroup(new(index.Value));
        if (bytes.Length <= MostBytes)
        {
            kept = (index, bytes);
        }

        return bytes;
    }

    /// <summary>Groups behind this one were cut off the log.</summary>
    public void Forget(LogIndex last)
    {
        foreach (ref var kept in _kept.AsSpan())
        {
            if (kept.Index > last)
            {
                kept = default;
            }
        }
    }
}
