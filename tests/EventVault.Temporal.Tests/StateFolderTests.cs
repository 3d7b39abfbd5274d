using System.Text;
using EventVault.Storage;
using EventVault.Storage.Log;
using EventVault.Temporal.Reducers;

namespace EventVault.Temporal.Tests;

/// <summary>States of streams in a real vault; what snapshots on the way must never change.</summary>
public sealed class StateFolderTests
{
    private static readonly Reducer Slots = SlotsReducer.Parse("n = COUNT(*), s = SUM(v), l = LAST(w), set = SET_ADD(v % 7)");

    [Theory]
    [InlineData(1, 0)]
    [InlineData(3, 0)]
    [InlineData(16, 1)]
    [InlineData(100, 4)]
    [InlineData(int.MaxValue, 4)]
    public void A_state_is_that_of_a_naive_replay_whatever_is_kept_on_the_way(int events, int factor)
    {
        using var vault = new TestVault();
        var streams = Fill(vault, seed: events);
        var random = new Random(events);
        foreach (var reducer in new[] { Slots, MergePatchReducer.Instance })
        {
            using var snapshots = new StateSnapshots(vault.Files, Path.Combine(vault.Folder, "state"), new StateSnapshotRule(events, factor));
            var folder = new StateFolder(vault.Reader, snapshots, FoldLimits.Default);
            for (var i = 0; i < 150; i++)
            {
                var (name, data) = streams.ElementAt(random.Next(streams.Count));
                var last = random.Next(-1, data.Count);
                var folded = folder.Fold(reducer, vault.Reader.Reference(Encoding.UTF8.GetBytes(name)), new(0), new(last), long.MaxValue, default);
                Assert.Equal(Some.Fold(reducer, data.Take(last + 1)).Json(), folded.State.Json());
                Assert.Equal(last + 1, folded.State.Counts.Events);
                Assert.Equal(last - (folded.KeptVersion?.Value ?? -1), folded.EventsFolded);
            }

            Assert.Equal(events == int.MaxValue, snapshots.Bytes <= 64);
        }
    }

    [Fact]
    public void Snapshots_outlive_the_node_and_shorten_what_comes_after()
    {
        using var vault = new TestVault();
        vault.Append("s", Enumerable.Range(0, 500).Select(i => $$"""{"v":{{i}}}"""));
        var stream = vault.Reader.Reference("s"u8);
        var path = Path.Combine(vault.Folder, "state");
        for (var start = 0; start < 3; start++)
        {
            using var snapshots = new StateSnapshots(vault.Files, path, new StateSnapshotRule(100, 0));
            var folder = new StateFolder(vault.Reader, snapshots, FoldLimits.Default);
            var folded = folder.Fold(Slots, stream, new(0), new(449), start == 0 ? 450 : 100, default);
            Assert.Equal((start == 0 ? null : 399, start == 0 ? 450 : 50), (folded.KeptVersion?.Value, folded.EventsFolded));

            // One that lies behind what is asked for is not taken.
            Assert.Equal(199, folder.Fold(Slots, stream, new(0), new(250), long.MaxValue, default).KeptVersion?.Value);

            // Nor is one of a fold that began elsewhere.
            Assert.Null(folder.Fold(Slots, stream, new(50), new(60), long.MaxValue, default).KeptVersion);
        }
    }

    [Fact]
    public void Equal_histories_keep_equal_snapshots_whatever_was_asked_for_in_between()
    {
        var kept = new List<byte[]>();
        for (var run = 0; run < 2; run++)
        {
            using var vault = new TestVault();
            vault.Append("s", Enumerable.Range(0, 700).Select(i => $$"""{"v":{{i % 50}},"w":"{{new string('x', i % 40)}}"}"""));
            using (var snapshots = new StateSnapshots(vault.Files, Path.Combine(vault.Folder, "state"), new StateSnapshotRule(20, 4)))
            {
                var folder = new StateFolder(vault.Reader, snapshots, FoldLimits.Default);
                foreach (var last in run == 0 ? new[] { 699 } : [10, 333, 90, 500, 699])
                {
                    folder.Fold(Slots, vault.Reader.Reference("s"u8), new(0), new(last), long.MaxValue, default);
                }
            }

            kept.Add(File.ReadAllBytes(Assert.Single(Directory.GetFiles(Path.Combine(vault.Folder, "state")))));
        }

        Assert.True(kept[0].Length > 2000);
        Assert.Equal(kept[0], kept[1]);
    }

