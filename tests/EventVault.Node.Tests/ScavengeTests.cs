using EventVault.Node.Tests.Support;
using EventVault.Protocol;
using EventVault.Rpc;
using EventVault.Storage.Io;
using EventVault.Storage.Tests.Simulated;
using Google.Protobuf;

namespace EventVault.Node.Tests;

/// <summary>Scavenging, over the wire.</summary>
public sealed class ScavengeTests
{
    private static readonly RpcMethod<StartScavengeRequest, ScavengeStatus> StartMethod = Of<StartScavengeRequest, ScavengeStatus>("StartScavenge");
    private static readonly RpcMethod<StopScavengeRequest, ScavengeStatus> StopMethod = Of<StopScavengeRequest, ScavengeStatus>("StopScavenge");
    private static readonly RpcMethod<GetScavengeRequest, ScavengeStatus> GetMethod = Of<GetScavengeRequest, ScavengeStatus>("GetScavenge");
    private static readonly RpcMethod<ExplainScavengeRequest, ExplainScavengeResponse> ExplainMethod = Of<ExplainScavengeRequest, ExplainScavengeResponse>("ExplainScavenge");

    [Fact]
    public async Task A_scavenge_gives_space_back_and_changes_no_read_over_restarts()
    {
        var node = await TestNode.StartAsync(AtFullSpeed);
        try
        {
            Assert.Equal(("never", false, 0ul), (await GetAsync(node)) is var never ? (never.State, never.HasPoint, never.BytesFreed) : default);
            await FillAsync(node);
            var before = await node.ReadAllAsync(new ReadAllRequest { IncludeSystem = true });
            var logBytes = (await node.Channel.UnaryAsync(Methods.GetStatus, new GetStatusRequest())).LogBytes;
            var started = await StartAsync(node);
            Assert.True(started.HasPoint && started.StartedAt > 0, started.ToString());
            var done = await UntilAsync(node, "done");
            Assert.Equal(started.Point, done.Point);
            Assert.True(done.SegmentsRewritten > 0 && done.SegmentsDone == done.SegmentsTotal && done.BytesFreed > 0, done.ToString());
            Assert.Equal(logBytes - done.BytesFreed, (await node.Channel.UnaryAsync(Methods.GetStatus, new GetStatusRequest())).LogBytes);
            for (var restart = 0; restart < 2; restart++)
            {
                var after = await node.ReadAllAsync(new ReadAllRequest { IncludeSystem = true });
                Assert.Equal("$scavenge-started", after[^1].Event.Type);
                Assert.Equal(before, after[..^1]);
                node = await node.RestartAsync();
                Assert.Equal(done.BytesFreed, (await UntilAsync(node, "done")).BytesFreed);
            }
        }
        finally
        {
            await node.DisposeAsync();
        }
    }

    [Fact]
    public async Task A_start_that_is_sent_again_starts_nothing_anew_and_another_takes_its_place()
    {
        await using var node = await TestNode.StartAsync(AtFullSpeed);
        await node.AppendAsync("a", Make.NoStream);
        var id = Make.Id();
        var first = await StartAsync(node, id);
        Assert.Equal(1ul, first.Point);
        Assert.Equal(first.Point, (await StartAsync(node, id)).Point);
        var second = await StartAsync(node);
        Assert.Equal(2ul, second.Point);
        Assert.Equal(second.Point, (await StartAsync(node, id)).Point);
        var found = await node.Channel.UnaryAsync(Methods.GetAppend, new GetAppendRequest { OperationId = id });
        Assert.Equal(("$streams", first.Point), (found.Streams.Single().Stream, found.FirstPosition));
        Assert.Equal(3, (await node.ReadAllAsync(new ReadAllRequest { IncludeSystem = true })).Count);
    }

