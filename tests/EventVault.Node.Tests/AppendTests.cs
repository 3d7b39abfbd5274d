using EventVault.Node.Tests.Support;
using EventVault.Protocol;
using EventVault.Rpc;

namespace EventVault.Node.Tests;

public sealed class AppendTests
{
    [Fact]
    public async Task What_is_appended_is_read_back_as_it_was()
    {
        await using var node = await TestNode.StartAsync();
        var sent = new EventData
        {
            Id = Make.Id(),
            Type = "order-placed",
            Data = Google.Protobuf.ByteString.CopyFromUtf8("""{"amount":12.5}"""),
            ContentType = "application/json",
            SchemaVersion = 3,
            Tags = { "customer:7", "vip" },
            Metadata = { ["correlationId"] = "c", ["empty"] = "" },
            OccurredAt = -5,
        };

        var answer = await node.AppendAsync("order-1", Make.NoStream, sent, Make.Event());

        Assert.Equal((0ul, 1ul, false), (answer.FirstPosition, answer.LastPosition, answer.Deduplicated));
        Assert.Equal([new StreamVersion { Stream = "order-1", Version = 1 }], answer.Streams);
        var (head, events) = await node.ReadAsync(Methods.ReadAll, new ReadAllRequest());
        Assert.Equal((1ul, answer.RecordedAt), (head.LastPosition, head.RecordedAt));
        Assert.Equal(2, events.Count);
        Assert.Equal(new RecordedEvent { Stream = "order-1", Version = 0, Position = 0, RecordedAt = answer.RecordedAt, Event = sent }, events[0]);
        Assert.Equal((1ul, 1ul, answer.RecordedAt), (events[1].Version, events[1].Position, events[1].RecordedAt));
    }

    [Fact]
    public async Task Expected_versions_are_checked_and_a_conflict_tells_what_stands_there()
    {
        await using var node = await TestNode.StartAsync();
        await Conflict(node, "s", Make.Exists, "exists", null);
        await Conflict(node, "s", Make.Version(0), "0", null);
        await node.AppendAsync("s", Make.NoStream);
        await Conflict(node, "s", Make.NoStream, "no-stream", 0);
        await Conflict(node, "s", Make.Version(1), "1", 0);

        // proto3 leaves a plain 0 out on the wire: it must not turn into "any", nor "any" into 0.
        await node.AppendAsync("s", Make.Version(0));
        await Conflict(node, "s", Make.Version(0), "0", 1);
        await node.AppendAsync("s", Make.Any);
        await node.AppendAsync("s", Make.Exists);
        await node.AppendAsync("s", Make.Version(3));
        Assert.Equal(5, (await node.ReadAllAsync()).Count);
    }

    [Fact]
    public async Task All_failed_checks_of_an_append_are_reported_together_and_nothing_is_written()
    {
        await using var node = await TestNode.StartAsync();
        await node.AppendAsync("a", Make.NoStream, Make.Events(3));

        var detail = await Fails.WithAsync(RpcCode.Aborted, () => node.AppendAsync(Make.Append(
            Make.Stream("a", Make.Version(1)), Make.Stream("b", Make.Any), Make.Stream("c", Make.Exists))).AsTask());

        Assert.Equal(["a", "c"], detail.Failures.Select(f => f.Stream));
        Assert.Equal(2ul, detail.Failures[0].VersionConflict.Actual);
        Assert.False(detail.Failures[1].VersionConflict.HasActual);
        Assert.Equal(3, (await node.ReadAllAsync()).Count);
    }

