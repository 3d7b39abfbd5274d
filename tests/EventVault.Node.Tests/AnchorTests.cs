using System.Text;
using EventVault.Node.States;
using EventVault.Node.Tests.Support;
using EventVault.Protocol;
using EventVault.Rpc;
using EventVault.Storage.Log;
using EventVault.Storage.Tests.Simulated;
using EventVault.Temporal;
using EventVault.Temporal.Reducers;
using Microsoft.Extensions.Logging;
using RetentionRule = EventVault.Protocol.RetentionRule;
using RetentionScope = EventVault.Protocol.RetentionScope;
using StreamVersion = EventVault.Storage.StreamVersion;

namespace EventVault.Node.Tests;

/// <summary>States of named reducers stay what they were when the events below them go, by hand and by retention.</summary>
public sealed class AnchorTests
{
    private static readonly ReducerReference Named = StateCallsOfNode.Named("sum");

    [Fact]
    public async Task What_a_truncation_takes_an_anchor_stands_in_for_over_restarts_deletions_and_scavenges()
    {
        var node = await TestNode.StartAsync(o => o with { ScavengeBytesPerSecond = 0 });
        try
        {
            await node.DefineAsync("sum", "n = SUM(data.n)", "s");
            await node.AppendNumbersAsync("s-1", 10);
            var before = new List<State>();
            for (var version = 0ul; version < 10; version++)
            {
                before.Add(await node.StateAsync("s-1", new AsOf { Version = version }, Named));
            }

            await node.TruncateAsync("s-1", 4);
            await node.TruncateAsync("s-1", 6);
            await SameAsync();
            node = await node.RestartAsync();
            await SameAsync();

            // Behind a deletion the cuts before it stay, too; what a scavenge removes the anchor does not need.
            for (var i = 0; i < 60; i++)
            {
                await node.AppendAsync("filler", Make.Any, Make.Event(data: $"\"{new string('x', 20_000)}\""));
            }

            await node.Channel.UnaryAsync(
                RpcMethod<StartScavengeRequest, ScavengeStatus>.Of(AdminReflection.Descriptor.Services[0], "StartScavenge"), new StartScavengeRequest { OperationId = Make.Id() });
            await SameAsync();
            await Wait.UntilAsync(() => node.Node.Storage.Scavenger.Progress.State == Storage.Scavenging.ScavengeState.Done, "the scavenge");
            await SameAsync();
            node = await node.RestartAsync();
            await SameAsync();
            await node.DeleteAsync("s-1");
            await SameAsync();
            Assert.True((await node.StateAsync("s-1", reducer: Named)).Deleted);

            async Task SameAsync()
            {
                for (var version = 5; version < 10; version++)
                {
                    var state = await node.StateAsync("s-1", new AsOf { Version = (ulong)version }, Named);
                    Assert.Equal(
                        (before[version].Json, before[version].StateHash, before[version].Position, before[version].RecordedAt, before[version].Counts, before[version].Token, false),
                        (state.Json, state.StateHash, state.Position, state.RecordedAt, state.Counts, state.Token, state.HasPartialFromVersion));
                }

                var failure = await Fails.WithAsync(RpcCode.OutOfRange, Reason.HistoryTruncated, () => node.StateAsync("s-1", new AsOf { Position = before[4].Position }, Named));
                Assert.Equal((5ul, before[5].Position, before[5].RecordedAt), (failure.Earliest.Version, failure.Earliest.Position, failure.Earliest.Time));
            }
        }
        finally
        {
            await node.DisposeAsync();
        }
    }

