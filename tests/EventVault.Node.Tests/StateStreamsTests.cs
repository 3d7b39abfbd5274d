using EventVault.Node.States;
using EventVault.Node.Tests.Support;
using EventVault.Protocol;
using EventVault.Rpc;
using EventVault.Temporal;
using Google.Protobuf;
using Content = EventVault.Protocol.GetStatesResponse.ContentOneofCase;

namespace EventVault.Node.Tests;

/// <summary>GetStates, GetStateHistory and the calls for folds by clients, over the wire.</summary>
public sealed class StateStreamsTests
{
    private static readonly ReducerReference Sum = StateCallsOfNode.Slots("n = SUM(data.n)");

    [Fact]
    public async Task A_history_waits_its_turn_if_much_lies_before_its_range()
    {
        await using var node = await TestNode.StartAsync();
        await node.AppendAsync("s", Make.Any, Make.Events(FoldPlaces.LongEvents + 10));
        var held = new List<IDisposable>();
        for (var i = 0; i < FoldPlaces.Places; i++)
        {
            held.Add(await node.Node.Places.TakeAsync(default));
        }

        var history = node.HistoryAsync(new GetStateHistoryRequest
        {
            Stream = "s",
            From = new AsOf { Version = FoldPlaces.LongEvents + 5 },
            Events = 1,
            Reducer = StateCallsOfNode.Slots("n = COUNT(*)"),
        });
        await Wait.UntilAsync(() => node.Node.Places.Waiting == 1, "the history");
        held.ForEach(place => place.Dispose());
        Assert.Equal(5, (await history).Count(message => message.Step is not null));
    }

    [Fact]
    public async Task A_call_of_many_short_folds_waits_for_its_turn_once_in_as_many_events()
    {
        using var places = new FoldPlaces();
        var budget = new FoldBudget(1_000_000);
        budget.Spend(FoldPlaces.LongEvents);
        Assert.Equal(1, await places.RunAsync(_ => 1, budget, default)); // In its turn.
        budget.Spend(1);
        var held = new List<IDisposable>();
        for (var i = 0; i < FoldPlaces.Places; i++)
        {
            held.Add(await places.TakeAsync(default));
        }

        var next = places.RunAsync(_ => 2, budget, default);
        Assert.True(next.IsCompletedSuccessfully);
        Assert.Equal(2, await next);
        budget.Spend(FoldPlaces.LongEvents);
        var later = places.RunAsync(_ => 3, budget, default);
        Assert.False(later.IsCompleted);
        held.ForEach(place => place.Dispose());
        Assert.Equal(3, await later);
    }

    [Fact]
    public async Task A_call_of_many_short_folds_of_large_events_waits_for_its_turn()
    {
        using var places = new FoldPlaces();
        var budget = new FoldBudget(1_000_000);
        Assert.Equal(new FoldShare(FoldPlaces.LongEvents, FoldPlaces.LongBytes), await places.RunAsync(share => share, budget, default));
        budget.Spend(1, FoldPlaces.LongBytes - 1);
        Assert.Equal(new FoldShare(FoldPlaces.LongEvents - 1, 1), await places.RunAsync(share => share, budget, default));
        budget.Spend(1, 1);
        Assert.Equal(new FoldShare(1_000_000, null), await places.RunAsync(share => share, budget, default)); // In its turn.
        Assert.Equal(new FoldShare(FoldPlaces.LongEvents, FoldPlaces.LongBytes), await places.RunAsync(share => share, budget, default));
        Assert.Equal(7, await places.RunAsync(share => share.MostBytes is null ? 7 : throw new FoldTooLargeException(), budget, default));
    }

