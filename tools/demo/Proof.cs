using System.Globalization;
using System.IO.Compression;
using System.Text;
using System.Text.Json;
using EventVault.Client;

namespace EventVault.Demo;

/// <summary>Reads the whole vault and holds every event against what it must be.</summary>
internal sealed class Proof
{
    private readonly Dictionary<string, ulong> _versions = new(StringComparer.Ordinal);
    private readonly Dictionary<string, long> _lines = new(StringComparer.Ordinal);
    private readonly Dictionary<(string Path, long Batch), long> _truth = ReadTruth();
    private readonly Dictionary<string, List<long>> _askedBatches;
    private ulong _position;

    private Proof() => _askedBatches = _truth.Keys.GroupBy(k => k.Path).ToDictionary(g => g.Key, g => g.Select(k => k.Batch).Order().ToList());

    /// <summary>Events read and found right.</summary>
    public ulong Events => _position;

    /// <summary>Of those, imported ones, equal field by field to the file.</summary>
    public int Imported { get; private set; }

    /// <summary>Streams seen, each with versions 0, 1, 2 … without a gap.</summary>
    public int Streams => _versions.Count;

    /// <summary>Answers of the truth table that adding up the events gives.</summary>
    public int Answers { get; private set; }

    /// <summary>Reads everything once.</summary>
    /// <param name="client">A client of the vault.</param>
    /// <param name="written">What the demo appended, in any order.</param>
    /// <exception cref="BrokenPromiseException">Something is not what it must be.</exception>
    public static async Task<Proof> RunAsync(VaultClient client, IReadOnlyCollection<Written> written)
    {
        var proof = new Proof();
        var events = client.ReadAllAsync().GetAsyncEnumerator();
        await using (events)
        {
            await proof.CompareWithFileAsync(events);
            foreach (var own in written.OrderBy(w => w.Answer.FirstPosition))
            {
                var e = await proof.NextAsync(events, own.Stream);
                Check.Equal(own.Answer.FirstPosition, e.Position);
                Check.Equal(own.Event.Id, e.Id);
                Check.Equal(own.Event.Type, e.Type);
                Check.That(own.Event.Data.Span.SequenceEqual(e.Data.Span), $"The data of position {e.Position} is not what was appended.");
                Check.Equal(own.Answer.RecordedAt, e.RecordedAt);
            }

            Check.That(!await events.MoveNextAsync(), "The vault holds more events than were appended.");
        }

        Check.Equal(proof._truth.Count, proof.Answers);
        return proof;
    }

    private async Task CompareWithFileAsync(IAsyncEnumerator<RecordedEvent> events)
    {
        using var text = new StreamReader(new GZipStream(File.OpenRead(Places.History), CompressionMode.Decompress), Encoding.UTF8);
        DateTimeOffset? recordedAt = null;
        long? batchBefore = null;
        while (await text.ReadLineAsync() is { } line)
        {
            using var document = JsonDocument.Parse(line);
            var expected = document.RootElement;
            var e = await NextAsync(events, expected.GetProperty("stream").GetString()!);
            Check.Equal(expected.GetProperty("id").GetGuid(), e.Id);
            Check.Equal(expected.GetProperty("type").GetString(), e.Type);
            Check.Equal(DateTimeOffset.FromUnixTimeSeconds(expected.GetProperty("occurredAt").GetInt64()), e.OccurredAt);
            Check.Equal(expected.GetProperty("data").GetRawText(), Encoding.UTF8.GetString(e.Data.Span));
            Check.Equal(1, e.Metadata.Count);
            Check.Equal(expected.GetProperty("metadata").GetProperty("correlationId").GetString(), e.Metadata["correlationId"]);
            Check.Equal(0, e.Tags.Count);

            // One batch is one append, and one append has one time of its own.
            var batch = expected.GetProperty("batch").GetInt64();
            Check.That(batch == batchBefore ? e.RecordedAt == recordedAt : recordedAt is null || e.RecordedAt > recordedAt, $"The time of position {e.Position} is out of order.");
            if (batch != batchBefore)
            {
                AnswerBefore(batch);
            }

            (batchBefore, recordedAt) = (batch, e.RecordedAt);
            var data = expected.GetProperty("data");
            var path = data.GetProperty("path").GetString()!;
            _lines[path] = _lines.GetValueOrDefault(path) + data.GetProperty("delta").GetInt64();
            Imported++;
        }

        AnswerBefore(long.MaxValue);
    }

    private async Task<RecordedEvent> NextAsync(IAsyncEnumerator<RecordedEvent> events, string stream)
    {
        Check.That(await events.MoveNextAsync(), $"The vault ends before position {_position}: an event is lost.");
        var e = events.Current;
        Check.Equal(_position++, e.Position);
        Check.Equal(stream, e.Stream);
        Check.Equal(_versions.TryGetValue(stream, out var version) ? version + 1 : 0, e.Version);
        _versions[stream] = e.Version;
        return e;
    }

    // Every question about a batch before this one can be answered now.
    private void AnswerBefore(long batch)
    {
        foreach (var (path, asked) in _askedBatches)
        {
            while (asked.Count > 0 && asked[0] < batch)
            {
                Check.Equal(_truth[(path, asked[0])], _lines.GetValueOrDefault(path), $"lines of {path} after batch {asked[0]}");
                asked.RemoveAt(0);
                Answers++;
            }
        }
    }

    private static Dictionary<(string Path, long Batch), long> ReadTruth()
    {
        var truth = new Dictionary<(string, long), long>();
        foreach (var line in File.ReadLines(Places.Truth).Where(l => l.Length > 0 && l[0] != '#'))
        {
            var fields = line.Split('\t');
            truth.Add((fields[0], long.Parse(fields[1], CultureInfo.InvariantCulture)), fields[2] == "-" ? 0 : long.Parse(fields[2], CultureInfo.InvariantCulture));
        }

        return truth;
    }
}
