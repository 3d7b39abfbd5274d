using EventVault.Node.Tests.Support;
using EventVault.Protocol;
using EventVault.Rpc;
using EventVault.Storage.Log;

namespace EventVault.Node.Tests;

using SessionCall = RpcCall<AppendSessionRequest, AppendSessionResponse>;

public sealed class SessionTests
{
    [Fact]
    public async Task Pipelined_appends_are_answered_in_request_order_several_to_a_message()
    {
        await using var node = await TestNode.StartAsync();
        await using var call = node.Channel.Start(Methods.AppendSession);
        const int Count = 3000;
        for (var i = 0; i < Count; i++)
        {
            call.Write(Request((ulong)i, Make.Stream($"s-{i % 10}", Make.Any)));
        }

        await call.CompleteAsync();
        var results = new List<AppendSessionResult>();
        var messages = 0;
        while (await call.MoveNextAsync())
        {
            messages++;
            results.AddRange(call.Current.Results);
        }

        Assert.Equal(Enumerable.Range(0, Count).Select(i => ((ulong)i, (ulong)i)), results.Select(r => (r.RequestId, r.Result.FirstPosition)));
        Assert.All(results, r => Assert.Equal(($"s-{r.RequestId % 10}", r.RequestId / 10), (r.Result.Streams[0].Stream, r.Result.Streams[0].Version)));
        Assert.True(messages < Count / 10, $"{messages} messages for {Count} answers");
        Assert.Equal(Count, (await node.ReadAllAsync()).Count);
    }

    [Fact]
    public async Task A_failed_check_does_not_stop_the_next_append()
    {
        await using var node = await TestNode.StartAsync();
        await using var call = node.Channel.Start(Methods.AppendSession);
        var repeated = Request(5, Make.Stream("a", Make.Exists));
        var reused = repeated.Clone();
        reused.Append.Streams[0].Events[0].Type = "other";
        call.Write(Request(1, Make.Stream("a", Make.NoStream)));
        call.Write(Request(2, Make.Stream("a", Make.NoStream)));
        call.Write(Request(3, Make.Stream("a", Make.Version(0), new EventData { Type = "t" })));
        call.Write(Request(4, Make.Stream("$a", Make.Any)));
        call.Write(repeated);
        call.Write(repeated);
        call.Write(reused);
        call.Write(Request(6, Make.Stream("a", Make.Version(1))));
        await call.CompleteAsync();

        var results = await ReadToEndAsync(call);

        Assert.Equal([1, 2, 3, 4, 5, 5, 5, 6], results.Select(r => (int)r.RequestId));
        Assert.Equal(0ul, results[0].Result.FirstPosition);
        Assert.Equal(((int)RpcCode.Aborted, Reason.WrongExpectedVersion), Error(results[1]));
        Assert.Equal(((int)RpcCode.InvalidArgument, Reason.InvalidEvent), Error(results[2]));
        Assert.Equal(((int)RpcCode.InvalidArgument, Reason.ReservedName), Error(results[3]));
        Assert.Equal((1ul, false), (results[4].Result.FirstPosition, results[4].Result.Deduplicated));
        Assert.Equal((1ul, true), (results[5].Result.FirstPosition, results[5].Result.Deduplicated));
        Assert.Equal(((int)RpcCode.AlreadyExists, Reason.OperationIdReused), Error(results[6]));
        Assert.Equal(2ul, results[7].Result.FirstPosition);
    }

    [Fact]
    public async Task A_full_queue_refuses_an_append_and_all_after_it_and_nothing_of_them_is_written()
    {
        await using var node = await TestNode.StartAsync(o => o with { Queue = new AppendLimits(QueuedAppends: 4) }); // Half of it for one client.
        using var gate = new DiskGate(node.Disk);
        await gate.CloseAsync(node);
        await using var call = node.Channel.Start(Methods.AppendSession);
        await SendAsync(call, Request(0, Make.Stream("s", Make.Any)));
        await gate.UntilSomeoneWaitsAsync();
        for (var i = 1; i <= 2; i++)
        {
            await SendAsync(call, Request((ulong)i, Make.Stream("s", Make.Any)));
            await Wait.UntilAsync(() => node.Node.Loop.Waiting == i, "the queue to take it");
        }

        await SendAsync(call, Request(3, Make.Stream("s", Make.Any)));
        var unary = await Fails.WithAsync(RpcCode.ResourceExhausted, Reason.Overloaded, () => node.AppendAsync("s", Make.Any).AsTask());
        Assert.True(unary.RetryAfterMs > 0);
        gate.Open();

        var (results, end) = await ReadToFailureAsync(call);
        Fails.Detail(RpcCode.ResourceExhausted, end);
        Assert.Equal([0, 1, 2, 3], results.Select(r => (int)r.RequestId));
        Assert.All(results.Take(3), r => Assert.NotNull(r.Result));
        Assert.Equal(((int)RpcCode.ResourceExhausted, Reason.Overloaded), Error(results[3]));
        Assert.Equal(3, (await node.ReadAllAsync()).Count);
    }

