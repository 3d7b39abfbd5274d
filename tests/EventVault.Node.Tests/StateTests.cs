using System.Security.Cryptography;
using EventVault.Node.Tests.Support;
using EventVault.Protocol;
using EventVault.Rpc;
using Google.Protobuf;

namespace EventVault.Node.Tests;

/// <summary>GetState over the wire: every cut, every refusal, and what happens to streams in between.</summary>
public sealed class StateTests
{
    private static readonly ReducerReference Sum = StateCallsOfNode.Slots("n = SUM(data.n), count = COUNT(*)");

    [Fact]
    public async Task Each_cut_gives_the_state_of_its_moment()
    {
        await using var node = await TestNode.StartAsync();
        var answers = await node.AppendNumbersAsync("s-1", 3);
        await node.AppendAsync("other", Make.Any);
        var head = await node.StateAsync("s-1", reducer: Sum);
        Assert.Equal("""{"count":3,"n":6}""", head.Json());
        Assert.Equal(SHA256.HashData(head.Json.Span), head.StateHash);
        Assert.Equal((true, 2ul, 2ul, answers[2].RecordedAt, 3ul), (head.Exists, head.Version, head.Position, head.RecordedAt, head.Counts.Events));
        Assert.Equal((3ul, false), (head.Cut.Position, head.Cut.SplitsAppend));
        Assert.Equal(32, head.ReducerHash.Length);
        AsOf[] cuts =
        [
            new() { Version = 1 }, new() { Position = 1 }, new() { Time = answers[1].RecordedAt }, new() { Time = answers[2].RecordedAt - 1 }, new() { BeforeTime = answers[2].RecordedAt },
        ];
        foreach (var cut in cuts)
        {
            var state = await node.StateAsync("s-1", cut, Sum);
            Assert.Equal(("""{"count":2,"n":3}""", 1ul, 1ul), (state.Json(), state.Version, state.Cut.Position));
            var again = await node.StateAsync("s-1", new AsOf { Token = state.Token }, Sum);
            Assert.Equal((state.Json, state.StateHash, state.Token, state.Cut.Position), (again.Json, again.StateHash, again.Token, again.Cut.Position));
        }

        Assert.Equal("""{"n":3}""", (await node.StateAsync("s-1")).Json()); // merge_patch is what events of JSON need no definition for.
    }

    [Fact]
    public async Task Before_its_first_event_a_stream_does_not_exist_and_one_that_never_did_is_not_found()
    {
        await using var node = await TestNode.StartAsync();
        await node.AppendAsync("first", Make.Any);
        await node.AppendNumbersAsync("s-1", 1);
        var before = await node.StateAsync("s-1", new AsOf { Position = 0 }, Sum);
        Assert.Equal((false, false, false, false, 0), (before.Exists, before.Deleted, before.HasVersion, before.HasPosition, before.Json.Length));
        Assert.Equal(0ul, before.Cut.Position);
        var beforeAll = await node.StateAsync("s-1", new AsOf { Time = 0 }, Sum);
        Assert.Equal((false, false), (beforeAll.Exists, beforeAll.Cut.HasPosition));
        Assert.Equal(beforeAll.Token, (await node.StateAsync("s-1", new AsOf { Token = beforeAll.Token }, Sum)).Token);
        var failure = await Fails.WithAsync(RpcCode.NotFound, Reason.StreamNotFound, () => node.StateAsync("s-2", new AsOf { Time = 0 }));
        Assert.Equal("s-2", failure.Stream);
    }

    [Fact]
    public async Task A_cut_inside_an_append_tells_so()
    {
        await using var node = await TestNode.StartAsync();
        await node.AppendAsync(Make.Append(Make.Stream("a", Make.Any, Make.Events(2)), Make.Stream("b", Make.Any)));
        await node.AppendAsync("a", Make.Any);
        Assert.True((await node.StateAsync("a", new AsOf { Position = 0 })).Cut.SplitsAppend);
        Assert.True((await node.StateAsync("a", new AsOf { Version = 1 })).Cut.SplitsAppend);
        Assert.False((await node.StateAsync("b", new AsOf { Position = 2 })).Cut.SplitsAppend);
        Assert.False((await node.StateAsync("a", new AsOf { Position = 3 })).Cut.SplitsAppend);
    }

