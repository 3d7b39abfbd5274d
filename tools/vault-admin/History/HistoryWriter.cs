using System.Buffers;
using System.Text.Json;
using EventVault.Client;

namespace EventVault.Admin.History;

/// <summary>Writes events in the form that import reads. Events recorded at the same time are one append, and so one batch.</summary>
internal sealed class HistoryWriter : IAsyncDisposable
{
    private const int FlushAtBytes = 256 << 10;

    private readonly Func<ReadOnlyMemory<byte>, ValueTask> _target;
    private readonly ArrayBufferWriter<byte> _buffer = new(2 * FlushAtBytes);
    private readonly Utf8JsonWriter _writer;
    private DateTimeOffset? _recordedAt;

    /// <param name="target">Takes the bytes; they are its own until it has completed.</param>
    public HistoryWriter(Func<ReadOnlyMemory<byte>, ValueTask> target)
    {
        _target = target;
        _writer = new Utf8JsonWriter(_buffer, JsonText.WriterOptions);
    }

    /// <summary>Batches so far.</summary>
    public long Appends { get; private set; }

    /// <summary>Events so far.</summary>
    public long Events { get; private set; }

    /// <summary>Position of the last event; null: none yet.</summary>
    public ulong? LastPosition { get; private set; }

    /// <summary>Writes an event; they must come in the order of their positions.</summary>
    /// <param name="e">The event.</param>
    public ValueTask WriteAsync(RecordedEvent e)
    {
        if (e.RecordedAt != _recordedAt)
        {
            _recordedAt = e.RecordedAt;
            Appends++;
        }

        Events++;
        LastPosition = e.Position;
        _writer.WriteStartObject();
        _writer.WriteNumber("batch", Appends - 1);
        _writer.WriteString("stream", e.Stream);
        _writer.WriteString("id", e.Id);
        _writer.WriteString("type", e.Type);
        if (e.OccurredAtTicks is { } ticks)
        {
            // A decimal is exact where a double would not be, and a whole number where the time is one.
            _writer.WriteNumber("occurredAt", ticks / (decimal)TimeSpan.TicksPerSecond);
        }

        EventJson.WriteData(_writer, e);
        if (e.Metadata.Count > 0)
        {
            EventJson.WriteMetadata(_writer, e.Metadata);
        }

        if (e.Tags.Count > 0)
        {
            EventJson.WriteTags(_writer, e.Tags);
        }

        EventJson.WriteRest(_writer, e);
        _writer.WriteEndObject();
        _writer.Flush();
        _writer.Reset();
        _buffer.Write("\n"u8);
        return _buffer.WrittenCount < FlushAtBytes ? ValueTask.CompletedTask : FlushAsync();
    }

    /// <summary>Writes out what has gathered.</summary>
    public async ValueTask FlushAsync()
    {
        await _target(_buffer.WrittenMemory);
        _buffer.ResetWrittenCount();
    }

    public ValueTask DisposeAsync() => _writer.DisposeAsync();
}
