// Makes key files again that were found damaged while they were read: reads of the segment by keys are refused until then, so it
// can't wait for the next start, which looks at headers only.
//
// Owned by the thread that scavenges, which alone replaces files of sealed segments. A crash leaves the old file or the new one.
using EventVault.Storage.Index;
using EventVault.Storage.Io;
using EventVault.Storage.Log;

namespace EventVault.Storage;

/// <summary>Repairs key files. The scavenging thread's.</summary>
/// <param name="storage">Whose.</param>
public sealed class KeyRepair(VaultStorage storage)
{
    private readonly HashSet<uint> _lost = []; // Their segments are damaged, too: no use to try again before a restart.

    /// <summary>Makes one key file again, at once: for a full segment some seconds. Looks at each sealed segment, and reads nothing otherwise.</summary>
    /// <returns>Its path; null: none is known to be damaged, or there is no room for it now.</returns>
    /// <exception cref="DiskException">A failure other than a full disk: the node must stop.</exception>
    public string? Step()
    {
        foreach (var segment in storage.View.Sealed)
        {
            if (!segment.HasDamagedKeys || _lost.Contains(segment.Record.Segment))
            {
                continue;
            }

            try
            {
                return TryRepair(segment) ? segment.KeysPath : null;
            }
            catch (DiskException e) when (e.IsFull)
            {
                return null;
            }
            catch (Exception e) when (e is DamageException or IndexDamageException)
            {
                // Who reads the segment is told of its damage.
                _lost.Add(segment.Record.Segment);
            }
        }

        return null;
    }

    // The lock is held for a look only, and the room promised: sealing must not wait for seconds.
    private bool TryRepair(SealedSegment segment)
    {
        var content = Sealer.CollectKeys(storage, segment, out var shape);
        lock (storage.RoomLock)
        {
            if (storage.FreeBytes < shape.FileLength + storage.ReservedBytes)
            {
                return false;
            }

            storage.PromisedBytes = shape.FileLength;
        }

        try
        {
            SealedKeys.Write(storage.Files, segment.KeysPath, segment.Keyed, content, shape);
        }
        finally
        {
            storage.PromisedBytes = 0;
        }

        segment.ReopenKeys();
        return true;
    }
}
