using System.Buffers;
using System.Buffers.Binary;
using EventVault.Storage.Io;

namespace EventVault.Storage.Index;

// The filter over the operations files that are full, operations-filter: which of them may hold an operation id, in one
// line for all of them. Rebuildable from them, never changed: replaced as a whole, under a temporary name, flushed, renamed.
//
// Guarantees: an id that one of its generations holds passes that one's lane, always. So each line has a checksum; a
// line that does not match it says nothing, and then every generation is looked into. A lane counts for the very file it was
// made from and no other; a filter of which a lane fits no file is deleted at opening, before a file is made. It is deleted,
// durably, before operations files are deleted all together. An id that was never used passes a lane once in some 250 times.
//
//  Header, 4,096 bytes
//  offset size type  meaning
//       0   40       common part (FileHeader), magic "EVOPFLT\n"
//      40    8 i64   number of the first append of the first lane's generation; the others' follow without gaps
//      48    4 u32   appends per generation
//      52    4 u32   number of lanes, l, 1 to 62
//      56    4 u32   number of lines: appends per generation / 4, rounded up
//      60    4 u32   zero
//      64  16l       per lane: the operations file's applied through i64, CRC32C of its first block of buckets u32, zero u32
//  64+16l            zero
//
//  Lines, from 4,096 on: as many whole ones in each block of 4 KiB as fit; zeros behind them
//       0    4 u32   CRC32C of the rest of the line, continued from the line's number
//       4    4 u32   the header's checksum
//       8   8l       per lane 64 bits, six of them (fewer if they coincide) set for each id of the line

/// <summary>The filter, open for look-ups. Any thread looks up; the thread that applies segments makes it.</summary>
internal sealed class OperationsFilter : IDisposable
{
    public const string FileName = "operations-filter";

    // What bounds the bytes that are written for each generation: 128 MiB. Older generations are looked into as without a filter.
    public const int MostLanes = 62;

    private const int HeaderLength = BlockWriter.BlockBytes;
    private const int LanesOffset = 64;
    private const int LaneLength = 16;
    private const int WordsOffset = 8;
    private const int AppendsPerLine = 4;
    private const int BitsPerId = 6;
    private const uint Version = 1;
    private const int PieceBytes = 256 * BlockWriter.BlockBytes; // written at once, and waited for

    private readonly MappedFile _map;
    private readonly long _firstAppend;
    private readonly int _generationAppends;
    private readonly uint _checksum;
    private readonly Tie[] _lanes;
    private readonly Layout _layout;
    private volatile bool _isDamaged;

    private OperationsFilter(IFile file, ReadOnlySpan<byte> header, in Layout layout)
    {
        _firstAppend = BinaryPrimitives.ReadInt64LittleEndian(header[40..]);
        _generationAppends = BinaryPrimitives.ReadInt32LittleEndian(header[48..]);
        _checksum = FileHeader.StoredChecksum(header);
        _layout = layout;
        _lanes = new Tie[layout.Lanes];
        for (int i = 0; i < _lanes.Length; i++)
        {
            ReadOnlySpan<byte> lane = header.Slice(LanesOffset + (i * LaneLength), LaneLength);
            _lanes[i] = new Tie(BinaryPrimitives.ReadInt64LittleEndian(lane), BinaryPrimitives.ReadUInt32LittleEndian(lane[8..]));
        }

        _map = file.Map(layout.FileLength, MappedAccess.Random);
    }

    private static ReadOnlySpan<byte> Magic => "EVOPFLT\n"u8;

    /// <summary>Whether a line was found damaged: then it has to be made anew, not from this one.</summary>
    public bool IsDamaged => _isDamaged;