    [Fact]
    public async Task A_category_is_told_as_of_one_cut_in_the_order_of_names()
    {
        await using var node = await TestNode.StartAsync();
        for (var i = 9; i >= 0; i--)
        {
            await node.AppendNumbersAsync($"c-{i}", 2);
        }

        await node.AppendNumbersAsync("c", 1); // Named like the category: of it.
        await node.AppendNumbersAsync("cc-1", 1);
        var cut = (await node.StateAsync("c-5", new AsOf { Version = 0 })).Cut.Position; // 9 to 6 are whole, of 5 there is one event.
        var messages = await node.StatesAsync(new GetStatesRequest { Category = "c", AsOf = new AsOf { Position = cut }, Reducer = Sum });
        Assert.Equal(cut, messages[0].Cut.Position);
        Assert.Equal(["c-5 1", "c-6 3", "c-7 3", "c-8 3", "c-9 3"], Told(messages));
        var token = (await node.StateAsync("c-1", reducer: Sum)).Token;
        var all = await node.StatesAsync(new GetStatesRequest { Category = "c", Reducer = Sum });
        Assert.Equal(11, all.Count(m => m.ContentCase == Content.State));
        Assert.Equal("c 1", Told(all)[0]);
        Assert.All(all[1..], m => Assert.True(m.State.Cut is null && m.State.Token.IsEmpty));
        await node.DeleteAsync("c-4");
        var some = await node.StatesAsync(new GetStatesRequest { Category = "c", Reducer = Sum, After = "c-3", Limit = 2 });
        Assert.Equal(["c-5 3", "c-6 3"], Told(some)); // What does not exist does not count.
        Assert.Equal(Told(all), Told(await node.StatesAsync(new GetStatesRequest { Category = "c", Reducer = Sum, AsOf = new AsOf { Token = token } })));
    }

    [Fact]
    public async Task A_list_is_told_in_its_order_with_what_does_not_exist_and_failures_stop_nothing()
    {
        await using var node = await TestNode.StartAsync();
        await node.AppendNumbersAsync("a-1", 1);
        await node.AppendNumbersAsync("a-2", 3);
        await node.AppendNumbersAsync("a-3", 1);
        await node.AppendNumbersAsync("a-4", 1);
        await node.TruncateAsync("a-2", 1);
        await node.DeleteAsync("a-3", tombstone: true);
        var request = new GetStatesRequest { Reducer = Sum, AsOf = new AsOf { Position = 4 } };
        request.Streams.AddRange(["a-4", "none", "a-3", "a-2", "a-1"]);
        Assert.Equal(["a-4 -", "none StreamNotFound", "a-3 StreamTombstoned", "a-2 IncompleteHistory", "a-1 1"], Told(await node.StatesAsync(request)));
        request.AllowPartial = true;
        Assert.Contains("a-2 5", Told(await node.StatesAsync(request)));

        // Of a category, too: nobody would miss what is left out silently.
        Assert.Equal(
            ["a-1 1", "a-2 IncompleteHistory", "a-3 StreamTombstoned", "a-4 1"],
            Told(await node.StatesAsync(new GetStatesRequest { Category = "a", Reducer = Sum })));
    }

    [Fact]
    public async Task What_requests_for_many_states_must_not_say_is_refused()
    {
        await using var node = await TestNode.StartAsync();
        await node.AppendNumbersAsync("a-1", 1);
        async Task<Failure> RefusesAsync(Reason reason, GetStatesRequest request) => await Fails.WithAsync(RpcCode.InvalidArgument, reason, () => node.StatesAsync(request));
        await RefusesAsync(Reason.InvalidRequest, new GetStatesRequest());
        await RefusesAsync(Reason.InvalidRequest, new GetStatesRequest { Category = "a", Streams = { "a-1" } });
        await RefusesAsync(Reason.InvalidRequest, new GetStatesRequest { Category = "a-1" });
        await RefusesAsync(Reason.InvalidRequest, new GetStatesRequest { Streams = { "a-1" }, Limit = 1 });
        await RefusesAsync(Reason.InvalidRequest, new GetStatesRequest { Streams = { "a-1" }, After = "a" });
        await RefusesAsync(Reason.InvalidName, new GetStatesRequest { Streams = { "a-1", "" } });
        Assert.Equal("as_of.version", (await RefusesAsync(Reason.InvalidRequest, new GetStatesRequest { Category = "a", AsOf = new AsOf { Version = 0 } })).Field);
        var many = new GetStatesRequest();
        many.Streams.AddRange(Enumerable.Range(0, 1_001).Select(i => $"a-{i}"));
        Assert.Equal("states_listed", (await RefusesAsync(Reason.LimitExceeded, many)).Limit.Limit);
        Assert.Empty((await node.StatesAsync(new GetStatesRequest { Category = "none" }))[1..]);
    }

    [Fact]
    public async Task A_large_category_comes_whole_while_its_client_takes_its_time()
    {
        await using var node = await TestNode.StartAsync(WithLargeAppends);
        var append = new List<StreamAppend>();
        for (var i = 0; i < 3_000; i++)
        {
            append.Add(Make.Stream($"m-{i:D4}", Make.Any, Make.Event(data: $$"""{"n":{{i}},"text":"{{new string('x', 300)}}"}""")));
        }

        await node.AppendAsync(Make.Append([.. append]));
        var states = Told(await node.StatesAsync(new GetStatesRequest { Category = "m", Reducer = Sum }));
        Assert.Equal(Enumerable.Range(0, 3_000).Select(i => $"m-{i:D4} {i}"), states);
        Assert.Equal(3_000, (await node.StatesAsync(new GetStatesRequest { Category = "m" })).Count(m => m.State is { Json.Length: > 300 }));
    }

