using System.Text;
using EventVault.Storage.Index;
using EventVault.Storage.Io;
using EventVault.Storage.Log;
using EventVault.Storage.Queries;
using EventVault.Storage.Tests.Simulated;

namespace EventVault.Storage.Tests.Log;

/// <summary>What is left of deleted and truncated streams. Random runs of it: ReplicaPowerLossTests.</summary>
public sealed class StreamLifeTests
{
    private const string StatePath = SmallVault.Directory + "/index/state";
    private static readonly SipKey Key = new(1, 2);

    [Theory]
    [InlineData("a")]
    [InlineData("\"quoted\\\"")]
    [InlineData("\u00e9-\u4e16\u754c-\U0001F600")]
    public void An_event_says_again_what_was_written(string name)
    {
        var bytes = StreamLifeEvent.Encode(7, StreamChangeKind.Tombstone, Encoding.UTF8.GetBytes(name), new StreamVersion(long.MaxValue >> 2));
        Assert.True(StreamLifeEvent.TryRead(View("$streams", bytes), Key, out var change));
        Assert.Equal(new LifeChange(StreamKey.Compute(Encoding.UTF8.GetBytes(name), Key), new StreamLife(new StreamVersion(long.MaxValue >> 2), true), new Position(5)), change);
        Assert.True(EventFields.TryReadId(bytes, out var id) && id == 7);
        var digest = new SipHash128(Key);
        Assert.Equal(EventProblem.None, EventFields.Check(bytes, new VaultLimits(), ref digest));
    }

    [Fact]
    public void Events_of_other_streams_and_types_do_nothing_and_what_they_add_is_ignored()
    {
        var deleted = StreamLifeEvent.Encode(7, StreamChangeKind.Delete, "a"u8, new StreamVersion(1));
        Assert.False(StreamLifeEvent.TryRead(View("$settings", deleted), Key, out _));
        Assert.False(StreamLifeEvent.TryRead(View("streams", deleted), Key, out _));
        Assert.False(StreamLifeEvent.TryRead(View("$streams", EventFields.Encode(7, "$stream-retention-set"u8, "{}"u8, 9)), Key, out _));
        var more = EventFields.Encode(7, "$stream-truncated"u8, "{\"why\":{\"before\":9},\"before\":3,\"stream\":\"a\",\"list\":[1]}"u8, 1);
        Assert.True(StreamLifeEvent.TryRead(View("$streams", more), Key, out var change));
        Assert.Equal(new StreamLife(new StreamVersion(3), false), change.Life);
    }

    // To overlook it would show what was deleted.
    [Fact]
    public void What_a_later_version_means_by_it_is_refused_and_what_nobody_writes_is_our_own_fault()
    {
        var later = EventFields.Encode(7, "$stream-deleted"u8, "{\"stream\":\"a\",\"before\":3}"u8, 2);
        Assert.Contains("schema version 2", Assert.Throws<UnsupportedFormatException>(() => StreamLifeEvent.TryRead(View("$streams", later), Key, out _)).Message, StringComparison.Ordinal);
        foreach (var data in (string[])["", "[]", "{", "{\"stream\":\"a\"}", "{\"before\":1}", "{\"stream\":\"\",\"before\":1}", "{\"stream\":\"a\",\"before\":-1}", "{\"stream\":\"a\",\"before\":1.5}", "{\"stream\":\"a\",\"before\":\"1\"}"])
        {
            var bytes = EventFields.Encode(7, "$stream-deleted"u8, Encoding.UTF8.GetBytes(data), 1);
            Assert.Throws<InvariantException>(() => StreamLifeEvent.TryRead(View("$streams", bytes), Key, out _));
        }
    }

