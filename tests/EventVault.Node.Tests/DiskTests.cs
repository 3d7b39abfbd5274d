using EventVault.Node.Tests.Support;
using EventVault.Protocol;
using EventVault.Rpc;
using EventVault.Storage.Io;
using EventVault.Storage.Tests.Simulated;

namespace EventVault.Node.Tests;

public sealed class DiskTests
{
    /// <summary>Behind it the damage is met when the file is read, not at the start.</summary>
    private const int KeyFileHeader = 128;

    [Fact]
    public async Task A_failed_flush_stops_the_node_and_nothing_further_is_acknowledged()
    {
        var disk = new SimulatedFileSystem();
        var node = await TestNode.StartAsync(o => o with { Files = disk, DrainTimeout = TimeSpan.FromSeconds(5) });
        await node.AppendAsync("s", Make.NoStream);

        // The flush of a group, not that of the mark that a resting log gets.
        await Wait.UntilAsync(() => !node.Node.Storage.Log.WantsMark, "the commit mark");
        disk.OnOperation = operation =>
        {
            if (operation.Kind == DiskOperationKind.Flush && Thread.CurrentThread.Name == "vault")
            {
                throw new DiskException("fdatasync", operation.Path, 5, "Input/output error");
            }
        };
        await using var call = node.Channel.Start(Methods.AppendSession);
        await SessionTests.SendAsync(call, SessionTests.Request(1, Make.Stream("s", Make.Any)));

        var (results, end) = await SessionTests.ReadToFailureAsync(call);

        Assert.Equal(Reason.OutcomeUnknown, Fails.Detail(RpcCode.Unavailable, end).Failures[0].Reason);
        Assert.Equal(Reason.OutcomeUnknown, Assert.Single(results).Error.Detail.Failures[0].Reason);
        Assert.IsType<DiskException>(await node.Node.Failed.WaitAsync(Wait.Limit));
        await Fails.WithAsync(RpcCode.Unavailable, Reason.Draining, () => node.AppendAsync("s", Make.Any).AsTask());
        await node.StopAsync();
        Assert.Equal("failed", node.Node.State);
    }

    [Fact]
    public async Task A_node_that_stops_in_order_notes_it_and_one_whose_disk_failed_does_not()
    {
        var node = await TestNode.StartAsync();
        await node.AppendAsync("s", Make.NoStream);
        for (var restart = 1; restart <= 2; restart++)
        {
            node = await node.RestartAsync();
            Assert.True(node.Node.Storage.StoppedInOrder);
            await node.AppendAsync("s", Make.Any);
        }

        // The mark of a resting log is not what fails, nor a note: the flush of an append.
        await Wait.UntilAsync(() => !node.Node.Storage.Log.WantsMark, "the commit mark");
        node.Disk.OnOperation = operation =>
        {
            if (operation.Kind == DiskOperationKind.Flush && Thread.CurrentThread.Name == "vault")
            {
                throw new DiskException("fdatasync", operation.Path, 5, "Input/output error");
            }
        };
        await Fails.WithAsync(RpcCode.Unavailable, Reason.OutcomeUnknown, () => node.AppendAsync("s", Make.Any).AsTask());
        Assert.IsType<DiskException>(await node.Node.Failed.WaitAsync(Wait.Limit));
        await node.StopAsync();
        node.Disk.OnOperation = null;
        node.Disk.ReleaseLocks(); // As the end of its process does.
        await using var after = await TestNode.StartAsync(o => o with { Files = node.Disk });
        Assert.False(after.Node.Storage.StoppedInOrder);
        Assert.True((await after.ReadAllAsync()).Count >= 3);
    }

    // Who reads it is told at once; the thread that scavenges makes it again from its segment.
    // All else is disposed by then; the program ends with the exit code of a failed disk, not with an exception that nobody expected.
    [Fact]
    public async Task A_disk_that_fails_while_the_end_of_the_log_is_noted_is_told_as_any_failure_of_it()
    {
        var node = await TestNode.StartAsync();
        await node.AppendAsync("s", Make.NoStream);
        node.Disk.OnOperation = operation =>
        {
            if (operation.Kind == DiskOperationKind.Flush && operation.Path.Contains("/clean-stop", StringComparison.Ordinal))
            {
                throw new DiskException("fdatasync", operation.Path, 5, "Input/output error");
            }
        };
        await node.StopAsync();
        Assert.IsType<DiskException>(await node.Node.Failed.WaitAsync(Wait.Limit));
    }