    [Fact]
    public async Task A_history_shows_each_change_every_so_many_events_or_ticks()
    {
        await using var node = await TestNode.StartAsync();
        var answers = await node.AppendNumbersAsync("s-1", 2);
        await node.AppendAsync("s-1", Make.Any, Make.Event(data: """{"n":0}""")); // Changes nothing.
        answers.AddRange(await node.AppendNumbersAsync("s-1", 2, first: 3));
        GetStateHistoryRequest Asks(Action<GetStateHistoryRequest> set)
        {
            var request = new GetStateHistoryRequest { Stream = "s-1", Reducer = Sum };
            set(request);
            return request;
        }

        var changes = await node.HistoryAsync(Asks(r => r.EachChange = new Empty()));
        Assert.Equal(4ul, changes[0].Cut.Position);
        Assert.Equal(["0: 1", "1: 3", "3: 6", "4: 10"], Told(changes));
        Assert.Equal(["1: 3", "3: 6", "4: 10"], Told(await node.HistoryAsync(Asks(r => r.Events = 2))));
        Assert.Equal(["1: 3", "3: 6"], Told(await node.HistoryAsync(Asks(r => (r.EachChange, r.From, r.Until) = (new Empty(), new AsOf { Version = 1 }, new AsOf { Position = 3 })))));
        Assert.Equal(["0: 1", "1: 3"], Told(await node.HistoryAsync(Asks(r => (r.EachChange, r.Limit) = (new Empty(), 2)))));
        Assert.Equal(
            ["1: 3", "3: 6"],
            Told(await node.HistoryAsync(Asks(r => (r.EachChange, r.From, r.Until) = (new Empty(), new AsOf { Time = answers[1].RecordedAt }, new AsOf { BeforeTime = answers[3].RecordedAt })))));
        Assert.Empty(Told(await node.HistoryAsync(Asks(r => (r.EachChange, r.From, r.Until) = (new Empty(), new AsOf { Version = 3 }, new AsOf { Version = 1 })))));
        var step = (answers[3].RecordedAt - answers[0].RecordedAt) / 2;
        var ticks = await node.HistoryAsync(Asks(r => (r.Ticks, r.From, r.Until) = (step, new AsOf { Time = answers[0].RecordedAt - step }, new AsOf { Time = answers[3].RecordedAt })));
        Assert.Equal([-1, 0, 1, 2], ticks[1..].Select(t => (int)Math.Round((double)(t.Step.Time - answers[0].RecordedAt) / step)));
        Assert.Equal((false, true), (ticks[1].Step.State.Exists, ticks[2].Step.State.Exists));
        foreach (var at in ticks[1..])
        {
            Assert.Equal((await node.StateAsync("s-1", new AsOf { Time = at.Step.Time }, Sum)).Json, at.Step.State.Json);
        }
    }

    [Fact]
    public async Task A_history_shows_deletions_and_what_came_behind_them()
    {
        await using var node = await TestNode.StartAsync();
        await node.AppendNumbersAsync("s-1", 2);
        var deleted = await node.DeleteAsync("s-1");
        await node.AppendNumbersAsync("s-1", 1, first: 7);
        var steps = (await node.HistoryAsync(new GetStateHistoryRequest { Stream = "s-1", Reducer = Sum, EachChange = new Empty() }))[1..];
        Assert.Equal(["1", "3", "-", "7"], steps.Select(s => s.Step.State.Exists ? Number(s.Step.State) : "-"));
        Assert.Equal((true, deleted), (steps[2].Step.State.Deleted, steps[2].Step.State.Position));
    }