    [Fact]
    public void The_state_table_gives_back_the_lives_and_an_impossible_value_is_as_good_as_lost()
    {
        var files = new SimulatedFileSystem();
        files.CreateDirectory("/index");
        uint segment = 0;
        var history = new LifeHistory();
        Assert.Equal([.. BitConverter.GetBytes(-1L)], history.Value().Value);
        history.Add(View("$streams", StreamLifeEvent.Encode(1, StreamChangeKind.Truncate, "a"u8, new StreamVersion(4)), position: 3), Key);
        history.Add(View("$streams", StreamLifeEvent.Encode(1, StreamChangeKind.Truncate, "a"u8, new StreamVersion(2)), position: 4), Key);
        history.Add(View("$streams", StreamLifeEvent.Encode(1, StreamChangeKind.Tombstone, "b"u8, new StreamVersion(0)), position: 9), Key);
        var value = history.Value().Value;
        Assert.Equal(8 + 64, value.Length);
        var lives = new StreamLives(Key);
        Read(value)!.CopyTo(lives);
        Assert.Equal((2, new Position(9)), (lives.Count, lives.LastChange));
        Assert.Equal(new StreamLife(new StreamVersion(4), false), lives.Of(StreamKey.Compute("a"u8, Key)));
        Assert.Equal(new StreamLife(new StreamVersion(0), true), lives.Of(StreamKey.Compute("b"u8, Key)));
        Assert.Equal(default, lives.Of(StreamKey.Compute("c"u8, Key)));
        Assert.Equal(value, Read(value)!.Value().Value);

        Assert.Null(Read([]));
        Assert.Null(Read(value[..^1]));
        Assert.Null(Read([.. BitConverter.GetBytes(-1L), .. value[8..]]));
        Assert.Null(Read(value[..8]));
        Assert.Null(Read([.. value[..8], .. value[40..], .. value[8..40]])); // Not ascending.
        Assert.Null(Read([.. value[..24], .. BitConverter.GetBytes(-1L), .. value[32..]]));
        Assert.Null(Read([.. value[..32], .. BitConverter.GetBytes(2u), .. value[36..]]));

        LifeHistory? Read(byte[] bytes)
        {
            StateTable.Open(files, "/index/state").Rewrite(segment++, [new("streams", bytes), RetentionValue.Of(new RetentionRules())]);
            return LifeHistory.From(StateTable.Open(files, "/index/state"));
        }
    }

    // Older versions wrote tables without it, and one may have run for a while in between. Then it comes from the log: by the
    // index of each segment, or group by group where there is none.
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_state_table_that_does_not_know_of_lives_is_made_again_equal(bool withoutIndex)
    {
        var vault = WithChanges();
        vault.Stop();
        var before = Bytes(vault.Files, StatePath);
        var table = StateTable.Open(vault.Files, StatePath);
        var known = table.Values.Where(v => v.Key != "streams").ToList();
        Assert.Equal(1, table.AppliedThrough);
        vault.Files.DeleteFile(StatePath);
        StateTable.Open(vault.Files, StatePath).Rewrite(1, known);
        if (withoutIndex)
        {
            vault.Files.DeleteFile($"{SmallVault.Directory}/index/{0:D20}.ix");
            vault.Files.DeleteFile($"{SmallVault.Directory}/index/{1:D20}.ix");
        }

        vault.Reopen();
        vault.Model.Check(vault.Storage, new Random(1));
        vault.Stop();
        Assert.Equal(before, Bytes(vault.Files, StatePath));
    }

    [Fact]
    public void Lives_are_there_after_a_start_by_the_state_table_and_by_what_is_not_sealed()
    {
        var vault = WithChanges();
        vault.Model.Check(vault.Storage, new Random(1));
        Assert.Equal(4, vault.Storage.Lives.Count);
        vault.Kill();
        vault.Reopen();
        vault.Model.Check(vault.Storage, new Random(2));
        Assert.Equal(4, vault.Storage.Lives.Count);
        foreach (var (stream, check) in (ValueTuple<string, AppendCheck>[])[("deleted", AppendCheck.Ok), ("dead", AppendCheck.Conflict), ("late", AppendCheck.Ok), ("cut", AppendCheck.Conflict)])
        {
            var append = Encoded.Append(vault.Storage, 999, (stream, ExpectedKind.NoStream, -1, [Encoded.Event(999, "T", "x"u8)]));
            vault.Storage.Reader.LookUp(append, out _);
            Assert.Equal(check, vault.Storage.Tail.Check(append, out _));
        }
    }

