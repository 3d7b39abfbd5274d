using System.Security.Cryptography;
using EventVault.Client;

namespace EventVault.Admin.History;

/// <summary>
/// The events of one batch: one atomic append. Those of a stream stand together, in the order of the file, and the
/// streams in the order in which the batch first names them.
/// </summary>
internal sealed class HistoryBatch(ulong number, long firstLine)
{
    private const int IdBytes = 16;

    private readonly Dictionary<string, (List<EventData> Events, List<long> Lines)> _byStream = new(StringComparer.Ordinal);
    private readonly List<StreamAppend> _streams = [];
    private readonly List<Guid> _ids = [];

    // Ids made here must not meet those that another program makes of the same event ids.
    private static ReadOnlySpan<byte> Purpose => "EventVault import, version 1\n"u8;

    public ulong Number { get; } = number;

    public long FirstLine { get; } = firstLine;

    public long LastLine { get; private set; } = firstLine;

    public int EventCount { get; private set; }

    /// <summary>Nearly as many bytes as the append takes, never more: what is too large by this count is too large.</summary>
    public long Bytes { get; private set; }

    public IReadOnlyList<StreamAppend> Streams => _streams;

    public void Add(HistoryEvent e)
    {
        if (!_byStream.TryGetValue(e.Stream, out var stream))
        {
            _byStream.Add(e.Stream, stream = ([], []));
            _streams.Add(new StreamAppend(e.Stream, ExpectedVersion.Any, stream.Events));
            Bytes += e.Stream.Length;
        }

        stream.Events.Add(e.Data);
        stream.Lines.Add(e.Line);
        _ids.Add(e.Data.Id);
        LastLine = e.Line;
        EventCount++;
        Bytes += IdBytes + e.Data.Data.Length + e.Data.Type.Length + e.Data.Tags.Sum(t => t.Length) + e.Data.Metadata.Sum(m => m.Key.Length + m.Value.Length);
    }

    /// <summary>
    /// The operation id: a function of the events' ids in their order, and of nothing else, so that every import of the
    /// same events into the same vault is a repeat of the first. A UUID of version 8, cut from a SHA-256.
    /// </summary>
    public Guid OperationId()
    {
        var content = new byte[Purpose.Length + (_ids.Count * IdBytes)];
        Purpose.CopyTo(content);
        for (var i = 0; i < _ids.Count; i++)
        {
            _ids[i].TryWriteBytes(content.AsSpan(Purpose.Length + (i * IdBytes)), bigEndian: true, out _);
        }

        var hash = SHA256.HashData(content).AsSpan();
        hash[6] = (byte)((hash[6] & 0x0f) | 0x80);
        hash[8] = (byte)((hash[8] & 0x3f) | 0x80);
        return new Guid(hash[..16], bigEndian: true);
    }

    /// <summary>The line that a failure is about; null if it is about the whole batch.</summary>
    /// <param name="failure">What the append failed with.</param>
    public long? LineOf(VaultFailure failure)
    {
        if (failure.Stream is not { } name || !_byStream.TryGetValue(name, out var stream))
        {
            return null;
        }

        return failure.Index is { } index && index < stream.Lines.Count ? stream.Lines[(int)index] : stream.Lines[0];
    }
}
