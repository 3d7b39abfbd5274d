using System.Text;
using EventVault.Storage.Log;

namespace EventVault.Storage.Tests.Log;

/// <summary>Events that go with a truncation, all or nothing; and definitions of reducers.</summary>
public sealed class AnchorTests
{
    [Fact]
    public void A_truncation_and_its_anchors_are_one_append_and_a_retry_is_the_same_whatever_anchors_it_brings()
    {
        var vault = new SmallVault();
        vault.Append("a", 10);
        vault.Append("a", 10);
        vault.Append("$reducers", 10);
        var truncation = vault.Anchored("a", 1, "$state-1", "$state-2");
        vault.Write(truncation);
        Assert.Equal(3, truncation.EventCount);
        vault.Flush();
        vault.Model.Check(vault.Storage, new Random(1));
        Assert.Equal(1, vault.Storage.Reader.FirstVisible(vault.Storage.Reader.Reference("a"u8)).Value);

        foreach (var anchors in (TruncationAnchors?[])[null, new(StreamVersion.None, default, []), new(new StreamVersion(7), new StreamVersion(1), [new("$state-9"u8.ToArray(), Encoded.Event(99, "T", "x"u8))])])
        {
            var retry = Truncation(vault.Storage, truncation.Id, before: 1, anchors);
            Assert.Equal(AppendCheck.Known, vault.Storage.Tail.Check(retry, out var place));
            Assert.True(vault.Storage.Reader.ReadAnswer(place, retry)!.SameContent);
        }

        var other = Truncation(vault.Storage, truncation.Id, before: 2, truncation.Content(vault.Storage).Change!.Anchors);
        Assert.Equal(AppendCheck.Known, vault.Storage.Tail.Check(other, out var there));
        Assert.False(vault.Storage.Reader.ReadAnswer(there, other)!.SameContent);
    }

    [Fact]
    public void Anchors_that_rest_on_what_is_not_so_any_more_have_to_be_made_again()
    {
        var vault = new SmallVault();
        vault.Append("a", 10);
        vault.Append("a", 10);
        vault.Append("$reducers", 10);
        Assert.Equal(StreamChangeProblem.None, Check(reducers: 0, first: 0));
        Assert.Equal(StreamChangeProblem.LookAgain, Check(reducers: -1, first: 0));
        Assert.Equal(StreamChangeProblem.LookAgain, Check(reducers: 0, first: 1));

        // Pending ones count: they come before it in the log.
        vault.Write(vault.Event("$reducers", 10));
        Assert.Equal(StreamChangeProblem.LookAgain, Check(reducers: 0, first: 0));
        vault.Write(vault.Change(StreamChangeKind.Truncate, "a", 1));
        Assert.Equal(StreamChangeProblem.LookAgain, Check(reducers: 1, first: 0));
        Assert.Equal(StreamChangeProblem.None, Check(reducers: 1, first: 1));
        vault.Flush();

        StreamChangeProblem Check(long reducers, long first)
        {
            var content = Truncation(vault.Storage, 777, before: 2, new TruncationAnchors(new StreamVersion(reducers), new StreamVersion(first), [new("$state-1"u8.ToArray(), Encoded.Event(9, "$anchor", "x"u8))]));
            vault.Storage.Reader.LookUp(content, out _);
            var check = vault.Storage.Tail.Check(content, out _);
            Assert.Equal(content.Change!.Problem == StreamChangeProblem.None ? AppendCheck.Ok : AppendCheck.Conflict, check);
            return content.Change.Problem;
        }
    }