    // What is pending counts for the sequencer and for nobody else.
    [Fact]
    public void Until_it_is_committed_a_deletion_counts_for_appends_and_not_for_readers()
    {
        var vault = new SmallVault();
        vault.Append("a", 10);
        var group = vault.Write(vault.Change(StreamChangeKind.Delete, "a"));
        var a = vault.Storage.Reader.Reference("a"u8);
        Assert.True(vault.Storage.Lives.IsEmpty);
        Assert.Equal(0, vault.Storage.Reader.FirstVisible(a).Value);
        Assert.Single(vault.Storage.Streams.List(default, default, 10));
        var item = new QueryItem([Encoding.UTF8.GetBytes("T")], []);
        var filter = EventFilter.Create(vault.Storage, default, default, [item], default, null);
        Assert.Equal(Position.None, vault.Storage.Tail.LastMatch(filter, Position.None));
        Assert.Equal(1, vault.Storage.Reader.CountMatching(filter, default, vault.Storage.Head));
        vault.Write(vault.Event("a", 10));
        Assert.Equal(2, vault.Storage.Tail.LastMatch(filter, Position.None).Value);

        vault.Storage.Log.Flush();
        vault.Storage.Commit(group.Index);
        Assert.Equal(1, vault.Storage.Reader.FirstVisible(a).Value);
        Assert.Equal(0, vault.Storage.Reader.CountMatching(filter, default, vault.Storage.Head));
        Assert.Empty(vault.Storage.Streams.List(default, default, 10));
        vault.Flush();
        vault.Model.Check(vault.Storage, new Random(1));
    }

    [Fact]
    public void A_stream_is_never_cut_behind_its_end()
    {
        var vault = new SmallVault();
        vault.Append("a", 10);
        foreach (var (before, problem) in (ValueTuple<long, StreamChangeProblem>[])[(2, StreamChangeProblem.BehindEnd), (1, StreamChangeProblem.None)])
        {
            var content = Encoded.Change(vault.Storage, 77, new ModelChange(StreamChangeKind.Truncate, "a", before));
            vault.Storage.Reader.LookUp(content, out _);
            Assert.Equal(problem == StreamChangeProblem.None ? AppendCheck.Ok : AppendCheck.Conflict, vault.Storage.Tail.Check(content, out _));
            Assert.Equal(problem, content.Change!.Problem);
        }
    }

    // What is known of changed streams is kept for ever, in memory and in a value that can't take any number of them.
    [Fact]
    public void No_more_streams_are_changed_than_the_limit_says_but_those_again()
    {
        var vault = new SmallVault();
        foreach (var stream in (string[])["a", "b", "c"])
        {
            vault.Append(stream, 10);
            vault.Append(stream, 10);
        }

        vault.Write(vault.Change(StreamChangeKind.Truncate, "a", 1), vault.Change(StreamChangeKind.Delete, "b"));
        vault.Stop();
        using var storage = VaultStorage.Open(
            vault.Files, SmallVault.Directory, new StorageOptions { SegmentSizeBytes = StorageOptions.MinSegmentSizeBytes, ChangedStreams = 2 }, vault.Clock).CommitAll();
        foreach (var kind in (StreamChangeKind[])[StreamChangeKind.Truncate, StreamChangeKind.Delete, StreamChangeKind.Tombstone])
        {
            Assert.Equal(StreamChangeProblem.None, Problem("a", kind));
            Assert.Equal(StreamChangeProblem.TooMany, Problem("c", kind));
        }

        StreamChangeProblem Problem(string stream, StreamChangeKind kind)
        {
            var content = Encoded.Change(storage, 77, new ModelChange(kind, stream, 2));
            storage.Reader.LookUp(content, out _);
            storage.Tail.Check(content, out _);
            return content.Change!.Problem;
        }
    }

