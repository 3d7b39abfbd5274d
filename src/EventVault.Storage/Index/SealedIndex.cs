using System.Buffers.Binary;
using System.Numerics;
using EventVault.Storage.Io;

namespace EventVault.Storage.Index;

/// <summary>
/// The index of one sealed segment: which events each stream has in it, where each event's record lies, and marks
/// to search by time and log index. Never changes; rebuildable from the segment.
/// </summary>
/// <remarks>
/// All bytes are checked once, at opening. After that any number of threads may read without locks until
/// <see cref="Dispose"/>, which the owner calls only when no reader is left. An index that a scavenge replaced can't know
/// when that is: it is unmapped once nothing leads to it any more (<see cref="Retire"/>). So every method that touches the
/// mapping holds on to the index until it has read.
/// </remarks>
internal sealed class SealedIndex : IDisposable
{
    private readonly MappedFile _map;
    private readonly string _path;
    private readonly long _streams;
    private readonly long _ordinals;
    private readonly long _offsets;
    private readonly long _marks;
    private readonly long _newStreams;
    private readonly long _kept; // 0: no event was removed
    private readonly int _ordinalCount;

    private SealedIndex(string path, MappedFile map, uint expectedSegment)
    {
        GC.SuppressFinalize(this);
        _path = path;
        _map = map;
        ReadOnlySpan<byte> header = CheckHeader(expectedSegment);
        EventCount = SealedIndexFormat.Events(header);
        StreamCount = SealedIndexFormat.Streams(header);
        FirstPosition = new Position(SealedIndexFormat.FirstPosition(header));
        Segment = expectedSegment;
        Mark = new SealedIndexMark(map.Length, FileHeader.StoredChecksum(header));
        CheckSections(header);
        map.Unload(); // Of the megabytes that were checked a look-up needs a few pages.
        _streams = Require(header, SealedIndexFormat.StreamsSection, SealedIndexFormat.RunLength, StreamCount, out _);
        bool isScavenged = HasSection(header, SealedIndexFormat.KeptSection);
        _ordinals = Require(header, SealedIndexFormat.OrdinalsSection, sizeof(uint), isScavenged ? null : EventCount, out _ordinalCount);
        _offsets = Require(header, SealedIndexFormat.OffsetsSection, sizeof(uint), isScavenged ? null : EventCount, out int offsets);
        KeptCount = offsets;
        _marks = Require(header, SealedIndexFormat.MarksSection, SealedIndexFormat.MarkLength, expectedCount: null, out int marks);
        _newStreams = Require(header, SealedIndexFormat.NewStreamsSection, sizeof(uint), expectedCount: null, out int newStreams);
        MarkCount = marks;
        NewStreamCount = newStreams;
        if (isScavenged)
        {
            int words = (EventCount + SealedIndexFormat.KeptOrdinals - 1) / SealedIndexFormat.KeptOrdinals;
            _kept = Require(header, SealedIndexFormat.KeptSection, SealedIndexFormat.KeptLength, words, out _);
            CheckKept(words);
        }
    }

    ~SealedIndex() => _map.Dispose();

    public uint Segment { get; }

    /// <summary>Position of the segment's first event; of the vault's next event if the segment has none.</summary>
    public Position FirstPosition { get; }

    public int EventCount { get; }

    /// <summary>Events that no scavenge removed.</summary>
    public int KeptCount { get; }

    public int StreamCount { get; }

    public int MarkCount { get; }

    /// <summary>Streams that were first seen in this segment.</summary>
    public int NewStreamCount { get; }

    /// <summary>Length and checksum, as the catalog keeps them.</summary>
    public SealedIndexMark Mark { get; }

    /// <summary>Writes an index so that under <paramref name="path"/> there is never half a file, and makes it durable.</summary>
    public static SealedIndexMark Write(IFileSystem fileSystem, string path, in SealedIndexContent content) =>
        SealedIndexWriter.Write(fileSystem, path, content);

    /// <summary>Opens and checks all of an index.</summary>
    /// <exception cref="IndexDamageException">It is gone, damaged, or that of another segment.</exception>
    /// <exception cref="UnsupportedFormatException">It is of a later format.</exception>
    public static SealedIndex Open(IFileSystem fileSystem, string path, uint expectedSegment)
    {
        using IFile file = IndexDamageException.OpenFile(fileSystem, path);
        if (file.Length < SealedIndexFormat.FixedHeaderLength)
        {
            throw new IndexDamageException(
                path, 0, $"{file.Length} bytes, expected at least a header of {SealedIndexFormat.FixedHeaderLength}");
        }

        MappedFile map = file.Map(file.Length, MappedAccess.Normal);
        try
        {
            return new SealedIndex(path, map, expectedSegment);
        }
        catch
        {
            map.Dispose();
            throw;
        }
    }