    [Fact]
    public void Anchors_that_are_too_large_or_no_events_are_told_before_anything_is_written()
    {
        var vault = new SmallVault(segmentSizeBytes: 64 * 1024 * 1024);
        var limits = vault.Storage.Options.Limits;
        Assert.Equal("event_bytes", Problem([Encoded.Event(1, "$anchor", new byte[limits.EventBytes])]).Limit);
        Assert.Equal("append_bytes", Problem([.. Enumerable.Range(0, 5).Select(i => Encoded.Event(1, "$anchor", new byte[limits.EventBytes - 100]))]).Limit);
        Assert.NotEqual(EventProblemKind.None, Problem([[1, 2, 3]]).Kind);
        Assert.Equal(EventProblemKind.None, Problem([Encoded.Event(1, "$anchor", new byte[1024])]).Kind);
        foreach (var stream in (string[])["a", "$streams"])
        {
            Assert.Throws<InvariantException>(() => new AppendContent(vault.Storage).SetChange(
                new StreamChange(StreamChangeKind.Truncate, default) { Anchors = new(default, default, [new(Encoding.UTF8.GetBytes(stream), [])]) }, "a"u8, ExpectedKind.Any, default));
        }

        EventProblem Problem(byte[][] events)
        {
            var content = new AppendContent(vault.Storage) { OperationId = 5 };
            var anchors = new TruncationAnchors(default, default, [.. events.Select((e, i) => new AnchorEvent(Encoding.UTF8.GetBytes($"$state-{i}"), e))]);
            content.SetChange(new StreamChange(StreamChangeKind.Truncate, new StreamVersion(1)) { Anchors = anchors }, "a"u8, ExpectedKind.Any, default);
            return content.Check(out _, out _);
        }
    }

    [Fact]
    public void A_reducer_is_defined_at_the_version_that_was_looked_at_and_a_retry_is_known_by_what_was_asked()
    {
        var vault = new SmallVault();
        Assert.Equal(AppendCheck.Conflict, Check(id: 1, last: 0, "{}", "asked", out _));
        var first = Reducer(vault.Storage, 1, -1, "{\"version\":1}", "asked");
        Assert.Equal(AppendCheck.Ok, vault.Storage.Tail.Check(first, out _));
        vault.Write(new ModelAppend(1, [("$reducers", ExpectedKind.NoStream, -1, [EventFields.Encode(1, "$reducer-defined"u8, "{\"version\":1}"u8, 1)])]));
        vault.Flush();
        Assert.Equal(AppendCheck.Conflict, Check(id: 2, last: -1, "{}", "asked", out _));
        Assert.Equal(AppendCheck.Ok, Check(id: 2, last: 0, "{}", "asked", out _));

        // The digest is over what was asked alone.
        Assert.Equal(Reducer(vault.Storage, 3, 0, "{\"version\":7}", "asked").Digest, first.Digest);
        Assert.NotEqual(Reducer(vault.Storage, 1, -1, "{\"version\":1}", "asked for more").Digest, first.Digest);
        Assert.Equal(AppendCheck.Known, Check(id: 1, last: 0, "{\"version\":2}", "asked", out _));

        AppendCheck Check(UInt128 id, long last, string json, string asked, out AppendContent content)
        {
            content = Reducer(vault.Storage, id, last, json, asked);
            vault.Storage.Reader.LookUp(content, out _);
            return vault.Storage.Tail.Check(content, out _);
        }
    }

    private static AppendContent Reducer(VaultStorage storage, UInt128 id, long last, string json, string asked)
    {
        var content = new AppendContent(storage) { OperationId = id };
        content.SetReducer(Encoding.UTF8.GetBytes(json), new StreamVersion(last), Encoding.UTF8.GetBytes(asked));
        Assert.Equal(EventProblemKind.None, content.Check(out _, out _).Kind);
        return content;
    }

    private static AppendContent Truncation(VaultStorage storage, UInt128 id, long before, TruncationAnchors? anchors)
    {
        var content = new AppendContent(storage) { OperationId = id };
        content.SetChange(new StreamChange(StreamChangeKind.Truncate, new StreamVersion(before)) { Anchors = anchors }, "a"u8, ExpectedKind.Any, default);
        Assert.Equal(EventProblemKind.None, content.Check(out _, out _).Kind);
        return content;
    }
}