    [Fact]
    public async Task A_long_history_goes_out_page_by_page_and_ends_at_its_limit()
    {
        await using var node = await TestNode.StartAsync(WithLargeAppends);
        await node.AppendAsync("long", Make.Any, [.. Enumerable.Range(1, 12_000).Select(i => Make.Event(data: $$"""{"n":{{i}}}"""))]);
        var steps = await node.HistoryAsync(new GetStateHistoryRequest { Stream = "long", Reducer = Sum, EachChange = new Empty() });
        Assert.Equal(10_001, steps.Count);
        Assert.Equal(10_000L * 10_001 / 2, long.Parse(Number(steps[^1].Step.State), System.Globalization.CultureInfo.InvariantCulture));
        var rare = await node.HistoryAsync(new GetStateHistoryRequest { Stream = "long", Reducer = Sum, Events = 5_000 });
        Assert.Equal([4_999ul, 9_999ul, 11_999ul], rare[1..].Select(s => s.Step.State.Version));
        Assert.Equal(0, node.Node.Places.Waiting);
    }

    [Fact]
    public async Task What_requests_for_histories_must_not_say_is_refused()
    {
        await using var node = await TestNode.StartAsync();
        await node.AppendNumbersAsync("s-1", 1);
        async Task RefusesAsync(string field, Action<GetStateHistoryRequest> set)
        {
            var request = new GetStateHistoryRequest { Stream = "s-1", EachChange = new Empty() };
            set(request);
            Assert.Equal(field, (await Fails.WithAsync(RpcCode.InvalidArgument, Reason.InvalidRequest, () => node.HistoryAsync(request))).Field);
        }

        await RefusesAsync("step", r => r.EachChange = null);
        await RefusesAsync("events", r => r.Events = 0);
        await RefusesAsync("ticks", r => (r.Ticks, r.From, r.Until) = (0, new AsOf { Time = 0 }, new AsOf { Time = 1 }));
        await RefusesAsync("ticks", r => r.Ticks = 1);
        await RefusesAsync("from.occurred", r => r.From = new AsOf { Occurred = 1 });
        await RefusesAsync("until.occurred", r => r.Until = new AsOf { Occurred = 1 });
        await Fails.WithAsync(RpcCode.NotFound, Reason.StreamNotFound, () => node.HistoryAsync(new GetStateHistoryRequest { Stream = "none", EachChange = new Empty() }));
    }

    [Fact]
    public async Task A_client_folds_from_where_it_kept_a_state_and_over_deletions_behind_its_cut()
    {
        await using var node = await TestNode.StartAsync();
        await node.AppendAsync("s-1", Make.Any, Make.Events(3_000));
        var request = new ReadForFoldRequest { Stream = "s-1", Fold = "cart 1" };
        var (head, events) = Folded(await node.ForFoldAsync(request));
        Assert.Equal((true, 0ul, 2_999ul, false), (head.Exists, head.FirstVersion, head.LastVersion, head.HasKeptVersion));
        Assert.Equal(Enumerable.Range(0, 3_000).Select(v => (ulong)v), events.Select(e => e.Version));
        Assert.Equal(await node.ReadStreamAsync(new ReadStreamRequest { Stream = "s-1" }), events);
        var put = new PutFoldSnapshotRequest { Stream = "s-1", Fold = "cart 1", FirstVersion = 0, Version = 2_000, State = ByteString.CopyFromUtf8("kept") };
        Assert.True(await node.PutFoldAsync(put));
        Assert.False(await node.PutFoldAsync(put)); // Too near.
        (head, events) = Folded(await node.ForFoldAsync(request));
        Assert.Equal(("kept", 2_000ul, 2_001ul), (head.KeptState.ToStringUtf8(), head.KeptVersion, events[0].Version));
        Assert.False(Folded(await node.ForFoldAsync(new ReadForFoldRequest { Stream = "s-1" })).Head.HasKeptVersion);
        Assert.False(Folded(await node.ForFoldAsync(new ReadForFoldRequest { Stream = "s-1", Fold = "cart 1", AsOf = new AsOf { Version = 1_999 } })).Head.HasKeptVersion);

        var deleted = await node.DeleteAsync("s-1");
        (head, events) = Folded(await node.ForFoldAsync(request));
        Assert.Equal((false, true, 3_000ul, 0), (head.Exists, head.Deleted, head.FirstVersion, events.Count));
        await node.AppendNumbersAsync("s-1", 1);
        (head, events) = Folded(await node.ForFoldAsync(request));
        Assert.Equal((3_000ul, 3_000ul, 1), (head.FirstVersion, head.LastVersion, events.Count));
        (head, events) = Folded(await node.ForFoldAsync(new ReadForFoldRequest { Stream = "s-1", AsOf = new AsOf { Position = deleted - 1 } }));
        Assert.Equal((0ul, 2_999ul, 3_000), (head.FirstVersion, head.LastVersion, events.Count)); // Hidden by now, and still there.
    }