    /// <summary>The entry of a stream, or −1 if it has no event in this segment.</summary>
    public int Find(UInt128 key)
    {
        // Keys are evenly spread, so guessing where a key stands halves the number of digits at every step.
        // A few guesses find it or leave a range so short that halving finishes it.
        const int Guesses = 8;
        int low = 0;
        int high = StreamCount - 1;
        ulong wanted = (ulong)(key >> 64);
        ulong lowKey = 0;
        ulong highKey = ulong.MaxValue;
        for (int step = 0; low <= high; step++)
        {
            int middle = low + ((high - low) / 2);
            if (step < Guesses && highKey > lowKey)
            {
                double share = (wanted - lowKey) / (double)(highKey - lowKey);
                middle = low + Math.Min((int)(share * (high - low)), high - low);
            }

            UInt128 found = Key(middle);
            if (found == key)
            {
                return middle;
            }

            if (found < key)
            {
                low = middle + 1;
                lowKey = (ulong)(found >> 64);
            }
            else
            {
                high = middle - 1;
                highKey = (ulong)(found >> 64);
            }
        }

        return -1;
    }

    /// <summary>The run of an entry.</summary>
    public StreamRun Run(int entry)
    {
        Invariant.Check((uint)entry < (uint)StreamCount);
        StreamRun run = SealedIndexFormat.ReadRun(
            _map.Span(_streams + ((long)entry * SealedIndexFormat.RunLength), SealedIndexFormat.RunLength));
        GC.KeepAlive(this);
        return run;
    }

    /// <summary>Ordinal of the event <paramref name="i"/> of an entry, from 0; not a removed one, but for the last.</summary>
    public uint OrdinalOf(int entry, int i) => OrdinalOf(Run(entry), i);

    /// <summary>The same for a run that was read before.</summary>
    public uint OrdinalOf(in StreamRun run, int i)
    {
        Invariant.Check((uint)i < (uint)run.Count && (i >= run.Removed || i == run.Count - 1), "Removed events have no ordinals.");
        int index = run.FirstOrdinalIndex + Math.Max(0, i - run.Removed);
        Invariant.Check((uint)index < (uint)_ordinalCount);
        return NumberAt(_ordinals, index);
    }

    /// <summary>Byte offset in the segment of an event's record; 0 if it was removed.</summary>
    public uint OffsetOf(uint ordinal)
    {
        Invariant.Check(ordinal < (uint)EventCount);
        long place = ordinal;
        if (_kept != 0)
        {
            (ulong bits, int before) = KeptAt((int)(ordinal / SealedIndexFormat.KeptOrdinals));
            int bit = (int)(ordinal % SealedIndexFormat.KeptOrdinals);
            if ((bits >> bit & 1) == 0)
            {
                return 0;
            }

            place = before + BitOperations.PopCount(bits & ((1UL << bit) - 1));
        }

        return NumberAt(_offsets, place) << 3;
    }

    /// <summary>The first event at or behind an ordinal that was not removed; <see cref="EventCount"/> if there is none.</summary>
    public uint NextKept(uint ordinal)
    {
        if (_kept == 0 || ordinal >= (uint)EventCount)
        {
            return ordinal;
        }

        int word = (int)(ordinal / SealedIndexFormat.KeptOrdinals);
        ulong bits = KeptAt(word).Bits & (ulong.MaxValue << (int)(ordinal % SealedIndexFormat.KeptOrdinals));
        while (bits == 0)
        {
            if (++word * SealedIndexFormat.KeptOrdinals >= EventCount)
            {
                return (uint)EventCount;
            }

            bits = KeptAt(word).Bits;
        }

        return (uint)((word * SealedIndexFormat.KeptOrdinals) + BitOperations.TrailingZeroCount(bits));
    }

