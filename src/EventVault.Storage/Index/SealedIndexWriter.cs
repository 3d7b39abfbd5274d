using System.Buffers;
using System.Buffers.Binary;
using System.Numerics;
using EventVault.Storage.Io;

namespace EventVault.Storage.Index;

/// <summary>Length and checksum of a finished index file, for the catalog.</summary>
internal readonly record struct SealedIndexMark(long LengthBytes, uint Checksum);

/// <summary>
/// Writes an index file under a temporary name, section by section through one buffer, and gives it its real name
/// only when all of it is durable: under the real name there is never half a file.
/// </summary>
internal ref struct SealedIndexWriter
{
    private const int BufferBytes = 256 * 1024;

    private readonly IFile _file;
    private readonly byte[] _buffer;
    private readonly Span<byte> _header;
    private int _buffered;
    private long _flushed;
    private int _section;
    private long _sectionStart;
    private uint _checksum;

    private SealedIndexWriter(IFile file, byte[] buffer, Span<byte> header)
    {
        _file = file;
        _buffer = buffer;
        _header = header;
        _flushed = SealedIndexFormat.Align(header.Length);
    }

    public static SealedIndexMark Write(IFileSystem fileSystem, string path, in SealedIndexContent content)
    {
        CheckContent(content);
        string temporary = path + SealedIndexFormat.TemporarySuffix;
        string directory = Path.GetDirectoryName(path) ?? ".";
        fileSystem.DeleteFile(temporary);
        SealedIndexMark mark;
        byte[] buffer = ArrayPool<byte>.Shared.Rent(BufferBytes);
        try
        {
            using (IFile file = fileSystem.OpenFile(temporary, FileOpening.New))
            {
                int sections = content.Kept.IsEmpty ? SealedIndexFormat.SectionCount : SealedIndexFormat.ScavengedSectionCount;
                Span<byte> header = stackalloc byte[SealedIndexFormat.HeaderLength(SealedIndexFormat.ScavengedSectionCount)];
                header = header[..SealedIndexFormat.HeaderLength(sections)];
                header.Clear();
                mark = new SealedIndexWriter(file, buffer, header).WriteAll(content);
                file.Flush();
            }

            fileSystem.MoveFile(temporary, path);
        }
        catch (DiskException e) when (e.IsFull)
        {
            fileSystem.DeleteFile(temporary); // Or half a file would keep the room that sealing waits for.
            throw;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }

        fileSystem.FlushDirectory(directory);
        return mark;
    }

    private SealedIndexMark WriteAll(in SealedIndexContent content)
    {
        BeginSection(SealedIndexFormat.StreamsSection);
        foreach (ref readonly StreamRun run in content.Streams)
        {
            SealedIndexFormat.WriteRun(Take(SealedIndexFormat.RunLength), run);
        }

        EndSection();
        WriteNumbers(SealedIndexFormat.OrdinalsSection, content.Ordinals);
        WriteNumbers(SealedIndexFormat.OffsetsSection, content.Offsets);
        BeginSection(SealedIndexFormat.MarksSection);
        foreach (SparseMark mark in content.Marks)
        {
            SealedIndexFormat.WriteMark(Take(SealedIndexFormat.MarkLength), mark);
        }

        EndSection();
        WriteNumbers(SealedIndexFormat.NewStreamsSection, content.NewStreamsByName);
        if (!content.Kept.IsEmpty)
        {
            WriteKept(content.Kept);
        }

        WriteOut();

        uint checksum = SealedIndexFormat.WriteHeader(
            _header, content.Segment, content.Events, content.FirstPosition.Value, _flushed, content.Streams.Length);
        Span<byte> padded = _buffer.AsSpan(0, (int)SealedIndexFormat.Align(_header.Length));
        padded.Clear();
        _header.CopyTo(padded);
        _file.Write(0, padded);
        return new SealedIndexMark(_flushed, checksum);
    }

    private void WriteNumbers(uint kind, ReadOnlySpan<uint> numbers)
    {
        BeginSection(kind);
        foreach (uint number in numbers)
        {
            BinaryPrimitives.WriteUInt32LittleEndian(Take(sizeof(uint)), number);
        }

        EndSection();
    }

    private void WriteKept(ReadOnlySpan<ulong> kept)
    {
        BeginSection(SealedIndexFormat.KeptSection);
        int before = 0;
        foreach (ulong bits in kept)
        {
            Span<byte> entry = Take(SealedIndexFormat.KeptLength);
            BinaryPrimitives.WriteUInt64LittleEndian(entry, bits);
            BinaryPrimitives.WriteInt32LittleEndian(entry[8..], before);
            before += BitOperations.PopCount(bits);
        }

        EndSection();
    }

    private void BeginSection(uint kind)
    {
        _sectionStart = _flushed;
        _checksum = 0;
        SealedIndexFormat.WriteSectionKind(_header, _section, kind);
    }

    private void EndSection()
    {
        long length = _flushed + _buffered - _sectionStart;
        Take((int)(SealedIndexFormat.Align(length) - length)).Clear();
        WriteOut();
        SealedIndexFormat.WriteSectionPlace(_header, _section++, _sectionStart, length, _checksum);
    }

    /// <summary>The next bytes of the section, to be filled in at once.</summary>
    private Span<byte> Take(int length)
    {
        if (_buffered + length > BufferBytes)
        {
            WriteOut();
        }

        Span<byte> taken = _buffer.AsSpan(_buffered, length);
        _buffered += length;
        return taken;
    }

    private void WriteOut()
    {
        if (_buffered > 0)
        {
            ReadOnlySpan<byte> bytes = _buffer.AsSpan(0, _buffered);
            _checksum = Checksum.Compute(bytes, _checksum);
            _file.Write(_flushed, bytes);
            _flushed += _buffered;
            _buffered = 0;
        }
    }

    private static void CheckContent(in SealedIndexContent content)
    {
        Invariant.Check(content.FirstPosition.Value >= 0 && content.Events >= content.Offsets.Length);
        Invariant.Check(content.Kept.IsEmpty ? content.Events == content.Offsets.Length : content.Kept.Length == (content.Events + 63) / SealedIndexFormat.KeptOrdinals);
        int ordinals = 0;
        long kept = 0;
        long events = 0;
        int newStreams = 0;
        for (int i = 0; i < content.Streams.Length; i++)
        {
            ref readonly StreamRun run = ref content.Streams[i];
            Invariant.Check(i == 0 || content.Streams[i - 1].Key < run.Key);
            Invariant.Check(run.Count > 0 && run.FirstOrdinalIndex == ordinals && run.FirstVersion >= 0);
            Invariant.Check(run.Jump.Depth == StreamChain.JumpDepth(run.Previous.Depth + 1));
            Invariant.Check(!run.Previous.Exists || run.Previous.Segment < content.Segment);
            Invariant.Check(run.IsNewStream == (run.Previous.Depth == 0) && (run.Flags & ~StreamRun.NewStream) == 0);
            Invariant.Check(run.Removed >= 0 && run.Removed <= run.Count && (run.Removed == 0 || !content.Kept.IsEmpty));
            ordinals += run.Ordinals;
            kept += run.Kept;
            events += run.Count;
            newStreams += run.IsNewStream ? 1 : 0;
        }

        Invariant.Check(ordinals == content.Ordinals.Length);
        Invariant.Check(kept == content.Offsets.Length && events == content.Events, "Every event belongs to a stream, and stands here or was removed.");
        Invariant.Check(newStreams == content.NewStreamsByName.Length);
        for (int i = 1; i < content.Offsets.Length; i++)
        {
            Invariant.Check(content.Offsets[i - 1] < content.Offsets[i]);
        }

        for (int i = 1; i < content.Marks.Length; i++)
        {
            SparseMark before = content.Marks[i - 1];
            SparseMark mark = content.Marks[i];
            Invariant.Check(before.LogIndex < mark.LogIndex && before.Offset < mark.Offset);
            Invariant.Check(before.Time <= mark.Time && before.Ordinal <= mark.Ordinal);
        }
    }
}
