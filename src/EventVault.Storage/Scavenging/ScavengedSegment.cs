// Reads what stands in a scavenged segment (its format: ScavengedHeader). Records are checked one by one where they are read,
// as in any segment, and so are appends; a name is checked against the key that the index has; the other sections are read
// whole, and checked whole.
using System.Buffers.Binary;
using EventVault.Storage.Index;
using EventVault.Storage.Io;
using EventVault.Storage.Log;

namespace EventVault.Storage.Scavenging;

/// <summary>Reads a scavenged segment. Its reader must be leased during each call.</summary>
/// <param name="reader">Of its file.</param>
/// <param name="header">What its header says.</param>
/// <param name="firstPosition">Position of the first event that the segment ever had.</param>
/// <param name="meta">The vault.</param>
internal sealed class ScavengedSegment(SegmentReader reader, ScavengedHeader header, Position firstPosition, VaultMeta meta)
{
    /// <summary>As <see cref="SegmentKeys.Collect"/>, of the events that were kept.</summary>
    /// <exception cref="DamageException">A record is damaged.</exception>
    public static SealedKeysContent CollectKeys(SegmentReader reader, ScavengedHeader header, Position firstPosition, VaultMeta meta)
    {
        var keys = new ScavengedKeys(new ScavengedSegment(reader, header, firstPosition, meta), meta);
        while (keys.Add(index: null, int.MaxValue))
        {
        }

        keys.Content.Sort();
        return keys.Content;
    }

    /// <summary>Position of the first event that the segment ever had.</summary>
    public Position FirstPosition => firstPosition;

    /// <summary>Offset of the first record.</summary>
    public uint FirstRecord => header.Sections[ScavengedHeader.Records].Offset;

    /// <summary>Where the records end.</summary>
    public uint RecordsEnd => FirstRecord + header.Sections[ScavengedHeader.Records].Length;

    /// <summary>The record at an offset, checked.</summary>
    public EventView ReadRecord(uint offset)
    {
        var bytes = reader.Span(offset, (int)(RecordsEnd - offset));
        return RecordFormat.TryReadEvent(bytes, meta.ChecksumSeed, out var view) && view.Position >= firstPosition
            ? view
            : throw reader.Damage(offset, "a record should stand here, its checksum does not hold.");
    }

    /// <summary>Name of a stream.</summary>
    /// <param name="entry">Its entry in the index.</param>
    /// <param name="key">The stream's key.</param>
    public ReadOnlySpan<byte> Name(int entry, UInt128 key)
    {
        Invariant.Check((uint)entry < (uint)header.StreamCount);
        var names = header.Sections[ScavengedHeader.Names];
        var place = names.Offset + ((uint)entry * sizeof(uint));
        var at = BinaryPrimitives.ReadUInt32LittleEndian(reader.Span(place, sizeof(uint)));
        if (at + 2L <= names.Length)
        {
            var length = BinaryPrimitives.ReadUInt16LittleEndian(reader.Span(names.Offset + at, sizeof(ushort)));
            if (length is > 0 and <= RecordFormat.MaxNameBytes && at + 2L + length <= names.Length
                && reader.Span(names.Offset + at + 2, length) is var name && StreamKey.Compute(name, meta.SipKey) == key)
            {
                return name;
            }
        }

        throw reader.Damage(place, $"the name of stream {entry} of {header.StreamCount} should stand here.");
    }

    /// <summary>An append whose operation id is kept, by the place that its group had; false: it is not here.</summary>
    public bool TryFindAppend(uint groupOffset, UInt128 id, out ScavengedAppend append)
    {
        int low = 0, high = header.KeptAppends;
        while (low < high)
        {
            var middle = (low + high) >> 1;
            (low, high) = AppendAt(middle).GroupOffset < groupOffset ? (middle + 1, high) : (low, middle);
        }

        for (; low < header.KeptAppends && (append = AppendAt(low)).GroupOffset == groupOffset; low++)
        {
            if (append.OperationId == id)
            {
                return true;
            }
        }

        append = default;
        return false;
    }

    /// <summary>An append, by its number in the order of the log.</summary>
    public ScavengedAppend AppendAt(int number)
    {
        Invariant.Check((uint)number < (uint)header.KeptAppends);
        var appends = header.Sections[ScavengedHeader.Appends];
        var place = appends.Offset + ((uint)number * sizeof(uint));
        var at = BinaryPrimitives.ReadUInt32LittleEndian(reader.Span(place, sizeof(uint)));
        if (at + (long)ScavengedHeader.AppendLength <= appends.Length
            && ScavengedAppend.TryRead(reader.Span(appends.Offset + at, (int)(appends.Length - at)), meta.ChecksumSeed, out var append))
        {
            return append;
        }

        throw reader.Damage(place, $"append {number} of {header.KeptAppends} should stand here.");
    }