    [Fact]
    public void Whatever_befalls_the_file_the_answer_stays_the_same()
    {
        using var vault = new TestVault();
        var data = Enumerable.Range(0, 400).Select(i => new SomeEvent($$"""{"v":{{i}},"w":"{{i}}"}""")).ToList();
        vault.Append("s", data.Select(e => e.Data));
        var (stream, random, path) = (vault.Reader.Reference("s"u8), new Random(5), Path.Combine(vault.Folder, "state"));
        for (var round = 0; round < 120; round++)
        {
            using (var snapshots = new StateSnapshots(vault.Files, path, new StateSnapshotRule(25, 0)))
            {
                var folder = new StateFolder(vault.Reader, snapshots, FoldLimits.Default);
                for (var i = 0; i < 4; i++)
                {
                    var last = random.Next(data.Count);
                    Assert.Equal(Some.Fold(Slots, data.Take(last + 1)).Json(), folder.Fold(Slots, stream, new(0), new(last), long.MaxValue, default).State.Json());
                }
            }

            var file = Assert.Single(Directory.GetFiles(path));
            var bytes = File.ReadAllBytes(file);
            switch (round % 3)
            {
                case 0:
                    bytes[random.Next(bytes.Length)] ^= (byte)(1 << random.Next(8));
                    break;
                case 1:
                    bytes = bytes[..random.Next(bytes.Length)];
                    break;
                default:
                    bytes.AsSpan(random.Next(bytes.Length)).Clear();
                    break;
            }

            File.WriteAllBytes(file, bytes);
        }
    }

