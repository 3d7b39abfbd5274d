// Tells which segments of this node's log can be shipped, and hands out their bytes. Reads files, not mappings: a segment that nobody
// reads does not get into memory because another node needs it. Holds nothing open: a scavenge may replace a segment at any time, and
// who was pulling it asks again. For every thread.
using EventVault.Storage.Io;
using EventVault.Storage.Log;

namespace EventVault.Storage.Shipping;

/// <summary>The segments of a log, for other nodes.</summary>
public sealed class ShipSource
{
    /// <summary>Most bytes that <see cref="Read"/> gives at once.</summary>
    public const int MostBytes = 1024 * 1024;

    private readonly VaultStorage _storage;
    private Known? _first;

    internal ShipSource(VaultStorage storage) => _storage = storage;

    /// <summary>
    /// The sealed segments from a number on, ascending, and behind the last one of all the beginning of the next. Empty: there are none.
    /// </summary>
    /// <param name="from">First segment wanted.</param>
    /// <param name="most">At most so many, from 1.</param>
    /// <exception cref="DamageException">The beginning of the first unsealed segment is damaged.</exception>
    public IReadOnlyList<ShippedSegment> List(uint from, int most)
    {
        Invariant.Check(most > 0);
        var view = _storage.View;
        var list = new List<ShippedSegment>();
        for (var number = from; number < view.Sealed.Length && list.Count < most; number++)
        {
            list.Add(Of(view.Sealed[number]));
        }

        if (list.Count < most && from <= view.Sealed.Length && view.Sealed.Length > 0 && view.Unsealed[0].FirstIndex <= _storage.CommitIndex)
        {
            list.Add(Beginning((uint)view.Sealed.Length));
        }

        return list;
    }

    /// <summary>
    /// The first group that should go to another node by itself: what lies before is gone (<see cref="VaultStorage.FirstGroup"/>), or is
    /// so much that segments are less work. For every thread; costs nothing while no segment is sealed or scavenged.
    /// </summary>
    /// <param name="farBytes">From how many bytes of sealed segments on they are shipped.</param>
    public LogIndex FirstGroup(long farBytes) => FirstGroups(farBytes).Usual;

    /// <summary>The same, beside <see cref="VaultStorage.FirstGroup"/>, which is found as cheaply here.</summary>
    public (LogIndex Usual, LogIndex There) FirstGroups(long farBytes)
    {
        var view = _storage.View;
        var known = Volatile.Read(ref _first);
        if (known is null || !ReferenceEquals(known.Sealed, view.Sealed) || known.FarBytes != farBytes)
        {
            known = new Known(view.Sealed, farBytes, Find(view.Sealed, farBytes), Find(view.Sealed, long.MaxValue));
            Volatile.Write(ref _first, known);
        }

        return (known.First, known.There);
    }

    /// <summary>Bytes of a segment, in the form in which it was listed.</summary>
    /// <param name="segment">As it was listed.</param>
    /// <param name="offset">Where they begin.</param>
    /// <param name="destination">At most <see cref="MostBytes"/>; filled as far as the segment goes.</param>
    /// <returns>How many; −1: the segment has another form now.</returns>
    /// <exception cref="DamageException">Its file is gone, or not as long as it should be.</exception>
    public int Read(in ShippedSegment segment, long offset, Span<byte> destination)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(destination.Length, MostBytes);
        var view = _storage.View;
        var isThere = segment.Segment < view.Sealed.Length
            || (segment.Segment == view.Sealed.Length && segment.Form == ShippedForm.Beginning && view.Unsealed[0].FirstIndex <= _storage.CommitIndex);
        if (!isThere || offset > segment.LengthBytes)
        {
            return -1;
        }

        // The file that is open stays what it is, whatever gets its name meanwhile: what is looked at is what is read.
        var isSealed = segment.Segment < view.Sealed.Length;
        using var file = isSealed
            ? view.Sealed[segment.Segment].TryOpenFile()
            : _storage.Files.OpenFile(Sealer.LogPath(_storage, segment.Segment), FileOpening.ReadExisting);
        if (file is null)
        {
            return -1;
        }

        // What was the beginning of the log's last part when it was listed may be sealed, or scavenged, by now.
        var known = segment.Form == ShippedForm.Beginning ? Describe(file, segment.Segment) : isSealed ? Of(view.Sealed[segment.Segment]) : default;
        return known == segment ? file.Read(offset, destination[..(int)Math.Min(destination.Length, segment.LengthBytes - offset)]) : -1;
    }

    /// <summary>CRC32C of bytes on their way between nodes; not seeded.</summary>
    public static uint Checksum(ReadOnlySpan<byte> bytes) => Storage.Checksum.Compute(bytes);

    private static LogIndex Find(SealedSegment[] segments, long farBytes)
    {
        var bytes = 0L;
        for (var i = segments.Length - 1; i >= 0; i--)
        {
            if (segments[i].Scavenged is not null)
            {
                return new LogIndex(segments[i].Record.LastLogIndex.Value + 1);
            }

            bytes += segments[i].Record.EndOffset;
            if (bytes > farBytes)
            {
                return segments[i].Record.FirstLogIndex;
            }
        }

        return new LogIndex(1);
    }

    /// <summary>A sealed segment in its form of now.</summary>
    internal static ShippedSegment Of(SealedSegment segment)
    {
        var record = segment.Record;
        return segment.Scavenged is { } scavenged
            ? new ShippedSegment(
                record.Segment, ShippedForm.Scavenged, scavenged.Point.Value, scavenged.FileLength, scavenged.Digest, record.FirstLogIndex, record.LastLogIndex, record.FirstTerm, record.LastTerm)
            : new ShippedSegment(
                record.Segment, ShippedForm.Groups, -1, record.EndOffset, record.Digest, record.FirstLogIndex, record.LastLogIndex, record.FirstTerm, record.LastTerm);
    }

    private ShippedSegment Beginning(uint number)
    {
        using var file = _storage.Files.OpenFile(Sealer.LogPath(_storage, number), FileOpening.ReadExisting);
        return Describe(file, number)
            ?? throw new DamageException(SegmentHeader.FileName(number), Blocks.Size, "the first group of the segment should stand here, it is committed.", LogRecovery.NextStep);
    }

    // Null: no group stands at the segment's beginning; it may have been scavenged since.
    private ShippedSegment? Describe(IFile file, uint number)
    {
        var bytes = new byte[GroupHeader.Length];
        if (file.Read(Blocks.Size, bytes) < bytes.Length
            || !GroupHeader.TryDecode(bytes, new Place(number, Blocks.Size), _storage.Meta.ChecksumSeed, out var header, out _))
        {
            return null;
        }

        var digest = Index.SipHash128.Compute(bytes.AsSpan(0, GroupHeader.SharedLength), _storage.Meta.SipKey);
        return new ShippedSegment(number, ShippedForm.Beginning, -1, Blocks.Size + header.TotalLength, digest, header.Index, header.Index, header.Term, header.Term);
    }

    private sealed record Known(SealedSegment[] Sealed, long FarBytes, LogIndex First, LogIndex There);
}