    // Of removed events nobody knows the times any more: whatever is asked by time must follow from what is left.
    [Fact]
    public async Task What_is_asked_by_time_is_answered_alike_before_and_after_a_scavenge()
    {
        var node = await TestNode.StartAsync(o => o with { ScavengeBytesPerSecond = 0 });
        try
        {
            await node.DefineAsync("sum", "n = SUM(data.n)", "s");
            var (times, large) = (new List<long>(), Make.Event(data: $"\"{new string('x', 20_000)}\""));
            for (var i = 0; i < 8; i++)
            {
                times.Add((await node.AppendNumbersAsync("s-1", 1, first: i))[0].RecordedAt);
                times.Add((await node.AppendAsync("gone-1", Make.Any, large)).RecordedAt);
            }

            await node.AppendNumbersAsync("s-2", 1);
            await node.TruncateAsync("s-1", 5);
            await node.TruncateAsync("gone-1", 8);
            for (var i = 0; i < 60; i++)
            {
                await node.AppendAsync("filler", Make.Any, large);
            }

            var asked = times.SelectMany(t => (AsOf[])[new AsOf { BeforeTime = t }, new AsOf { Time = t }, new AsOf { Time = t + 1 }, new AsOf { BeforeTime = t + 2 }]).ToList();
            var tokens = await TokensAsync(asked);
            var cut = (await node.StateAsync("s-1", new AsOf { Version = 4 }, Named)).Cut;
            Assert.Equal(times[8], cut.RecordedAt);
            var before = await AnswersAsync([.. asked, .. tokens]);
            Assert.Contains(before, a => a.Contains("truncated", StringComparison.OrdinalIgnoreCase));
            await node.Channel.UnaryAsync(
                RpcMethod<StartScavengeRequest, ScavengeStatus>.Of(AdminReflection.Descriptor.Services[0], "StartScavenge"), new StartScavengeRequest { OperationId = Make.Id() });
            await Wait.UntilAsync(() => node.Node.Storage.Scavenger.Progress.State == Storage.Scavenging.ScavengeState.Done, "the scavenge");
            Assert.Equal(before, await AnswersAsync([.. asked, .. tokens]));
            Assert.Equal(before, await AnswersAsync([.. asked, .. await TokensAsync(asked)]));
            node = await node.RestartAsync();
            Assert.Equal(before, await AnswersAsync([.. asked, .. tokens]));

            // A cut whose own event is gone does not tell another one's time.
            Assert.False(node.Node.Storage.Reader.IsThere(new Storage.Position((long)cut.Position)));
            var now = (await node.StateAsync("s-1", new AsOf { Position = cut.Position }, Named)).Cut;
            Assert.Equal((cut.Position, 0, false), (now.Position, now.RecordedAt, now.SplitsAppend));
        }
        finally
        {
            await node.DisposeAsync();
        }

        async Task<List<AsOf>> TokensAsync(List<AsOf> cuts)
        {
            var tokens = new List<AsOf>();
            foreach (var cut in cuts)
            {
                // Of a stream that is whole, so that there is one for each cut.
                tokens.Add(new AsOf { Token = (await node.StateAsync("s-2", cut, Named)).Token });
            }

            return tokens;
        }

        async Task<List<string>> AnswersAsync(List<AsOf> cuts)
        {
            var answers = new List<string>();
            foreach (var cut in cuts)
            {
                var many = await node.StatesAsync(new GetStatesRequest { Category = "s", AsOf = cut, Reducer = Named });
                answers.AddRange(many.Skip(1).Select(m => m.State is { } state ? Text(state) : m.Failure.ToString()));
                answers.Add(await ToldAsync(async () => Text(await node.StateAsync("s-1", cut, Named))));
                var from = new GetStateHistoryRequest { Stream = "s-1", Reducer = Named, From = cut, Events = 1 };
                if (cut.CutCase != AsOf.CutOneofCase.Token)
                {
                    answers.Add(await ToldAsync(async () => string.Join('\n', (await node.HistoryAsync(from)).Skip(1).Select(m => Text(m.Step.State)))));
                }

                var until = new GetStateHistoryRequest { Stream = "s-1", Reducer = Named, Until = cut, Events = 1 };
                answers.Add(await ToldAsync(async () => string.Join('\n', (await node.HistoryAsync(until)).Skip(1).Select(m => Text(m.Step.State)))));
            }

            return answers;
        }

        static async Task<string> ToldAsync(Func<Task<string>> ask)
        {
            try
            {
                return await ask();
            }
            catch (RpcException e)
            {
                return Fails.Detail(e.Code, e).ToString();
            }
        }

        static string Text(State state) => $"{state.Stream} {state.Exists} {state.Version} {state.Position} {state.RecordedAt} {state.Json()} {state.StateHash.ToBase64()}";
    }

    [Fact]
    public async Task Anchors_stand_in_the_append_of_their_truncation_for_the_newest_version_of_each_reducer_of_the_category()
    {
        await using var node = await TestNode.StartAsync();
        await node.DefineAsync("sum", "n = MAX(data.n)", "s");
        await node.DefineAsync("sum", "n = SUM(data.n)", "s");
        await node.DefineAsync("same", "n=SUM(data.n)", "s", "t"); // Says the same: one anchor is enough.
        await node.DefineAsync("count", "n = COUNT(*)", "s");
        await node.DefineAsync("other", "n = MIN(data.n)", "t");
        await node.AppendNumbersAsync("s-1", 3);
        await node.AppendNumbersAsync("u-1", 3);
        var id = Make.Id();
        await node.TruncateAsync("s-1", 2, id);
        await node.TruncateAsync("s-1", 2, id); // Again: the first answer, and nothing more.
        await node.TruncateAsync("u-1", 2);
        await node.TruncateAsync("s-1", 1); // Takes nothing away.
        var events = await node.ReadAllAsync(new ReadAllRequest { IncludeSystem = true });
        var anchors = events.Where(e => e.Event.Type == "$anchor").ToList();
        Assert.Equal(2, anchors.Count);
        var truncated = events.First(e => e.Event.Type == "$stream-truncated");
        Assert.All(anchors, a => Assert.Equal(truncated.RecordedAt, a.RecordedAt));
        Assert.Equal(3, events.Count(e => e.Event.Type == "$stream-truncated"));
        await Fails.WithAsync(RpcCode.FailedPrecondition, Reason.IncompleteHistory, () => node.StateAsync("s-1", reducer: StateCallsOfNode.Named("sum", 1)));
    }

