using EventVault.Client.Tests.Support;

namespace EventVault.Client.Tests;

/// <summary>Retention rules and scavenging against the real node.</summary>
public sealed class RealNodeRetentionTests
{
    [Fact]
    public async Task Rules_and_holds_mean_the_same_on_both_sides_and_after_a_kill()
    {
        await using NodeProcess node = await NodeProcess.StartAsync();
        await using VaultClient client = VaultClient.Connect(node.Address);
        RetentionScope orders = RetentionScope.Category("order");
        RetentionScope first = RetentionScope.Stream("order-1");
        await client.AppendAsync("order-1", ExpectedVersion.NoStream, [Some.Event(0), Some.Event(1)]);
        var held = new RetentionRule { LegalHold = true };
        var month = new RetentionRule { MaxAge = TimeSpan.FromDays(30), MaxEvents = 5, MaxBytes = long.MaxValue };
        var options = new ChangeOptions { OperationId = Guid.NewGuid() };
        AppendResult set = await client.SetRetentionAsync(orders, held, options);
        Assert.Equal((2ul, "$streams", false), (set.FirstPosition, set.Streams[0].Stream, set.Deduplicated));
        Assert.True((await client.SetRetentionAsync(orders, held, options)).Deduplicated);
        await client.SetRetentionAsync(first, month);
        for (int start = 0; start < 2; start++)
        {
            AppliedRetention applied = await client.GetRetentionAsync(first);
            Assert.Equal((month with { LegalHold = true }, first), (applied.Rule, applied.From));
            Assert.Equal([orders], applied.HeldBy);
            AppliedRetention onlyHeld = await client.GetRetentionAsync(RetentionScope.Stream("order-2"));
            Assert.Equal((held, orders), (onlyHeld.Rule, onlyHeld.From));
            Assert.Equal(
                [new RetentionEntry(orders, held, 2), new RetentionEntry(first, month, 3)], await client.ListRetentionAsync(pageSize: 1).ToListAsync());
            Assert.Equal("order-1", (await Assert.ThrowsAsync<StreamHeldException>(() => client.DeleteStreamAsync("order-1", ExpectedVersion.Any))).Stream);
            await Assert.ThrowsAsync<StreamHeldException>(() => client.TruncateStreamAsync("order-1", 1, ExpectedVersion.Any));
            node.Kill();
            await node.StartAgainAsync();
        }

        await client.RemoveRetentionAsync(orders);
        await client.TruncateStreamAsync("order-1", 1, ExpectedVersion.Any);
        AppliedRetention none = await client.GetRetentionAsync(RetentionScope.Stream("order-2"));
        Assert.Equal((null, null, 0), (none.Rule, none.From, none.HeldBy.Count));
    }

    [Fact]
    public async Task A_scavenge_is_started_explained_and_stopped_on_the_real_node()
    {
        await using NodeProcess node = await NodeProcess.StartAsync();
        await using VaultClient client = VaultClient.Connect(node.Address);
        Assert.Equal(ScavengeState.Never, (await client.GetScavengeAsync()).State);
        Assert.Equal(ScavengeState.Never, (await client.StopScavengeAsync()).State);
        await client.AppendAsync("s", ExpectedVersion.NoStream, [Some.Event(0), Some.Event(1)]);
        await client.TruncateStreamAsync("s", 1, ExpectedVersion.Any);
        SegmentScavenge only = Assert.Single(await client.ExplainScavengeAsync().ToListAsync());
        Assert.Equal((0u, 0ul, false), (only.Segment, only.FirstPosition, only.Rewrites));
        Assert.Equal((1ul, 1ul), (only.VisibleEvents, only.SystemEvents));
        Assert.NotEmpty(only.Why);
        var id = Guid.NewGuid();
        ScavengeStatus started = await client.StartScavengeAsync(id);
        Assert.Equal(3ul, started.Point);
        Assert.NotNull(started.StartedAt);
        Assert.Equal(started.Point, (await client.StartScavengeAsync(id)).Point);
        Assert.Equal(started.Point, (await client.GetScavengeAsync()).Point);
    }
}
