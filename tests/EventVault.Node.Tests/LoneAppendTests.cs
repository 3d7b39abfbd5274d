using EventVault.Node.Tests.Support;
using EventVault.Protocol;
using EventVault.Rpc;
using EventVault.Storage.Io;
using EventVault.Storage.Tests.Simulated;

namespace EventVault.Node.Tests;

/// <summary>Appends that come alone are sequenced and written on the threads that bring them (decision 0024), and nothing else changes.</summary>
public sealed class LoneAppendTests
{
    /// <summary>More than have to come alone before callers step.</summary>
    private const int Enough = 2_000;

    /// <summary>
    /// Fewer than have to come alone before callers step; more than one, because the vault's thread may write what comes just before it parks.
    /// </summary>
    private const int AtOnce = 100;

    private volatile bool _byCaller;
    private volatile bool _failed;

    [Fact]
    public async Task Appends_that_come_alone_are_written_by_who_brings_them_until_others_come()
    {
        await using var node = await StartAsync();
        await UntilCallersStepAsync(node);

        // A disk that takes its time: so they do come together, on whatever machine.
        var watch = node.Disk.OnOperation;
        node.Disk.OnOperation = operation =>
        {
            if (operation.Kind == DiskOperationKind.Flush)
            {
                Thread.Sleep(1);
            }
        };
        await Task.WhenAll(Enumerable.Range(0, 16).Select(i => Task.Run(async () =>
        {
            for (var n = 0; n < 50; n++)
            {
                await node.AppendAsync($"together-{i}", Make.Any);
            }
        })));
        node.Disk.OnOperation = watch;
        _byCaller = false;
        await node.AppendAsync("s", Make.Any);
        Assert.False(_byCaller);

        // And again, with the log's end marked while it rests, as ever.
        await UntilCallersStepAsync(node);
        await Wait.UntilAsync(() => !node.Node.Storage.Log.WantsMark, "the commit mark");
        await UntilCallersStepAsync(node, AtOnce);
        await Wait.UntilAsync(() => !node.Node.Storage.Log.WantsMark, "the commit mark");
    }

    [Fact]
    public async Task One_that_finds_company_now_and_then_keeps_no_caller_from_writing()
    {
        await using var node = await StartAsync();
        await UntilCallersStepAsync(node);
        for (var n = 0; n < 64; n++)
        {
            await node.AppendAsync("s", Make.Any);
        }

        using var gate = new ManualResetEventSlim();
        var slow = await HeldAsync(node, gate);
        var company = node.AppendAsync("company", Make.NoStream).AsTask();
        await Wait.UntilAsync(() => node.Node.Loop.Waiting == 1, "an append in the queue");
        gate.Set();
        await Task.WhenAll(slow, company);
        Watched(node);

        await UntilCallersStepAsync(node, AtOnce);
    }

    [Fact]
    public async Task What_callers_and_the_vaults_thread_write_stands_in_one_order_over_a_restart()
    {
        const int Streams = 8;
        var node = await StartAsync();
        var acknowledged = new List<(ulong Position, string Stream, ulong Version)>();
        var versions = new ulong[Streams];
        var random = new Random(1);
        for (var round = 0; round < 6; round++)
        {
            await UntilCallersStepAsync(node);

            // One, two or three at once: callers that step meet others at every point.
            for (var n = 0; n < 150; n++)
            {
                var first = random.Next(Streams);
                var answers = await Task.WhenAll(Enumerable.Range(first, 1 + random.Next(3)).Select(i => i % Streams).Select(i => Task.Run(async () =>
                {
                    var expected = versions[i] == 0 ? Make.NoStream : Make.Version(versions[i] - 1);
                    var answer = await node.AppendAsync($"s-{i}", expected, Make.Event());
                    return (answer.FirstPosition, Stream: $"s-{i}", Version: versions[i]++);
                })));
                acknowledged.AddRange(answers);
            }
        }

        node = await node.RestartAsync();
        await using var after = node;
        var all = await node.ReadAllAsync();
        Assert.Equal(Enumerable.Range(0, all.Count).Select(p => (ulong)p), all.Select(e => e.Position));
        Assert.Equal(
            acknowledged.Order(),
            all.Where(e => e.Stream.StartsWith("s-", StringComparison.Ordinal)).Select(e => (e.Position, e.Stream, e.Version)).Order());
    }

    // The session's answerer runs within its reader then.
    [Fact]
    public async Task A_session_whose_appends_come_alone_is_answered_in_order_and_so_is_one_that_then_sends_many()
    {
        await using var node = await StartAsync();
        await using var call = node.Channel.Start(Methods.AppendSession);
        ulong sent = 0;
        ulong answered = 0;
        async Task SendAsync(int count)
        {
            for (var n = 0; n < count; n++)
            {
                await SessionTests.SendAsync(call, SessionTests.Request(++sent, Make.Stream("session", Make.Any)));
            }

            while (answered < sent)
            {
                Assert.True(await call.MoveNextAsync());
                Assert.All(call.Current.Results, result => Assert.Equal((++answered, answered - 1), (result.RequestId, result.Result.Streams[0].Version)));
            }
        }

        for (var n = 0; !_byCaller; n++)
        {
            Assert.True(n < Enough, "Callers don't step.");
            await SendAsync(1);
        }

        foreach (var count in (int[])[2, 1, 40, 1, 3])
        {
            await SendAsync(count);
        }

        await call.CompleteAsync();
        Assert.False(await call.MoveNextAsync());
    }

