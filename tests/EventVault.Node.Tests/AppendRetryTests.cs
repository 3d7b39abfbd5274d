using EventVault.Node.Tests.Support;
using EventVault.Protocol;
using EventVault.Rpc;

namespace EventVault.Node.Tests;

/// <summary>Retries, within the horizon of the operation ids and beyond it.</summary>
public sealed class AppendRetryTests
{
    private const int Horizon = 20;

    [Fact]
    public async Task An_append_is_found_by_its_operation_id_and_answered_as_it_was()
    {
        var node = await TestNode.StartAsync();
        try
        {
            var request = Make.Append(Make.Stream("b", Make.NoStream, Make.Events(3)), Make.Stream("a", Make.NoStream));
            await NotFoundAsync(node, request);
            var first = await node.AppendAsync(request);
            for (var round = 0; round < 2; round++)
            {
                var found = await node.Channel.UnaryAsync(Methods.GetAppend, new GetAppendRequest { OperationId = request.OperationId });
                Assert.True(found.Deduplicated);
                found.Deduplicated = false;
                Assert.Equal(first, found);
                await NotFoundAsync(node, Make.Append());
                node = round == 0 ? await node.RestartAsync() : node;
            }
        }
        finally
        {
            await node.DisposeAsync();
        }
    }

    [Fact]
    public async Task An_append_that_is_not_committed_yet_is_not_found()
    {
        await using var node = await TestNode.StartAsync();
        using var gate = new DiskGate(node.Disk);
        await gate.CloseAsync(node);
        var request = Make.Append(Make.Stream("a", Make.NoStream));
        var append = node.AppendAsync(request).AsTask();
        await gate.UntilSomeoneWaitsAsync();
        await NotFoundAsync(node, request);
        gate.Open();
        var answer = await append;
        Assert.Equal(answer.RecordedAt, (await node.Channel.UnaryAsync(Methods.GetAppend, new GetAppendRequest { OperationId = request.OperationId })).RecordedAt);
    }

    [Fact]
    public async Task Below_the_floor_a_retry_is_refused_above_it_answered_and_info_tells_the_floor()
    {
        var node = await StartAsync();
        try
        {
            var sent = await FillAsync(node);
            for (var round = 0; round < 2; round++)
            {
                var info = await node.Channel.UnaryAsync(Methods.GetInfo, new GetInfoRequest());
                Assert.Equal((ulong)Horizon, info.Limits.Single(l => l.Name == "operation_horizon_appends").Allowed);
                Assert.True(info.HasOperationFloor && info.OperationFloor < info.Head - Horizon + 1);
                var (dark, known) = (0, 0);
                foreach (var (request, answer) in sent)
                {
                    // What was seen before the first attempt: everything in front of it.
                    var retry = request.Clone();
                    retry.AttemptedAfter = answer.FirstPosition == 0 ? new SeenHead() : new SeenHead { Position = answer.FirstPosition - 1 };
                    if (answer.FirstPosition > info.OperationFloor)
                    {
                        known++;
                        Assert.Equal((true, answer.FirstPosition), await AnswerAsync(node, retry));
                        Assert.Equal((true, answer.FirstPosition), await AnswerAsync(node, request));
                    }
                    else
                    {
                        // Remembered for longer than promised, or refused: never written again.
                        try
                        {
                            Assert.Equal((true, answer.FirstPosition), await AnswerAsync(node, retry));
                        }
                        catch (RpcException e)
                        {
                            dark++;
                            var failure = Fails.Detail(RpcCode.FailedPrecondition, e).Failures.Single();
                            Assert.Equal((Reason.RetryTooOld, info.OperationFloor), (failure.Reason, failure.Floor));
                            await NotFoundAsync(node, request);
                        }
                    }
                }

                Assert.True(dark > 0 && known >= Horizon, $"{dark} refused, {known} known");
                Assert.Equal(info.Head, (await node.ReadAsync(Methods.ReadAll, new ReadAllRequest { Limit = 1 })).Head.LastPosition);
                node = round == 0 ? await node.RestartAsync() : node;
            }

            // A session goes on behind such a refusal; a first attempt says nothing of what it saw, and is written.
            await using var call = node.Channel.Start(Methods.AppendSession);
            var old = sent[0].Request.Clone();
            old.AttemptedAfter = new SeenHead();
            call.Write(new AppendSessionRequest { RequestId = 1, Append = old });
            call.Write(new AppendSessionRequest { RequestId = 2, Append = Make.Append(Make.Stream("new", Make.NoStream)) });
            await call.CompleteAsync();
            var results = new List<AppendSessionResult>();
            while (await call.MoveNextAsync())
            {
                results.AddRange(call.Current.Results);
            }

            Assert.Equal((int)RpcCode.FailedPrecondition, results[0].Error.Code);
            Assert.NotNull(results[1].Result);
        }
        finally
        {
            await node.DisposeAsync();
        }
    }