    /// <summary>The last event at or before an ordinal that was not removed; −1 if there is none.</summary>
    public long LastKept(uint ordinal)
    {
        Invariant.Check(ordinal < (uint)EventCount);
        if (_kept == 0)
        {
            return ordinal;
        }

        int word = (int)(ordinal / SealedIndexFormat.KeptOrdinals);
        ulong bits = KeptAt(word).Bits & (ulong.MaxValue >> (SealedIndexFormat.KeptOrdinals - 1 - (int)(ordinal % SealedIndexFormat.KeptOrdinals)));
        while (bits == 0)
        {
            if (--word < 0)
            {
                return -1;
            }

            bits = KeptAt(word).Bits;
        }

        return (word * SealedIndexFormat.KeptOrdinals) + BitOperations.Log2(bits);
    }

    /// <summary>A mark, by number.</summary>
    public SparseMark MarkAt(int number)
    {
        Invariant.Check((uint)number < (uint)MarkCount);
        SparseMark mark = SealedIndexFormat.ReadMark(
            _map.Span(_marks + ((long)number * SealedIndexFormat.MarkLength), SealedIndexFormat.MarkLength));
        GC.KeepAlive(this);
        return mark;
    }

    /// <summary>The last mark whose time is at or before <paramref name="time"/>.</summary>
    public bool TryMarkAtTime(long time, out SparseMark mark) =>
        TryMark(time, static (m, sought) => m.Time <= sought, out mark);

    /// <summary>The last mark whose log index is at or before <paramref name="logIndex"/>.</summary>
    public bool TryMarkAtLogIndex(ulong logIndex, out SparseMark mark) =>
        TryMark(logIndex, static (m, sought) => m.LogIndex <= sought, out mark);

    /// <summary>The last mark that stands before the event with this ordinal, or at it.</summary>
    public bool TryMarkAtOrdinal(uint ordinal, out SparseMark mark) =>
        TryMark(ordinal, static (m, sought) => m.Ordinal <= sought, out mark);

    /// <summary>Entry of the stream that is number <paramref name="i"/> by name among those first seen here.</summary>
    public int NewStreamEntry(int i)
    {
        Invariant.Check((uint)i < (uint)NewStreamCount);
        return (int)NumberAt(_newStreams, i);
    }

    /// <summary>Unmaps; no reader may be left.</summary>
    public void Dispose()
    {
        GC.SuppressFinalize(this);
        _map.Dispose();
    }

    /// <summary>Unmaps when nothing leads to it any more: whoever found it in an older view goes on reading.</summary>
    public void Retire() => GC.ReRegisterForFinalize(this);

    private UInt128 Key(int entry)
    {
        UInt128 key = BinaryPrimitives.ReadUInt128LittleEndian(_map.Span(_streams + ((long)entry * SealedIndexFormat.RunLength), 16));
        GC.KeepAlive(this);
        return key;
    }

    private uint NumberAt(long section, long i)
    {
        uint number = BinaryPrimitives.ReadUInt32LittleEndian(_map.Span(section + (i * sizeof(uint)), sizeof(uint)));
        GC.KeepAlive(this);
        return number;
    }

    private bool TryMark<T>(T sought, Func<SparseMark, T, bool> isAtOrBefore, out SparseMark mark)
    {
        int low = 0;
        int high = MarkCount;
        while (low < high)
        {
            int middle = low + ((high - low) / 2);
            if (isAtOrBefore(MarkAt(middle), sought))
            {
                low = middle + 1;
            }
            else
            {
                high = middle;
            }
        }

        mark = low == 0 ? default : MarkAt(low - 1);
        return low != 0;
    }

    private (ulong Bits, int Before) KeptAt(int word)
    {
        ReadOnlySpan<byte> entry = _map.Span(_kept + ((long)word * SealedIndexFormat.KeptLength), SealedIndexFormat.KeptLength);
        (ulong, int) at = (BinaryPrimitives.ReadUInt64LittleEndian(entry), BinaryPrimitives.ReadInt32LittleEndian(entry[8..]));
        GC.KeepAlive(this);
        return at;
    }

    private void CheckKept(int words)
    {
        int kept = 0;
        for (int word = 0; word < words; word++)
        {
            (ulong bits, int before) = KeptAt(word);
            Require(before == kept, _kept, "kept events that are not counted in order");
            kept += BitOperations.PopCount(bits);
        }

        Require(kept == KeptCount, _kept, $"{kept} kept events, expected {KeptCount}");
    }