    [Fact]
    public async Task What_is_not_there_yet_is_refused_or_awaited()
    {
        await using var node = await TestNode.StartAsync();
        await node.AppendNumbersAsync("s-1", 2);
        var version = await Fails.WithAsync(RpcCode.OutOfRange, Reason.VersionNotReached, () => node.StateAsync("s-1", new AsOf { Version = 2 }));
        Assert.Equal(("s-1", 1ul), (version.Stream, version.Version));
        var position = await Fails.WithAsync(RpcCode.OutOfRange, Reason.PositionNotReached, () => node.StateAsync("s-1", new AsOf { Position = 2 }));
        Assert.Equal(1ul, position.Position);
        await Fails.WithAsync(RpcCode.OutOfRange, Reason.PositionNotReached, () => node.StateAsync("s-1", new AsOf { Position = ulong.MaxValue }));
        await Fails.WithAsync(RpcCode.OutOfRange, Reason.VersionNotReached, () => node.StateAsync("s-1", new AsOf { Version = ulong.MaxValue }));
        var future = await Fails.WithAsync(RpcCode.FailedPrecondition, Reason.AsOfInFuture, () => node.StateAsync("s-1", new AsOf { Time = long.MaxValue }));
        Assert.True(future.ClosedTime > 0);

        var waiting = node.StateAsync("s-1", new AsOf { Version = 2, Wait = true }, Sum);
        var waitingToo = node.StateAsync("s-1", new AsOf { Position = 2, Wait = true }, Sum);
        await node.AppendNumbersAsync("s-1", 1, first: 3);
        Assert.Equal("""{"count":3,"n":6}""", (await waiting).Json());
        Assert.Equal("""{"count":3,"n":6}""", (await waitingToo).Json());

        await BehindAsync(node);
    }

    [Fact]
    public async Task A_time_that_is_awaited_comes()
    {
        var clock = new HandClock();
        await using var node = await TestNode.StartAsync(o => o with { Clock = clock });
        await node.AppendNumbersAsync("s-1", 1);
        var time = clock.Ticks + TimeSpan.TicksPerHour;
        await Fails.WithAsync(RpcCode.FailedPrecondition, Reason.AsOfInFuture, () => node.ResolveAsync(new ResolveTimeRequest { Time = time }));
        var waiting = node.StateAsync("s-1", new AsOf { Time = time, Wait = true }, Sum);
        await node.AppendNumbersAsync("s-1", 1, first: 2);
        Assert.False(waiting.IsCompleted);
        clock.Pass(TimeSpan.FromHours(1));
        Assert.Equal("""{"count":2,"n":3}""", (await waiting).Json());
        Assert.True((await node.ResolveAsync(new ResolveTimeRequest { Time = time })).ClosedTime >= time);
    }

    [Fact]
    public async Task An_idle_vault_asked_as_of_a_moment_ago_says_the_same_after_a_later_append_and_a_restart()
    {
        var clock = new HandClock();
        var node = await TestNode.StartAsync(o => o with { Clock = clock });
        try
        {
            await node.AppendNumbersAsync("s-1", 1);
            clock.Pass(TimeSpan.FromMinutes(1));
            var ago = clock.Ticks - TimeSpan.TicksPerMillisecond;
            var before = await node.StateAsync("s-1", new AsOf { Time = ago }, Sum);
            Assert.True(before.Cut.ClosedTime >= ago, before.ToString());

            // The clock goes back: what is recorded now must not get a time that was closed.
            clock.Jump(TimeSpan.FromSeconds(-30));
            var appended = await node.AppendNumbersAsync("s-1", 1, first: 2);
            Assert.True(appended[0].RecordedAt > ago, appended[0].ToString());
            for (var restart = 0; restart < 2; restart++)
            {
                var after = await node.StateAsync("s-1", new AsOf { Time = ago }, Sum);
                Assert.Equal((before.Json, before.StateHash, before.Token, before.Cut.Position), (after.Json, after.StateHash, after.Token, after.Cut.Position));
                node = await node.RestartAsync();
            }
        }
        finally
        {
            await node.DisposeAsync();
        }
    }

