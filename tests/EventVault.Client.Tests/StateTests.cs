using System.Text;
using EventVault.Client.Tests.Support;
using EventVault.Rpc;
using Google.Protobuf;

namespace EventVault.Client.Tests;

/// <summary>States, histories and named reducers, as they go over the wire.</summary>
public sealed class StateTests
{
    private static readonly DateTimeOffset Noon = new(2026, 3, 1, 12, 0, 0, TimeSpan.FromHours(1));
    private static readonly long NoonTicks = VaultTime.ToTicks(Noon);
    private static readonly string Token = "AQIDBP-_";

    public static TheoryData<string, AsOf, Protocol.AsOf?> Cuts => new()
    {
        { "latest", AsOf.Latest, null },
        { "version 7", AsOf.Version(7), new Protocol.AsOf { Version = 7 } },
        { "position 0", AsOf.Position(0), new Protocol.AsOf { Position = 0 } },
        { "time 2026-03-01T11:00:00.0000000+00:00", AsOf.Time(Noon), new Protocol.AsOf { Time = NoonTicks } },
        { "before time 2026-03-01T11:00:00.0000000+00:00", AsOf.BeforeTime(Noon), new Protocol.AsOf { BeforeTime = NoonTicks } },
        { "token AQIDBP-_", AsOf.Token(Token), new Protocol.AsOf { Token = ByteString.CopyFrom(1, 2, 3, 4, 255, 191) } },
        { "version 7, occurred until 2026-03-01T11:00:00.0000000+00:00", AsOf.Version(7).WithOccurred(Noon), new Protocol.AsOf { Version = 7, Occurred = NoonTicks } },
        { "latest, occurred until 2026-03-01T11:00:00.0000000+00:00", AsOf.Latest.OrWait(TimeSpan.FromSeconds(1)).WithOccurred(Noon), new Protocol.AsOf { Occurred = NoonTicks, Wait = true } },
        { "time 2026-03-01T11:00:00.0000000+00:00", AsOf.Time(Noon).OrWait(TimeSpan.FromSeconds(1)), new Protocol.AsOf { Time = NoonTicks, Wait = true } },
    };