    [Fact]
    public void Appends_and_changes_are_checked_as_a_plain_list_would_over_commits_seals_and_restarts()
    {
        var random = new Random(11);
        var vault = new SmallVault();
        var outcomes = new Dictionary<string, int>();
        for (var i = 0; i < 3000; i++)
        {
            if (random.Next(50) == 0)
            {
                vault.Write(vault.Event("$reducers", 20));
            }

            var isRetry = vault.Model.Count > 0 && random.Next(8) == 0;
            var append = isRetry ? vault.Model.Events[random.Next(vault.Model.Count)].Append : RandomAppend(vault, random);
            var expected = isRetry ? "Known" : Expected(vault.Model, append);
            var content = append.Content(vault.Storage);
            var inSealed = vault.Storage.Reader.LookUp(content, out _);
            if (random.Next(10) == 0)
            {
                vault.Flush();
                vault.Storage.StepBackground(); // What the look-up said may be in a sealed segment now.
            }

            var check = inSealed ? AppendCheck.Known : vault.Storage.Tail.Check(content, out _);
            var outcome = check == AppendCheck.Conflict && content.Change is { Problem: not StreamChangeProblem.None } change ? $"{change.Problem}" : $"{check}";
            Assert.Equal(expected, outcome);
            outcomes[outcome] = outcomes.GetValueOrDefault(outcome) + 1;
            if (check == AppendCheck.Ok)
            {
                vault.Write(append);
            }

            if (random.Next(300) == 0)
            {
                vault.Stop();
                vault.Reopen();
                vault.Model.Check(vault.Storage, random);
            }
        }

        Assert.Equal(["BehindEnd", "Conflict", "Known", "LookAgain", "NotFound", "Ok", "Tombstoned"], outcomes.Keys.Order(StringComparer.Ordinal));
        Assert.All(outcomes, o => Assert.True(o.Value >= 10, $"{o.Value} times {o.Key}"));
        Assert.True(vault.Storage.SegmentCounts.Sealed > 3);
        vault.Flush();
        vault.Model.Check(vault.Storage, random);
    }

    [Fact]
    public void A_page_of_streams_is_bounded_work_though_nearly_all_of_them_are_deleted()
    {
        var vault = new SmallVault();
        for (var i = 0; i < 30; i++)
        {
            vault.Append($"s-{i:D2}", 10);
            if (i != 25)
            {
                vault.Write(vault.Change(StreamChangeKind.Delete, $"s-{i:D2}"));
            }
        }

        vault.Flush();
        var (pages, after) = (0, Array.Empty<byte>());
        var found = new List<string>();
        while (after is not null)
        {
            found.AddRange(vault.Storage.Streams.List("s-"u8, after, 10, mostLooks: 8, out after).Select(d => Encoding.UTF8.GetString(d.Name)));
            pages++;
        }

        Assert.Equal(["s-25"], found);
        Assert.Equal(4, pages);
    }

    [Fact]
    public void A_truncation_that_hides_nothing_costs_readers_nothing()
    {
        var vault = new SmallVault();
        vault.Append("a", 10);
        vault.Write(vault.Change(StreamChangeKind.Truncate, "a", 0));
        vault.Flush();
        Assert.True(vault.Storage.Lives.IsEmpty);
        vault.Model.Check(vault.Storage, new Random(1));
    }

    // A retry whose operation id is forgotten is answered by what was written, whether it can still be read or not.
    [Fact]
    public void Events_that_can_not_be_read_any_more_still_prove_that_they_were_written()
    {
        var vault = new SmallVault();
        var append = new ModelAppend(500, [("a", ExpectedKind.NoStream, -1, [Encoded.Event(501, "T", "1"u8), Encoded.Event(502, "T", "2"u8), Encoded.Event(503, "T", "3"u8)])]);
        vault.Write(append);
        vault.Flush();
        foreach (var change in (Func<ModelAppend>[])[() => vault.Change(StreamChangeKind.Truncate, "a", 2), () => vault.Change(StreamChangeKind.Delete, "a")])
        {
            vault.Write(change());
            vault.Flush();
            var proof = AppendProof.Find(vault.Storage.Reader, append.Content(vault.Storage));
            Assert.Equal((0, 2, true), (proof!.First.Value, proof.Last.Value, proof.SameContent));
        }

        var other = new ModelAppend(500, [("a", ExpectedKind.NoStream, -1, [Encoded.Event(501, "T", "1"u8), Encoded.Event(999, "T", "2"u8)])]);
        Assert.Null(AppendProof.Find(vault.Storage.Reader, other.Content(vault.Storage)));
        foreach (var stream in (string[])["a", "never-written"])
        {
            var impossible = new ModelAppend(500, [(stream, ExpectedKind.Exact, long.MaxValue, [Encoded.Event(501, "T", "1"u8)])]);
            Assert.Null(AppendProof.Find(vault.Storage.Reader, impossible.Content(vault.Storage)));
        }
    }