    [Fact]
    public async Task A_flush_that_fails_on_a_callers_thread_ends_the_node_as_on_its_own()
    {
        var node = await StartAsync();
        await UntilCallersStepAsync(node);
        await Wait.UntilAsync(() => !node.Node.Storage.Log.WantsMark, "the commit mark");
        node.Disk.OnOperation = operation =>
        {
            if (IsByCaller(operation))
            {
                _failed = true;
                throw new DiskException("fdatasync", operation.Path, 5, "Input/output error");
            }
        };

        Task lone;
        var n = 0;
        do
        {
            lone = node.AppendAsync("s", Make.Any).AsTask();
            await Task.WhenAny(lone);
        }
        while (lone.IsCompletedSuccessfully && ++n < AtOnce);

        await Fails.WithAsync(RpcCode.Unavailable, Reason.OutcomeUnknown, () => lone);
        Assert.True(_failed);
        Assert.IsType<DiskException>(await node.Node.Failed.WaitAsync(Wait.Limit));
        await Fails.WithAsync(RpcCode.Unavailable, Reason.Draining, () => node.AppendAsync("s", Make.Any).AsTask());
        await node.StopAsync();
        Assert.Equal("failed", node.Node.State);
    }

    [Fact]
    public async Task A_stop_waits_for_a_caller_that_writes_and_who_came_meanwhile_is_answered()
    {
        var node = await StartAsync();
        await UntilCallersStepAsync(node);
        await Wait.UntilAsync(() => !node.Node.Storage.Log.WantsMark, "the commit mark");
        using var gate = new ManualResetEventSlim();
        var lone = await HeldAsync(node, gate);
        var before = (await node.ReadAllAsync()).Count;
        var behind = Enumerable.Range(0, 3).Select(i => node.AppendAsync($"behind-{i}", Make.NoStream).AsTask()).ToList();
        await Wait.UntilAsync(() => node.Node.Loop.Waiting == behind.Count, "appends in the queue");
        var stopping = node.Node.StopAsync();
        await Task.Delay(20);
        Assert.False(stopping.IsCompleted || lone.IsCompleted || behind.Exists(b => b.IsCompleted));

        gate.Set();

        await lone;
        await Task.WhenAll(behind);
        await stopping;
        node.Disk.OnOperation = null;
        await using var after = await node.RestartAsync();
        Assert.True(after.Node.Storage.StoppedInOrder);
        var all = await after.ReadAllAsync();
        Assert.Equal(before + 1 + behind.Count, all.Count);
        Assert.Equal(["behind-0", "behind-1", "behind-2"], all.Select(e => e.Stream).Where(s => s is not "s").Order());
    }

    // Only what appends flush: the log's mark and new segments are written by threads of the node's own.
    private static bool IsByCaller(in DiskOperation operation) =>
        operation.Kind == DiskOperationKind.Flush && operation.Path.Contains("/log/", StringComparison.Ordinal) && Thread.CurrentThread.IsThreadPoolThread;

    private async Task<TestNode> StartAsync() => Watched(await TestNode.StartAsync(o => o with { SegmentSizeBytes = 16 * TestNode.SegmentSizeBytes }));

    private TestNode Watched(TestNode node)
    {
        node.Disk.OnOperation = operation => _byCaller |= IsByCaller(operation);
        return node;
    }

    private async Task UntilCallersStepAsync(TestNode node, int most = Enough)
    {
        _byCaller = false;
        for (var n = 0; !_byCaller; n++)
        {
            Assert.True(n < most, "Callers don't step.");
            await node.AppendAsync("s", Make.Any);
        }
    }

    // A lone append, while whoever brought it stands in its flush until the gate opens.
    private static async Task<Task> HeldAsync(TestNode node, ManualResetEventSlim gate)
    {
        var waits = false;
        node.Disk.OnOperation = operation =>
        {
            if (IsByCaller(operation) && !Volatile.Read(ref waits))
            {
                Volatile.Write(ref waits, true);
                gate.Wait(Wait.Limit);
            }
        };
        for (var n = 0; n < AtOnce; n++)
        {
            var lone = Task.Run(() => node.AppendAsync("s", Make.Any).AsTask());
            await Wait.UntilAsync(() => Volatile.Read(ref waits) || lone.IsCompleted, "an append that is written");
            if (Volatile.Read(ref waits))
            {
                return lone;
            }

            await lone;
        }

        throw new InvalidOperationException("Callers don't step.");
    }
}