    [Theory]
    [MemberData(nameof(Cuts))]
    public async Task Every_moment_goes_over_the_wire_as_it_was_asked_for(string words, AsOf asOf, Protocol.AsOf? wire)
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect();
        node.States.Answer = _ => new Protocol.State { Stream = "s", Cut = new Protocol.Cut() };
        await client.States.GetAsync("s", asOf);
        Assert.Equal(wire, Assert.Single(node.States.AskedFor<Protocol.GetStateRequest>()).AsOf);
        Assert.Equal(words, asOf.ToString());
    }

    [Fact]
    public async Task A_state_comes_as_it_was_sent()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect(new VaultClientOptions { ReadFrom = ReadFrom.Any });
        node.States.Answer = _ => new Protocol.State
        {
            Stream = "s",
            Exists = true,
            Version = 3,
            Position = 9,
            RecordedAt = NoonTicks,
            OccurredAt = NoonTicks - 10,
            Json = ByteString.CopyFromUtf8("""{"n":1}"""),
            StateHash = ByteString.CopyFrom(0xAB, 0x01),
            ReducerHash = ByteString.CopyFrom(0xCD),
            Cut = new Protocol.Cut { Position = 12, RecordedAt = NoonTicks + 1, ClosedTime = NoonTicks + 2, SplitsAppend = true },
            Token = ByteString.CopyFrom(1, 2, 3, 4, 255, 191),
            PartialFromVersion = 2,
            Counts = new Protocol.FoldCounts { Events = 4, Skipped = 3, TypeMismatches = 2, Errors = 1 },
            Cost = new Protocol.FoldCost { EventsFolded = 4, KeptVersion = 1, Microseconds = 5 },
        };
        StreamState state = await client.States.GetAsync("s", reducer: Reducer.Slots("n = COUNT(*)"), options: new StateOptions { AllowPartial = true, Consistency = Consistency.Local });
        Assert.Equal((true, false, 3ul, 9ul, 2ul), (state.Exists, state.Deleted, state.Version, state.Position, state.PartialFromVersion));
        Assert.Equal((Noon, Noon.AddTicks(-10)), (state.RecordedAt!.Value, state.OccurredAt!.Value));
        Assert.Equal(new Cut(12, Noon.AddTicks(1), Noon.AddTicks(2), SplitsAppend: true), state.Cut);
        Assert.Equal(("ab01", "cd", Token), (state.StateHash, state.ReducerHash, state.Token));
        Assert.Equal((new FoldCounts(4, 3, 2, 1), new FoldCost(4, 1, TimeSpan.FromMicroseconds(5))), (state.Counts, state.Cost));
        Assert.Equal(1, state.As<Dictionary<string, int>>()!["n"]);
        Protocol.GetStateRequest asked = Assert.Single(node.States.AskedFor<Protocol.GetStateRequest>());
        Assert.Equal(("n = COUNT(*)", true), (asked.Reducer.Inline.Slots, asked.AllowPartial));
        Assert.NotNull(asked.Consistency.Local);

        node.States.Answer = _ => new Protocol.State { Stream = "s", Deleted = true, Cut = new Protocol.Cut() };
        StreamState none = await client.States.GetAsync("s", reducer: Reducer.Named("r", 2));
        Assert.Equal((false, true, null, null, null, null), (none.Exists, none.Deleted, none.Version, none.Position, none.RecordedAt, none.OccurredAt));
        Assert.Null(none.As<Dictionary<string, int>>());
        asked = node.States.AskedFor<Protocol.GetStateRequest>()[^1];
        Assert.Equal(("r", 2u), (asked.Reducer.Name, asked.Reducer.Version));

        // It has seen position 12, so whatever it asks next must have seen that, too.
        Assert.Equal(12ul, asked.Consistency.AtLeast);
    }

    [Fact]
    public async Task Refusals_that_callers_act_on_have_their_own_exceptions()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect();
        var earliest = new Protocol.Earliest { Version = 5, Position = 50, Time = NoonTicks };
        var told = new EarliestState(5, 50, Noon);
        Assert.Equal(told, (await Refused<HistoryTruncatedException>(RpcCode.OutOfRange, new() { Reason = Protocol.Reason.HistoryTruncated, Stream = "s", Earliest = earliest })).Earliest);
        Assert.Equal(told, (await Refused<IncompleteHistoryException>(RpcCode.FailedPrecondition, new() { Reason = Protocol.Reason.IncompleteHistory, Earliest = earliest })).Earliest);
        Assert.Equal(4ul, (await Refused<VersionNotReachedException>(RpcCode.OutOfRange, new() { Reason = Protocol.Reason.VersionNotReached, Version = 4 })).LastVersion);
        Assert.Null((await Refused<VersionNotReachedException>(RpcCode.OutOfRange, new() { Reason = Protocol.Reason.VersionNotReached })).LastVersion);
        Assert.Equal(8ul, (await Refused<PositionNotReachedException>(RpcCode.OutOfRange, new() { Reason = Protocol.Reason.PositionNotReached, Position = 8 })).LastPosition);
        Assert.Equal(Noon, (await Refused<AsOfInFutureException>(RpcCode.FailedPrecondition, new() { Reason = Protocol.Reason.AsOfInFuture, ClosedTime = NoonTicks })).ClosedTime);
        Assert.Equal(17u, (await Refused<BadReducerException>(RpcCode.InvalidArgument, new() { Reason = Protocol.Reason.BadReducer, TextOffset = 17 })).TextOffset);
        await Refused<ReducerNotFoundException>(RpcCode.NotFound, new() { Reason = Protocol.Reason.ReducerNotFound });
        Assert.Equal(3ul, (await Refused<DefinitionConflictException>(RpcCode.Aborted, new() { Reason = Protocol.Reason.DefinitionConflict, Version = 3 })).NewestVersion);
        await Refused<StreamTombstonedException>(RpcCode.FailedPrecondition, new() { Reason = Protocol.Reason.StreamTombstoned, Stream = "s" });
        VaultException tooLarge = await Refused<VaultException>(
            RpcCode.ResourceExhausted, new() { Reason = Protocol.Reason.StateTooLarge, Limit = new Protocol.LimitExceeded { Limit = "state_bytes", Value = 2, Allowed = 1 } });
        Assert.Equal((VaultErrorCode.StateTooLarge, "state_bytes", false), (tooLarge.Code, tooLarge.Failures[0].Limit!.Limit, tooLarge.IsTransient));

        async Task<T> Refused<T>(RpcCode code, Protocol.Failure failure)
            where T : VaultException
        {
            node.States.Answer = _ => throw ScriptedStates.Failure(code, failure);
            return await Assert.ThrowsAsync<T>(() => client.States.GetAsync("s"));
        }
    }

    [Fact]
    public async Task States_of_a_category_go_on_as_of_the_same_position_when_the_call_is_cut()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect(Some.Quick);
        node.States.Stream = (n, _) => n switch
        {
            1 => [Cut(40), State("a-1"), null],
            2 => [Cut(40), new Protocol.GetStatesResponse { LookedUntil = "a-5" }, null],
            _ => [Cut(40), Failed("a-6"), State("a-7")],
        };
        var options = new CategoryStateOptions { Limit = 5, After = "a-0" };
        List<StateResult> all = await client.States.OfCategoryAsync("a", AsOf.Time(Noon).WithOccurred(Noon), Reducer.Named("r"), options).ToListAsync();
        Assert.Equal(["a-1", "a-6", "a-7"], all.Select(r => r.Stream));
        Assert.Equal(40ul, all[0].Value.Cut.Position);
        Assert.IsType<HistoryTruncatedException>(all[1].Failure);
        Assert.Throws<HistoryTruncatedException>(() => all[1].Value);

        Protocol.GetStatesRequest[] asked = node.States.AskedFor<Protocol.GetStatesRequest>();
        Assert.Equal([("a-0", 5ul), ("a-1", 4ul), ("a-5", 4ul)], asked.Select(r => (r.After, r.Limit)));
        Assert.Equal(new Protocol.AsOf { Time = NoonTicks, Occurred = NoonTicks }, asked[0].AsOf);
        Assert.Null(asked[0].Consistency);
        foreach (Protocol.GetStatesRequest again in asked.Skip(1))
        {
            Assert.Equal(new Protocol.AsOf { Time = NoonTicks, Occurred = NoonTicks }, again.AsOf);
            Assert.Equal(40ul, again.Consistency.AtLeast);
        }
    }

    [Fact]
    public async Task Enumerated_again_states_and_histories_are_asked_for_again()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect();
        node.States.Stream = (_, _) => [Cut(40), State("a-1"), State("a-2")];
        await Twice(client.States.OfStreamsAsync(["a-1", "a-2"]));
        await Twice(client.States.OfCategoryAsync("a", options: new CategoryStateOptions { Limit = 2 }));
        await Twice(client.States.OfCategoryAsync("a"));
        var state = new Protocol.StateStep { Time = NoonTicks, State = new Protocol.State { Stream = "s", Exists = true, Version = 0 } };
        node.States.Stream = (_, _) => [new Protocol.GetStateHistoryResponse { Cut = new Protocol.Cut { Position = 9 } }, new Protocol.GetStateHistoryResponse { Step = state }];
        await Twice(client.States.HistoryAsync("s"));
        Assert.Equal(8, node.States.Asked.Count);

        async Task Twice<T>(IAsyncEnumerable<T> states)
        {
            int asked = node.States.Asked.Count;
            int count = (await states.ToListAsync()).Count;
            Assert.Equal((true, count), (count > 0, (await states.ToListAsync()).Count));
            Assert.Equal(node.States.Asked.ElementAt(asked), node.States.Asked.ElementAt(asked + 1));
        }
    }

    [Fact]
    public async Task States_of_a_list_are_asked_for_once_each_and_never_of_two_reducers()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect(Some.Quick);
        node.States.Stream = (n, _) => n == 1 ? [Cut(null, closed: 77), State("b"), null] : [Cut(41), State("a", reducer: 2)];
        var seen = new List<string>();
        VaultException anew = await Assert.ThrowsAnyAsync<VaultException>(async () =>
        {
            await foreach (StateResult result in client.States.OfStreamsAsync(["b", "a"]))
            {
                seen.Add(result.Stream);
            }
        });
        Assert.Equal((VaultErrorCode.DefinitionConflict, "b"), (anew.Code, Assert.Single(seen)));
        Protocol.GetStatesRequest[] asked = node.States.AskedFor<Protocol.GetStatesRequest>();
        Assert.Equal(["b", "a"], asked[0].Streams);
        Assert.Equal("a", Assert.Single(asked[1].Streams));

        // The vault was empty: what came since does not come in.
        Assert.Equal(new Protocol.AsOf { Time = long.MinValue }, asked[1].AsOf);
    }

    [Fact]
    public async Task A_history_that_is_cut_goes_on_behind_the_last_step()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect(Some.Quick);
        Protocol.GetStateHistoryResponse[] steps = [.. Enumerable.Range(0, 5).Select(i => new Protocol.GetStateHistoryResponse
        {
            Step = new Protocol.StateStep { Time = NoonTicks + i, State = new Protocol.State { Stream = "s", Exists = true, Version = (ulong)i } },
        })];
        var cut = new Protocol.GetStateHistoryResponse { Cut = new Protocol.Cut { Position = 9 } };
        node.States.Stream = (n, _) => n switch
        {
            1 => [cut, steps[0], steps[1], null],
            2 => [cut, steps[1], null],
            3 => [cut, .. steps[1..]],
            _ => [cut, .. steps],
        };
        var options = new StateHistoryOptions { From = AsOf.Time(Noon), Until = AsOf.Time(Noon.AddHours(1)), Step = HistoryStep.Time(TimeSpan.FromMinutes(1)), Limit = 9 };
        List<StateStep> history = await client.States.HistoryAsync("s", options).ToListAsync();
        Assert.Equal([0ul, 1, 2, 3, 4], history.Select(s => s.State.Version!.Value));
        Assert.Equal(Noon.AddTicks(4), history[4].Time);
        Protocol.GetStateHistoryRequest[] asked = node.States.AskedFor<Protocol.GetStateHistoryRequest>();
        Assert.Equal((NoonTicks, 9ul, TimeSpan.TicksPerMinute), (asked[0].From.Time, asked[0].Limit, asked[0].Ticks));
        Assert.Equal(NoonTicks + TimeSpan.TicksPerHour, asked[0].Until.Time);
        Assert.All(asked.Skip(1), r => Assert.Equal((asked[0].Until, 9ul), (r.Until, r.Consistency.AtLeast)));
        Assert.Equal([NoonTicks + 1, NoonTicks + 1], asked.Skip(1).Select(r => r.From.Time));

        await client.States.HistoryAsync("s", new StateHistoryOptions { Step = HistoryStep.Events(3) }).ToListAsync();
        await client.States.HistoryAsync("s").ToListAsync();
        asked = node.States.AskedFor<Protocol.GetStateHistoryRequest>();
        Assert.Equal(3ul, asked[^2].Events);
        Assert.NotNull(asked[^1].EachChange);
    }

    [Fact]
    public async Task A_time_is_resolved_and_other_moments_are_not()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect();
        node.States.Answer = _ => new Protocol.Cut { Position = 7, RecordedAt = NoonTicks, ClosedTime = NoonTicks };
        Assert.Equal(new Cut(7, Noon, Noon, SplitsAppend: false), await client.States.ResolveAsync(AsOf.Time(Noon)));
        await client.States.ResolveAsync(AsOf.BeforeTime(Noon).OrWait(TimeSpan.FromSeconds(1)));
        Protocol.ResolveTimeRequest[] asked = node.States.AskedFor<Protocol.ResolveTimeRequest>();
        Assert.Equal((NoonTicks, false), (asked[0].Time, asked[0].Wait));
        Assert.Equal((NoonTicks, true), (asked[1].BeforeTime, asked[1].Wait));
        foreach (AsOf other in new[] { AsOf.Latest, AsOf.Version(1), AsOf.Position(1), AsOf.Time(Noon).WithOccurred(Noon) })
        {
            await Assert.ThrowsAsync<ArgumentException>(() => client.States.ResolveAsync(other));
        }
    }

    [Fact]
    public async Task A_reducer_is_defined_under_one_operation_id_and_comes_back()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect(Some.Quick);
        var reducer = new Protocol.NamedReducer
        {
            Name = "lines",
            Version = 2,
            Definition = new Protocol.ReducerDefinition { Slots = "n = COUNT(*)" },
            Categories = { "file" },
            Eager = true,
            Hash = ByteString.CopyFrom(0xAB),
            Position = 5,
            RecordedAt = NoonTicks,
        };
        int calls = 0;
        node.States.Answer = _ => ++calls == 1
            ? throw ScriptedStates.Failure(RpcCode.Unavailable, new() { Reason = Protocol.Reason.OutcomeUnknown, Message = "Fails." })
            : new Protocol.DefineReducerResponse { Reducer = reducer, Changed = true };
        var options = new DefineReducerOptions { Categories = ["file"], Eager = true, ExpectedVersion = 1 };
        DefineReducerResult result = await client.Reducers.DefineAsync("lines", Reducer.Slots("n = COUNT(*)"), options);
        Assert.True(result.Changed);
        Assert.Equal(("lines", 2u, "n = COUNT(*)", "file", true, "ab", 5ul, Noon), (
            result.Reducer.Name, result.Reducer.Version, result.Reducer.Definition.SlotsText, Assert.Single(result.Reducer.Categories), result.Reducer.Eager,
            result.Reducer.Hash, result.Reducer.Position, result.Reducer.RecordedAt));
        Protocol.DefineReducerRequest[] asked = node.States.AskedFor<Protocol.DefineReducerRequest>();
        Assert.Equal(asked[0].OperationId, asked[1].OperationId);
        Assert.Equal((16, 1u, true), (asked[0].OperationId.Length, asked[0].ExpectedVersion, asked[0].Eager));
        Assert.Null(asked[0].AttemptedAfter);
        Assert.NotNull(asked[1].AttemptedAfter);

        node.States.Answer = r => r is Protocol.GetReducerRequest ? reducer : new Protocol.ListReducersResponse { Reducers = { reducer } };
        Assert.Equal(2u, (await client.Reducers.GetAsync("lines", 2)).Version);
        Assert.Equal("lines", Assert.Single(await client.Reducers.ListAsync()).Name);
        await Assert.ThrowsAsync<ArgumentException>(() => client.Reducers.DefineAsync("x", Reducer.Named("lines")));
    }

    [Fact]
    public async Task What_makes_no_sense_is_refused_before_it_is_sent()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        VaultClient client = node.Connect();
        Assert.Equal(VaultErrorCode.InvalidName, (await Assert.ThrowsAsync<VaultException>(() => client.States.GetAsync(""))).Code);
        Assert.Equal(VaultErrorCode.InvalidRequest, Assert.Throws<VaultException>(() => client.States.OfStreamsAsync([])).Code);
        Assert.Equal(VaultErrorCode.InvalidRequest, Assert.Throws<VaultException>(() => client.States.OfCategoryAsync("c", AsOf.Version(1))).Code);
        Assert.Throws<ArgumentException>(() => AsOf.Token("no token!"));
        Assert.Throws<ArgumentOutOfRangeException>(() => AsOf.Latest.OrWait(TimeSpan.Zero));
        Assert.Throws<ArgumentOutOfRangeException>(() => HistoryStep.Events(0));
        Assert.Throws<ArgumentOutOfRangeException>(() => HistoryStep.Time(TimeSpan.Zero));
        await client.DisposeAsync();
        await Assert.ThrowsAsync<ObjectDisposedException>(() => client.States.GetAsync("s"));
        await Assert.ThrowsAsync<ObjectDisposedException>(() => client.States.HistoryAsync("s").ToListAsync());
        Assert.Empty(node.States.Asked);
    }

    private static Protocol.GetStatesResponse Cut(ulong? position, long closed = 0)
    {
        var cut = new Protocol.Cut { ClosedTime = closed };
        if (position is { } p)
        {
            cut.Position = p;
        }

        return new Protocol.GetStatesResponse { Cut = cut };
    }

    private static Protocol.GetStatesResponse State(string stream, byte reducer = 1) =>
        new() { State = new Protocol.State { Stream = stream, Exists = true, Json = ByteString.CopyFrom("1", Encoding.UTF8), ReducerHash = ByteString.CopyFrom(reducer) } };

    private static Protocol.GetStatesResponse Failed(string stream) => new()
    {
        Failure = new Protocol.StateFailure
        {
            Stream = stream,
            Error = new Protocol.AppendError
            {
                Code = (int)RpcCode.OutOfRange,
                Detail = new Protocol.ErrorDetail { Failures = { new Protocol.Failure { Reason = Protocol.Reason.HistoryTruncated, Stream = stream } } },
            },
        },
    };
}
