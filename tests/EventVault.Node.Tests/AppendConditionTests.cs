using EventVault.Node.Tests.Support;
using EventVault.Protocol;
using EventVault.Rpc;

namespace EventVault.Node.Tests;

/// <summary>Requirements on streams that are not written, and queries that must not match.</summary>
public sealed class AppendConditionTests
{
    [Fact]
    public async Task A_requirement_holds_or_fails_as_if_the_stream_were_written_and_writes_nothing_there()
    {
        await using var node = await TestNode.StartAsync();
        await node.AppendAsync("read", Make.NoStream, Make.Events(3));
        foreach (var (expected, holds) in new[]
        {
            (Make.Any, true), (Make.Exists, true), (Make.Version(2), true), (Make.NoStream, false), (Make.Version(1), false), (Make.Version(3), false),
        })
        {
            var request = Make.Append(Make.Stream("written", Make.Any));
            request.Requires.Add(Make.Requirement("read", expected));
            if (holds)
            {
                Assert.Equal(["written"], (await node.AppendAsync(request)).Streams.Select(s => s.Stream));
                continue;
            }

            var failure = await Fails.WithAsync(RpcCode.Aborted, Reason.WrongExpectedVersion, () => node.AppendAsync(request).AsTask());
            Assert.Equal(("read", "requires[0].expected", 2ul), (failure.Stream, failure.Field, failure.VersionConflict.Actual));
        }

        Assert.Equal(2ul, (await node.Channel.UnaryAsync(Methods.GetStream, new GetStreamRequest { Stream = "read" })).LastVersion);
    }

    [Fact]
    public async Task A_condition_fails_by_any_item_and_only_by_events_behind_its_position()
    {
        await using var node = await TestNode.StartAsync();
        await node.AppendAsync("c-1", Make.NoStream, Make.Tagged("registered", "course:1", "term:a"), Make.Tagged("closed", "course:2"), Make.Tagged("registered", "course:2"));

        async Task<Failure?> Try(ulong? after, params QueryItem[] items)
        {
            var request = Make.Append(Make.Stream("probe", Make.Any, Make.Tagged("probed")));
            request.Conditions.Add(Make.Condition(after, items));
            try
            {
                await node.AppendAsync(request);
                return null;
            }
            catch (RpcException e)
            {
                var failure = Fails.Detail(RpcCode.Aborted, e).Failures.Single();
                Assert.Equal((Reason.ConditionFailed, "conditions[0]", 0u), (failure.Reason, failure.Field, failure.Index));
                return failure;
            }
        }

        Assert.Equal(0ul, (await Try(null, Make.Item("", "course:1")))!.Position);
        Assert.Null(await Try(0, Make.Item("", "course:1")));
        Assert.Equal(2ul, (await Try(null, Make.Item("registered")))!.Position);
        Assert.Equal(2ul, (await Try(1, Make.Item("registered,unheard-of")))!.Position);
        Assert.Null(await Try(2, Make.Item("registered")));
        Assert.Equal(0ul, (await Try(null, Make.Item("registered", "course:1,term:a")))!.Position);
        Assert.Null(await Try(null, Make.Item("registered", "course:2,term:a")));
        Assert.Null(await Try(null, Make.Item("closed", "course:1")));
        Assert.Equal(1ul, (await Try(null, Make.Item("closed", "course:1"), Make.Item("closed", "course:2")))!.Position);

        // An append's own events don't count, and what it wrote counts for the next one.
        Assert.Null(await Try(2, Make.Item("once")));
        var once = Make.Append(Make.Stream("o", Make.Any, Make.Tagged("once"), Make.Tagged("once")));
        once.Conditions.Add(Make.Condition(null, Make.Item("once")));
        var written = await node.AppendAsync(once);
        Assert.Equal(written.LastPosition, (await Try(null, Make.Item("once")))!.Position);
        Assert.Null(await Try(written.LastPosition, Make.Item("once")));
    }

