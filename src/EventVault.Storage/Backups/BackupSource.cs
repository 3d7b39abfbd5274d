// Tells what of this node's log a backup holds, and hands out its bytes: sealed segments in the form they have now, and of unsealed ones the
// groups that are committed. Reads files, not mappings, and holds nothing open, as ShipSource does: a scavenge may replace a segment
// at any time, and who was reading it asks again. For every thread.
using EventVault.Storage.Io;
using EventVault.Storage.Log;
using EventVault.Storage.Shipping;

namespace EventVault.Storage.Backups;

/// <summary>The committed log, for backups.</summary>
public sealed class BackupSource
{
    private readonly VaultStorage _storage;

    internal BackupSource(VaultStorage storage) => _storage = storage;

    /// <summary>
    /// The segments from a number on, ascending: sealed ones, and once there are no more of them, the unsealed ones as far as they are committed now. Those
    /// are read to their end, which takes a while: not on a thread that others wait for.
    /// </summary>
    /// <param name="from">First segment wanted.</param>
    /// <param name="most">At most so many sealed ones, from 1.</param>
    /// <param name="isEnd">Whether nothing that is committed stands behind them.</param>
    /// <exception cref="DamageException">An unsealed segment is damaged.</exception>
    public IReadOnlyList<ShippedSegment> List(uint from, int most, out bool isEnd)
    {
        Invariant.Check(most > 0);
        var commit = _storage.CommitIndex; // Before the view, which then covers it.
        var view = _storage.View;
        var list = new List<ShippedSegment>();
        var number = from;
        for (; number < view.Sealed.Length && list.Count < most; number++)
        {
            list.Add(ShipSource.Of(view.Sealed[number]));
        }

        isEnd = number >= view.Sealed.Length;
        for (var i = 0; isEnd && i < view.Unsealed.Length; i++)
        {
            var segment = view.Unsealed[i];
            if (segment.Number >= from && segment.FirstIndex <= commit)
            {
                var last = i + 1 < view.Unsealed.Length ? view.Unsealed[i + 1].FirstIndex.Value - 1 : ulong.MaxValue;
                list.Add(Unsealed(segment.Number, new LogIndex(Math.Min(last, commit.Value))));
            }
        }

        return list;
    }

    /// <summary>Bytes of a segment, in the form in which it was listed.</summary>
    /// <param name="segment">As it was listed.</param>
    /// <param name="offset">Where they begin.</param>
    /// <param name="destination">Filled as far as the segment goes.</param>
    /// <returns>How many; −1: the segment has another form now.</returns>
    /// <exception cref="DamageException">Its file is gone, or not as long as it should be.</exception>
    public int Read(in ShippedSegment segment, long offset, Span<byte> destination)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        if (offset > segment.LengthBytes || segment.LastIndex > _storage.CommitIndex || !Exists(segment))
        {
            return -1;
        }

        // The file that is open stays what it is, whatever gets its name meanwhile: what is looked at is what is read.
        var view = _storage.View;
        using var file = segment.Segment < view.Sealed.Length
            ? view.Sealed[segment.Segment].TryOpenFile()
            : _storage.Files.OpenFile(Sealer.LogPath(_storage, segment.Segment), FileOpening.ReadExisting);
        return file is not null && Exists(segment) ? file.Read(offset, destination[..(int)Math.Min(destination.Length, segment.LengthBytes - offset)]) : -1;
    }

    // A segment that was unsealed when it was listed may be sealed by now: its groups are the same, unless it was scavenged.
    private bool Exists(in ShippedSegment segment)
    {
        var view = _storage.View;
        if (segment.Segment < view.Sealed.Length)
        {
            var record = view.Sealed[segment.Segment];
            return segment.Form == ShippedForm.Unsealed
                ? record.Scavenged is null && record.Record.FirstLogIndex == segment.FirstIndex
                : ShipSource.Of(record) == segment;
        }

        var behind = segment.Segment - view.Sealed.Length;
        return segment.Form == ShippedForm.Unsealed && behind < view.Unsealed.Length && view.Unsealed[behind].FirstIndex == segment.FirstIndex;
    }

    private ShippedSegment Unsealed(uint number, LogIndex last)
    {
        using var file = _storage.Files.OpenFile(Sealer.LogPath(_storage, number), FileOpening.ReadExisting);
        var segment = new ShippedCheck(_storage.Meta) { IsOfLog = true }.Describe(file, number, last);

        // Whole groups end where damage begins: what is committed and not read any more must be told, or the backup would end before it without a word.
        return segment.Form != ShippedForm.Unsealed || segment.LastIndex == last
            ? segment
            : throw new DamageException(
                SegmentHeader.FileName(number), segment.LengthBytes, $"group {segment.LastIndex.Value + 1} should stand here: groups up to {last} are committed.",
                "It is damage in the node's log, so nothing was backed up. Back up from another node of the vault. Alone: keep the backups that there are, and export what the node still serves before you stop it; with this damage it does not start again.");
    }
}
