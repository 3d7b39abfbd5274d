using System.Reflection;
using System.Text;
using EventVault.Storage;
using EventVault.Storage.Log;
using EventVault.Temporal.Reducers;

namespace EventVault.Temporal.Tests;

/// <summary>Anchors are truth: what was written once must be read for ever, and so must the states in it.</summary>
public sealed class AnchorTests
{
    private static readonly Dictionary<string, Reducer> Reducers = new(StringComparer.Ordinal)
    {
        ["slots"] = SlotsReducer.Parse("n = COUNT(*), s = SUM(v), least = MIN(v), most = MAX(w), mean = AVG(v), f = FIRST(w), l = LAST(w), set = SET_ADD(v % 3) FILTER (WHERE v > 1)"),
        ["keyed"] = SlotsReducer.Parse("n = COUNT(*), s = SUM(v) BY w"),
        ["merge"] = MergePatchReducer.Instance,
    };

    private static string Golden => typeof(AnchorTests).Assembly.GetCustomAttributes<AssemblyMetadataAttribute>().First(a => a.Key == "Golden").Value!;

    [Theory]
    [InlineData("slots")]
    [InlineData("keyed")]
    [InlineData("merge")]
    public void What_version_1_wrote_is_read_and_written_again_byte_for_byte(string name)
    {
        var (reducer, path) = (Reducers[name], Path.Combine(Golden, $"anchor-1-{name}.bin"));
        var made = Make(reducer);
        if (Environment.GetEnvironmentVariable("EVENTVAULT_WRITE_GOLDEN") is { Length: > 0 } folder)
        {
            File.WriteAllBytes(Path.Combine(folder, Path.GetFileName(path)), made.ToEvent().EventData);
        }

        var written = File.ReadAllBytes(path);
        Assert.Equal(written, made.ToEvent().EventData);
        var anchor = Anchor.Decode(DataOf(written));
        Assert.Equal(("order-ü", 3, 7, 41, SomeEvent.Time, SomeEvent.Time - 5), (
            Encoding.UTF8.GetString(anchor.Stream), anchor.First.Value, anchor.Version.Value, anchor.Event.Position.Value, anchor.Event.RecordedAt, anchor.Event.OccurredAt));
        Assert.Equal(reducer.Hash, anchor.ReducerHash);

        // Folded on it gives what the whole history gives.
        var state = anchor.Restore(reducer, FoldLimits.Default);
        new SomeEvent("""{"v":9,"w":"b","x":{"a":null}}""").ApplyTo(state);
        Assert.Equal(Some.Fold(reducer, [.. History, new SomeEvent("""{"v":9,"w":"b","x":{"a":null}}""")]).Json(), state.Json());
    }

    [Fact]
    public void The_name_of_its_stream_is_the_documented_one()
    {
        Assert.Equal(
            "$state-" + Convert.ToHexStringLower(MergePatchReducer.Instance.Hash)[..32] + "-72a90ea3da8b5dd01bde2f27314e02e2",
            Encoding.ASCII.GetString(Anchor.StreamName(MergePatchReducer.Instance.Hash, "order-17"u8)));
    }

    [Fact]
    public void A_changed_byte_is_found()
    {
        var data = DataOf(Make(Reducers["keyed"]).ToEvent().EventData);
        for (var i = 0; i < data.Length; i++)
        {
            data[i] ^= 1;
            var e = Record.Exception(() => Anchor.Decode(data));
            Assert.True(e is InvalidDataException or UnsupportedFormatException, $"Byte {i}: {e}");
            data[i] ^= 1;
        }

        for (var length = 0; length < data.Length; length++)
        {
            Assert.Throws<InvalidDataException>(() => Anchor.Decode(data.AsSpan(0, length)));
        }
    }

    [Fact]
    public void A_state_other_than_the_one_that_was_saved_is_refused()
    {
        var anchor = Make(Reducers["merge"]);
        var other = Some.Fold(Reducers["merge"], new SomeEvent("""{"v":0}""")).Saved();
        Assert.Throws<InvalidDataException>(() => (anchor with { Saved = other }).Restore(Reducers["merge"], FoldLimits.Default));
    }