    [Fact]
    public async Task A_position_behind_the_last_event_is_refused_as_nobody_can_have_read_there()
    {
        await using var node = await TestNode.StartAsync();
        var request = Make.Append(Make.Stream("a", Make.Any, Make.Tagged("t")));
        request.Conditions.AddRange([Make.Condition(null, Make.Item("t")), Make.Condition(0, Make.Item("t"))]);
        var failure = await Fails.WithAsync(RpcCode.InvalidArgument, Reason.InvalidRequest, () => node.AppendAsync(request).AsTask());
        Assert.Equal("conditions[1].after", failure.Field);
        Assert.Contains("none yet", failure.Message, StringComparison.Ordinal);

        // What it rests on may be on its way, and a repeated append gets its first answer whatever it says.
        await node.AppendAsync("b", Make.NoStream);
        Assert.Equal(1ul, (await node.AppendAsync(request)).FirstPosition);
        request.AttemptedAfter = new SeenHead { Position = 9 };
        Assert.True((await node.AppendAsync(request)).Deduplicated);
        var retry = Make.Append(Make.Stream("a", Make.Any));
        retry.AttemptedAfter = new SeenHead { Position = 2 };
        Assert.Equal("attempted_after.position", (await Fails.WithAsync(RpcCode.InvalidArgument, Reason.InvalidRequest, () => node.AppendAsync(retry).AsTask())).Field);
        retry.AttemptedAfter.Position = 1;
        Assert.False((await node.AppendAsync(retry)).Deduplicated);
    }

    [Fact]
    public async Task All_that_fails_is_told_together_in_the_order_of_the_request()
    {
        await using var node = await TestNode.StartAsync();
        await node.AppendAsync("a", Make.NoStream, Make.Tagged("t", "x"), Make.Tagged("t", "y"));
        var request = Make.Append(Make.Stream("a", Make.Version(7)), Make.Stream("b", Make.Any), Make.Stream("c", Make.Exists));
        request.Requires.AddRange([Make.Requirement("d", Make.NoStream), Make.Requirement("e", Make.Exists)]);
        request.Conditions.AddRange([Make.Condition(1, Make.Item("t")), Make.Condition(null, Make.Item("", "x")), Make.Condition(0, Make.Item("", "y"))]);

        var detail = await Fails.WithAsync(RpcCode.Aborted, () => node.AppendAsync(request).AsTask());

        Assert.Equal(
            ["streams[0].expected", "streams[2].expected", "requires[1].expected", "conditions[1]", "conditions[2]"], detail.Failures.Select(f => f.Field));
        Assert.Equal([0ul, 1ul], detail.Failures.Skip(3).Select(f => f.Position));
        Assert.Equal([1u, 2u], detail.Failures.Skip(3).Select(f => f.Index));
        Assert.Equal(2, (await node.ReadAllAsync()).Count);
    }

    [Fact]
    public async Task A_thousand_failed_requirements_are_told_as_far_as_a_trailer_takes_them()
    {
        await using var node = await TestNode.StartAsync();
        var request = Make.Append(Make.Stream("a", Make.Any));
        request.Requires.AddRange(Enumerable.Range(0, 1_000).Select(i => Make.Requirement($"{new string('n', 500)}-{i}", Make.Exists)));
        request.Conditions.Add(Make.Condition(null, Make.Item("t")));
        await node.AppendAsync("b", Make.Any, Make.Tagged("t"));

        var detail = await Fails.WithAsync(RpcCode.Aborted, () => node.AppendAsync(request).AsTask());

        Assert.InRange(detail.Failures.Count, 2, 999);
        Assert.Equal("requires[0].expected", detail.Failures[0].Field);
        Assert.EndsWith($" {1_001 - detail.Failures.Count} more checks failed.", detail.Failures[^1].Message, StringComparison.Ordinal);
        Assert.Empty(await node.ReadAllAsync(new ReadAllRequest { Filter = new EventFilter { StreamPrefix = "a" } }));
    }