    [Fact]
    public async Task A_key_file_that_is_found_damaged_is_made_again_while_the_node_runs()
    {
        await using var node = await TestNode.StartAsync();
        var data = new string('x', 20_000);
        while (node.Node.Storage.SegmentCounts.Sealed < 1)
        {
            await node.AppendAsync("s", Make.Any, Make.Event("wanted", $"\"{data}\""));
        }

        var path = $"{node.Directory}/index/{0:D20}.kx";
        using (var file = node.Disk.OpenFile(path, FileOpening.ReadExisting))
        {
            for (long offset = KeyFileHeader; offset < file.Length; offset += 64)
            {
                node.Disk.FlipBit(path, offset, bit: 1);
            }
        }

        var wanted = new ReadAllRequest { Filter = new EventFilter { Query = Make.Query(Make.Item("wanted")) } };
        await Fails.WithAsync(RpcCode.DataLoss, Reason.Damaged, () => node.ReadAllAsync(wanted));
        var end = DateTime.UtcNow + Wait.Limit;
        while (await TryReadAsync(node, wanted) is not { } found || !found.SequenceEqual(await node.ReadAllAsync()))
        {
            Assert.True(DateTime.UtcNow < end, $"Waited {Wait.Limit} for the key file to be made again");
            await Task.Delay(5);
        }
    }

    [Fact]
    public async Task A_stop_in_order_is_noted_when_all_threads_have_ended_and_nothing_failed()
    {
        const string Note = "/vault/index/clean-stop";
        var disk = new SimulatedFileSystem();
        var node = await TestNode.StartAsync(o => o with { Files = disk });
        await node.AppendAsync("s", Make.NoStream);
        node = await node.RestartAsync();
        Assert.True(node.Node.Storage.StoppedInOrder);

        // Sealing fails, beside a log in which nothing did.
        disk.OnOperation = operation =>
        {
            if (Thread.CurrentThread.Name == "background" && operation.Path.EndsWith(".ix.tmp", StringComparison.Ordinal))
            {
                throw new DiskException("pwrite", operation.Path, 5, "Input/output error");
            }
        };
        for (var i = 0; i < 15; i++)
        {
            try
            {
                await node.AppendAsync("s", Make.Any, Make.Event(data: new string('x', 100_000)));
            }
            catch (RpcException e)
            {
                Fails.Detail(RpcCode.Unavailable, e); // It may have failed by now.
            }
        }

        Assert.IsType<DiskException>(await node.Node.Failed.WaitAsync(Wait.Limit));
        await node.StopAsync();
        Assert.False(disk.FileExists(Note));
    }

    [Fact]
    public async Task States_on_the_way_leave_room_for_the_log_and_can_give_theirs_back()
    {
        await using var node = await TestNode.StartAsync();
        await node.AppendAsync("s", Make.Any, Make.Events(1_100));
        await node.StateAsync("s", reducer: StateCallsOfNode.Slots("a = COUNT(*)"));
        var kept = node.Node.Kept.Bytes;
        Assert.True(kept > 0);

        // What is left the log needs: no more states, but those that are there stay.
        node.Disk.CapacityBytes = (1L << 50) - node.Disk.FreeBytes("/vault") + (2 * TestNode.SegmentSizeBytes) - 4096;
        Assert.Equal(1_100ul, (await node.StateAsync("s", reducer: StateCallsOfNode.Slots("b = COUNT(*)"))).Counts.Events);
        Assert.Equal(kept, node.Node.Kept.Bytes);

        // As the node does for as long as the disk is full.
        node.Node.Kept.DropUnused();
        Assert.Equal(0, node.Node.Kept.Bytes);
        Assert.Empty(node.Disk.ListFiles("/vault/states"));
        Assert.Equal(1_100ul, (await node.StateAsync("s", reducer: StateCallsOfNode.Slots("a = COUNT(*)"))).Counts.Events);
        Assert.Equal(0, node.Node.Kept.Bytes);

        node.Disk.CapacityBytes = null;
        await node.StateAsync("s", reducer: StateCallsOfNode.Slots("a = COUNT(*)"));
        Assert.Equal(kept, node.Node.Kept.Bytes);
    }