    /// <summary>Opens a filter; null: it is not whole, or of another version. Reads the header alone.</summary>
    /// <exception cref="DiskException">It can't be read.</exception>
    public static OperationsFilter? Open(IFileSystem fileSystem, string path)
    {
        using IFile file = fileSystem.OpenFile(path, FileOpening.ReadExisting);
        var header = new byte[HeaderLength];
        if (file.Read(0, header) < HeaderLength || !FileHeader.IsWhole(header, Magic))
        {
            return null;
        }

        try
        {
            FileHeader.RequireSupported(path, header, Version);
        }
        catch (UnsupportedFormatException)
        {
            return null; // A later version makes it again, too.
        }

        int appends = BinaryPrimitives.ReadInt32LittleEndian(header.AsSpan(48));
        int lanes = BinaryPrimitives.ReadInt32LittleEndian(header.AsSpan(52));
        if (appends <= 0 || lanes is <= 0 or > MostLanes)
        {
            return null;
        }

        Layout layout = new(lanes, LinesFor(appends));
        bool fits = BinaryPrimitives.ReadInt32LittleEndian(header.AsSpan(56)) == layout.Lines && file.Length == layout.FileLength;
        return fits ? new OperationsFilter(file, header, layout) : null;
    }

    /// <summary>What the file of so many lanes takes. Bytes.</summary>
    public static long FileLengthFor(int lanes, int generationAppends) => new Layout(lanes, LinesFor(generationAppends)).FileLength;

    /// <summary>
    /// Replaces the filter by one of these generations, and makes it durable. Lanes are taken from the one before; that of the
    /// newest is made from its buckets. A crash leaves the old one or the new one.
    /// </summary>
    /// <param name="fileSystem">Where it stands.</param>
    /// <param name="path">Its path.</param>
    /// <param name="before">Has lanes of all of them but the newest; null: there is only one.</param>
    /// <param name="generations">Full, without gaps, oldest first.</param>
    /// <returns>False: nothing was replaced, as the one before is damaged.</returns>
    /// <exception cref="DiskException">The disk failed or is full; if it is full, nothing was replaced, and no room is taken.</exception>
    public static bool TryReplace(IFileSystem fileSystem, string path, OperationsFilter? before, ReadOnlySpan<OperationsGeneration> generations)
    {
        Invariant.Check(generations.Length is > 0 and <= MostLanes && (before is null) == (generations.Length == 1));
        Layout layout = new(generations.Length, LinesFor(generations[0].Header.GenerationAppends));
        ulong[] newest = ArrayPool<ulong>.Shared.Rent(layout.Lines);
        Collect(generations[^1], newest.AsSpan(0, layout.Lines));
        string temporary = path + SealedIndexFormat.TemporarySuffix;
        fileSystem.DeleteFile(temporary);
        bool isWhole;
        try
        {
            using IFile file = fileSystem.OpenFile(temporary, FileOpening.New);
            isWhole = TryWrite(file, layout, before, before?.LaneOf(generations[0]) ?? 0, newest, generations);
            if (isWhole)
            {
                file.Flush();
            }
        }
        catch (DiskException e) when (e.IsFull)
        {
            // Or half a file would keep the room that sealing waits for.
            fileSystem.DeleteFile(temporary);
            throw;
        }

        ArrayPool<ulong>.Shared.Return(newest);
        if (!isWhole)
        {
            fileSystem.DeleteFile(temporary);
            return false;
        }

        fileSystem.MoveFile(temporary, path);
        fileSystem.FlushDirectory(Path.GetDirectoryName(path) ?? ".");
        return true;
    }

    /// <summary>The lane of a generation; −1 if it has none, is not full or is another file than the lane was made from.</summary>
    public int LaneOf(OperationsGeneration generation)
    {
        OperationsHeader header = generation.Header;
        long lane = (header.FirstAppend - _firstAppend) / _generationAppends;
        bool fits = header.IsFull && header.GenerationAppends == _generationAppends && header.FirstAppend >= _firstAppend
            && lane < _lanes.Length && _lanes[lane] == TieOf(generation);
        return fits ? (int)lane : -1;
    }