    private static bool HasSection(ReadOnlySpan<byte> header, uint kind)
    {
        for (int i = 0; i < SealedIndexFormat.Sections(header); i++)
        {
            if (SealedIndexFormat.ReadSection(header, i).Kind == kind)
            {
                return true;
            }
        }

        return false;
    }

    private ReadOnlySpan<byte> CheckHeader(uint expectedSegment)
    {
        int most = (int)Math.Min(_map.Length, SealedIndexFormat.HeaderLength(SealedIndexFormat.MaxSections));
        ReadOnlySpan<byte> bytes = _map.Span(0, most);
        string? fault = FileHeader.Fault(bytes, SealedIndexFormat.Magic);
        if (fault is not null)
        {
            throw new IndexDamageException(_path, 0, fault);
        }

        int length = (int)FileHeader.StoredLength(bytes);
        ReadOnlySpan<byte> header = bytes[..length];
        FileHeader.RequireSupported(_path, header, SealedIndexFormat.Version);
        Require(length >= SealedIndexFormat.FixedHeaderLength, 12, $"header length {length}");
        int sections = SealedIndexFormat.Sections(header);
        Require(
            sections is >= 0 and <= SealedIndexFormat.MaxSections && length == SealedIndexFormat.HeaderLength(sections),
            68,
            $"{sections} sections in a header of {length} bytes");
        Require(
            SealedIndexFormat.Segment(header) == expectedSegment,
            40,
            $"index of segment {SealedIndexFormat.Segment(header)}, expected {expectedSegment}");
        Require(
            SealedIndexFormat.FileLength(header) == _map.Length,
            56,
            $"file of {_map.Length} bytes, expected {SealedIndexFormat.FileLength(header)}");
        Require(
            SealedIndexFormat.Events(header) >= 0 && SealedIndexFormat.Streams(header) >= 0
                && SealedIndexFormat.FirstPosition(header) >= 0,
            44,
            "a negative count or position");
        return header;
    }

    /// <summary>Checks every byte behind the header: all belong to a section or are zero padding.</summary>
    private void CheckSections(ReadOnlySpan<byte> header)
    {
        const int PieceBytes = 1 << 20;
        long end = header.Length;
        CheckZeros(end, SealedIndexFormat.Align(end));
        end = SealedIndexFormat.Align(end);
        for (int i = 0; i < SealedIndexFormat.Sections(header); i++)
        {
            (uint kind, bool required, long offset, long length, uint expected) = SealedIndexFormat.ReadSection(header, i);
            if (required && kind is 0 or > SealedIndexFormat.ScavengedSectionCount)
            {
                throw new UnsupportedFormatException(_path, $"sections of kind {kind}");
            }

            Require(offset == end && length >= 0 && length <= _map.Length - offset, offset, $"section {kind} out of place");
            end = SealedIndexFormat.Align(offset + length);
            Require(end <= _map.Length, offset, $"section {kind} ends behind the file");
            uint checksum = 0;
            for (long piece = offset; piece < end; piece += PieceBytes)
            {
                checksum = Checksum.Compute(_map.Span(piece, (int)Math.Min(PieceBytes, end - piece)), checksum);
            }

            Require(checksum == expected, offset, $"section {kind}: checksum {checksum:X8}, expected {expected:X8}");
            CheckZeros(offset + length, end);
        }

        Require(end == _map.Length, end, "bytes behind the last section");
    }

    private void CheckZeros(long from, long until) => Require(
        until <= _map.Length && !_map.Span(from, (int)(until - from)).ContainsAnyExcept((byte)0), from, "padding is not zero");

    private long Require(ReadOnlySpan<byte> header, uint kind, int elementLength, int? expectedCount, out int count)
    {
        for (int i = 0; i < SealedIndexFormat.Sections(header); i++)
        {
            (uint found, _, long offset, long length, _) = SealedIndexFormat.ReadSection(header, i);
            if (found == kind)
            {
                long elements = length / elementLength;
                Require(
                    length % elementLength == 0 && elements <= int.MaxValue && (expectedCount is null || elements == expectedCount),
                    offset,
                    $"section {kind} holds {length} bytes, expected {expectedCount} elements of {elementLength}");
                count = (int)elements;
                return offset;
            }
        }

        throw new IndexDamageException(_path, SealedIndexFormat.FixedHeaderLength, $"section {kind} is missing");
    }

    private void Require(bool condition, long offset, string observed)
    {
        if (!condition)
        {
            throw new IndexDamageException(_path, offset, observed);
        }
    }
}