    [Fact]
    public async Task One_that_is_stopped_goes_no_further_also_after_a_restart_and_a_stop_without_one_does_nothing()
    {
        var node = await TestNode.StartAsync(Slowly);
        try
        {
            Assert.Equal("never", (await StopAsync(node)).State);
            await FillAsync(node);
            var started = await StartAsync(node);
            Assert.Equal("running", started.State);
            var stop = Make.Id();
            Assert.Equal("stopped", (await StopAsync(node, stop)).State);
            Assert.Equal("stopped", (await StopAsync(node, stop)).State);
            var types = (await node.ReadAllAsync(new ReadAllRequest { IncludeSystem = true })).Select(e => e.Event.Type).ToList();
            Assert.Equal(["$scavenge-started", "$scavenge-stopped"], types.Where(t => t.StartsWith("$scavenge", StringComparison.Ordinal)));
            node = await node.RestartAsync();
            Assert.Equal("stopped", (await GetAsync(node)).State);

            // The stop that is sent again late is known, and does not stop what was started since.
            await StartAsync(node);
            Assert.Equal("running", (await StopAsync(node, stop)).State);
        }
        finally
        {
            await node.DisposeAsync();
        }
    }

    [Fact]
    public async Task One_goes_on_after_a_restart()
    {
        var disk = new SimulatedFileSystem(tracksLosses: false);
        var slow = await TestNode.StartAsync(o => Slowly(o) with { Files = disk });
        await FillAsync(slow);
        var started = await StartAsync(slow);
        await slow.StopAsync();
        await using var node = await TestNode.StartAsync(o => AtFullSpeed(o) with { Files = disk });
        var done = await UntilAsync(node, "done");
        Assert.Equal(started.Point, done.Point);
        Assert.True(done.SegmentsRewritten > 0, done.ToString());
    }

    [Fact]
    public async Task The_explanation_tells_what_would_go_and_why_the_rest_stays()
    {
        await using var node = await TestNode.StartAsync(AtFullSpeed);
        await FillAsync(node);
        var all = (await ExplainAsync(node)).Segments;
        Assert.True(all.Count > 3);
        Assert.Equal(Enumerable.Range(0, all.Count).Select(i => (uint)i), all.Select(s => s.Segment));
        Assert.Contains(all, s => s.Rewrites && s.RemovableEvents > 0 && s.RemovableBytes > 0 && s.Why.Length == 0);
        Assert.True(all[^1] is { Rewrites: false, Why.Length: > 0 }, all[^1].ToString());
        Assert.All(all, s => Assert.True(s.Events >= s.RemovableEvents + s.VisibleEvents + s.SystemEvents + s.HeldEvents, s.ToString()));
        Assert.Equal((await node.ReadAllAsync()).Count, all.Sum(s => (int)s.VisibleEvents));

        // The same in pages.
        var paged = new List<SegmentScavenge>();
        for (uint? next = 0; next is { } from;)
        {
            var page = await ExplainAsync(node, from, size: 2);
            Assert.True(page.Segments.Count is 1 or 2);
            paged.AddRange(page.Segments);
            next = page.HasNextSegment ? page.NextSegment : null;
        }

        Assert.Equal(all, paged);
        await StartAsync(node);
        await UntilAsync(node, "done");
        var after = (await ExplainAsync(node)).Segments;
        Assert.All(after, s => Assert.False(s.Rewrites));
        Assert.Contains(after, s => s.HasScavengedAt);
        Assert.True(after.Sum(s => (long)s.Bytes) < all.Sum(s => (long)s.Bytes));
    }

    [Fact]
    public async Task A_scavenge_starts_by_itself_once_the_interval_has_passed_and_it_is_worth_it()
    {
        var clock = new MovableClock();
        await using var node = await TestNode.StartAsync(o => AtFullSpeed(o) with { Clock = clock, ScavengeInterval = TimeSpan.FromHours(24) });
        await FillAsync(node);
        Assert.Equal("never", (await GetAsync(node)).State);
        clock.Move(TimeSpan.FromHours(25));
        var first = await UntilAsync(node, "done");
        Assert.True(first.SegmentsRewritten > 0, first.ToString());
        Assert.Equal("$scavenge-started", (await node.ReadAllAsync(new ReadAllRequest { IncludeSystem = true }))[^1].Event.Type);
    }

