using EventVault.Node.Tests.Support;
using EventVault.Protocol;
using EventVault.Rpc;
using Google.Protobuf;

namespace EventVault.Node.Tests;

/// <summary>Retention rules and legal holds over the wire. What the leader makes of them: RetentionWorkTests.</summary>
public sealed class RetentionTests
{
    [Fact]
    public async Task A_rule_is_told_as_it_was_set_also_after_a_restart()
    {
        var node = await TestNode.StartAsync();
        try
        {
            var stream = await node.RetainAsync(Of("order-1"), new RetentionRule { MaxAgeSeconds = 3_155_760_000, MaxEvents = 5, MaxBytes = long.MaxValue, LegalHold = true });
            await node.RetainAsync(OfAll("order"), new RetentionRule { MaxEvents = 7 });
            await node.RetainAsync(OfAll("größe"), new RetentionRule { Forever = true });
            Assert.Equal((0ul, 0ul, false), (stream.FirstPosition, stream.LastPosition, stream.Deduplicated));
            Assert.Equal(("$streams", 0ul), (stream.Streams.Single().Stream, stream.Streams[0].Version));
            for (var restarts = 0; restarts < 2; restarts++)
            {
                var own = await GetAsync(node, Of("order-1"));
                Assert.Equal(new RetentionRule { MaxAgeSeconds = 3_155_760_000, MaxEvents = 5, MaxBytes = long.MaxValue, LegalHold = true }, own.Rule);
                Assert.Equal((Of("order-1"), Of("order-1")), (own.From, own.HeldBy.Single()));
                var category = await GetAsync(node, Of("order-2"));
                Assert.Equal((new RetentionRule { MaxEvents = 7 }, OfAll("order")), (category.Rule, category.From));
                Assert.Empty(category.HeldBy);
                Assert.Equal((new RetentionRule { Forever = true }, OfAll("größe")), ((await GetAsync(node, OfAll("größe"))).Rule, (await GetAsync(node, OfAll("größe"))).From));
                Assert.Equal(new GetRetentionResponse(), await GetAsync(node, Of("invoice-1")));
                Assert.Equal(new GetRetentionResponse(), await GetAsync(node, OfAll("orders")));
                Assert.Equal(new GetRetentionResponse(), await GetAsync(node, Of("$streams")));
                node = await node.RestartAsync();
            }

            // The rules are events, for whoever asks, and no others.
            Assert.Empty(await node.ReadAllAsync());
            var events = await node.ReadStreamAsync(new ReadStreamRequest { Stream = "$streams" });
            Assert.Equal(["$retention-set", "$retention-set", "$retention-set"], events.Select(e => e.Event.Type));
            Assert.Equal("""{"stream":"order-1","maxAgeSeconds":3155760000,"maxEvents":5,"maxBytes":9223372036854775807,"legalHold":true}""", events[0].Event.Data.ToStringUtf8());
            Assert.Equal("""{"category":"order","maxEvents":7}""", events[1].Event.Data.ToStringUtf8());
        }
        finally
        {
            await node.DisposeAsync();
        }
    }

    [Fact]
    public async Task Both_who_hold_a_stream_are_told_and_a_rule_that_is_taken_back_is_gone()
    {
        await using var node = await TestNode.StartAsync();
        await node.RetainAsync(OfAll("order"), new RetentionRule { LegalHold = true, MaxEvents = 3 });
        await node.RetainAsync(Of("order-1"), new RetentionRule { Forever = true });
        var held = await GetAsync(node, Of("order-1"));
        Assert.Equal((new RetentionRule { Forever = true, LegalHold = true }, Of("order-1")), (held.Rule, held.From));
        Assert.Equal([OfAll("order")], held.HeldBy);
        await node.RetainAsync(Of("order-1"), new RetentionRule { LegalHold = true });
        Assert.Equal([Of("order-1"), OfAll("order")], (await GetAsync(node, Of("order-1"))).HeldBy);
        await node.RetainAsync(OfAll("order"), rule: null);
        await node.RetainAsync(OfAll("never"), rule: null);
        Assert.Equal([Of("order-1")], (await GetAsync(node, Of("order-1"))).HeldBy);
        Assert.Equal(new GetRetentionResponse(), await GetAsync(node, Of("order-2")));
        Assert.Equal(new GetRetentionResponse(), await GetAsync(node, OfAll("order")));
        Assert.Equal("$retention-removed", (await node.ReadStreamAsync(new ReadStreamRequest { Stream = "$streams" }))[^1].Event.Type);
    }

