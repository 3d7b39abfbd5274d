// Checks sealed segments against what was sealed: past the page cache, because nobody may have read those bytes for years, and what is in memory
// says nothing about the disk. Finds also the segments in which somebody who read met damage.
//
// Owned by the thread that scavenges, which alone replaces files of sealed segments: so a file is what the catalog says, or damaged. Changes
// nothing: another node's segment takes the damaged one's place at the next start (ShipFolder, ShipInstall).
using EventVault.Storage.Io;
using EventVault.Storage.Log;
using EventVault.Storage.Shipping;

namespace EventVault.Storage;

/// <summary>Looks for damage in sealed segments. The scavenging thread's.</summary>
/// <param name="storage">Whose.</param>
public sealed class SegmentScrub(VaultStorage storage)
{
    private readonly HashSet<uint> _looked = []; // What readers found and somebody looked at: once for each opening.

    /// <summary>How many segments are sealed; they are numbered from 0.</summary>
    public int Count => storage.View.Sealed.Length;

    /// <summary>A segment in which a reader met damage, and at which nobody has looked since; null: there is none. Looks at each, and reads nothing.</summary>
    public uint? NextSuspect()
    {
        foreach (var segment in storage.View.Sealed)
        {
            if (segment.HasMetDamage && _looked.Add(segment.Record.Segment))
            {
                return segment.Record.Segment;
            }
        }

        return null;
    }

    /// <summary>What a segment must be, by the catalog: what another node's must be to take its place.</summary>
    /// <param name="segment">Below <see cref="Count"/>.</param>
    public ShippedSegment Describe(uint segment) => ShipSource.Of(storage.View.Sealed[segment]);

    /// <summary>Reads a segment from end to end and checks all of it. A scavenged one is held in memory meanwhile.</summary>
    /// <param name="segment">Below <see cref="Count"/>.</param>
    /// <param name="onRead">Told of bytes that were read, behind each piece; what it throws ends the check.</param>
    /// <returns>What is wrong, in sentences; null: it is sound.</returns>
    public string? Check(uint segment, Action<int> onRead)
    {
        var view = storage.View;
        Invariant.Check(segment < view.Sealed.Length);
        try
        {
            using var file = storage.Files.OpenFile(Sealer.LogPath(storage, segment), FileOpening.ReadExisting);
            var before = segment == 0 ? LogEnd.Empty : ShipFolder.EndOf(view.Sealed[segment - 1].Record);
            var end = new ShippedCheck(storage.Meta) { IsOfLog = true, OnRead = onRead }.Run(file, ShipSource.Of(view.Sealed[segment]), before, makesOwn: false);
            Invariant.Check(end.Index == view.Sealed[segment].Record.LastLogIndex);
            return null;
        }
        catch (Exception e) when (e is DamageException or UnsupportedFormatException or DiskException)
        {
            return e.Message; // What a disk can't read is as bad as what it reads wrongly, and no reason to stop serving the rest.
        }
    }
}