    [Fact]
    public async Task None_starts_by_itself_for_little_nor_too_soon_and_segments_are_looked_at_only_if_something_changed()
    {
        var clock = new MovableClock();
        await using var node = await TestNode.StartAsync(o => AtFullSpeed(o) with { Clock = clock, ScavengeInterval = TimeSpan.FromHours(24) });
        await FillAsync(node, deletes: false);
        clock.Move(TimeSpan.FromHours(25));
        await Wait.UntilAsync(() => node.Node.ScavengeLooks == 1, "a look");
        Assert.Equal("never", (await GetAsync(node)).State);
        Assert.Equal(0, node.Node.ScavengeExplained);

        // One that was started by hand counts, too: the next is due a day after it, not a day after the look.
        clock.Move(TimeSpan.FromHours(20));
        var byHand = await StartAsync(node);
        await UntilAsync(node, "done");
        await DeleteAsync(node);
        clock.Move(TimeSpan.FromHours(10));
        Assert.False(node.Node.LooksForScavenge);
        clock.Move(TimeSpan.FromHours(15));
        await Wait.UntilAsync(() => node.Node.ScavengeLooks == 2, "another look");
        while ((await GetAsync(node)).Point == byHand.Point)
        {
            await Task.Delay(5);
        }

        Assert.True((await UntilAsync(node, "done")).SegmentsRewritten > 0);
        var explained = node.Node.ScavengeExplained;
        Assert.True(explained > 3);
        clock.Move(TimeSpan.FromHours(25));
        await Wait.UntilAsync(() => node.Node.ScavengeLooks == 3, "a third look");
        Assert.Equal(explained, node.Node.ScavengeExplained);
    }

    [Fact]
    public async Task A_stop_counts_also_if_none_runs()
    {
        var clock = new MovableClock();
        var node = await TestNode.StartAsync(o => AtFullSpeed(o) with { Clock = clock, ScavengeInterval = TimeSpan.FromHours(24) });
        try
        {
            await node.AppendAsync("a", Make.NoStream);
            await StartAsync(node);
            await UntilAsync(node, "done");
            var stop = Make.Id();
            Assert.Equal("stopped", (await StopAsync(node, stop)).State);
            clock.Move(TimeSpan.FromHours(100));
            Assert.False(node.Node.LooksForScavenge);
            node = await node.RestartAsync();
            Assert.Equal("stopped", (await GetAsync(node)).State);
            clock.Move(TimeSpan.FromHours(100));
            Assert.False(node.Node.LooksForScavenge);

            // Its retry does not stop what was started since.
            await StartAsync(node);
            await StopAsync(node, stop);
            await UntilAsync(node, "done");
        }
        finally
        {
            await node.DisposeAsync();
        }
    }

    [Fact]
    public async Task None_starts_by_itself_once_one_was_stopped_until_one_is_started_by_hand()
    {
        var clock = new MovableClock();
        await using var node = await TestNode.StartAsync(o => Slowly(o) with { Clock = clock, ScavengeInterval = TimeSpan.FromHours(24) });
        await FillAsync(node);
        await StartAsync(node);
        Assert.Equal("stopped", (await StopAsync(node)).State);
        clock.Move(TimeSpan.FromHours(100));
        Assert.False(node.Node.LooksForScavenge);
        await StartAsync(node);
        Assert.False(node.Node.LooksForScavenge);
    }

    [Fact]
    public async Task Bad_requests_are_refused_by_name()
    {
        await using var node = await TestNode.StartAsync(AtFullSpeed);
        await RefusedAsync("operation_id", Reason.InvalidRequest, () => StartAsync(node, ByteString.Empty));
        await RefusedAsync("operation_id", Reason.InvalidRequest, () => StartAsync(node, ByteString.CopyFrom(new byte[15])));
        await RefusedAsync("operation_id", Reason.InvalidRequest, () => StopAsync(node, ByteString.CopyFrom(new byte[17])));
        await RefusedAsync("page_size", Reason.LimitExceeded, () => ExplainAsync(node, size: 1001));
        var id = Make.Id();
        await node.AppendAsync(new AppendRequest { OperationId = id, Streams = { Make.Stream("a", Make.Any) } });
        await Fails.WithAsync(RpcCode.AlreadyExists, Reason.OperationIdReused, () => StartAsync(node, id));
        Assert.Equal("never", (await GetAsync(node)).State);
        Assert.Empty((await ExplainAsync(node, from: uint.MaxValue)).Segments);

        static async Task RefusedAsync(string field, Reason reason, Func<Task> call) =>
            Assert.Equal(field, (await Fails.WithAsync(RpcCode.InvalidArgument, reason, call)).Field);
    }