    [Fact]
    public async Task On_the_second_axis_late_events_stand_where_they_happened()
    {
        await using var node = await TestNode.StartAsync();
        var (late, early) = (Make.Event(data: """{"n":"late"}"""), Make.Event(data: """{"n":"early"}"""));
        (late.OccurredAt, early.OccurredAt) = (2_000, 1_000);
        await node.AppendAsync("s-1", Make.Any, late);
        await node.AppendAsync("s-1", Make.Any, early);
        var last = StateCallsOfNode.Slots("n = LAST(data.n)");
        Assert.Equal("""{"n":"early"}""", (await node.StateAsync("s-1", reducer: last)).Json());
        var both = await node.StateAsync("s-1", new AsOf { Occurred = 2_000 }, last);
        Assert.Equal(("""{"n":"late"}""", 2_000L), (both.Json(), both.OccurredAt));
        var then = await node.StateAsync("s-1", new AsOf { Position = 1, Occurred = 1_999 }, last);
        Assert.Equal("""{"n":"early"}""", then.Json());
        Assert.False((await node.StateAsync("s-1", new AsOf { Occurred = 999 }, last)).Exists);

        // The token knows the axis, and is not to be given another.
        Assert.Equal(then.Json, (await node.StateAsync("s-1", new AsOf { Token = then.Token }, last)).Json);
        await Fails.WithAsync(RpcCode.InvalidArgument, Reason.InvalidRequest, () => node.StateAsync("s-1", new AsOf { Token = then.Token, Occurred = 2_000 }, last));
    }

    [Fact]
    public async Task A_deletion_changes_nothing_before_it_until_a_scavenge_and_a_tombstone_everything()
    {
        await using var node = await TestNode.StartAsync();
        await node.AppendNumbersAsync("s-1", 2);
        var deleted = await node.DeleteAsync("s-1");
        await node.AppendNumbersAsync("s-1", 1, first: 10);
        for (var look = 0; look < 2; look++)
        {
            Assert.Equal("""{"count":2,"n":3}""", (await node.StateAsync("s-1", new AsOf { Position = deleted - 1 }, Sum)).Json());
            Assert.Equal("""{"count":1,"n":1}""", (await node.StateAsync("s-1", new AsOf { Version = 0 }, Sum)).Json());
            var gone = await node.StateAsync("s-1", new AsOf { Position = deleted }, Sum);
            Assert.Equal((false, true), (gone.Exists, gone.Deleted));
            Assert.Equal("""{"count":1,"n":10}""", (await node.StateAsync("s-1", reducer: Sum)).Json());
        }

        await node.Channel.UnaryAsync(RpcMethod<StartScavengeRequest, ScavengeStatus>.Of(AdminReflection.Descriptor.Services[0], "StartScavenge"), new StartScavengeRequest { OperationId = Make.Id() });
        foreach (var cut in (AsOf[])[new() { Version = 1 }, new() { Position = deleted - 1 }])
        {
            var failure = await Fails.WithAsync(RpcCode.OutOfRange, Reason.HistoryTruncated, () => node.StateAsync("s-1", cut, Sum));
            Assert.Equal(("s-1", deleted), (failure.Stream, failure.Earliest.Position));
        }

        Assert.Equal("""{"count":1,"n":10}""", (await node.StateAsync("s-1", reducer: Sum)).Json());
        await node.DeleteAsync("s-1", tombstone: true);
        foreach (var cut in (AsOf?[])[null, new() { Version = 2 }, new() { Position = 0 }])
        {
            Assert.Equal("s-1", (await Fails.WithAsync(RpcCode.FailedPrecondition, Reason.StreamTombstoned, () => node.StateAsync("s-1", cut, Sum))).Stream);
        }
    }

