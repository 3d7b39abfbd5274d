using System.IO.Compression;
using System.Reflection;
using System.Text.Json;
using EventVault.Temporal.Reducers;

namespace EventVault.Temporal.Tests;

/// <summary>A real history, and what is known of it from elsewhere.</summary>
public sealed class HistoryTests
{
    private static string Data => typeof(HistoryTests).Assembly.GetCustomAttributes<AssemblyMetadataAttribute>().First(a => a.Key == "Data").Value!;

    [Fact]
    public void Every_answer_of_the_truth_table_is_a_sum_over_the_stream()
    {
        var streams = new Dictionary<string, List<(int Batch, string Data)>>();
        using var lines = new StreamReader(new GZipStream(File.OpenRead(Path.Combine(Data, "redis-history.jsonl.gz")), CompressionMode.Decompress));
        while (lines.ReadLine() is { } line)
        {
            using var e = JsonDocument.Parse(line);
            var stream = e.RootElement.GetProperty("stream").GetString()!;
            (streams.TryGetValue(stream, out var events) ? events : streams[stream] = []).Add((e.RootElement.GetProperty("batch").GetInt32(), e.RootElement.GetProperty("data").GetRawText()));
        }

        var (reducer, answers) = (SlotsReducer.Parse("lines = SUM(data.delta)"), 0);
        foreach (var row in File.ReadLines(Path.Combine(Data, "redis-history.truth.tsv")).Where(l => !l.StartsWith('#')).Select(l => l.Split('\t')))
        {
            var events = streams["file-" + row[0]].TakeWhile(e => e.Batch <= int.Parse(row[1], System.Globalization.CultureInfo.InvariantCulture)).Select(e => new SomeEvent(e.Data));
            var sum = JsonDocument.Parse(Some.Fold(reducer, events).Json()).RootElement.GetProperty("lines");
            Assert.Equal(row[2] == "-" ? "0" : row[2], sum.ValueKind == JsonValueKind.Null ? "0" : sum.GetRawText());
            answers++;
        }

        Assert.Equal(2000, answers);
    }
}