    // Else a disk that is full would have to be made larger before anything could be taken away.
    [Fact]
    public async Task On_a_full_disk_streams_are_deleted_and_a_scavenge_is_started_and_appends_go_on_behind_it()
    {
        const long Ample = 1L << 40;
        var disk = new SimulatedFileSystem(tracksLosses: false) { CapacityBytes = Ample };
        await using var node = await TestNode.StartAsync(o => AtFullSpeed(o) with { Files = disk });
        await FillAsync(node, deletes: false);
        disk.CapacityBytes = Ample - disk.FreeBytes("/vault") + (TestNode.SegmentSizeBytes * 7 / 4); // A segment wants twice its size free.
        foreach (var size in (int[])[20_000, 2_000, 200, 1])
        {
            await FillUpAsync(() => node.AppendAsync("s", Make.Any, Make.Event(data: new string('x', size))).AsTask());
        }

        // By what only hides events, too, until there is only room to start a scavenge.
        await DeleteAsync(node);
        var deleted = await FillUpAsync(() => node.RetainAsync(new RetentionScope { Stream = "s" }, new RetentionRule { MaxEvents = 1_000_000 }));
        Assert.True(deleted > 20, $"{deleted}");
        await Fails.WithAsync(RpcCode.ResourceExhausted, Reason.StoreFull, () => node.AppendAsync("s", Make.Any).AsTask());
        await StartAsync(node);

        // On a full disk it takes what there is; once there is room for appends again, it leaves them some. How many segments it has
        // come to by then depends on when the node notices.
        await Wait.UntilAsync(() => !node.Node.Storage.DiskIsFull, "room for another segment");
        Assert.True((await GetAsync(node)).BytesFreed > 0);
        await node.AppendAsync("s", Make.Any);

        static async Task<int> FillUpAsync(Func<Task> append)
        {
            for (var written = 0; ; written++)
            {
                try
                {
                    Assert.True(written < 10_000, "The disk never became full.");
                    await append();
                }
                catch (RpcException e)
                {
                    Assert.Equal(Reason.StoreFull, Fails.Detail(RpcCode.ResourceExhausted, e).Failures[0].Reason);
                    return written;
                }
            }
        }
    }

    [Fact]
    public async Task A_failed_disk_ends_the_node()
    {
        var disk = new SimulatedFileSystem(tracksLosses: false);
        await using var node = await TestNode.StartAsync(o => AtFullSpeed(o) with { Files = disk });
        await FillAsync(node);
        disk.OnOperation = operation =>
        {
            if (operation.Kind == DiskOperationKind.Flush && Thread.CurrentThread.Name == "scavenge")
            {
                throw new DiskException("fdatasync", operation.Path, 5, "Input/output error");
            }
        };
        await StartAsync(node);
        Assert.IsType<DiskException>(await node.Node.Failed.WaitAsync(Wait.Limit));
        disk.OnOperation = null;
    }

    [Fact]
    public async Task Damage_in_old_events_ends_neither_the_scavenge_nor_the_node()
    {
        var disk = new SimulatedFileSystem(tracksLosses: false);
        await using var node = await TestNode.StartAsync(o => AtFullSpeed(o) with { Files = disk });
        await FillAsync(node);
        const string Segment = "00000000000000000001.seg";
        var path = "/vault/log/" + Segment;
        disk.FlipBit(path, offset: 300_000, bit: 3);
        await StartAsync(node);
        var others = await UntilAsync(node, "done");
        Assert.Contains(Segment, others.Why, StringComparison.Ordinal);
        Assert.True(others.SegmentsRewritten > 1, others.ToString());
        await node.AppendAsync("other", Make.NoStream);
        Assert.Equal("serving", node.Node.State);

        disk.FlipBit(path, offset: 300_000, bit: 3);
        await StartAsync(node);
        var done = await UntilAsync(node, "done");
        Assert.True(done.SegmentsRewritten > 0 && done.Why.Length == 0, done.ToString());
    }