    [Fact]
    public void Many_states_come_in_one_pass()
    {
        using var vault = new TestVault();
        var data = Enumerable.Range(0, 400).Select(i => new SomeEvent($$"""{"v":{{i}}}""")).ToList();
        vault.Append("s", data.Select(e => e.Data));
        using var snapshots = new StateSnapshots(vault.Files, Path.Combine(vault.Folder, "state"), new StateSnapshotRule(50, 0));
        var folder = new StateFolder(vault.Reader, snapshots, FoldLimits.Default);
        foreach (var begin in new[] { -1, 0, 130, 399 })
        {
            var seen = new List<(long, string)>();
            StreamVersion[] versions = [.. Enumerable.Range(begin, 400 - begin).Where(v => (v - begin) % 7 == 0).Select(v => new StreamVersion(v))];
            folder.FoldEach(Slots, vault.Reader.Reference("s"u8), new(0), versions, (v, folded) => seen.Add((v.Value, folded.State.Json())), long.MaxValue, default);
            Assert.Equal(versions.Select(v => (v.Value, Some.Fold(Slots, data.Take((int)v.Value + 1)).Json())), seen);
        }
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void On_the_second_axis_late_events_count_where_they_belong(bool anyLate)
    {
        using var vault = new TestVault();
        var random = new Random(4);
        var times = Enumerable.Range(0, 300).Select(i => SomeEvent.Time + (10 * i) - (anyLate && i % 9 == 0 ? random.Next(2000) / 10 * 10 : 0)).ToList();
        var data = times.Select((t, i) => (Data: $$"""{"v":{{i}},"w":{"at{{i % 5}}":{{t}} } }""", OccurredAt: (long?)t)).ToList();
        vault.Append("s", data);
        using var snapshots = new StateSnapshots(vault.Files, Path.Combine(vault.Folder, "state"), new StateSnapshotRule(10, 0));
        var folder = new StateFolder(vault.Reader, snapshots, FoldLimits.Default);
        foreach (var reducer in new[] { Slots, MergePatchReducer.Instance })
        {
            for (var i = 0; i < 60; i++)
            {
                var (last, until) = (random.Next(-1, 300), SomeEvent.Time - 20 + random.Next(3100));
                var expected = data.Take(last + 1).Where(e => e.OccurredAt <= until).OrderBy(e => e.OccurredAt).Select(e => new SomeEvent(e.Data));
                var folded = folder.FoldOccurred(reducer, vault.Reader.Reference("s"u8), new(0), new(last), until, long.MaxValue, default);
                Assert.Equal(Some.Fold(reducer, expected).Json(), folded.State.Json());
            }
        }

        Assert.Throws<FoldTooLongException>(() => folder.FoldOccurred(Slots, vault.Reader.Reference("s"u8), new(0), new(299), 0, 299, default));
    }

    [Fact]
    public void A_full_disk_costs_time_and_no_answer()
    {
        using var vault = new TestVault();
        vault.Append("s", Enumerable.Range(0, 100).Select(i => $$"""{"v":{{i}}}"""));
        File.WriteAllText(Path.Combine(vault.Folder, "state"), "a file where the folder should be");
        using var snapshots = new StateSnapshots(vault.Files, Path.Combine(vault.Folder, "state"), new StateSnapshotRule(10, 0));
        var folder = new StateFolder(vault.Reader, snapshots, FoldLimits.Default);
        for (var i = 0; i < 2; i++)
        {
            var folded = folder.Fold(Slots, vault.Reader.Reference("s"u8), new(0), new(99), long.MaxValue, default);
            Assert.Equal((100, null), (folded.State.Counts.Events, folded.KeptVersion));
        }
    }

    [Fact]
    public void More_definitions_than_files_are_kept_open()
    {
        using var vault = new TestVault();
        vault.Append("s", Enumerable.Range(0, 30).Select(i => $$"""{"v":{{i}}}"""));
        using var snapshots = new StateSnapshots(vault.Files, Path.Combine(vault.Folder, "state"), new StateSnapshotRule(10, 0));
        var folder = new StateFolder(vault.Reader, snapshots, FoldLimits.Default);
        for (var round = 0; round < 2; round++)
        {
            for (var i = 0; i < 100; i++)
            {
                var folded = folder.Fold(SlotsReducer.Parse($"s{i} = SUM(v)"), vault.Reader.Reference("s"u8), new(0), new(29), long.MaxValue, default);
                Assert.Equal($$"""{"s{{i}}":435}""", folded.State.Json());
                Assert.Equal(round == 0 ? null : 29, folded.KeptVersion?.Value);
            }
        }
    }

    [Fact]
    public void A_fold_is_bounded_and_can_be_cancelled()
    {
        using var vault = new TestVault();
        vault.Append("s", Enumerable.Range(0, 300).Select(i => $$"""{"v":{{i}}}"""));
        using var snapshots = new StateSnapshots(vault.Files, Path.Combine(vault.Folder, "state"), new StateSnapshotRule());
        var folder = new StateFolder(vault.Reader, snapshots, FoldLimits.Default);
        var e = Assert.Throws<FoldTooLongException>(() => folder.Fold(Slots, vault.Reader.Reference("s"u8), new(0), new(299), 299, default));
        Assert.Equal((300, 299), (e.Events, e.Allowed));
        using var cancelled = new CancellationTokenSource();
        cancelled.Cancel();
        Assert.Throws<OperationCanceledException>(() => folder.Fold(Slots, vault.Reader.Reference("s"u8), new(0), new(299), 300, cancelled.Token));
    }

    [Fact]
    public void What_was_taken_away_is_not_passed_over_in_silence()
    {
        using var vault = new TestVault();
        vault.Append("s", Enumerable.Range(0, 300).Select(i => $$"""{"v":{{i}}}"""));
        vault.Change(StreamChangeKind.Truncate, "s", 150);
        using var snapshots = new StateSnapshots(vault.Files, Path.Combine(vault.Folder, "state"), new StateSnapshotRule());
        var folder = new StateFolder(vault.Reader, snapshots, FoldLimits.Default);
        var stream = vault.Reader.Reference("s"u8);
        Assert.Throws<StreamChangedException>(() => folder.Fold(Slots, stream, new(0), new(299), long.MaxValue, default));
        Assert.Throws<StreamChangedException>(() => folder.Fold(Slots, stream, new(0), new(10), long.MaxValue, default));
        Assert.Equal(150, folder.Fold(Slots, stream, new(150), new(299), long.MaxValue, default).State.Counts.Events);
    }

    private static Dictionary<string, List<SomeEvent>> Fill(TestVault vault, int seed)
    {
        var random = new Random(seed);
        var streams = new Dictionary<string, List<SomeEvent>>();
        for (var i = 0; i < 500; i++)
        {
            var name = "s-" + random.Next(4);
            var data = Enumerable.Range(0, random.Next(1, 6)).Select(_ => random.Next(20) == 0
                ? "no JSON"
                : $$"""{"v":{{random.Next(100)}},"w":{{RandomJson.Object(random, 2).ToJsonString()}}}""").ToList();
            vault.Append(name, data);
            (streams.TryGetValue(name, out var events) ? events : streams[name] = []).AddRange(data.Select(d => new SomeEvent(d, Stream: name)));
        }

        return streams;
    }
}
