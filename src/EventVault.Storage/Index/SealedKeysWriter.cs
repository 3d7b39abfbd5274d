using System.Buffers;
using System.Buffers.Binary;
using EventVault.Storage.Io;

namespace EventVault.Storage.Index;

/// <summary>
/// Writes a key file under a temporary name, part by part through one buffer, and gives it its real name only when all of
/// it is durable: under the real name there is never half a file.
/// </summary>
internal ref struct SealedKeysWriter
{
    private const int BufferBytes = 64 * SealedKeysFormat.BlockBytes;

    private readonly SealedKeysContent _content;
    private readonly KeyedSegment _segment;
    private readonly SealedKeysShape _shape;
    private readonly IFile _file;
    private readonly byte[] _buffer;
    private readonly uint[] _checksums;
    private int _buffered;
    private long _flushed;

    private SealedKeysWriter(SealedKeysContent content, in KeyedSegment segment, in SealedKeysShape shape, IFile file, byte[] buffer, uint[] checksums)
    {
        _content = content;
        _segment = segment;
        _shape = shape;
        _file = file;
        _buffer = buffer;
        _checksums = checksums;
    }

    /// <summary>What a key file of this content will take.</summary>
    public static SealedKeysShape Measure(SealedKeysContent content, int events)
    {
        int keys = 0;
        long postings = 0;
        long lists = 0;
        int width = SealedKeysFormat.Width((uint)Math.Max(0, events - 1));
        for (int share = 0; share < SealedKeysContent.ShareCount; share++)
        {
            ReadOnlySpan<SealedKeysContent.Posting> rest = content.Share(share);
            postings += rest.Length;
            while (!rest.IsEmpty)
            {
                int length = SealedKeysContent.RunLength(rest);
                Invariant.Check(rest[length - 1].Ordinal < (uint)events);
                keys++;
                lists += length == 1 ? 0 : ListLength(rest[..length], width);
                rest = rest[length..];
            }
        }

        lists += SealedKeysFormat.ListsEndBytes;
        bool isSmall = Math.Max(lists, events) < 1 << 23; // an ordinal or a list's place, and the bit that tells which
        Invariant.Check(lists <= int.MaxValue && postings <= (long)EventKeys.MostPerEvent * events);
        return new SealedKeysShape(keys, postings, lists, isSmall ? 3 : 4);
    }

    public static void Write(IFileSystem fileSystem, string path, in KeyedSegment segment, SealedKeysContent content, in SealedKeysShape shape)
    {
        string temporary = path + SealedIndexFormat.TemporarySuffix;
        fileSystem.DeleteFile(temporary);
        byte[] buffer = ArrayPool<byte>.Shared.Rent(BufferBytes);
        uint[] checksums = ArrayPool<uint>.Shared.Rent(shape.Blocks);
        try
        {
            using (IFile file = fileSystem.OpenFile(temporary, FileOpening.New))
            {
                new SealedKeysWriter(content, segment, shape, file, buffer, checksums).WriteAll();
                file.Flush();
            }

            fileSystem.MoveFile(temporary, path);
        }
        catch (DiskException e) when (e.IsFull)
        {
            // Or half a file would keep the room that sealing waits for.
            fileSystem.DeleteFile(temporary);
            throw;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
            ArrayPool<uint>.Shared.Return(checksums);
        }

        fileSystem.FlushDirectory(Path.GetDirectoryName(path) ?? ".");
    }

    private static int ListLength(ReadOnlySpan<SealedKeysContent.Posting> run, int width)
    {
        int length = CountLength(run.Length);
        if (run.Length <= SealedKeysFormat.StretchPostings)
        {
            return length + SealedKeysFormat.PackedLength(run.Length, width);
        }

        while (!run.IsEmpty)
        {
            ReadOnlySpan<SealedKeysContent.Posting> stretch = Stretch(run);
            length += SealedKeysFormat.StretchEntryLength + SealedKeysFormat.PackedLength(stretch.Length, StretchWidth(stretch));
            run = run[stretch.Length..];
        }

        return length;
    }

    private static ReadOnlySpan<SealedKeysContent.Posting> Stretch(ReadOnlySpan<SealedKeysContent.Posting> run) =>
        run[..Math.Min(SealedKeysFormat.StretchPostings, run.Length)];

    private static int StretchWidth(ReadOnlySpan<SealedKeysContent.Posting> stretch) =>
        SealedKeysFormat.Width(stretch[^1].Ordinal - stretch[0].Ordinal);

    private static int CountLength(int count) => (SealedKeysFormat.Width((uint)count) + 6) / 7;

    private void WriteAll()
    {
        Take(SealedKeysFormat.HeaderLength).Clear();
        WriteBloomAndDirectory();
        WriteEntries();
        WriteLists();
        Invariant.Check(Offset == _shape.Table);
        WriteOut();

        uint checksum = 0;
        long tableEnd = _shape.FileLength;
        foreach (uint sum in _checksums.AsSpan(0, _shape.Blocks))
        {
            if (_buffered == BufferBytes)
            {
                checksum = WriteTable(checksum);
            }

            BinaryPrimitives.WriteUInt32LittleEndian(_buffer.AsSpan(_buffered), sum);
            _buffered += sizeof(uint);
        }

        int padding = (int)(tableEnd - Offset);
        Invariant.Check(padding is >= 0 and < 64 && _buffered + padding <= BufferBytes);
        _buffer.AsSpan(_buffered, padding).Clear();
        _buffered += padding;
        checksum = WriteTable(checksum);
        Invariant.Check(_flushed == tableEnd);

        Span<byte> header = stackalloc byte[SealedKeysFormat.HeaderLength];
        SealedKeysFormat.WriteHeader(header, _segment, _shape, checksum);
        _file.Write(0, header);
    }

    private void WriteBloomAndDirectory()
    {
        int suffix = _shape.SuffixBytes;
        byte[] rentedBloom = ArrayPool<byte>.Shared.Rent(_shape.BloomBlocks * SealedKeysFormat.BloomBlockBytes);
        uint[] rentedFirsts = ArrayPool<uint>.Shared.Rent(SealedKeysFormat.Buckets(suffix) + 1);
        Span<byte> bloom = rentedBloom.AsSpan(0, _shape.BloomBlocks * SealedKeysFormat.BloomBlockBytes);
        Span<uint> firsts = rentedFirsts.AsSpan(0, SealedKeysFormat.Buckets(suffix) + 1);
        bloom.Clear();
        firsts.Clear();
        for (int share = 0; share < SealedKeysContent.ShareCount; share++)
        {
            ReadOnlySpan<SealedKeysContent.Posting> rest = _content.Share(share);
            while (!rest.IsEmpty)
            {
                ulong key = rest[0].Key;
                int block = SealedKeysFormat.BloomBlockOf(key, _shape.BloomBlocks);
                SealedKeysFormat.AddToBloom(bloom.Slice(block * SealedKeysFormat.BloomBlockBytes, SealedKeysFormat.BloomBlockBytes), key);
                firsts[SealedKeysFormat.BucketOf(key, suffix) + 1]++;
                rest = rest[SealedKeysContent.RunLength(rest)..];
            }
        }

        for (int at = 0; at < bloom.Length; at += SealedKeysFormat.BloomBlockBytes)
        {
            bloom.Slice(at, SealedKeysFormat.BloomBlockBytes).CopyTo(Take(SealedKeysFormat.BloomBlockBytes));
        }

        Invariant.Check(Offset == _shape.Directory);
        uint entries = 0;
        foreach (uint count in firsts)
        {
            entries += count;
            BinaryPrimitives.WriteUInt32LittleEndian(Take(sizeof(uint)), entries);
        }

        Invariant.Check(entries == _shape.Keys);
        ArrayPool<byte>.Shared.Return(rentedBloom);
        ArrayPool<uint>.Shared.Return(rentedFirsts);
        Pad();
    }

    private void WriteEntries()
    {
        Invariant.Check(Offset == _shape.Entries);
        int suffix = _shape.SuffixBytes;
        int width = SealedKeysFormat.Width((uint)Math.Max(0, _segment.Events - 1));
        uint list = 0;
        Span<byte> key = stackalloc byte[sizeof(ulong)];
        Span<byte> value = stackalloc byte[sizeof(uint)];
        for (int share = 0; share < SealedKeysContent.ShareCount; share++)
        {
            ReadOnlySpan<SealedKeysContent.Posting> rest = _content.Share(share);
            while (!rest.IsEmpty)
            {
                int length = SealedKeysContent.RunLength(rest);
                BinaryPrimitives.WriteUInt64LittleEndian(key, rest[0].Key);
                BinaryPrimitives.WriteUInt32LittleEndian(value, length == 1 ? rest[0].Ordinal << 1 : (list << 1) | 1);
                Span<byte> entry = Take(_shape.EntryBytes);
                key[..suffix].CopyTo(entry);
                value[.._shape.ValueBytes].CopyTo(entry[suffix..]);
                list += length == 1 ? 0 : (uint)ListLength(rest[..length], width);
                rest = rest[length..];
            }
        }

        Invariant.Check(list + SealedKeysFormat.ListsEndBytes == _shape.ListsLength);
        Pad();
    }

    private void WriteLists()
    {
        Invariant.Check(Offset == _shape.Lists);
        int width = SealedKeysFormat.Width((uint)Math.Max(0, _segment.Events - 1));
        for (int share = 0; share < SealedKeysContent.ShareCount; share++)
        {
            ReadOnlySpan<SealedKeysContent.Posting> rest = _content.Share(share);
            while (!rest.IsEmpty)
            {
                int length = SealedKeysContent.RunLength(rest);
                if (length > 1)
                {
                    WriteList(rest[..length], width);
                }

                rest = rest[length..];
            }
        }

        Take(SealedKeysFormat.ListsEndBytes).Clear();
        Invariant.Check(Offset == _shape.Lists + _shape.ListsLength);
        Pad();
    }

    private void WriteList(ReadOnlySpan<SealedKeysContent.Posting> run, int width)
    {
        Span<byte> count = Take(CountLength(run.Length));
        for (int i = 0; i < count.Length; i++)
        {
            count[i] = (byte)(((run.Length >> (7 * i)) & 0x7F) | (i + 1 < count.Length ? 0x80 : 0));
        }

        if (run.Length <= SealedKeysFormat.StretchPostings)
        {
            Pack(run, 0, width);
            return;
        }

        int offset = 0;
        for (ReadOnlySpan<SealedKeysContent.Posting> rest = run; !rest.IsEmpty; rest = rest[Stretch(rest).Length..])
        {
            ReadOnlySpan<SealedKeysContent.Posting> stretch = Stretch(rest);
            Span<byte> entry = Take(SealedKeysFormat.StretchEntryLength);
            BinaryPrimitives.WriteUInt32LittleEndian(entry, stretch[0].Ordinal);
            BinaryPrimitives.WriteInt32LittleEndian(entry[4..], offset);
            entry[8] = (byte)StretchWidth(stretch);
            offset += SealedKeysFormat.PackedLength(stretch.Length, StretchWidth(stretch));
        }

        for (ReadOnlySpan<SealedKeysContent.Posting> rest = run; !rest.IsEmpty; rest = rest[Stretch(rest).Length..])
        {
            ReadOnlySpan<SealedKeysContent.Posting> stretch = Stretch(rest);
            Pack(stretch, stretch[0].Ordinal, StretchWidth(stretch));
        }
    }

    private void Pack(ReadOnlySpan<SealedKeysContent.Posting> postings, uint first, int width)
    {
        Span<byte> packed = Take(SealedKeysFormat.PackedLength(postings.Length, width));
        ulong pending = 0;
        int bits = 0;
        int at = 0;
        foreach (ref readonly SealedKeysContent.Posting posting in postings)
        {
            uint number = posting.Ordinal - first;
            Invariant.Check(width == 32 || number >> width == 0);
            pending |= (ulong)number << bits;
            for (bits += width; bits >= 8; bits -= 8)
            {
                packed[at++] = (byte)pending;
                pending >>= 8;
            }
        }

        if (bits > 0)
        {
            packed[at++] = (byte)pending;
        }

        Invariant.Check(at == packed.Length);
    }

    private readonly long Offset => _flushed + _buffered;

    private void Pad()
    {
        int length = (int)(SealedKeysFormat.Align(Offset) - Offset);
        Take(length).Clear();
    }

    /// <summary>The next bytes of the file, to be filled in at once. They may lie in two blocks, never in two buffers.</summary>
    private Span<byte> Take(int length)
    {
        if (_buffered + length > BufferBytes)
        {
            WriteBlocks();
        }

        Span<byte> taken = _buffer.AsSpan(_buffered, length);
        _buffered += length;
        return taken;
    }

    // Whole blocks go out; the begun one moves to the front.
    private void WriteBlocks()
    {
        int whole = _buffered - (_buffered % SealedKeysFormat.BlockBytes);
        Invariant.Check(whole > 0);
        WriteChecked(whole);
        _buffer.AsSpan(whole, _buffered - whole).CopyTo(_buffer);
        _buffered -= whole;
    }

    private void WriteOut()
    {
        WriteChecked(_buffered);
        _buffered = 0;
    }

    private void WriteChecked(int length)
    {
        for (int at = 0; at < length; at += SealedKeysFormat.BlockBytes)
        {
            long block = (_flushed + at) / SealedKeysFormat.BlockBytes;
            int from = block == 0 ? SealedKeysFormat.HeaderLength : at;
            _checksums[block] = Checksum.Compute(_buffer.AsSpan(from, Math.Min(at + SealedKeysFormat.BlockBytes, length) - from));
        }

        _file.Write(_flushed, _buffer.AsSpan(0, length));
        _flushed += length;
    }

    private uint WriteTable(uint checksum)
    {
        ReadOnlySpan<byte> bytes = _buffer.AsSpan(0, _buffered);
        _file.Write(_flushed, bytes);
        _flushed += _buffered;
        _buffered = 0;
        return Checksum.Compute(bytes, checksum);
    }
}