    [Fact]
    public async Task Operation_ids_that_cannot_be_looked_up_keep_from_starting_one_and_from_retention_and_end_nothing()
    {
        var disk = new SimulatedFileSystem(tracksLosses: false);
        var clock = new MovableClock();
        var node = await TestNode.StartAsync(o => AtFullSpeed(o) with
        {
            Clock = clock,
            Files = disk,
            ScavengeInterval = TimeSpan.FromHours(24),
            OperationHorizon = 1024, // So small a table that each look meets a bucket.
        });
        try
        {
            await FillAsync(node);
            await node.RetainAsync(new RetentionScope { Category = "kept" }, new RetentionRule { MaxEvents = 1 });
            FlipOperations(disk);
            clock.Move(TimeSpan.FromHours(25));
            await Wait.UntilAsync(() => node.Node.ScavengeLooks == 1, "a look");
            await UntilAsync(node, status => status.Why.Contains("operations-", StringComparison.Ordinal), "the problem to show");
            Assert.Equal(0, await node.Node.Retention.PassAsync());
            Assert.Equal(("serving", "never"), (node.Node.State, (await GetAsync(node)).State));

            FlipOperations(disk);
            Assert.Equal(3, await node.Node.Retention.PassAsync());
            clock.Move(TimeSpan.FromHours(25));
            Assert.Equal(string.Empty, (await UntilAsync(node, "done")).Why);
            node = await node.RestartAsync();
        }
        finally
        {
            await node.DisposeAsync();
        }
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_stop_of_the_node_waits_for_one_segment_of_a_look_at_the_most(bool byItself)
    {
        var disk = new SimulatedFileSystem(tracksLosses: false);
        var clock = new MovableClock();
        await using var node = await TestNode.StartAsync(o => AtFullSpeed(o) with { Clock = clock, Files = disk, ScavengeInterval = TimeSpan.FromHours(24) });
        await FillAsync(node);
        using var goesOn = new ManualResetEventSlim();
        var (looker, segments) = (0, new HashSet<string>());
        var begun = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        disk.OnOpening = path =>
        {
            // Who opens the first segment's file looks; no pool thread does.
            var own = Environment.CurrentManagedThreadId;
            if (path.EndsWith("0000.seg", StringComparison.Ordinal) && !Thread.CurrentThread.IsThreadPoolThread && Interlocked.CompareExchange(ref looker, own, 0) == 0)
            {
                begun.SetResult();
                goesOn.Wait();
            }

            if (looker == own)
            {
                segments.Add(Path.GetFileNameWithoutExtension(path));
            }
        };
        var explaining = byItself ? null : ExplainAsync(node);
        clock.Move(byItself ? TimeSpan.FromHours(25) : TimeSpan.Zero);
        await begun.Task.WaitAsync(Wait.Limit);
        var stopping = node.StopAsync();
        await Wait.UntilAsync(() => node.Node.State == "draining", "the stop to begin");
        goesOn.Set();
        await stopping.WaitAsync(Wait.Limit);
        Assert.Single(segments);
        if (explaining is not null)
        {
            await Fails.WithAsync(RpcCode.Unavailable, Reason.Draining, () => explaining);
        }
    }

    // Damages each bucket of what says which operation ids there are; again, and it is sound.
    private static void FlipOperations(SimulatedFileSystem disk)
    {
        const int Header = 8192;
        const int Bucket = 64;
        foreach (var path in disk.AllFiles().Where(p => p.Contains("/operations-", StringComparison.Ordinal)))
        {
            using var file = disk.OpenFile(path, FileOpening.ReadExisting);
            for (long at = Header; at < file.Length; at += Bucket)
            {
                disk.FlipBit(path, at + 10, bit: 1);
            }
        }
    }

    private static NodeOptions AtFullSpeed(NodeOptions options) => options with { ScavengeBytesPerSecond = 0 };

    // A step in a quarter of an hour: what has begun has not ended.
    private static NodeOptions Slowly(NodeOptions options) => options with { ScavengeBytesPerSecond = 1024 };

    // Some sealed segments, of which every second event or so can't be read any more.
    private static async Task FillAsync(TestNode node, bool deletes = true)
    {
        var data = new string('x', 20_000);
        for (var i = 0; node.Node.Storage.SegmentCounts.Sealed < 4; i++)
        {
            await node.AppendAsync($"gone-{i % 3}", Make.Any, Make.Event(data: $"\"{data}{i}\""));
            await node.AppendAsync($"kept-{i % 3}", Make.Any, Make.Event(data: $"\"{i}{data}\""));
        }

        if (deletes)
        {
            await DeleteAsync(node);
        }

        // What an explanation says of a segment changes when it is sealed.
        await Wait.UntilAsync(() => node.Node.Storage.SegmentCounts.Unsealed == 1, "full segments to be sealed");
    }

    // Two go as a whole, of the third the older half.
    private static async Task DeleteAsync(TestNode node)
    {
        for (var i = 0; i < 2; i++)
        {
            await node.Channel.UnaryAsync(Methods.DeleteStream, new DeleteStreamRequest { OperationId = Make.Id(), Stream = $"gone-{i}", Expected = Make.Any });
        }

        var third = await node.Channel.UnaryAsync(Methods.GetStream, new GetStreamRequest { Stream = "gone-2" });
        await node.Channel.UnaryAsync(
            Methods.TruncateStream,
            new TruncateStreamRequest { OperationId = Make.Id(), Stream = "gone-2", Expected = Make.Any, Before = third.LastVersion / 2 });
    }

    private static Task<ScavengeStatus> StartAsync(TestNode node, ByteString? id = null) =>
        node.Channel.UnaryAsync(StartMethod, new StartScavengeRequest { OperationId = id ?? Make.Id() }).AsTask();

    private static Task<ScavengeStatus> StopAsync(TestNode node, ByteString? id = null) =>
        node.Channel.UnaryAsync(StopMethod, new StopScavengeRequest { OperationId = id ?? Make.Id() }).AsTask();

    private static Task<ScavengeStatus> GetAsync(TestNode node) => node.Channel.UnaryAsync(GetMethod, new GetScavengeRequest()).AsTask();

    private static Task<ExplainScavengeResponse> ExplainAsync(TestNode node, uint from = 0, uint size = 0) =>
        node.Channel.UnaryAsync(ExplainMethod, new ExplainScavengeRequest { FromSegment = from, PageSize = size }).AsTask();

    private static Task<ScavengeStatus> UntilAsync(TestNode node, string state) => UntilAsync(node, status => status.State == state, state);

    private static async Task<ScavengeStatus> UntilAsync(TestNode node, Func<ScavengeStatus, bool> condition, string what)
    {
        var end = DateTime.UtcNow + Wait.Limit;
        while (true)
        {
            var status = await GetAsync(node);
            if (condition(status))
            {
                return status;
            }

            Assert.True(DateTime.UtcNow < end, $"Waited {Wait.Limit} for {what}, it is: {status}");
            await Task.Delay(5);
        }
    }

    private static RpcMethod<TRequest, TResponse> Of<TRequest, TResponse>(string name)
        where TRequest : class, IMessage<TRequest>, new()
        where TResponse : class, IMessage<TResponse>, new() =>
        RpcMethod<TRequest, TResponse>.Of(AdminReflection.Descriptor.Services[0], name);

    // Timers run on the real clock, so that the node goes on working while time stands still.
    private sealed class MovableClock : TimeProvider
    {
        private long _ahead;

        public void Move(TimeSpan by) => Interlocked.Add(ref _ahead, by.Ticks);

        public override DateTimeOffset GetUtcNow() => base.GetUtcNow() + TimeSpan.FromTicks(Interlocked.Read(ref _ahead));
    }
}