    /// <summary>The answer that an append was given.</summary>
    /// <param name="append">The append.</param>
    /// <param name="digest">Of the content that it is compared with.</param>
    /// <param name="index">The segment's.</param>
    public AppendAnswer Answer(in ScavengedAppend append, UInt128 digest, SealedIndex index)
    {
        var versions = new StreamVersion[append.StreamCount];
        var streams = new byte[append.StreamCount][];
        for (var i = 0; i < streams.Length; i++)
        {
            (var entry, versions[i]) = append.Stream(i);
            streams[i] = Name(entry, index.Run(entry).Key).ToArray();
        }

        return new AppendAnswer(append.First, append.Last, append.RecordedAt, append.Digest == digest, versions, streams);
    }

    /// <summary>
    /// What the operations files have of the segment. Operation ids that were removed count, too, as the files count appends:
    /// each has an id in its place that nobody gave to an append.
    /// </summary>
    /// <param name="appends">How many the segment had.</param>
    public OperationEntry[] Operations(long appends)
    {
        var entries = new OperationEntry[appends];
        Invariant.Check(header.KeptAppends == 0 || header.KeptAppends == appends);
        for (var i = 0; i < entries.Length; i++)
        {
            if (header.KeptAppends > 0)
            {
                var append = AppendAt(i);
                entries[i] = new OperationEntry(append.OperationId, new Place(reader.Segment, append.GroupOffset));
            }
            else
            {
                entries[i] = new OperationEntry(new UInt128(reader.Segment, (ulong)i), new Place(reader.Segment, Blocks.Size));
            }
        }

        return entries;
    }

    /// <summary>What the segment's groups said about consensus.</summary>
    public void AddConsensus(LogHistory history)
    {
        var terms = new List<(LogIndex First, Term Term)>();
        var (index, content) = ReadConsensus(terms);
        foreach (var (first, term) in terms)
        {
            history.AddRun(first, term);
        }

        if (index.Value > 0)
        {
            history.AddMembership(index, content);
        }
    }

    /// <summary>The newest membership, if it has a log index, and where each term begins in the segment.</summary>
    public (LogIndex Index, byte[] Membership) ReadConsensus(List<(LogIndex First, Term Term)> terms)
    {
        var bytes = ReadSection(ScavengedHeader.Consensus);
        Invariant.Check(bytes.Length >= ConsensusContent.HeaderLength);
        var count = BinaryPrimitives.ReadInt32LittleEndian(bytes);
        var length = BinaryPrimitives.ReadInt32LittleEndian(bytes[4..]);
        var index = new LogIndex(BinaryPrimitives.ReadUInt64LittleEndian(bytes[8..]));
        bytes = bytes[ConsensusContent.HeaderLength..];
        Invariant.Check(count > 0 && bytes.Length == ((long)count * ConsensusContent.TermLength) + length, "The checksum held: we wrote it so.");
        for (var i = 0; i < count; i++, bytes = bytes[ConsensusContent.TermLength..])
        {
            terms.Add((new LogIndex(BinaryPrimitives.ReadUInt64LittleEndian(bytes)), new Term(BinaryPrimitives.ReadUInt64LittleEndian(bytes[8..]))));
        }

        return (index, bytes.ToArray());
    }

    /// <summary>A section, checked whole.</summary>
    public ReadOnlySpan<byte> ReadSection(int number)
    {
        var section = header.Sections[number];
        var bytes = reader.Span(section.Offset, (int)section.Length);
        return Checksum.Compute(bytes, meta.ChecksumSeed) == section.Checksum
            ? bytes
            : throw reader.Damage(section.Offset, $"section {number} of the scavenged segment does not match its checksum.");
    }

    /// <summary>The runs, with the ordinal of each stream's last event where an index has that of the run's first.</summary>
    public StreamRun[] ReadRuns()
    {
        var bytes = ReadSection(ScavengedHeader.Streams);
        var runs = new StreamRun[header.StreamCount];
        for (var i = 0; i < runs.Length; i++)
        {
            runs[i] = SealedIndexFormat.ReadRun(bytes[(i * SealedIndexFormat.RunLength)..]);
        }

        return runs;
    }

    /// <summary>Writes the index file: the same bytes whenever it is made.</summary>
    /// <param name="files">Where.</param>
    /// <param name="path">Its path.</param>
    /// <param name="events">How many events the segment had.</param>
    /// <exception cref="DamageException">The segment is damaged.</exception>
    public SealedIndexMark WriteIndex(IFileSystem files, string path, int events)
    {
        var index = BeginIndex(events);
        for (var offset = FirstRecord; offset < RecordsEnd;)
        {
            offset += (uint)AddTo(index, offset).RecordLength;
        }

        return index.Write(files, path, this);
    }