    private static ModelAppend RandomAppend(SmallVault vault, Random random)
    {
        var fresh = vault.Event("", random.Next(600));
        var expected = (ExpectedKind)random.Next(1, 5);
        var stream = $"s-{random.Next(40)}";
        var last = vault.Model.Versions.GetValueOrDefault(stream, -1);
        var version = expected == ExpectedKind.Exact ? last + (random.Next(3) == 0 ? random.Next(-1, 2) : 0) : -1;
        if (random.Next(4) > 0)
        {
            return new ModelAppend(fresh.Id, [(stream, expected, version, fresh.Streams[0].Events)]);
        }

        var kind = random.Next(20) switch { 0 => StreamChangeKind.Tombstone, < 8 => StreamChangeKind.Delete, _ => StreamChangeKind.Truncate };
        var before = kind == StreamChangeKind.Truncate ? random.NextInt64(0, last + 3) : last + 1;
        var anchors = kind != StreamChangeKind.Truncate || random.Next(2) == 0 ? null : new ModelAnchors(
            vault.Model.Versions.GetValueOrDefault("$reducers", -1) - (random.Next(6) == 0 ? 1 : 0),
            vault.Model.Lives.GetValueOrDefault(stream).First + (random.Next(6) == 0 ? 1 : 0),
            [.. Enumerable.Range(0, random.Next(3)).Select(i => ($"$state-{i}-{stream}", fresh.Streams[0].Events[0]))]);
        return ModelAppend.Of(fresh.Id, new ModelChange(kind, stream, before, expected, version) { Anchors = anchors });
    }

    private static string Expected(VaultModel model, ModelAppend append)
    {
        var (stream, expected, version) = append.Change is { } c ? (c.Stream, c.Expected, c.Version) : (append.Streams[0].Stream, append.Streams[0].Expected, append.Streams[0].Version);
        var last = model.Versions.GetValueOrDefault(stream, -1);
        var isTombstoned = model.Lives.GetValueOrDefault(stream).IsTombstoned;
        var holds = expected switch
        {
            ExpectedKind.NoStream => !model.HasEvents(stream),
            ExpectedKind.Exists => model.HasEvents(stream),
            ExpectedKind.Exact => last == version,
            _ => true,
        };
        return append.Change switch
        {
            null => holds && !isTombstoned ? "Ok" : "Conflict",
            _ when isTombstoned => "Tombstoned",
            { Kind: StreamChangeKind.Tombstone } when last < 0 => "NotFound",
            { Kind: not StreamChangeKind.Tombstone } when !model.HasEvents(stream) => "NotFound",
            _ when !holds => "Conflict",
            { Before: var before } when before > last + 1 => "BehindEnd",
            { Anchors: { } anchors } when anchors.Reducers != model.Versions.GetValueOrDefault("$reducers", -1) || anchors.First != model.Lives.GetValueOrDefault(stream).First => "LookAgain",
            _ => "Ok",
        };
    }

    private static EventView View(string stream, byte[] eventData, long position = 5) =>
        new(Encoding.UTF8.GetBytes(stream), eventData, new Position(position), new StreamVersion(0), 1, 0, 0);

    // Two sealed segments and one that is not, with changes in each of them.
    private static SmallVault WithChanges()
    {
        var vault = new SmallVault();
        foreach (var stream in (string[])["whole", "deleted", "dead", "cut", "late"])
        {
            vault.Append(stream);
            vault.Append(stream);
            vault.Append(stream);
        }

        vault.Write(vault.Change(StreamChangeKind.Delete, "deleted"), vault.Change(StreamChangeKind.Truncate, "cut", 1));
        vault.Flush();
        vault.Append("big", 55_000);
        vault.Write(vault.Change(StreamChangeKind.Tombstone, "dead"), vault.Event("deleted", 10));
        vault.Write(vault.Change(StreamChangeKind.Truncate, "cut", 2));
        vault.Flush();
        vault.Append("big", 55_000);
        vault.Write(vault.Change(StreamChangeKind.Delete, "deleted"), vault.Change(StreamChangeKind.Delete, "late"));
        vault.Flush();
        vault.StepAll();
        Assert.Equal((2, 1), vault.Storage.SegmentCounts);
        return vault;
    }

    private static byte[] Bytes(SimulatedFileSystem files, string path)
    {
        using var file = files.OpenFile(path, FileOpening.ReadExisting);
        var bytes = new byte[file.Length];
        file.Read(0, bytes);
        return bytes;
    }
}