    [Fact]
    public async Task What_waits_in_the_queue_for_too_long_is_refused_with_all_after_it()
    {
        await using var node = await TestNode.StartAsync();
        using var gate = new DiskGate(node.Disk);
        await gate.CloseAsync(node);
        await using var call = node.Channel.Start(Methods.AppendSession);
        await SendAsync(call, Request(0, Make.Stream("s", Make.Any)));
        await gate.UntilSomeoneWaitsAsync();
        var late = Request(1, Make.Stream("s", Make.Any));
        late.TimeoutMs = 1;
        call.Write(late);
        await SendAsync(call, Request(2, Make.Stream("s", Make.Any)));
        await Wait.UntilAsync(() => node.Node.Loop.Waiting == 2, "both to be queued");
        await Task.Delay(50);
        gate.Open();

        var (results, end) = await ReadToFailureAsync(call);
        Fails.Detail(RpcCode.DeadlineExceeded, end);
        Assert.Equal([0, 1], results.Select(r => (int)r.RequestId));
        Assert.Equal(((int)RpcCode.DeadlineExceeded, Reason.TimedOutInQueue), Error(results[1]));
        Assert.Single(await node.ReadAllAsync());
    }

    [Fact]
    public async Task A_single_append_whose_deadline_passes_in_the_queue_is_not_written()
    {
        await using var node = await TestNode.StartAsync();
        using var gate = new DiskGate(node.Disk);
        await gate.CloseAsync(node);
        var first = node.AppendAsync("s", Make.Any).AsTask();
        await gate.UntilSomeoneWaitsAsync();

        var waiting = node.Channel.UnaryAsync(
            Methods.Append, Make.Append(Make.Stream("s", Make.Any)), new RpcCallOptions { Timeout = TimeSpan.FromSeconds(2) }).AsTask();
        await Wait.UntilAsync(() => node.Node.Loop.Waiting == 1, "the queue to take it");
        var late = await Assert.ThrowsAsync<RpcException>(() => waiting);

        Assert.Equal(RpcCode.DeadlineExceeded, late.Code);
        // The node counts the time from when the call came, which is later than the client's: let it pass there too.
        await Task.Delay(2000);
        gate.Open();
        await first;
        await node.AppendAsync("s", Make.Version(0));
    }

    [Fact]
    public async Task Draining_finishes_what_was_taken_and_ends_idle_sessions()
    {
        var node = await TestNode.StartAsync();
        using var gate = new DiskGate(node.Disk);
        await using var idle = node.Channel.Start(Methods.AppendSession);
        await SendAsync(idle, Request(0, Make.Stream("s", Make.Any)));
        Assert.True(await idle.MoveNextAsync());
        await gate.CloseAsync(node);
        await using var busy = node.Channel.Start(Methods.AppendSession);
        await SendAsync(busy, Request(1, Make.Stream("s", Make.Any)));
        await gate.UntilSomeoneWaitsAsync();
        await SendAsync(busy, Request(2, Make.Stream("s", Make.Any)));
        await Wait.UntilAsync(() => node.Node.Loop.Waiting == 1, "the queue to take it");

        var stopping = node.Node.StopAsync();
        var (none, end) = await ReadToFailureAsync(idle);
        Assert.Empty(none);
        Assert.Equal(Reason.Draining, Fails.Detail(RpcCode.Unavailable, end).Failures[0].Reason);
        Assert.Equal("draining", node.Node.State);
        gate.Open();
        var (results, busyEnd) = await ReadToFailureAsync(busy);
        Assert.True(results.Count == 2, $"{results.Count} results, then {busyEnd}");
        Assert.Equal([1ul, 2ul], results.Select(r => r.Result.FirstPosition));
        Assert.Equal(Reason.Draining, Fails.Detail(RpcCode.Unavailable, busyEnd).Failures[0].Reason);

        await stopping.WaitAsync(Wait.Limit);
        await using var again = await node.RestartAsync();
        Assert.Equal(3, (await again.ReadAllAsync()).Count);
    }

