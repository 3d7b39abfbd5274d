using System.Buffers;
using System.IO.Compression;
using System.IO.Pipelines;
using System.Runtime.CompilerServices;

namespace EventVault.Admin.History;

/// <summary>Reads a history batch by batch. Memory is bounded by the largest batch, which the vault's limits bound.</summary>
internal sealed class HistoryReader
{
    // The largest event of 4 MiB, every byte of it escaped in JSON.
    private const int MaxLineBytes = 32 << 20;
    private const int BufferBytes = 64 << 10;

    private readonly Stream _file;
    private readonly ulong _maxEvents;
    private readonly ulong _maxBytes;
    private long _line;

    /// <param name="file">The history, plain or gzip. Stays the caller's.</param>
    /// <param name="maxEvents">Most events that an append may have.</param>
    /// <param name="maxBytes">Most bytes that an append may have.</param>
    public HistoryReader(Stream file, ulong maxEvents, ulong maxBytes)
    {
        _file = file;
        _maxEvents = maxEvents;
        _maxBytes = maxBytes;
    }

    /// <summary>The batches, in order.</summary>
    /// <param name="cancellation">Ends the reading.</param>
    /// <exception cref="HistoryException">The file is not of the form; the batches before it have been returned.</exception>
    public async IAsyncEnumerable<HistoryBatch> BatchesAsync([EnumeratorCancellation] CancellationToken cancellation = default)
    {
        HistoryBatch? batch = null;
        await foreach (var e in EventsAsync(cancellation))
        {
            if (batch is not null && e.Batch < batch.Number)
            {
                throw new HistoryException(e.Line, "batch", $"goes back to {e.Batch} after {batch.Number}; the events of a batch must stand together, and batches in order");
            }

            if (batch is null || e.Batch != batch.Number)
            {
                if (batch is not null)
                {
                    yield return batch;
                }

                batch = new HistoryBatch(e.Batch, e.Line);
            }

            batch.Add(e);
            if ((ulong)batch.EventCount > _maxEvents || (ulong)batch.Bytes > _maxBytes)
            {
                throw new HistoryException(
                    e.Line, "batch", $"{batch.Number}, from line {batch.FirstLine} on, is larger than an append may be ({_maxEvents} events, {_maxBytes} bytes); split it");
            }
        }

        if (batch is not null)
        {
            yield return batch;
        }
    }

    private async IAsyncEnumerable<HistoryEvent> EventsAsync([EnumeratorCancellation] CancellationToken cancellation)
    {
        var reader = await OpenAsync(cancellation);
        try
        {
            while (true)
            {
                var (buffer, isCompleted) = await ReadAsync(reader, cancellation);
                while (TryTakeLine(ref buffer, isCompleted, out var line))
                {
                    _line++;
                    if (!IsBlank(line))
                    {
                        yield return HistoryEvent.Parse(line.IsSingleSegment ? line.First : line.ToArray(), _line);
                    }
                }

                if (isCompleted && buffer.IsEmpty)
                {
                    yield break;
                }

                if (buffer.Length > MaxLineBytes)
                {
                    throw new HistoryException(_line + 1, null, $"is longer than {MaxLineBytes} bytes: this is no history of one JSON object a line");
                }

                reader.AdvanceTo(buffer.Start, buffer.End);
            }
        }
        finally
        {
            await reader.CompleteAsync();
        }
    }

    // Told by its first bytes, not by its name: it may come through a pipe.
    private async Task<PipeReader> OpenAsync(CancellationToken cancellation)
    {
        var begin = _file.CanSeek ? _file.Position : 0;
        var options = new StreamPipeReaderOptions(bufferSize: BufferBytes, leaveOpen: true);
        var raw = PipeReader.Create(_file, options);
        var start = await raw.ReadAtLeastAsync(3, cancellation);
        var head = start.Buffer.Slice(0, Math.Min(3, start.Buffer.Length)).ToArray();
        var isGzip = head.AsSpan().StartsWith<byte>([0x1f, 0x8b]);
        var isMarked = head.AsSpan().SequenceEqual<byte>([0xef, 0xbb, 0xbf]);
        if (isGzip && _file.CanSeek)
        {
            await raw.CompleteAsync();
            _file.Position = begin;
            await CheckAsync(cancellation);
            _file.Position = begin;
            return Unpack(_file);
        }

        raw.AdvanceTo(isMarked ? start.Buffer.GetPosition(3) : start.Buffer.Start);
        return isGzip ? Unpack(raw.AsStream()) : raw;
    }

    private static PipeReader Unpack(Stream packed) =>
        PipeReader.Create(new GZipStream(packed, CompressionMode.Decompress, leaveOpen: true), new StreamPipeReaderOptions(bufferSize: BufferBytes));

    // The checksum stands at the end: by then all events would have been written, whatever they had become. A pipe can't be read twice.
    private async Task CheckAsync(CancellationToken cancellation)
    {
        try
        {
            await using var unpacked = new GZipStream(_file, CompressionMode.Decompress, leaveOpen: true);
            await unpacked.CopyToAsync(Stream.Null, cancellation);
        }
        catch (Exception e) when (e is InvalidDataException or EndOfStreamException)
        {
            throw new HistoryException("The file can't be unpacked: its gzip data is cut off or damaged. Nothing of it was imported. Get the file again.", e);
        }
    }

    private async Task<(ReadOnlySequence<byte> Buffer, bool IsCompleted)> ReadAsync(PipeReader reader, CancellationToken cancellation)
    {
        try
        {
            var result = await reader.ReadAsync(cancellation);
            return (result.Buffer, result.IsCompleted);
        }
        catch (Exception e) when (e is InvalidDataException or EndOfStreamException)
        {
            throw new HistoryException(
                _line + 1, null, "can't be unpacked: the gzip data is cut off or damaged, perhaps before this line, too, so what was imported may be wrong. A file that is named is checked before anything is imported, a pipe can't be. Get the data again", e);
        }
    }

    private static bool TryTakeLine(ref ReadOnlySequence<byte> buffer, bool isCompleted, out ReadOnlySequence<byte> line)
    {
        if (buffer.PositionOf((byte)'\n') is { } end)
        {
            line = buffer.Slice(0, end);
            buffer = buffer.Slice(buffer.GetPosition(1, end));
            return true;
        }

        // The last line may lack its end.
        line = buffer;
        if (!isCompleted || buffer.IsEmpty)
        {
            return false;
        }

        buffer = buffer.Slice(buffer.End);
        return true;
    }

    private static bool IsBlank(ReadOnlySequence<byte> line)
    {
        foreach (var part in line)
        {
            if (part.Span.IndexOfAnyExcept(" \t\r"u8) >= 0)
            {
                return false;
            }
        }

        return true;
    }
}