    [Fact]
    public async Task A_fold_of_what_is_truncated_begins_behind_it_only_if_that_will_do()
    {
        await using var node = await TestNode.StartAsync();
        await node.AppendNumbersAsync("s-1", 4);
        await node.TruncateAsync("s-1", 2);
        await Fails.WithAsync(RpcCode.FailedPrecondition, Reason.IncompleteHistory, () => node.ForFoldAsync(new ReadForFoldRequest { Stream = "s-1" }));
        var (head, events) = Folded(await node.ForFoldAsync(new ReadForFoldRequest { Stream = "s-1", AllowPartial = true }));
        Assert.Equal((2ul, 2, 2ul), (head.PartialFromVersion, events.Count, events[0].Version));
        await Fails.WithAsync(RpcCode.NotFound, Reason.StreamNotFound, () => node.ForFoldAsync(new ReadForFoldRequest { Stream = "none" }));
        async Task<Failure> RefusesAsync(Reason reason, Func<Task> call) => await Fails.WithAsync(RpcCode.InvalidArgument, reason, call);
        await RefusesAsync(Reason.InvalidRequest, () => node.ForFoldAsync(new ReadForFoldRequest { Stream = "s-1", AsOf = new AsOf { Occurred = 1 } }));
        await RefusesAsync(Reason.LimitExceeded, () => node.ForFoldAsync(new ReadForFoldRequest { Stream = "s-1", Fold = new string('f', 257) }));
        await RefusesAsync(Reason.InvalidRequest, () => node.PutFoldAsync(new PutFoldSnapshotRequest { Stream = "s-1" }));
        await RefusesAsync(Reason.InvalidRequest, () => node.PutFoldAsync(new PutFoldSnapshotRequest { Stream = "s-1", Fold = "f", FirstVersion = 2, Version = 1 }));
        await RefusesAsync(Reason.LimitExceeded, () => node.PutFoldAsync(new PutFoldSnapshotRequest { Stream = "s-1", Fold = "f", State = ByteString.CopyFrom(new byte[1024 * 1024 + 1]) }));
        await Fails.WithAsync(RpcCode.OutOfRange, Reason.VersionNotReached, () => node.PutFoldAsync(new PutFoldSnapshotRequest { Stream = "s-1", Fold = "f", Version = 4 }));
    }

    [Fact]
    public async Task States_of_eager_reducers_are_there_before_anybody_asks()
    {
        await using var node = await TestNode.StartAsync();
        await node.DefineAsync(new DefineReducerRequest
        {
            OperationId = Make.Id(),
            Name = "r",
            Definition = Sum.Inline,
            Categories = { "e" },
            Eager = true,
        });
        await node.AppendAsync("e-1", Make.Any, Make.Events(2_000));
        await node.AppendAsync("f-1", Make.Any, Make.Events(2_000));
        await Wait.UntilAsync(() => node.Node.Eager.Through >= node.Node.Storage.Head, "the new events to be looked at");
        var covered = await node.StateAsync("e-1", new AsOf { Version = 1_500 }, StateCallsOfNode.Named("r"));
        Assert.Equal((1_023ul, 477ul), (covered.Cost.KeptVersion, covered.Cost.EventsFolded));
        Assert.False((await node.StateAsync("f-1", new AsOf { Version = 1_500 }, StateCallsOfNode.Named("r"))).Cost.HasKeptVersion);
    }

    private static NodeOptions WithLargeAppends(NodeOptions options) => options with { SegmentSizeBytes = 16 * TestNode.SegmentSizeBytes };

    private static List<string> Told(List<GetStatesResponse> messages)
    {
        Assert.Equal(Content.Cut, messages[0].ContentCase);
        return [.. messages[1..].Where(m => m.ContentCase != Content.LookedUntil).Select(m => m.ContentCase == Content.State
            ? $"{m.State.Stream} {(m.State.Exists ? Number(m.State) : "-")}"
            : $"{m.Failure.Stream} {Assert.Single(m.Failure.Error.Detail.Failures).Reason}")];
    }

    private static List<string> Told(List<GetStateHistoryResponse> messages) =>
        [.. messages[1..].Select(m => $"{m.Step.State.Version}: {Number(m.Step.State)}")];

    private static string Number(State state) => state.Json()[5..^1];

    private static (FoldHead Head, List<RecordedEvent> Events) Folded(List<ReadForFoldResponse> messages) =>
        (messages[0].Head, [.. messages[1..].SelectMany(m => m.Events.Events)]);
}