    [Fact]
    public async Task Several_streams_are_written_in_their_listed_order_as_one()
    {
        await using var node = await TestNode.StartAsync();
        await node.AppendAsync("b", Make.NoStream);

        var answer = await node.AppendAsync(Make.Append(
            Make.Stream("c", Make.NoStream, Make.Events(2)), Make.Stream("a", Make.NoStream), Make.Stream("b", Make.Version(0), Make.Events(2))));

        Assert.Equal((1ul, 5ul), (answer.FirstPosition, answer.LastPosition));
        Assert.Equal(["c 1", "a 0", "b 2"], answer.Streams.Select(s => $"{s.Stream} {s.Version}"));
        var events = await node.ReadAllAsync(new ReadAllRequest { From = new ReadBound { Position = 1 } });
        Assert.Equal(["c 0", "c 1", "a 0", "b 1", "b 2"], events.Select(e => $"{e.Stream} {e.Version}"));
        Assert.Single(events.Select(e => e.RecordedAt).Distinct());
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_retry_gets_the_first_answer_and_writes_nothing(bool restarted)
    {
        var node = await TestNode.StartAsync();
        try
        {
            var request = Make.Append(Make.Stream("a", Make.NoStream, Make.Events(3)), Make.Stream("b", Make.Any));
            var first = await node.AppendAsync(request);
            await node.AppendAsync("a", Make.Any);
            if (restarted)
            {
                node = await node.RestartAsync();
            }

            var again = await node.AppendAsync(request);

            Assert.True(again.Deduplicated);
            again.Deduplicated = false;
            Assert.Equal(first, again);
            Assert.Equal(5, (await node.ReadAllAsync()).Count);
        }
        finally
        {
            await node.DisposeAsync();
        }
    }

    [Fact]
    public async Task An_operation_id_with_other_content_is_refused()
    {
        await using var node = await TestNode.StartAsync();
        await node.AppendAsync("a", Make.Any);
        var request = Make.Append(Make.Stream("b", Make.Any));
        await node.AppendAsync(request);

        request.Streams[0].Events[0].Type = "other";
        var failure = await Fails.WithAsync(RpcCode.AlreadyExists, Reason.OperationIdReused, () => node.AppendAsync(request).AsTask());

        Assert.Equal(1ul, failure.FirstPosition);
        Assert.Equal(2, (await node.ReadAllAsync()).Count);
    }

    [Fact]
    public async Task Of_many_racers_for_a_version_one_wins()
    {
        await using var node = await TestNode.StartAsync();
        using var barrier = new Barrier(16);
        var racers = Enumerable.Range(0, 16).Select(_ => Task.Factory.StartNew(
            async () =>
            {
                barrier.SignalAndWait();
                try
                {
                    await node.AppendAsync("s", Make.NoStream);
                    return 1;
                }
                catch (RpcException e) when (e.Code == RpcCode.Aborted)
                {
                    return 0;
                }
            },
            CancellationToken.None,
            TaskCreationOptions.LongRunning,
            TaskScheduler.Default).Unwrap());

        Assert.Equal(1, (await Task.WhenAll(racers)).Sum());
        Assert.Single(await node.ReadAllAsync());
    }

    [Fact]
    public async Task Appends_over_many_segments_keep_their_answers_and_order()
    {
        var node = await TestNode.StartAsync();
        try
        {
            var payload = new string('x', 20_000);
            var requests = Enumerable.Range(0, 200).Select(i => Make.Append(Make.Stream($"s-{i % 7}", Make.Any, Make.Event(data: payload)))).ToList();
            var answers = new List<AppendResponse>();
            foreach (var request in requests)
            {
                answers.Add(await node.AppendAsync(request));
            }

            Assert.True(node.Node.Storage.SegmentCounts.Sealed + node.Node.Storage.SegmentCounts.Unsealed > 3);
            node = await node.RestartAsync();
            for (var i = 0; i < requests.Count; i += 13)
            {
                var again = await node.AppendAsync(requests[i]);
                Assert.Equal((answers[i].FirstPosition, true), (again.FirstPosition, again.Deduplicated));
            }

            var events = await node.ReadAllAsync();
            Assert.Equal(requests.Select(r => r.Streams[0].Events[0]), events.Select(e => e.Event));
            Assert.Equal(Enumerable.Range(0, 200).Select(i => (ulong)i), events.Select(e => e.Position));
        }
        finally
        {
            await node.DisposeAsync();
        }
    }

    [Theory]
    [InlineData(nameof(AppendOutcome.Appended), 31, true)]
    [InlineData(nameof(AppendOutcome.Appended), 32, false)]
    [InlineData(nameof(AppendOutcome.Known), 0, false)]
    [InlineData(nameof(AppendOutcome.Conflict), 0, false)]
    public async Task Only_usual_answers_are_made_on_the_thread_that_completes_the_group_and_not_too_many(string outcome, int before, bool inline)
    {
        await using var node = await TestNode.StartAsync();
        var append = new SingleAppend(node.Node.Storage, mostInline: 32);
        append.Reset();
        append.CompletedBefore = before;
        append.Outcome = Enum.Parse<AppendOutcome>(outcome);
        var answering = ThreadOfAnswerAsync(append);
        var group = new Thread(append.Complete);
        group.Start();
        group.Join();
        Assert.Equal(inline, await answering == group.ManagedThreadId);
    }

    private static async Task<int> ThreadOfAnswerAsync(SingleAppend append)
    {
        await append.WaitAsync().ConfigureAwait(false);
        return Environment.CurrentManagedThreadId;
    }

    private static async Task Conflict(TestNode node, string stream, ExpectedVersion expected, string expectedText, ulong? actual)
    {
        var failure = await Fails.WithAsync(RpcCode.Aborted, Reason.WrongExpectedVersion, () => node.AppendAsync(stream, expected).AsTask());
        Assert.Equal((stream, expectedText), (failure.Stream, failure.VersionConflict.Expected));
        Assert.Equal(actual, failure.VersionConflict.HasActual ? failure.VersionConflict.Actual : null);
    }
}