    [Fact]
    public async Task On_a_full_disk_states_on_the_way_make_room()
    {
        await using var node = await TestNode.StartAsync();
        await node.AppendAsync("s", Make.Any, Make.Events(1_100));
        while (node.Node.Storage.SegmentCounts.Sealed < 1)
        {
            // The file of operation ids is made at the first seal, and the simulated disk counts all of its length.
            await node.AppendAsync("s", Make.Any, Make.Event(data: new string('x', 50_000)));
        }

        await node.StateAsync("s", reducer: StateCallsOfNode.Slots("a = COUNT(*)"));
        Assert.True(node.Node.Kept.Bytes > 0);
        node.Disk.CapacityBytes = (1L << 50) - node.Disk.FreeBytes("/vault") + (2 * TestNode.SegmentSizeBytes) - 4096;
        await FillAsync(node).WaitAsync(Wait.Limit);
        await Wait.UntilAsync(() => node.Node.Kept.Bytes == 0, "states on the way to make room");
        Assert.Empty(node.Disk.ListFiles("/vault/states"));
    }

    [Fact]
    public async Task A_file_of_states_that_takes_long_to_open_holds_up_nobody_else()
    {
        var node = await TestNode.StartAsync();
        await node.AppendAsync("s", Make.Any, Make.Events(1_100));
        await node.StateAsync("s", reducer: StateCallsOfNode.Slots("a = COUNT(*)"));
        node = await node.RestartAsync();
        Assert.True(node.Node.Kept.Bytes > 0);
        using var mayOpen = new ManualResetEventSlim();
        using var opens = new SemaphoreSlim(0);
        node.Disk.OnOpening = path =>
        {
            if (path.EndsWith(".states", StringComparison.Ordinal) && !mayOpen.IsSet)
            {
                opens.Release();
                mayOpen.Wait(Wait.Limit);
            }
        };
        var held = node.StateAsync("s", reducer: StateCallsOfNode.Slots("a = COUNT(*)"));
        try
        {
            Assert.True(await opens.WaitAsync(Wait.Limit));
            var other = node.StateAsync(new GetStateRequest { Stream = "s", AsOf = new AsOf { Version = 9 }, Reducer = StateCallsOfNode.Slots("b = COUNT(*)") }, Wait.Limit / 2);
            Assert.Equal("""{"b":10}""", (await other).Json());
            Assert.False(held.IsCompleted);
        }
        finally
        {
            mayOpen.Set();
        }

        Assert.Equal("""{"a":1100}""", (await held).Json());
        await node.StopAsync();
    }

    [Fact]
    public async Task A_full_disk_refuses_appends_reads_go_on_and_appends_resume_when_space_returns()
    {
        await using var node = await TestNode.StartAsync(o => o with
        {
            Files = new SimulatedFileSystem(tracksLosses: false) { CapacityBytes = (2 * TestNode.SegmentSizeBytes) + 500_000 },
        });
        var payload = new string('x', 50_000);
        var written = 0;
        Failure failure;
        while (true)
        {
            var detail = await TryAppendAsync(node, payload);
            if (detail is not null)
            {
                failure = detail.Failures[0];
                break;
            }

            written++;
            Assert.True(written < 1000, "The disk never became full.");
        }

        Assert.Equal(Reason.StoreFull, failure.Reason);
        Assert.Equal(written, (await node.ReadAllAsync()).Count);
        Assert.Equal("full", (await node.Channel.UnaryAsync(Methods.GetStatus, new GetStatusRequest())).State);
        await using var call = node.Channel.Start(Methods.AppendSession);
        await SessionTests.SendAsync(call, SessionTests.Request(1, Make.Stream("s", Make.Any, Make.Event(data: payload))));
        var (_, end) = await SessionTests.ReadToFailureAsync(call);
        Fails.Detail(RpcCode.ResourceExhausted, end);

        node.Disk.CapacityBytes = null;
        await Wait.UntilAsync(() => !node.Node.Storage.DiskIsFull, "the node to notice");
        Assert.Null(await TryAppendAsync(node, payload));
        Assert.Equal("serving", (await node.Channel.UnaryAsync(Methods.GetStatus, new GetStatusRequest())).State);
    }

    [Fact]
    public async Task A_node_starts_on_a_full_disk_and_serves_reads()
    {
        var node = await TestNode.StartAsync(o => o with
        {
            Files = new SimulatedFileSystem(tracksLosses: false) { CapacityBytes = (2 * TestNode.SegmentSizeBytes) + 500_000 },
        });
        try
        {
            var written = await FillAsync(node);
            for (var start = 0; start < 5; start++)
            {
                // Each start writes the no-op of its election: appends have left room for it.
                node = await node.RestartAsync().WaitAsync(Wait.Limit);
                Assert.Equal(written, (await node.ReadAllAsync()).Count);
                Assert.Equal(Reason.StoreFull, (await TryAppendAsync(node, "x"))!.Failures[0].Reason);
            }

            node.Disk.CapacityBytes = null;
            await Wait.UntilAsync(() => !node.Node.Storage.DiskIsFull, "the node to notice");
            Assert.Null(await TryAppendAsync(node, "x"));
        }
        finally
        {
            await node.DisposeAsync();
        }
    }