    [Fact]
    public async Task Without_an_anchor_a_truncated_state_is_refused_unless_a_partial_one_will_do()
    {
        await using var node = await TestNode.StartAsync();
        await node.AppendNumbersAsync("s-1", 4);
        await node.TruncateAsync("s-1", 2);
        var failure = await Fails.WithAsync(RpcCode.FailedPrecondition, Reason.IncompleteHistory, () => node.StateAsync("s-1", reducer: Sum));
        Assert.Equal(("s-1", 2ul, 2ul), (failure.Stream, failure.Earliest.Version, failure.Earliest.Position));
        Assert.True(failure.Earliest.Time > 0);
        var partial = await node.StateAsync("s-1", reducer: Sum, allowPartial: true);
        Assert.Equal(("""{"count":2,"n":7}""", true, 2ul), (partial.Json(), partial.HasPartialFromVersion, partial.PartialFromVersion));
        await Fails.WithAsync(RpcCode.OutOfRange, Reason.HistoryTruncated, () => node.StateAsync("s-1", new AsOf { Version = 0 }, Sum, allowPartial: true));
    }

    [Fact]
    public async Task A_state_that_grows_too_large_and_a_fold_that_takes_too_long_are_told()
    {
        await using var node = await TestNode.StartAsync(o => o with { StateBytes = 64 * 1024, FoldEvents = 5_000 });
        await node.AppendAsync("large", Make.Any, [.. Enumerable.Range(0, 9).Select(i => Make.Event(data: $$"""{"f{{i}}":"{{new string('x', 8 * 1024)}}"}"""))]);
        var large = await Fails.WithAsync(RpcCode.ResourceExhausted, Reason.StateTooLarge, () => node.StateAsync("large"));
        Assert.Equal(("large", "state_bytes", 64ul * 1024, "state-bytes"), (large.Stream, large.Limit.Limit, large.Limit.Allowed, large.Limit.Setting));
        await node.AppendAsync("long", Make.Any, Make.Events(5_001));
        var @long = await Fails.WithAsync(RpcCode.ResourceExhausted, Reason.ScanLimit, () => node.StateAsync("long", reducer: Sum));
        Assert.Equal(("long", "fold_events", 5_001ul, 5_000ul), (@long.Stream, @long.Limit.Limit, @long.Limit.Value, @long.Limit.Allowed));

        // The way out that the error names.
        await node.StateAsync("long", new AsOf { Version = 4_999 }, Sum);
        var state = await node.StateAsync("long", reducer: Sum);
        Assert.Equal((5_001ul, true), (state.Counts.Events, state.Cost.HasKeptVersion));
    }