    /// <summary>Whether every lane is that of one of these generations, or of one before them.</summary>
    /// <param name="generations">All that there are, without gaps, oldest first.</param>
    public bool Fits(IReadOnlyList<OperationsGeneration> generations)
    {
        if (generations.Count == 0)
        {
            return false;
        }

        long oldest = generations[0].Header.FirstAppend;
        for (int lane = 0; lane < _lanes.Length; lane++)
        {
            long first = _firstAppend + ((long)lane * _generationAppends);
            long at = (first - oldest) / _generationAppends;
            if (first >= oldest && (at >= generations.Count || LaneOf(generations[(int)at]) != lane))
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>What place and bits of an id follow from.</summary>
    /// <param name="fingerprint">All that operations files keep of an id: <see cref="OperationBucket.FingerprintBits"/> bits.</param>
    public static ulong Mix(ulong fingerprint)
    {
        ulong mixed = fingerprint * 0x9E3779B97F4A7C15;
        mixed ^= mixed >> 32;
        mixed *= 0xD6E8FEB86659FD93;
        return mixed ^ (mixed >> 32);
    }

    /// <summary>The bits that are set in a lane's word for an id that its generation holds.</summary>
    public static ulong BitsOf(ulong mixed)
    {
        ulong rest = mixed * 0xC2B2AE3D27D4EB4F;
        ulong bits = 0;
        for (int i = 0; i < BitsPerId; i++)
        {
            bits |= 1UL << (int)(rest >> 58);
            rest <<= 6;
        }

        return bits;
    }

    /// <summary>Touches the line of an id, so that the caches fetch it beside other things.</summary>
    public byte Touch(ulong mixed) => _map.Span(_layout.OffsetOf(LineOf(mixed, _layout.Lines)), 1)[0];

    /// <summary>The words of all lanes for an id, valid as long as this; empty: they are damaged, so any lane may hold it.</summary>
    public ReadOnlySpan<byte> Words(ulong mixed) => WordsOf(LineOf(mixed, _layout.Lines));

    /// <summary>Whether a lane's generation may hold the id with these bits; false: it does not.</summary>
    public static bool MayHold(ReadOnlySpan<byte> words, int lane, ulong bits) =>
        (BinaryPrimitives.ReadUInt64LittleEndian(words[(lane * sizeof(ulong))..]) & bits) == bits;

    /// <summary>Unmaps; no reader may be left.</summary>
    public void Dispose() => _map.Dispose();

    private static int LinesFor(int generationAppends) => (int)(((long)generationAppends + AppendsPerLine - 1) / AppendsPerLine);

    private static int LineOf(ulong mixed, int lines) => (int)(((mixed >> 32) * (uint)lines) >> 32);

    private static Tie TieOf(OperationsGeneration generation) => new(generation.Header.AppliedThrough, generation.FirstBlockChecksum);

    // The lane of a generation. One that can't be read in full gets all bits: it is looked into for every id.
    private static void Collect(OperationsGeneration generation, Span<ulong> words)
    {
        words.Clear();
        int entries = 0;
        try
        {
            foreach ((ulong fingerprint, _) in generation.ReadAll())
            {
                ulong mixed = Mix(fingerprint);
                words[LineOf(mixed, words.Length)] |= BitsOf(mixed);
                entries++;
            }
        }
        catch (IndexDamageException)
        {
            // Who looks up an id there is told.
            entries = 0;
        }

        if (entries < generation.Header.GenerationAppends)
        {
            words.Fill(ulong.MaxValue);
        }
    }

    private static byte[] Header(in Layout layout, ReadOnlySpan<OperationsGeneration> generations)
    {
        var header = new byte[HeaderLength];
        FileHeader.Write(header, Magic, Version);
        BinaryPrimitives.WriteInt64LittleEndian(header.AsSpan(40), generations[0].Header.FirstAppend);
        BinaryPrimitives.WriteInt32LittleEndian(header.AsSpan(48), generations[0].Header.GenerationAppends);
        BinaryPrimitives.WriteInt32LittleEndian(header.AsSpan(52), layout.Lanes);
        BinaryPrimitives.WriteInt32LittleEndian(header.AsSpan(56), layout.Lines);
        for (int i = 0; i < generations.Length; i++)
        {
            Invariant.Check(generations[i].Header.IsFull && (i == 0
                || generations[i].Header.FirstAppend == generations[i - 1].Header.FirstAppend + generations[0].Header.GenerationAppends));
            Tie tie = TieOf(generations[i]);
            Span<byte> lane = header.AsSpan(LanesOffset + (i * LaneLength), LaneLength);
            BinaryPrimitives.WriteInt64LittleEndian(lane, tie.AppliedThrough);
            BinaryPrimitives.WriteUInt32LittleEndian(lane[8..], tie.FirstBlock);
        }

        FileHeader.Seal(header);
        return header;
    }

    // False: a line of the one before is damaged.
    private static bool TryWrite(
        IFile file, in Layout layout, OperationsFilter? before, int firstLane, ulong[] newest, ReadOnlySpan<OperationsGeneration> generations)
    {
        Invariant.Check(firstLane >= 0 && (before is null || firstLane + layout.Lanes - 1 <= before._layout.Lanes));
        byte[] header = Header(layout, generations);
        file.Write(0, header);
        byte[] rented = ArrayPool<byte>.Shared.Rent(PieceBytes);
        int line = 0;
        for (long at = HeaderLength; at < layout.FileLength; at += PieceBytes)
        {
            Span<byte> bytes = rented.AsSpan(0, (int)Math.Min(PieceBytes, layout.FileLength - at));
            bytes.Clear();
            before?._map.Prefetch(before._layout.OffsetOf(line), 2 * PieceBytes);
            for (; line < layout.Lines && layout.OffsetOf(line) < at + bytes.Length; line++)
            {
                Span<byte> to = bytes.Slice((int)(layout.OffsetOf(line) - at), layout.LineLength);
                BinaryPrimitives.WriteUInt32LittleEndian(to[4..], FileHeader.StoredChecksum(header));
                if (before is not null)
                {
                    ReadOnlySpan<byte> words = before.WordsOf(line);
                    if (words.IsEmpty)
                    {
                        return false;
                    }

                    words.Slice(firstLane * sizeof(ulong), (layout.Lanes - 1) * sizeof(ulong)).CopyTo(to[WordsOffset..]);
                }

                BinaryPrimitives.WriteUInt64LittleEndian(to[^sizeof(ulong)..], newest[line]);
                BinaryPrimitives.WriteUInt32LittleEndian(to, ComputeChecksum(to, line));
            }

            file.Write(at, bytes);
            file.WriteOut(at, bytes.Length); // So that the flush at the end holds up no append's.
        }

        ArrayPool<byte>.Shared.Return(rented); // Not behind a failure: then the collector has it.
        Invariant.Check(line == layout.Lines);
        return true;
    }

    private static uint ComputeChecksum(ReadOnlySpan<byte> line, int number) => Checksum.Compute(line[sizeof(uint)..], (uint)number);

    private ReadOnlySpan<byte> WordsOf(int number)
    {
        ReadOnlySpan<byte> line = _map.Span(_layout.OffsetOf(number), _layout.LineLength);

        // The header's checksum, too: else a block of another filter that stood there before would pass.
        if (BinaryPrimitives.ReadUInt32LittleEndian(line) == ComputeChecksum(line, number)
            && BinaryPrimitives.ReadUInt32LittleEndian(line[4..]) == _checksum)
        {
            return line[WordsOffset..];
        }

        _isDamaged = true;
        return default;
    }

    /// <summary>What a lane's operations file had in it when it was full, and has as long as it is that file.</summary>
    private readonly record struct Tie(long AppliedThrough, uint FirstBlock);

    private readonly record struct Layout(int Lanes, int Lines)
    {
        public int LineLength => WordsOffset + (Lanes * sizeof(ulong));

        public long FileLength => ((OffsetOf(Lines - 1) / BlockWriter.BlockBytes) + 1) * BlockWriter.BlockBytes;

        private int LinesPerBlock => BlockWriter.BlockBytes / LineLength;

        public long OffsetOf(int line)
        {
            (int block, int inBlock) = Math.DivRem(line, LinesPerBlock);
            return HeaderLength + ((long)block * BlockWriter.BlockBytes) + (inBlock * LineLength);
        }
    }
}