    [Fact]
    public async Task A_reducer_that_is_defined_while_streams_are_truncated_has_a_whole_state_or_knows_that_it_has_not()
    {
        await using var node = await TestNode.StartAsync();
        const int Streams = 30;
        for (var i = 0; i < Streams; i++)
        {
            await node.AppendNumbersAsync($"s-{i}", 3);
        }

        var truncations = Enumerable.Range(0, Streams).Select(i => Task.Run(() => node.TruncateAsync($"s-{i}", 2))).ToList();
        var defined = await Task.Run(() => node.DefineAsync("sum", "n = SUM(data.n)", "s"));
        await Task.WhenAll(truncations);
        var events = await node.ReadAllAsync(new ReadAllRequest { IncludeSystem = true });
        for (var i = 0; i < Streams; i++)
        {
            var stream = $"\"s-{i}\"";
            var truncated = events.Single(e => e.Event.Type == "$stream-truncated" && e.Event.Data.ToStringUtf8().Contains(stream, StringComparison.Ordinal));
            if (truncated.Position > defined.Reducer.Position)
            {
                Assert.Equal("""{"n":6}""", (await node.StateAsync($"s-{i}", reducer: Named)).Json());
            }
            else
            {
                await Fails.WithAsync(RpcCode.FailedPrecondition, Reason.IncompleteHistory, () => node.StateAsync($"s-{i}", reducer: Named));
            }
        }
    }

    [Fact]
    public async Task Retention_makes_anchors_too_and_one_state_that_is_too_large_stops_only_its_own_stream()
    {
        var log = new List<string>();
        await using var node = await TestNode.StartAsync(o => o with { StateBytes = 64 * 1024, Logging = () => LoggerFactory.Create(logging => logging.AddProvider(new ListLogger(log))) });
        await node.DefineAsync("sum", "n = SUM(data.n), large = LAST(data.large)", "s");
        for (var i = 0; i < 3; i++)
        {
            await node.AppendNumbersAsync($"s-{i}", 15);
        }

        await node.AppendAsync("s-1", Make.Any, Make.Event(data: $$"""{"large":"{{new string('x', 70_000)}}"}"""), Make.Event(data: """{"n":1}"""));
        await node.RetainAsync(new RetentionScope { Category = "s" }, new RetentionRule { MaxEvents = 1 });
        for (var pass = 0; pass < 2; pass++)
        {
            await node.Node.Retention.PassAsync();
            Assert.Equal("""{"large":null,"n":120}""", (await node.StateAsync("s-0", reducer: Named)).Json());
            Assert.Single(await node.ReadStreamAsync(new ReadStreamRequest { Stream = "s-0" }));
            Assert.Single(await node.ReadStreamAsync(new ReadStreamRequest { Stream = "s-2" }));
            Assert.Equal(17, (await node.ReadStreamAsync(new ReadStreamRequest { Stream = "s-1" })).Count);
        }

        var refused = await Fails.WithAsync(RpcCode.ResourceExhausted, Reason.StateTooLarge, () => node.TruncateAsync("s-1", 17));
        Assert.Equal("s-1", refused.Stream);
        lock (log)
        {
            Assert.Contains(log, line => line.StartsWith("1 streams", StringComparison.Ordinal) && line.Contains("s-1", StringComparison.Ordinal));
        }

        // Who defines it anew, with less to keep, lets it go.
        await node.DefineAsync("sum", "n = SUM(data.n)", "s");
        await node.Node.Retention.PassAsync();
        Assert.Single(await node.ReadStreamAsync(new ReadStreamRequest { Stream = "s-1" }));
        Assert.Equal("""{"n":121}""", (await node.StateAsync("s-1", reducer: Named)).Json());
    }

    [Fact]
    public async Task More_than_there_is_is_refused_before_an_anchor_is_made()
    {
        await using var node = await TestNode.StartAsync();
        await node.DefineAsync("sum", "n = SUM(data.n)", "s");
        await Fails.WithAsync(RpcCode.NotFound, Reason.StreamNotFound, () => node.TruncateAsync("s-1", 1));
        await node.AppendNumbersAsync("s-1", 2);
        Assert.Equal("before", (await Fails.WithAsync(RpcCode.InvalidArgument, Reason.InvalidRequest, () => node.TruncateAsync("s-1", 3))).Field);
        await node.TruncateAsync("s-1", 2); // All of it.
        Assert.Equal("""{"n":3}""", (await node.StateAsync("s-1", new AsOf { Version = 1 }, Named)).Json());
    }