    [Fact]
    public void None_is_made_where_none_is_needed_or_where_something_is_missing()
    {
        using var vault = new TestVault();
        vault.Append("s", Enumerable.Range(0, 50).Select(i => $$"""{"v":{{i}}}"""));
        using var kept = new StateSnapshots(vault.Files, vault.StateFolder, vault.Storage.VaultId, new StateSnapshotRule());
        var (reader, stream, reducer) = (new StateReader(vault.Reader, kept, FoldLimits.Default), vault.Stream("s"), Reducers["slots"]);
        Assert.Null(reader.MakeAnchor(reducer, vault.Stream("typo"), new(5), default));
        Assert.Null(reader.MakeAnchor(reducer, stream, new(0), default));
        Assert.Equal(49, Assert.Throws<VersionNotReachedException>(() => reader.MakeAnchor(reducer, stream, new(51), default)).Last.Value);
        Assert.Throws<StateTooLargeException>(() => new StateReader(vault.Reader, kept, new FoldLimits(40)).MakeAnchor(reducer, stream, new(20), default));

        // Two nodes, or two attempts, make equal ones.
        var anchor = reader.MakeAnchor(reducer, stream, new(20), default)!.Value;
        Assert.Equal(anchor.EventData, reader.MakeAnchor(reducer, stream, new(20), default)!.Value.EventData);
        vault.Change(StreamChangeKind.Truncate, "s", 20, anchor);
        Assert.Null(reader.MakeAnchor(reducer, stream, new(20), default));
        vault.Change(StreamChangeKind.Truncate, "s", 30);
        Assert.Null(reader.MakeAnchor(reducer, stream, new(40), default));
        Assert.Throws<IncompleteHistoryException>(() => reader.Read(reducer, stream, vault.Reader.Head, new(null, false, long.MaxValue), default));
    }

    [Fact]
    public void Only_an_anchor_stands_in_never_what_this_node_happens_to_keep()
    {
        using var vault = new TestVault();
        vault.Append("s", Enumerable.Range(0, 50).Select(i => $$"""{"v":{{i}}}"""));
        using var kept = new StateSnapshots(vault.Files, vault.StateFolder, vault.Storage.VaultId, new StateSnapshotRule(1, 0));
        var (reader, stream, all) = (new StateReader(vault.Reader, kept, FoldLimits.Default), vault.Stream("s"), new StateOptions(null, false, long.MaxValue));
        reader.Read(Reducers["slots"], stream, vault.Reader.Head, all, default);
        reader.Read(Reducers["merge"], stream, vault.Reader.Head, all, default);
        var anchor = reader.MakeAnchor(Reducers["slots"], stream, new(20), default)!.Value;
        vault.Change(StreamChangeKind.Truncate, "s", 20, anchor);
        Assert.Equal(50, reader.Read(Reducers["slots"], stream, vault.Reader.Head, all, default).State!.Counts.Events);
        Assert.Equal(20, reader.ReadAtVersion(Reducers["slots"], stream, new(19), all, default).State!.Counts.Events);
        var e = Assert.Throws<IncompleteHistoryException>(() => reader.Read(Reducers["merge"], stream, vault.Reader.Head, all, default));
        Assert.Equal((20, 20, SomeEvent.Time + 10), (e.Earliest.Version.Value, e.Earliest.Position.Value, e.Earliest.Time));
        Assert.Equal(19, Assert.Throws<HistoryTruncatedException>(() => reader.ReadAtVersion(Reducers["slots"], stream, new(18), all, default)).Earliest.Version.Value);
        Assert.Equal(20, Assert.Throws<HistoryTruncatedException>(() => reader.ReadAtVersion(Reducers["merge"], stream, new(18), all, default)).Earliest.Version.Value);

        // All of it gone: there is no moment left until it is written again.
        vault.Change(StreamChangeKind.Truncate, "s", 50);
        var gone = Assert.Throws<HistoryTruncatedException>(() => reader.Read(Reducers["merge"], stream, vault.Reader.Head, all with { AllowPartial = true }, default));
        Assert.Equal(new EarliestMoment(new(50), Position.None, 0), gone.Earliest);
    }

    private static readonly SomeEvent[] History =
        [new("""{"v":1,"w":"a","x":{"a":1,"b":[1,2]}}"""), new("""{"v":2.50,"w":"b"}"""), new("no JSON"), new("""{"v":"text","w":"a","x":{"b":null}}"""), new("""{"v":5,"w":null}""")];

    private static Anchor Make(Reducer reducer)
    {
        var state = Some.Fold(reducer, History);
        return new Anchor(
            reducer.Hash, "order-ü"u8.ToArray(), new(3), new FoldedEvent(new(7), new(41), SomeEvent.Time, SomeEvent.Time - 5), state.JsonHash(), state.Saved());
    }

    // The only field that is long, field 3.
    private static byte[] DataOf(byte[] eventData)
    {
        var reader = new WireReader(eventData);
        while (reader.Next())
        {
            if (reader.Field == 3)
            {
                return reader.Bytes.ToArray();
            }
        }

        throw new InvalidOperationException("An event has data.");
    }
}