    [Fact]
    public async Task A_long_fold_takes_a_place_and_gives_it_back_and_too_many_that_wait_are_refused()
    {
        await using var node = await TestNode.StartAsync();
        await node.AppendAsync("long", Make.Any, Make.Events(States.FoldPlaces.LongEvents + 1));
        var places = node.Node.Places;
        var taken = new List<IDisposable>();
        for (var i = 0; i < States.FoldPlaces.Places; i++)
        {
            taken.Add(await places.TakeAsync(CancellationToken.None));
        }

        var waiting = node.StateAsync("long", reducer: Sum);
        await Wait.UntilAsync(() => places.Waiting == 1, "the long fold to wait");
        await node.AppendNumbersAsync("short", 1);
        Assert.True((await node.StateAsync("short")).Exists); // Short ones don't.
        using (var others = new CancellationTokenSource())
        {
            var crowd = Enumerable.Range(1, States.FoldPlaces.MostWaiting - 1).Select(_ => places.TakeAsync(others.Token).AsTask()).ToArray();
            var refused = await Fails.WithAsync(RpcCode.ResourceExhausted, Reason.Overloaded, () => node.StateAsync("long", reducer: Sum));
            Assert.True(refused.RetryAfterMs > 0);
            await others.CancelAsync();
            await Task.WhenAll(crowd.Select(c => Assert.ThrowsAnyAsync<OperationCanceledException>(() => c)));
        }

        Assert.False(waiting.IsCompleted);
        taken.ForEach(t => t.Dispose());
        Assert.Equal(States.FoldPlaces.LongEvents + 1ul, (await waiting).Counts.Events);
        await node.StateAsync("long", new AsOf { Version = 10_000 }, StateCallsOfNode.Slots("c = COUNT(*)")); // The place is free again.
        Assert.Equal(0, places.Waiting);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_fold_of_few_large_events_takes_a_place_as_well(bool byOccurrence)
    {
        const int Events = 9;
        await using var node = await TestNode.StartAsync();
        var data = $$"""{"n":1,"a":"{{new string('a', States.FoldPlaces.LongBytes / Events)}}"}"""; // A little more than that together.
        var asOf = new AsOf();
        for (var i = 0; i < Events; i++)
        {
            await node.AppendAsync("large", Make.Any, Make.Event(data: data));
        }

        if (byOccurrence)
        {
            asOf.Occurred = long.MaxValue;
        }

        var places = node.Node.Places;
        var taken = new List<IDisposable>();
        for (var i = 0; i < States.FoldPlaces.Places; i++)
        {
            taken.Add(await places.TakeAsync(CancellationToken.None));
        }

        var waiting = node.StateAsync("large", asOf, Sum);
        await Wait.UntilAsync(() => places.Waiting == 1, "the large fold to wait");
        asOf = new AsOf { Version = Events - 2 };
        Assert.Equal(Events - 1ul, (await node.StateAsync("large", asOf, Sum)).Counts.Events); // Does not.
        Assert.False(waiting.IsCompleted);
        taken.ForEach(t => t.Dispose());
        Assert.Equal((ulong)Events, (await waiting).Counts.Events);
    }

    [Fact]
    public async Task A_node_that_stops_ends_a_call_that_waits()
    {
        var node = await TestNode.StartAsync();
        await using var _ = node;
        await node.AppendNumbersAsync("s-1", 1);
        var waiting = Fails.WithAsync(RpcCode.Unavailable, Reason.Draining, () => node.StateAsync("s-1", new AsOf { Version = 7, Wait = true }));
        await node.StateAsync("s-1"); // The other one is on its way, or refused: both end the same.
        var stopping = node.Node.StopAsync();
        await waiting;
        await stopping;
    }

    [Fact]
    public async Task What_a_request_must_not_say_is_refused_with_its_field()
    {
        await using var node = await TestNode.StartAsync();
        await node.AppendNumbersAsync("s-1", 1);
        var token = (await node.StateAsync("s-1", reducer: Sum)).Token;
        var foreign = token.ToByteArray();
        foreign[3] ^= 1;
        async Task RefusesAsync(string field, GetStateRequest request) =>
            Assert.Equal(field, (await Fails.WithAsync(RpcCode.InvalidArgument, Reason.InvalidRequest, () => node.StateAsync(request))).Field);
        await RefusesAsync("as_of.token", new GetStateRequest { Stream = "s-1", AsOf = new AsOf { Token = token } });
        await RefusesAsync("as_of.token", new GetStateRequest { Stream = "s-1", AsOf = new AsOf { Token = ByteString.CopyFrom(foreign) }, Reducer = Sum });
        await RefusesAsync("as_of.token", new GetStateRequest { Stream = "s-1", AsOf = new AsOf { Token = ByteString.Empty }, Reducer = Sum });
        await RefusesAsync("reducer.version", new GetStateRequest { Stream = "s-1", Reducer = new ReducerReference { Version = 1 } });
        await RefusesAsync("reducer.name", new GetStateRequest { Stream = "s-1", Reducer = StateCallsOfNode.Named("No") });
        await RefusesAsync("reducer.inline", new GetStateRequest { Stream = "s-1", Reducer = new ReducerReference { Inline = new ReducerDefinition() } });
        await RefusesAsync("consistency", new GetStateRequest { Stream = "s-1", Consistency = new Consistency() });
        Assert.Equal("reducer.name", (await Fails.WithAsync(RpcCode.NotFound, Reason.ReducerNotFound, () => node.StateAsync("s-1", reducer: StateCallsOfNode.Named("none")))).Field);
        var bad = await Fails.WithAsync(RpcCode.InvalidArgument, Reason.BadReducer, () => node.StateAsync("s-1", reducer: StateCallsOfNode.Slots("n = SUM(data.n), m = NO(1)")));
        Assert.Equal(("reducer.inline.slots", 21u), (bad.Field, bad.TextOffset));
        var large = await Fails.WithAsync(RpcCode.InvalidArgument, Reason.LimitExceeded, () => node.StateAsync("s-1", reducer: StateCallsOfNode.Slots(new string(' ', 16 * 1024 + 1))));
        Assert.Equal("reducer_bytes", large.Limit.Limit);
        Assert.Equal("stream", (await Fails.WithAsync(RpcCode.InvalidArgument, Reason.InvalidName, () => node.StateAsync(""))).Field);
        Assert.Equal("cut", (await Fails.WithAsync(RpcCode.InvalidArgument, Reason.InvalidRequest, () => node.ResolveAsync(new ResolveTimeRequest()))).Field);
    }

    [Fact]
    public async Task A_token_of_another_vault_is_none()
    {
        await using var one = await TestNode.StartAsync();
        await using var other = await TestNode.StartAsync();
        await one.AppendNumbersAsync("s-1", 1);
        await other.AppendNumbersAsync("s-1", 1);
        var token = (await one.StateAsync("s-1", reducer: Sum)).Token;
        await Fails.WithAsync(RpcCode.InvalidArgument, Reason.InvalidRequest, () => other.StateAsync("s-1", new AsOf { Token = token }, Sum));
    }

    [Fact]
    public async Task ResolveTime_tells_what_a_time_stands_for()
    {
        await using var node = await TestNode.StartAsync();
        var answers = await node.AppendNumbersAsync("s-1", 2);
        var at = await node.ResolveAsync(new ResolveTimeRequest { Time = answers[1].RecordedAt });
        Assert.Equal((1ul, answers[1].RecordedAt), (at.Position, at.RecordedAt));
        Assert.Equal(0ul, (await node.ResolveAsync(new ResolveTimeRequest { BeforeTime = answers[1].RecordedAt })).Position);
        Assert.False((await node.ResolveAsync(new ResolveTimeRequest { Time = long.MinValue })).HasPosition);
        Assert.False((await node.ResolveAsync(new ResolveTimeRequest { BeforeTime = long.MinValue })).HasPosition);
    }

    // With a deadline the answer comes before it, and says what is missing. On a busy machine the client's own time-out may come
    // first all the same, and tells nothing: then the call gets more time, and so does the node.
    private static async Task BehindAsync(TestNode node)
    {
        var request = new GetStateRequest { Stream = "s-1", AsOf = new AsOf { Version = 3, Wait = true } };
        for (var seconds = 1; ; seconds *= 3)
        {
            var e = await Assert.ThrowsAsync<RpcException>(() => node.StateAsync(request, TimeSpan.FromSeconds(seconds)));
            if (e.Code != RpcCode.DeadlineExceeded || seconds > 20)
            {
                Assert.Equal(Reason.VersionNotReached, Fails.Detail(RpcCode.OutOfRange, e).Failures[0].Reason);
                return;
            }
        }
    }
}