    [Fact]
    public async Task An_anchor_of_a_later_version_holds_up_its_own_stream_alone()
    {
        await using var node = await TestNode.StartAsync();
        await node.DefineAsync("sum", "n = SUM(data.n)", "s");
        await node.AppendNumbersAsync("s-0", 5);
        await node.AppendNumbersAsync("s-1", 5);
        await TruncateWithLaterAnchorAsync(node, "s-0", 2);
        await node.RetainAsync(new RetentionScope { Category = "s" }, new RetentionRule { MaxEvents = 1 });
        await node.Node.Retention.PassAsync();
        Assert.Single(await node.ReadStreamAsync(new ReadStreamRequest { Stream = "s-1" }));
        Assert.Equal(3, (await node.ReadStreamAsync(new ReadStreamRequest { Stream = "s-0" })).Count);
        await Fails.WithAsync(RpcCode.DataLoss, Reason.Damaged, () => node.StateAsync("s-0", reducer: Named));
        Assert.False(node.Node.Failed.IsCompleted);
    }

    [Fact]
    public async Task On_a_full_disk_a_truncation_with_anchors_waits_and_takes_nothing_of_what_is_kept_for_others()
    {
        await using var node = await TestNode.StartAsync(o => o with
        {
            Files = new SimulatedFileSystem(tracksLosses: false) { CapacityBytes = (2 * TestNode.SegmentSizeBytes) + 500_000 },
        });
        await node.DefineAsync("large", "large = LAST(data.large)", "s");
        await node.AppendAsync("s-1", Make.Any, Make.Event(data: $$"""{"large":"{{new string('x', 10_000)}}"}"""), Make.Event(data: "{}"));
        await node.AppendNumbersAsync("t-1", 2);
        await node.AppendNumbersAsync("t-2", 2);
        await DiskTests.FillAsync(node);
        await node.RetainAsync(new RetentionScope { Category = "s" }, new RetentionRule { MaxEvents = 1 });
        await node.RetainAsync(new RetentionScope { Category = "t" }, new RetentionRule { MaxEvents = 1 });

        await Fails.WithAsync(RpcCode.ResourceExhausted, Reason.StoreFull, () => node.TruncateAsync("s-1", 1));
        Assert.Equal(2, await node.Node.Retention.PassAsync().WaitAsync(Wait.Limit));
        Assert.Equal(2, (await node.ReadStreamAsync(new ReadStreamRequest { Stream = "s-1" })).Count);
        Assert.Single(await node.ReadStreamAsync(new ReadStreamRequest { Stream = "t-1" }));
        await node.DeleteAsync("t-1");

        node.Disk.CapacityBytes = null;
        await Wait.UntilAsync(() => !node.Node.Storage.DiskIsFull, "the node to notice");
        Assert.Equal(2, await node.Node.Retention.PassAsync()); // And the stream s, which has filled the disk.
        Assert.Single(await node.ReadStreamAsync(new ReadStreamRequest { Stream = "s-1" }));
    }

    // As a node of a later version would: an anchor whose format is the next one's.
    private static async Task TruncateWithLaterAnchorAsync(TestNode node, string stream, long before)
    {
        var storage = node.Node.Storage;
        using var places = new FoldPlaces();
        var maker = new AnchorMaker(storage.Reader, new StateReader(storage.Reader, node.Node.Kept, new FoldLimits(1 << 20)), new ReducerRegistry(storage.Reader), places);
        var name = Encoding.UTF8.GetBytes(stream);
        var anchors = await maker.MakeAsync(name, new StreamVersion(before), default);
        var data = Assert.Single(anchors.Events).EventData;
        data[data.AsSpan().IndexOf("EVANCHOR"u8) + "EVANCHOR".Length]++;
        var append = new SingleAppend(storage);
        append.Content.OperationId = new UInt128(0, 1);
        append.Content.SetChange(new StreamChange(StreamChangeKind.Truncate, new StreamVersion(before)) { Anchors = anchors }, name, ExpectedKind.Any, default);
        Assert.Equal(EventProblemKind.None, append.Content.Check(out _, out _).Kind);
        Assert.Equal(AppendOutcome.Appended, await node.Node.AppendAsync(append));
    }

    private sealed class ListLogger(List<string> lines) : ILoggerProvider, ILogger
    {
        public ILogger CreateLogger(string categoryName) => this;

        public void Dispose()
        {
        }

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => logLevel >= LogLevel.Warning;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            lock (lines)
            {
                lines.Add(formatter(state, exception));
            }
        }
    }
}