    /// <summary>An index without records.</summary>
    public ScavengedIndexContent BeginIndex(int events) => new(reader.Segment, firstPosition, events, ReadRuns());

    /// <summary>Adds the next record to an index.</summary>
    /// <exception cref="DamageException">It can't follow those before.</exception>
    public EventView AddTo(ScavengedIndexContent index, uint offset)
    {
        var view = ReadRecord(offset);
        return index.Add(StreamKey.Compute(view.Stream, meta.SipKey), view, offset)
            ? view
            : throw reader.Damage(offset, $"an event that follows the one before in its stream should stand here, not position {view.Position}.");
    }
}

/// <summary>Collects the keys of a scavenged segment's events, and its index beside them, in pieces. One thread; used once.</summary>
internal sealed class ScavengedKeys(ScavengedSegment segment, VaultMeta meta)
{
    private readonly ulong[] _keys = new ulong[EventKeys.MostPerEvent];
    private uint _offset = segment.FirstRecord;

    public SealedKeysContent Content { get; } = new();

    /// <summary>Takes so many bytes of records; false: there are no more.</summary>
    public bool Add(ScavengedIndexContent? index, int bytes)
    {
        for (var end = _offset + (long)bytes; _offset < segment.RecordsEnd && _offset < end;)
        {
            var view = index is null ? segment.ReadRecord(_offset) : segment.AddTo(index, _offset);
            var count = EventKeys.Of(view, meta.SipKey, _keys);
            Content.Add((uint)(view.Position.Value - segment.FirstPosition.Value), _keys.AsSpan(0, count));
            _offset += (uint)view.RecordLength;
        }

        return _offset < segment.RecordsEnd;
    }
}

/// <summary>Sizes of the section about consensus.</summary>
internal static class ConsensusContent
{
    public const int HeaderLength = 16;
    public const int TermLength = 16;
}

/// <summary>An append whose group was scavenged. Valid as long as the lease under which it was read.</summary>
internal readonly ref struct ScavengedAppend
{
    private readonly ReadOnlySpan<byte> _bytes;

    private ScavengedAppend(ReadOnlySpan<byte> bytes) => _bytes = bytes;

    public UInt128 OperationId => BinaryPrimitives.ReadUInt128BigEndian(_bytes[8..]);

    public UInt128 Digest => BinaryPrimitives.ReadUInt128LittleEndian(_bytes[24..]);

    public uint GroupOffset => BinaryPrimitives.ReadUInt32LittleEndian(_bytes[40..]);

    public int StreamCount => BinaryPrimitives.ReadInt32LittleEndian(_bytes[44..]);

    public Position First => new(BinaryPrimitives.ReadInt64LittleEndian(_bytes[48..]));

    public Position Last => new(BinaryPrimitives.ReadInt64LittleEndian(_bytes[56..]));

    public long RecordedAt => BinaryPrimitives.ReadInt64LittleEndian(_bytes[64..]);

    /// <summary>Bytes it takes.</summary>
    public int Length => _bytes.Length;

    /// <summary>The bytes, as they stand there.</summary>
    public ReadOnlySpan<byte> Bytes => _bytes;

    /// <summary>A stream that it wrote to: its entry in the index, and the last version it wrote.</summary>
    public (int Entry, StreamVersion Last) Stream(int i)
    {
        var at = _bytes[(ScavengedHeader.AppendLength + (i * ScavengedHeader.AppendStreamLength))..];
        return (BinaryPrimitives.ReadInt32LittleEndian(at), new StreamVersion(BinaryPrimitives.ReadInt64LittleEndian(at[8..])));
    }

    /// <summary>Reads the append at the start of the bytes and checks its checksum; false if it breaks the format.</summary>
    public static bool TryRead(ReadOnlySpan<byte> bytes, uint seed, out ScavengedAppend append)
    {
        append = default;
        if (bytes.Length < ScavengedHeader.AppendLength)
        {
            return false;
        }

        var length = BinaryPrimitives.ReadInt32LittleEndian(bytes);
        if (length < ScavengedHeader.AppendLength || length > bytes.Length
            || BinaryPrimitives.ReadUInt32LittleEndian(bytes[4..]) != Checksum.Compute(bytes[8..length], seed))
        {
            return false;
        }

        append = new ScavengedAppend(bytes[..length]);
        return append.StreamCount > 0 && length == ScavengedHeader.AppendLength + ((long)append.StreamCount * ScavengedHeader.AppendStreamLength);
    }
}
