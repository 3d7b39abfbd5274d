using System.Globalization;
using System.IO.Compression;
using System.Reflection;
using System.Text.Json;
using EventVault.Node.Tests.Support;
using EventVault.Protocol;
using EventVault.Temporal;

namespace EventVault.Node.Tests;

/// <summary>A real history, and 2,000 answers about it that were worked out elsewhere: the same ones, whatever happens to the vault.</summary>
public sealed class StateTruthTests
{
    private const int MostInFlight = 4_000;

    private static readonly ReducerReference Lines = StateCallsOfNode.Slots("lines = SUM(data.delta)");

    private static string Data => typeof(StateTruthTests).Assembly.GetCustomAttributes<AssemblyMetadataAttribute>().First(a => a.Key == "Data").Value!;

    // The longest of the streams has fewer events than a node folds without keeping a state, so one run keeps states more often.
    [Theory]
    [InlineData(1024, false)]
    [InlineData(64, true)]
    public async Task All_2000_answers_stay_the_same_over_restarts_without_kept_states_and_behind_100_000_more_appends(int keptEach, bool areKept)
    {
        var node = await TestNode.StartAsync(o => o with { SegmentSizeBytes = 16 * 1024 * 1024, KeptStates = new StateSnapshotRule(keptEach) });
        try
        {
            var positions = await AppendAsync(node, ReadHistory());
            var truth = File.ReadLines(Path.Combine(Data, "redis-history.truth.tsv")).Where(l => !l.StartsWith('#')).Select(l => l.Split('\t'))
                .Select(r => (Stream: "file-" + r[0], Position: positions[int.Parse(r[1], CultureInfo.InvariantCulture)], Lines: r[2] == "-" ? "0" : r[2])).ToList();
            Assert.Equal(2000, truth.Count);
            var first = await AskAsync(node, truth);
            foreach (var (state, expected) in first.Zip(truth))
            {
                Assert.Equal(expected.Lines, state.Exists && state.Json() != """{"lines":null}""" ? state.Json()[9..^1] : "0");
            }

            node = await node.RestartAsync();
            await SameAsync();
            await node.StopAsync();
            var folder = Path.Combine(node.Directory, Node.StatesFolder);
            Assert.Equal(areKept, node.Disk.ListFiles(folder).Count > 0);
            foreach (var file in node.Disk.ListFiles(folder))
            {
                node.Disk.DeleteFile(Path.Combine(folder, file));
            }

            node = await node.RestartAsync();
            await SameAsync();
            var streams = truth.Select(t => t.Stream).Distinct().ToList();
            await AppendAsync(node, Enumerable.Range(0, 100_000).Select(i => (string.Empty, Make.Append(Make.Stream(streams[i % streams.Count], Make.Any, Make.Event(data: """{"delta":1000000}"""))))));
            await SameAsync();
            Assert.Equal(first[0].Token, (await node.StateAsync(truth[0].Stream, new AsOf { Token = first[0].Token }, Lines)).Token);

            // Some of the answers come from states that were kept for those before them, if not for earlier rounds.
            async Task SameAsync()
            {
                var answers = await AskAsync(node, truth);
                Assert.Equal(areKept, answers.Any(s => s.Cost.HasKeptVersion));
                Assert.Equal(first.Select(s => (s.Exists, s.StateHash, s.Json, s.Token)), answers.Select(s => (s.Exists, s.StateHash, s.Json, s.Token)));
            }
        }
        finally
        {
            await node.DisposeAsync();
        }
    }

    private static async Task<List<State>> AskAsync(TestNode node, List<(string Stream, ulong Position, string Lines)> truth)
    {
        var answers = new List<State>();
        foreach (var some in truth.Chunk(200))
        {
            answers.AddRange(await Task.WhenAll(some.Select(t => node.StateAsync(t.Stream, new AsOf { Position = t.Position }, Lines))));
        }

        return answers;
    }

    // By the number of their source commit; those of one stand beside each other.
    private static IEnumerable<(string Commit, AppendRequest Append)> ReadHistory()
    {
        using var lines = new StreamReader(new GZipStream(File.OpenRead(Path.Combine(Data, "redis-history.jsonl.gz")), CompressionMode.Decompress));
        var (commit, append) = (string.Empty, new AppendRequest());
        while (lines.ReadLine() is { } line)
        {
            using var e = JsonDocument.Parse(line);
            var of = e.RootElement.GetProperty("batch").GetRawText();
            if (of != commit && append.Streams.Count > 0)
            {
                yield return (commit, append);
                append = new AppendRequest();
            }

            commit = of;
            var stream = e.RootElement.GetProperty("stream").GetString()!;
            var at = append.Streams.FirstOrDefault(s => s.Stream == stream);
            if (at is null)
            {
                append.OperationId = Make.Id();
                append.Streams.Add(at = new StreamAppend { Stream = stream, Expected = Make.Any });
            }

            at.Events.Add(Make.Event(data: e.RootElement.GetProperty("data").GetRawText()));
        }

        yield return (commit, append);
    }

    // The last position of each commit.
    private static async Task<Dictionary<int, ulong>> AppendAsync(TestNode node, IEnumerable<(string Commit, AppendRequest Append)> appends)
    {
        var positions = new Dictionary<int, ulong>();
        foreach (var some in appends.Chunk(MostInFlight))
        {
            await using var call = node.Channel.Start(Methods.AppendSession);
            foreach (var (i, (_, append)) in some.Index())
            {
                call.Write(new AppendSessionRequest { RequestId = (ulong)i, Append = append });
            }

            await call.CompleteAsync();
            while (await call.MoveNextAsync())
            {
                foreach (var result in call.Current.Results)
                {
                    if (int.TryParse(some[(int)result.RequestId].Commit, CultureInfo.InvariantCulture, out var commit))
                    {
                        positions[commit] = result.Result.LastPosition;
                    }
                }
            }
        }

        return positions;
    }
}