    [Fact]
    public async Task Rules_are_listed_page_by_page_categories_first()
    {
        await using var node = await TestNode.StartAsync();
        foreach (var name in (string[])["b", "a", "c", "é", "Z"])
        {
            await node.RetainAsync(Of(name), new RetentionRule { MaxEvents = 1 });
            await node.RetainAsync(OfAll(name), new RetentionRule { MaxBytes = 2 });
        }

        string[] sorted = ["Z", "a", "b", "c", "é"];
        var expected = sorted.Select(OfAll).Concat(sorted.Select(Of)).ToList();
        foreach (var size in (uint[])[0, 1, 3, 5, 9, 10, 11, 1000])
        {
            var (all, token, pages) = (new List<RetentionEntry>(), string.Empty, 0);
            do
            {
                var page = await node.Channel.UnaryAsync(Methods.ListRetention, new ListRetentionRequest { PageSize = size, PageToken = token });
                all.AddRange(page.Entries);
                token = page.NextPageToken;
                pages++;
            }
            while (token.Length > 0);
            Assert.Equal(expected, all.Select(e => e.Scope));
            Assert.Equal(size == 0 ? 1 : (10 + (int)size - 1) / (int)size, pages);
            Assert.Equal((8ul, new RetentionRule { MaxEvents = 1 }), (all[5].SetAt, all[5].Rule));
            Assert.Equal((9ul, new RetentionRule { MaxBytes = 2 }), (all[0].SetAt, all[0].Rule));
        }
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_legal_hold_refuses_to_delete_tombstone_and_truncate_and_nothing_else(bool category)
    {
        var node = await TestNode.StartAsync();
        try
        {
            await node.AppendAsync("order-1", Make.NoStream, Make.Events(3));
            var done = new TruncateStreamRequest { OperationId = Make.Id(), Stream = "order-1", Expected = Make.Any, Before = 1 };
            await node.Channel.UnaryAsync(Methods.TruncateStream, done);
            var scope = category ? OfAll("order") : Of("order-1");
            await node.RetainAsync(scope, new RetentionRule { LegalHold = true });
            for (var restarts = 0; restarts < 2; restarts++)
            {
                await HeldAsync(() => node.Channel.UnaryAsync(Methods.DeleteStream, Delete("order-1")).AsTask());
                await HeldAsync(() => node.Channel.UnaryAsync(Methods.DeleteStream, Delete("order-1", tombstone: true)).AsTask());
                await HeldAsync(() => node.Channel.UnaryAsync(Methods.TruncateStream, new TruncateStreamRequest { OperationId = Make.Id(), Stream = "order-1", Expected = Make.Any, Before = 0 }).AsTask());
                await node.AppendAsync("order-1", Make.Exists);
                Assert.True((await node.Channel.UnaryAsync(Methods.TruncateStream, done)).Deduplicated); // What was done before was done.
                node = await node.RestartAsync();
            }

            Assert.Equal(4, (await node.ReadStreamAsync(new ReadStreamRequest { Stream = "order-1" })).Count);
            await node.RetainAsync(scope, new RetentionRule { Forever = true }); // Forever holds back the leader, not a client.
            await node.Channel.UnaryAsync(Methods.DeleteStream, Delete("order-1"));
        }
        finally
        {
            await node.DisposeAsync();
        }

        static async Task HeldAsync(Func<Task> call)
        {
            var failure = await Fails.WithAsync(RpcCode.FailedPrecondition, Reason.StreamHeld, call);
            Assert.Equal(("order-1", "stream"), (failure.Stream, failure.Field));
        }
    }

    [Fact]
    public async Task A_rule_that_can_not_be_is_refused_and_says_which_field()
    {
        await using var node = await TestNode.StartAsync();
        Task Set(Action<SetRetentionRequest> change)
        {
            var request = new SetRetentionRequest { OperationId = Make.Id(), Scope = Of("a"), Rule = new RetentionRule { MaxEvents = 1 } };
            change(request);
            return node.Channel.UnaryAsync(Methods.SetRetention, request).AsTask();
        }

        foreach (var (field, change) in (ValueTuple<string, Action<SetRetentionRequest>>[])
            [
                ("operation_id", r => r.OperationId = ByteString.Empty),
                ("scope", r => r.Scope = null),
                ("scope", r => r.Scope = new RetentionScope()),
                ("scope.category", r => r.Scope = OfAll("order-1")),
                ("rule", r => r.Rule = new RetentionRule()),
                ("rule.max_age_seconds", r => r.Rule = new RetentionRule { MaxAgeSeconds = 0 }),
                ("rule.max_age_seconds", r => r.Rule = new RetentionRule { MaxAgeSeconds = 3_155_760_001 }),
                ("rule.max_events", r => r.Rule = new RetentionRule { MaxEvents = 0 }),
                ("rule.max_events", r => r.Rule = new RetentionRule { MaxEvents = ulong.MaxValue }),
                ("rule.max_bytes", r => r.Rule = new RetentionRule { MaxBytes = 0 }),
                ("rule.max_bytes", r => r.Rule = new RetentionRule { MaxBytes = (ulong)long.MaxValue + 1 }),
                ("rule.forever", r => r.Rule = new RetentionRule { MaxBytes = 1, Forever = true }),
                ("attempted_after.position", r => r.AttemptedAfter = new SeenHead { Position = ulong.MaxValue }),
            ])
        {
            Assert.Equal(field, (await Fails.WithAsync(RpcCode.InvalidArgument, Reason.InvalidRequest, () => Set(change))).Field);
        }

        foreach (var (field, scope) in (ValueTuple<string, RetentionScope>[])[("scope.stream", Of("")), ("scope.category", OfAll("")), ("scope.stream", Of("a\u0001"))])
        {
            Assert.Equal(field, (await Fails.WithAsync(RpcCode.InvalidArgument, Reason.InvalidName, () => Set(r => r.Scope = scope))).Field);
            await Fails.WithAsync(RpcCode.InvalidArgument, Reason.InvalidName, () => GetAsync(node, scope));
        }

        Assert.Equal("scope.stream", (await Fails.WithAsync(RpcCode.InvalidArgument, Reason.ReservedName, () => Set(r => r.Scope = Of("$streams")))).Field);
        Assert.Equal("scope.category", (await Fails.WithAsync(RpcCode.InvalidArgument, Reason.ReservedName, () => Set(r => r.Scope = OfAll("$streams")))).Field);
        var tooLong = await Fails.WithAsync(RpcCode.InvalidArgument, Reason.LimitExceeded, () => Set(r => r.Scope = OfAll(new string('x', 1025))));
        Assert.Equal(("scope.category", "stream_name_bytes"), (tooLong.Field, tooLong.Limit.Limit));
        var tooMany = await Fails.WithAsync(
            RpcCode.InvalidArgument, Reason.LimitExceeded, () => node.Channel.UnaryAsync(Methods.ListRetention, new ListRetentionRequest { PageSize = 1001 }).AsTask());
        Assert.Equal("list_page_rules", tooMany.Limit.Limit);
        foreach (var token in (string[])["no token", "YQ==", "AQ==", "A2E="])
        {
            var foreign = () => node.Channel.UnaryAsync(Methods.ListRetention, new ListRetentionRequest { PageToken = token }).AsTask();
            Assert.Equal("page_token", (await Fails.WithAsync(RpcCode.InvalidArgument, Reason.InvalidRequest, foreign)).Field);
        }

        Assert.Empty((await node.Channel.UnaryAsync(Methods.ListRetention, new ListRetentionRequest())).Entries);
        Assert.Empty(await node.ReadAllAsync(new ReadAllRequest { IncludeSystem = true }));
    }

    [Fact]
    public async Task Rules_beyond_the_limit_are_refused()
    {
        await using var node = await TestNode.StartAsync(o => o with { SegmentSizeBytes = 64 * 1024 * 1024 });
        for (var from = 0; from < Storage.Log.RetentionRules.MostRules; from += 500)
        {
            await Task.WhenAll(Enumerable.Range(from, 500).Select(i => node.RetainAsync(Of($"s-{i}"), new RetentionRule { MaxEvents = 1 })));
        }

        var refused = await Fails.WithAsync(RpcCode.InvalidArgument, Reason.LimitExceeded, () => node.RetainAsync(OfAll("new"), new RetentionRule { MaxEvents = 1 }));
        Assert.Equal(("scope.category", "retention_rules", 10_000ul), (refused.Field, refused.Limit.Limit, refused.Limit.Allowed));
        await node.RetainAsync(Of("s-7"), new RetentionRule { MaxEvents = 2 });
        await node.RetainAsync(Of("s-8"), rule: null);
        await node.RetainAsync(OfAll("new"), new RetentionRule { MaxEvents = 1 });
    }

    [Fact]
    public async Task A_retry_is_answered_as_the_first_time_and_sets_nothing_again()
    {
        var node = await TestNode.StartAsync();
        try
        {
            var request = new SetRetentionRequest { OperationId = Make.Id(), Scope = Of("a"), Rule = new RetentionRule { MaxEvents = 1 } };
            var first = await node.Channel.UnaryAsync(Methods.SetRetention, request);
            await node.RetainAsync(Of("a"), rule: null);
            for (var restarts = 0; restarts < 2; restarts++)
            {
                Assert.Equal(new AppendResponse(first) { Deduplicated = true }, await node.Channel.UnaryAsync(Methods.SetRetention, request));
                Assert.Equal(new GetRetentionResponse(), await GetAsync(node, Of("a")));
                node = await node.RestartAsync();
            }

            var other = new SetRetentionRequest(request) { Rule = new RetentionRule { MaxEvents = 2 } };
            await Fails.WithAsync(RpcCode.AlreadyExists, Reason.OperationIdReused, () => node.Channel.UnaryAsync(Methods.SetRetention, other).AsTask());
        }
        finally
        {
            await node.DisposeAsync();
        }
    }

    // A hold and deletions race: by their positions, nothing was deleted behind the hold.
    [Fact]
    public async Task Nothing_is_deleted_behind_a_hold_that_races_with_deletions()
    {
        await using var node = await TestNode.StartAsync();
        for (var round = 0; round < 30; round++)
        {
            var streams = Enumerable.Range(0, 8).Select(i => $"c{round}-{i}").ToList();
            await Task.WhenAll(streams.Select(s => node.AppendAsync(s, Make.NoStream).AsTask()));
            var deletions = streams.Select(s => Task.Run(async () =>
            {
                try
                {
                    return (Stream: s, Position: (long)(await node.Channel.UnaryAsync(Methods.DeleteStream, Delete(s))).FirstPosition);
                }
                catch (RpcException e) when (e.Code == RpcCode.FailedPrecondition)
                {
                    return (Stream: s, Position: -1L);
                }
            })).ToList();
            var hold = (long)(await node.RetainAsync(OfAll($"c{round}"), new RetentionRule { LegalHold = true })).FirstPosition;
            var results = await Task.WhenAll(deletions);
            Assert.All(results, r => Assert.True(r.Position < hold));
            var left = await node.Channel.UnaryAsync(Methods.ListStreams, new ListStreamsRequest { Category = $"c{round}" });
            Assert.Equal(results.Where(r => r.Position < 0).Select(r => r.Stream), left.Streams.Select(s => s.Stream));
        }
    }

    private static RetentionScope Of(string stream) => new() { Stream = stream };

    private static RetentionScope OfAll(string category) => new() { Category = category };

    private static DeleteStreamRequest Delete(string stream, bool tombstone = false) =>
        new() { OperationId = Make.Id(), Stream = stream, Expected = Make.Any, Tombstone = tombstone };

    private static async Task<GetRetentionResponse> GetAsync(TestNode node, RetentionScope scope) =>
        await node.Channel.UnaryAsync(Methods.GetRetention, new GetRetentionRequest { Scope = scope });
}