    [Fact]
    public async Task A_second_node_on_a_data_directory_is_refused()
    {
        await using var node = await TestNode.StartAsync();
        await Assert.ThrowsAsync<DirectoryInUseException>(() => TestNode.StartAsync(o => o with { Files = node.Disk }));
        await node.AppendAsync("s", Make.NoStream);
    }

    [Fact]
    public async Task Damage_ends_a_read_after_the_events_before_it_and_is_never_served()
    {
        var directory = Directory.CreateTempSubdirectory("eventvault-node-tests-").FullName;
        try
        {
            await using var node = await TestNode.StartAsync(o => o with { Directory = directory, Files = new NativeFileSystem() });
            // The last block is written again with the log's end; the damage must be in one that is not.
            var third = new string('3', 10_000);
            await node.AppendAsync("a", Make.NoStream, Make.Event(data: "first"), Make.Event(data: "second"), Make.Event(data: third));
            Flip(Directory.GetFiles(Path.Combine(directory, "log"), "*.seg").Single(), "second"u8);

            await ExpectDamage(node.Channel.Start(Methods.ReadAll, new ReadAllRequest()), "first");
            await ExpectDamage(node.Channel.Start(Methods.ReadAll, new ReadAllRequest { Direction = Direction.Backwards }), third);
            await ExpectDamage(node.Channel.Start(Methods.ReadStream, new ReadStreamRequest { Stream = "a" }), "first");
            await ExpectDamage(node.Channel.Start(Methods.Subscribe, new SubscribeRequest { All = new Empty() }), "first");
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }

    /// <summary>Appends down to the smallest one, so that nothing of a size to speak of is left.</summary>
    /// <returns>How many events were written.</returns>
    internal static async Task<int> FillAsync(TestNode node)
    {
        var written = 0;
        foreach (var size in new[] { 50_000, 5_000, 500, 1 })
        {
            while (await TryAppendAsync(node, new string('x', size)) is null)
            {
                written++;
                Assert.True(written < 10_000, "The disk never became full.");
            }
        }

        return written;
    }

    private static async Task ExpectDamage<T>(RpcCall<T, ReadResponse> call, string before)
        where T : class, Google.Protobuf.IMessage<T>, new()
    {
        await using var _ = call;
        var events = new List<string>();
        var end = await Assert.ThrowsAsync<RpcException>(async () =>
        {
            while (await call.MoveNextAsync())
            {
                events.AddRange(call.Current.Events?.Events.Select(e => e.Event.Data.ToStringUtf8()) ?? []);
            }
        });
        var failure = Fails.Detail(RpcCode.DataLoss, end).Failures[0];
        Assert.Equal(Reason.Damaged, failure.Reason);
        Assert.EndsWith(".seg", failure.Damage.Segment, StringComparison.Ordinal);
        Assert.True(failure.Damage.Offset > 0 && failure.Damage.Expected.Length > 0);
        Assert.Equal([before], events);
    }

    private static void Flip(string path, ReadOnlySpan<byte> what)
    {
        using var file = new FileStream(path, FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite);
        var bytes = new byte[64 * 1024];
        var read = file.Read(bytes);
        var at = bytes.AsSpan(0, read).IndexOf(what);
        Assert.True(at > 0);
        file.Position = at;
        file.WriteByte((byte)(what[0] ^ 1));
    }

    private static async Task<List<RecordedEvent>?> TryReadAsync(TestNode node, ReadAllRequest request)
    {
        try
        {
            return await node.ReadAllAsync(request);
        }
        catch (RpcException e) when (e.Code == RpcCode.DataLoss)
        {
            return null;
        }
    }

    private static async Task<ErrorDetail?> TryAppendAsync(TestNode node, string payload)
    {
        try
        {
            await node.AppendAsync("s", Make.Any, Make.Event(data: payload));
            return null;
        }
        catch (RpcException e)
        {
            return Fails.Detail(RpcCode.ResourceExhausted, e);
        }
    }
}