    [Fact]
    public async Task Exact_versions_and_the_very_events_prove_that_a_forgotten_append_was_written()
    {
        await using var node = await StartAsync();
        var request = Make.Append(Make.Stream("p", Make.NoStream, Make.Events(200)), Make.Stream("q", Make.NoStream));
        var first = await node.AppendAsync(request);
        var second = Make.Append(Make.Stream("q", Make.Version(0), Make.Events(2)), Make.Stream("p", Make.Version(199)));
        second.Requires.Add(Make.Requirement("r", Make.NoStream));
        var then = await node.AppendAsync(second);
        var loose = Make.Append(Make.Stream("q", Make.Any));
        await node.AppendAsync(loose);
        await FillAsync(node);
        await node.AppendAsync("r", Make.NoStream);

        foreach (var (sent, answer) in new[] { (request, first), (second, then) })
        {
            await NotFoundAsync(node, sent);
            var retry = sent.Clone();
            retry.AttemptedAfter = new SeenHead();
            var again = await node.AppendAsync(retry);
            Assert.True(again.Deduplicated);
            again.Deduplicated = false;
            Assert.Equal(answer, again);
        }

        // Nothing of it can be told by the events: no exact version; other events; fewer or more than stand there; another order.
        foreach (var change in new Action<AppendRequest>[]
        {
            r => r.Streams[0].Expected = Make.Any,
            r => r.Streams[1].Expected = Make.Exists,
            r => r.Streams[0].Expected = Make.Version(1),
            r => r.Streams[1].Events[0].Id = Make.Id(),
            r => r.Streams[0].Events[1].Id = Make.Id(),
            r => (r.Streams[0].Events[0], r.Streams[0].Events[1]) = (r.Streams[0].Events[1], r.Streams[0].Events[0]),
            r => r.Streams[0].Events.RemoveAt(1),
            r => r.Streams[1].Events.Add(Make.Event()),
            r => (r.Streams[0], r.Streams[1]) = (r.Streams[1], r.Streams[0]),
            r => r.Streams[0].Expected = Make.Version(1_000),
        })
        {
            var changed = second.Clone();
            change(changed);
            changed.AttemptedAfter = new SeenHead();
            await Fails.WithAsync(RpcCode.FailedPrecondition, Reason.RetryTooOld, () => node.AppendAsync(changed).AsTask());
        }

        loose.AttemptedAfter = new SeenHead { Position = 5 };
        await Fails.WithAsync(RpcCode.FailedPrecondition, Reason.RetryTooOld, () => node.AppendAsync(loose).AsTask());
    }

    private static Task<TestNode> StartAsync() =>
        TestNode.StartAsync(o => o with { SegmentSizeBytes = Storage.StorageOptions.MinSegmentSizeBytes, OperationHorizon = Horizon });

    // So many appends that the first ones are forgotten.
    private static async Task<List<(AppendRequest Request, AppendResponse Answer)>> FillAsync(TestNode node)
    {
        var sent = new List<(AppendRequest, AppendResponse)>();
        for (var i = 0; i < 120; i++)
        {
            var request = Make.Append(Make.Stream($"s-{i % 5}", Make.Any, Make.Event(data: new string('x', 4_000))));
            sent.Add((request, await node.AppendAsync(request)));
        }

        await Wait.UntilAsync(() => node.Node.Storage.SegmentCounts.Unsealed == 1, "all but the last segment to be sealed");
        Assert.True(node.Node.Storage.SegmentCounts.Sealed > 3);
        return sent;
    }

    private static async Task<(bool Deduplicated, ulong First)> AnswerAsync(TestNode node, AppendRequest request)
    {
        var answer = await node.AppendAsync(request);
        return (answer.Deduplicated, answer.FirstPosition);
    }

    private static async Task NotFoundAsync(TestNode node, AppendRequest request) =>
        await Fails.WithAsync(RpcCode.NotFound, Reason.OperationNotFound, () => node.Channel.UnaryAsync(Methods.GetAppend, new GetAppendRequest { OperationId = request.OperationId }).AsTask());
}