    [Fact]
    public async Task Failures_with_names_outside_ascii_fit_the_headers_that_peers_take()
    {
        await using var node = await TestNode.StartAsync();
        var request = Make.Append(Make.Stream("a", Make.Any));
        request.Requires.AddRange(Enumerable.Range(0, 10).Select(i => Make.Requirement($"{new string('\u754c', 341)}{i}", Make.Exists)));
        var e = await Assert.ThrowsAsync<RpcException>(() => node.AppendAsync(request).AsTask());
        Assert.True(e.Trailers.TryGetBinary(Services.Refusal.TrailerKey, out var detail));
        var encoded = System.Text.Encoding.UTF8.GetBytes(e.Status.Message).Sum(b => b is >= 0x20 and <= 0x7e and not (byte)'%' ? 1 : 3);
        Assert.InRange(encoded + Convert.ToBase64String(detail.Span).Length, 4_000, 7_680);
        Assert.EndsWith("...", e.Status.Message, StringComparison.Ordinal);
        Assert.StartsWith(e.Status.Message[..^3], ErrorDetail.Parser.ParseFrom(detail.Span).Failures[0].Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_single_failure_that_is_too_long_for_a_trailer_is_cut_and_counts_no_others()
    {
        var failure = new Failure { Reason = Reason.InvalidRequest, Message = new string('\u754c', 3_000), Why = new string('w', 5_000), Field = "f" };
        var e = new Services.Refusal(RpcCode.InvalidArgument, failure).ToException();
        Assert.True(e.Trailers.TryGetBinary(Services.Refusal.TrailerKey, out var bytes));
        Assert.InRange(bytes.Length, 3_500, 4_096);
        var told = Assert.Single(ErrorDetail.Parser.ParseFrom(bytes.Span).Failures);
        Assert.Equal(("f", "..."), (told.Field, told.Message[^3..]));
        Assert.DoesNotContain("more checks", told.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Requirements_and_conditions_are_part_of_the_content_that_an_operation_id_names()
    {
        await using var node = await TestNode.StartAsync();
        var request = Make.Append(Make.Stream("a", Make.Any, Make.Tagged("t", "x")));
        request.Requires.Add(Make.Requirement("b", Make.NoStream));
        request.Conditions.Add(Make.Condition(null, Make.Item("t", "x")));
        var first = await node.AppendAsync(request);

        // Its own event fails its condition now, and a stream that it required has come: the first answer stands.
        await node.AppendAsync("b", Make.NoStream);
        var again = await node.AppendAsync(request);
        Assert.Equal((first.FirstPosition, first.RecordedAt, true), (again.FirstPosition, again.RecordedAt, again.Deduplicated));
        var retry = request.Clone();
        retry.AttemptedAfter = new SeenHead();
        Assert.True((await node.AppendAsync(retry)).Deduplicated);

        foreach (var change in new Action<AppendRequest>[]
        {
            r => r.Requires.Clear(),
            r => r.Requires[0].Stream = "c",
            r => r.Requires[0].Expected = Make.Any,
            r => r.Requires.Add(Make.Requirement("c", Make.Any)),
            r => r.Conditions.Clear(),
            r => r.Conditions[0].After = 0,
            r => r.Conditions[0].Query.Items[0].Tags.Clear(),
            r => r.Conditions[0].Query.Items[0].Types_[0] = "u",
            r => r.Conditions[0].Query.Items.Add(Make.Item("u")),
            r => r.Conditions.Add(r.Conditions[0]),
            r => { r.Conditions[0].Query.Items[0].Types_.Add("x"); r.Conditions[0].Query.Items[0].Tags.Clear(); },
        })
        {
            var changed = request.Clone();
            change(changed);
            await Fails.WithAsync(RpcCode.AlreadyExists, Reason.OperationIdReused, () => node.AppendAsync(changed).AsTask());
        }
    }

    [Fact]
    public async Task Conditions_and_requirements_take_no_notice_of_what_was_deleted()
    {
        await using var node = await TestNode.StartAsync();
        await node.AppendAsync("old", Make.NoStream, Make.Tagged("t", "x"), Make.Tagged("t", "y"));
        var request = Make.Append(Make.Stream("new", Make.Any));
        request.Requires.Add(Make.Requirement("old", Make.NoStream));
        request.Conditions.AddRange([Make.Condition(null, Make.Item("t", "x")), Make.Condition(null, Make.Item("t", "y"))]);
        Assert.Equal(3, (await Fails.WithAsync(RpcCode.Aborted, () => node.AppendAsync(request).AsTask())).Failures.Count);

        await node.Channel.UnaryAsync(Methods.TruncateStream, new TruncateStreamRequest { OperationId = Make.Id(), Stream = "old", Expected = Make.Any, Before = 1 });
        var detail = await Fails.WithAsync(RpcCode.Aborted, () => node.AppendAsync(request).AsTask());
        Assert.Equal(["requires[0].expected", "conditions[1]"], detail.Failures.Select(f => f.Field));

        await node.Channel.UnaryAsync(Methods.DeleteStream, new DeleteStreamRequest { OperationId = Make.Id(), Stream = "old", Expected = Make.Any });
        Assert.False((await node.AppendAsync(request)).Deduplicated);
    }

    // Whether anything older matches takes a search of the whole log, and the sequencer does not do that while all wait.
    [Fact]
    public async Task A_match_that_is_being_deleted_makes_the_append_wait_for_another_try()
    {
        await using var node = await TestNode.StartAsync();
        await node.AppendAsync("old", Make.NoStream, Make.Tagged("t"));
        var request = Make.Append(Make.Stream("new", Make.Any));
        request.Conditions.Add(Make.Condition(null, Make.Item("t")));
        using var gate = new DiskGate(node.Disk);
        await gate.CloseAsync(node);
        var deletion = node.Channel.UnaryAsync(Methods.DeleteStream, new DeleteStreamRequest { OperationId = Make.Id(), Stream = "old", Expected = Make.Any }).AsTask();
        await gate.UntilSomeoneWaitsAsync();

        // It has looked, and found the match, when it is queued behind the deletion.
        var append = node.AppendAsync(request).AsTask();
        await Wait.UntilAsync(() => node.Node.Loop.Waiting == 1, "the queue to take it");
        gate.Open();
        var failure = await Fails.WithAsync(RpcCode.ResourceExhausted, Reason.Overloaded, () => append);
        Assert.Equal(1u, failure.RetryAfterMs);
        await deletion;
        Assert.False((await node.AppendAsync(request)).Deduplicated);
    }

    [Fact]
    public async Task In_a_session_a_failed_condition_rests_on_the_append_before_it_that_is_not_flushed_yet()
    {
        await using var node = await TestNode.StartAsync();
        using var gate = new DiskGate(node.Disk);
        await gate.CloseAsync(node);
        await using var call = node.Channel.Start(Methods.AppendSession);
        for (var i = 0; i < 4; i++)
        {
            var append = Make.Append(Make.Stream($"s-{i}", Make.NoStream, Make.Tagged("taken", i == 3 ? "other" : "name:x")));
            append.Conditions.Add(Make.Condition(null, Make.Item("taken", i == 3 ? "other" : "name:x")));
            append.Requires.Add(Make.Requirement("s-0", i == 0 ? Make.NoStream : Make.Version(0)));
            if (i == 0)
            {
                append.Requires.Clear();
            }

            call.Write(new AppendSessionRequest { RequestId = (ulong)i, Append = append });
        }

        await call.CompleteAsync();
        await gate.UntilSomeoneWaitsAsync();
        gate.Open();
        var results = new List<AppendSessionResult>();
        while (await call.MoveNextAsync())
        {
            results.AddRange(call.Current.Results);
        }

        Assert.Equal([true, false, false, true], results.Select(r => r.Result is not null));
        Assert.All(results.Skip(1).Take(2), r => Assert.Equal((Reason.ConditionFailed, 0ul), (r.Error.Detail.Failures.Single().Reason, r.Error.Detail.Failures[0].Position)));
        Assert.Equal(1ul, results[3].Result.FirstPosition);
    }

    [Fact]
    public async Task Conditions_hold_over_sealed_segments_and_restarts()
    {
        var node = await TestNode.StartAsync(o => o with { SegmentSizeBytes = Storage.StorageOptions.MinSegmentSizeBytes });
        try
        {
            for (var i = 0; i < 60; i++)
            {
                await node.AppendAsync($"s-{i % 7}", Make.Any, Make.Tagged(i % 2 == 0 ? "even" : "odd", $"n:{i}"), Make.Event(data: new string('x', 8_000)));
            }

            for (var round = 0; round < 2; round++)
            {
                await Wait.UntilAsync(() => node.Node.Storage.SegmentCounts.Sealed >= 3, "sealed segments");
                foreach (var i in new[] { 0, 1, 30, 59 })
                {
                    var request = Make.Append(Make.Stream("x", Make.Any));
                    request.Conditions.Add(Make.Condition(null, Make.Item(i % 2 == 0 ? "even" : "odd", $"n:{i}")));
                    request.Requires.Add(Make.Requirement("s-3", Make.NoStream));
                    var detail = await Fails.WithAsync(RpcCode.Aborted, () => node.AppendAsync(request).AsTask());
                    Assert.Equal([Reason.WrongExpectedVersion, Reason.ConditionFailed], detail.Failures.Select(f => f.Reason));
                    Assert.Equal((ulong)(2 * i), detail.Failures[1].Position);
                }

                node = round == 0 ? await node.RestartAsync() : node;
            }
        }
        finally
        {
            await node.DisposeAsync();
        }
    }
}
