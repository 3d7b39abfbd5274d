using EventVault.Client.Tests.Support;

namespace EventVault.Client.Tests;

/// <summary>Retention rules and legal holds.</summary>
public sealed class RetentionTests
{
    private static readonly RetentionScope Orders = RetentionScope.Category("order");

    [Fact]
    public async Task A_rule_is_set_shown_with_where_it_comes_from_listed_and_taken_back()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect();
        var month = new RetentionRule { MaxAge = TimeSpan.FromDays(30), MaxEvents = 1000, MaxBytes = 10 << 20 };
        AppendResult set = await client.SetRetentionAsync(Orders, month);
        Assert.Equal(("$streams", 0ul), (set.Streams[0].Stream, set.FirstPosition));
        AppliedRetention applied = await client.GetRetentionAsync(RetentionScope.Stream("order-1"));
        Assert.Equal((month, Orders), (applied.Rule, applied.From));
        Assert.Empty(applied.HeldBy);

        var kept = new RetentionRule { Forever = true, LegalHold = true };
        await client.SetRetentionAsync(RetentionScope.Stream("order-1"), kept);
        await client.SetRetentionAsync(RetentionScope.Stream("a"), new RetentionRule { MaxEvents = 1 });
        applied = await client.GetRetentionAsync(RetentionScope.Stream("order-1"));
        Assert.Equal((kept, RetentionScope.Stream("order-1")), (applied.Rule, applied.From));
        Assert.Equal([RetentionScope.Stream("order-1")], applied.HeldBy);
        Assert.Equal(
            [
                new RetentionEntry(Orders, month, 0),
                new RetentionEntry(RetentionScope.Stream("a"), new RetentionRule { MaxEvents = 1 }, 2),
                new RetentionEntry(RetentionScope.Stream("order-1"), kept, 1),
            ],
            await client.ListRetentionAsync(pageSize: 2).ToListAsync());

        await client.RemoveRetentionAsync(Orders);
        applied = await client.GetRetentionAsync(RetentionScope.Stream("order-2"));
        Assert.Equal((null, null, 0), (applied.Rule, applied.From, applied.HeldBy.Count));
    }

    [Fact]
    public async Task A_held_stream_is_neither_deleted_nor_truncated_and_a_repeat_of_what_was_done_before_still_is()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect();
        await ReadTests.Fill(client, "order-1", 3);
        var before = new ChangeOptions { OperationId = Guid.NewGuid() };
        await client.TruncateStreamAsync("order-1", before: 1, ExpectedVersion.Any, before);
        await client.SetRetentionAsync(Orders, new RetentionRule { LegalHold = true });
        StreamHeldException held = await Assert.ThrowsAsync<StreamHeldException>(() => client.DeleteStreamAsync("order-1", ExpectedVersion.Any));
        Assert.Equal(("order-1", VaultErrorCode.StreamHeld, false), (held.Stream, held.Code, held.IsTransient));
        await Assert.ThrowsAsync<StreamHeldException>(() => client.DeleteStreamAsync("order-1", ExpectedVersion.Any, tombstone: true));
        await Assert.ThrowsAsync<StreamHeldException>(() => client.TruncateStreamAsync("order-1", before: 2, ExpectedVersion.Any));
        Assert.True((await client.TruncateStreamAsync("order-1", before: 1, ExpectedVersion.Any, before)).Deduplicated);

        await client.RemoveRetentionAsync(Orders);
        await client.TruncateStreamAsync("order-1", before: 2, ExpectedVersion.Any);
    }

    [Fact]
    public async Task A_lost_answer_is_made_good_by_a_retry_under_the_same_operation_id_which_says_what_was_seen()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect(Some.Quick);
        await ReadTests.Fill(client, "s", 2);
        node.OnChange = n => n == 1 ? Fault.CutAfter : Fault.None;
        AppendResult set = await client.SetRetentionAsync(Orders, new RetentionRule { Forever = true });
        Assert.Equal((2ul, true), (set.FirstPosition, set.Deduplicated));
        Assert.Equal(new SeenHead(1), node.Vault.AttemptedAfters[^1]);
    }

    [Fact]
    public async Task A_client_sees_the_rules_that_it_set()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect(new VaultClientOptions { ReadFrom = ReadFrom.Any });
        await client.SetRetentionAsync(Orders, new RetentionRule { Forever = true });
        await client.GetRetentionAsync(Orders);
        await client.ListRetentionAsync(consistency: Consistency.Local).ToListAsync();
        Assert.Equal(
            [new Protocol.Consistency { AtLeast = 0 }, Consistency.Local.ToMessage(new SeenPosition(ReadFrom.Leader))], node.Consistencies.TakeLast(2));
    }

    [Fact]
    public async Task Wrong_rules_and_scopes_are_refused_before_anything_is_sent()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect();
        await Refused("rule", new RetentionRule());
        await Refused("rule.forever", new RetentionRule { Forever = true, MaxEvents = 1 });
        await Refused("rule.max_events", new RetentionRule { MaxEvents = 0 });
        await Refused("rule.max_bytes", new RetentionRule { MaxBytes = 0, MaxEvents = 1 });
        await Refused("rule.max_events", new RetentionRule { MaxEvents = (ulong)long.MaxValue + 1 });
        await Refused("rule.max_age_seconds", new RetentionRule { MaxAge = TimeSpan.Zero });
        await Refused("rule.max_age_seconds", new RetentionRule { MaxAge = TimeSpan.FromSeconds(1.5) });
        await Refused("rule.max_age_seconds", new RetentionRule { MaxAge = RetentionRule.MostMaxAge + TimeSpan.FromSeconds(1) });
        var rule = new RetentionRule { Forever = true };
        await Refused("scope", rule, default(RetentionScope));
        await Refused("scope.category", rule, RetentionScope.Category("a-b"));
        await Refused("scope.category", rule, RetentionScope.Category(""));
        Assert.Equal(VaultErrorCode.ReservedName, await CodeOf(client.SetRetentionAsync(RetentionScope.Stream("$streams"), rule)));
        Assert.Equal(VaultErrorCode.ReservedName, await CodeOf(client.RemoveRetentionAsync(RetentionScope.Category("$streams"))));
        Assert.Equal(VaultErrorCode.InvalidName, await CodeOf(client.GetRetentionAsync(RetentionScope.Stream(""))));
        Assert.Equal(VaultErrorCode.LimitExceeded, await CodeOf(client.SetRetentionAsync(RetentionScope.Stream(new string('x', 1025)), rule)));
        Assert.Throws<ArgumentOutOfRangeException>(() => client.ListRetentionAsync(pageSize: 1001));
        Assert.Empty(node.Vault.Events);

        await client.SetRetentionAsync(Orders, new RetentionRule { MaxAge = RetentionRule.MostMaxAge, MaxEvents = 1, MaxBytes = long.MaxValue, LegalHold = true });
        await client.SetRetentionAsync(Orders, new RetentionRule { MaxAge = TimeSpan.FromSeconds(1) });

        async Task Refused(string field, RetentionRule rule, RetentionScope? scope = null)
        {
            VaultException e = await Assert.ThrowsAsync<VaultException>(() => client.SetRetentionAsync(scope ?? Orders, rule));
            Assert.Equal((VaultErrorCode.InvalidRequest, field), (e.Code, e.Failures[0].Field));
        }

        static async Task<VaultErrorCode> CodeOf(Task call) => (await Assert.ThrowsAnyAsync<VaultException>(() => call)).Code;
    }
}