    [Fact]
    public async Task Cancelling_a_session_cancels_the_waiting_and_not_the_appends()
    {
        await using var node = await TestNode.StartAsync();
        using var gate = new DiskGate(node.Disk);
        await gate.CloseAsync(node);
        await using (var call = node.Channel.Start(Methods.AppendSession))
        {
            await SendAsync(call, Request(0, Make.Stream("s", Make.Any)));
            await gate.UntilSomeoneWaitsAsync();
            call.Write(Request(1, Make.Stream("s", Make.Any)));
            await SendAsync(call, Request(2, Make.Stream("s", Make.Any)));
            await Wait.UntilAsync(() => node.Node.Loop.Waiting == 2, "both to be queued");
        }

        gate.Open();
        await Wait.UntilAsync(() => node.Node.Storage.Head.Value == 2, "all three to be written");
    }

    [Fact]
    public async Task A_session_takes_no_more_than_its_share_and_then_waits()
    {
        await using var node = await TestNode.StartAsync(o => o with { SessionAppends = 4 });
        using var gate = new DiskGate(node.Disk);
        await gate.CloseAsync(node);
        await using var call = node.Channel.Start(Methods.AppendSession);
        for (var i = 0; i < 100; i++)
        {
            call.Write(Request((ulong)i, Make.Stream("s", Make.Any)));
        }

        await call.CompleteAsync();
        await gate.UntilSomeoneWaitsAsync();
        Assert.InRange(node.Node.Loop.Waiting, 0, 4);
        gate.Open();

        Assert.Equal(Enumerable.Range(0, 100), (await ReadToEndAsync(call)).Select(r => (int)r.RequestId));
    }

    [Theory]
    [InlineData(new byte[] { 8, 7, 18, 200 })]
    [InlineData(new byte[] { 8, 7, 32, 1 })]
    [InlineData(new byte[] { 8, 7, 8, 7 })]
    [InlineData(new byte[] { 8, 7 })]
    public async Task A_request_that_can_not_be_taken_apart_ends_the_session_after_the_answers_before_it(byte[] broken)
    {
        await using var node = await TestNode.StartAsync();
        await using var call = node.Channel.Start(Methods.AppendSession);
        call.Write(Request(1, Make.Stream("s", Make.Any)));
        call.WriteRaw(broken);
        await SendAsync(call, Request(2, Make.Stream("s", Make.Any)));

        var (results, end) = await ReadToFailureAsync(call);

        Fails.Detail(RpcCode.InvalidArgument, end);
        Assert.Equal([1, 7], results.Select(r => (int)r.RequestId));
        Assert.NotNull(results[0].Result);
        Assert.Equal((int)RpcCode.InvalidArgument, results[1].Error.Code);
        Assert.Single(await node.ReadAllAsync());
    }

    [Fact]
    public async Task A_frame_over_the_limit_ends_the_session_after_the_answers_before_it()
    {
        await using var node = await TestNode.StartAsync(o => o with { Limits = new VaultLimits { AppendBytes = 16 * 1024, EventBytes = 8 * 1024 } });
        for (var i = 0; i < 20; i++)
        {
            await using var call = node.Channel.Start(Methods.AppendSession);
            call.Write(Request(1, Make.Stream("s", Make.Any)));
            call.WriteRaw(new byte[2 * 1024 * 1024]);
            await call.FlushAsync().AsTask().ContinueWith(static _ => { }, TaskScheduler.Default); // May be cut short: the reading says why.

            var (results, end) = await ReadToFailureAsync(call).WaitAsync(Wait.Limit);

            Assert.Equal(Reason.LimitExceeded, end.Trailers.TryGetBinary("eventvault-error-bin", out var detail) ? ErrorDetail.Parser.ParseFrom(detail.Span).Failures[0].Reason : default);
            Assert.Equal([1], results.Select(r => (int)r.RequestId));
        }

        Assert.Equal(20, (await node.ReadAllAsync()).Count);
    }

    internal static AppendSessionRequest Request(ulong id, params StreamAppend[] streams) => new() { RequestId = id, Append = Make.Append(streams) };

    internal static ValueTask SendAsync(SessionCall call, AppendSessionRequest request)
    {
        call.Write(request);
        return call.FlushAsync();
    }

    internal static async Task<List<AppendSessionResult>> ReadToEndAsync(SessionCall call)
    {
        var results = new List<AppendSessionResult>();
        while (await call.MoveNextAsync())
        {
            results.AddRange(call.Current.Results);
        }

        return results;
    }

    internal static async Task<(List<AppendSessionResult> Results, RpcException End)> ReadToFailureAsync(SessionCall call)
    {
        var results = new List<AppendSessionResult>();
        var end = await Assert.ThrowsAsync<RpcException>(async () =>
        {
            while (await call.MoveNextAsync())
            {
                results.AddRange(call.Current.Results);
            }
        });
        return (results, end);
    }

    private static (int Code, Reason Reason) Error(AppendSessionResult result) => (result.Error.Code, result.Error.Detail.Failures[0].Reason);
}
