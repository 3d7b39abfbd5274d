using EventVault.Client.Tests.Support;

namespace EventVault.Client.Tests;

/// <summary>Starting, stopping and explaining scavenges.</summary>
public sealed class ScavengeTests
{
    [Fact]
    public async Task A_scavenge_is_started_followed_and_stopped()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect();
        ScavengeStatus never = await client.GetScavengeAsync();
        Assert.Equal((ScavengeState.Never, null, null), (never.State, never.Point, never.StartedAt));

        ScavengeStatus started = await client.StartScavengeAsync();
        Assert.Equal((ScavengeState.Running, 41ul, 3u), (started.State, started.Point, started.SegmentsTotal));
        Assert.Equal(DateTimeOffset.UnixEpoch.AddTicks(7), started.StartedAt);
        node.Scavenge.Status = new Protocol.ScavengeStatus
        {
            State = "waiting",
            Point = 41,
            StartedAt = 7,
            SegmentsDone = 2,
            SegmentsTotal = 3,
            SegmentsRewritten = 1,
            BytesFreed = 5000,
            Why = "no room",
        };
        ScavengeStatus waits = await client.GetScavengeAsync();
        Assert.Equal((ScavengeState.Waiting, 2u, 1u, 5000ul, "no room"), (waits.State, waits.SegmentsDone, waits.SegmentsRewritten, waits.BytesFreed, waits.Why));

        node.Scavenge.Status.State = "running";
        Assert.Equal(ScavengeState.Stopped, (await client.StopScavengeAsync()).State);
        node.Scavenge.Status.State = "done";
        Assert.Equal(ScavengeState.Done, (await client.GetScavengeAsync()).State);
        node.Scavenge.Status.State = "of a later version";
        Assert.Equal(ScavengeState.Unknown, (await client.GetScavengeAsync()).State);
    }

    [Fact]
    public async Task A_lost_answer_starts_no_second_one()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect(Some.Quick);
        node.OnChange = n => n == 1 ? Fault.CutAfter : Fault.None;
        Assert.Equal(ScavengeState.Running, (await client.StartScavengeAsync()).State);
        Assert.Equal(1, node.Scavenge.Started);
    }

    [Fact]
    public async Task Without_an_answer_the_outcome_is_unknown_and_the_id_to_repeat_it_is_told()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect(Some.Quick);
        node.OnChange = n => n == 1 ? Fault.CutAfter : Fault.RefuseStoreFull;
        var id = Guid.NewGuid();
        VaultException unknown = await Assert.ThrowsAsync<VaultException>(() => client.StartScavengeAsync(id));
        Assert.Equal(VaultErrorCode.OutcomeUnknown, unknown.Code);
        Assert.Contains(id.ToString(), unknown.Message, StringComparison.Ordinal);
        node.OnChange = _ => Fault.None;
        Assert.Equal(ScavengeState.Running, (await client.StartScavengeAsync(id)).State);
        Assert.Equal(1, node.Scavenge.Started);
    }

    [Fact]
    public async Task An_explanation_comes_page_by_page()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect();
        node.Scavenge.Segments.AddRange(Enumerable.Range(0, 5).Select(i => new Protocol.SegmentScavenge
        {
            Segment = (uint)i,
            FirstPosition = 10 * (ulong)i,
            Bytes = 100,
            Events = 10,
            RemovableEvents = 4,
            RemovableBytes = 40,
            VisibleEvents = 3,
            SystemEvents = 2,
            HeldEvents = 1,
            Rewrites = true,
        }));
        node.Scavenge.Segments[3].LastPosition = 39;
        node.Scavenge.Segments[3].ScavengedAt = 17;
        node.Scavenge.Segments[4].Why = "not sealed yet";
        List<SegmentScavenge> all = await client.ExplainScavengeAsync(fromSegment: 1, pageSize: 2).ToListAsync();
        Assert.Equal([1u, 2, 3, 4], all.Select(s => s.Segment));
        Assert.Equal((30ul, 39ul, 17ul), (all[2].FirstPosition, all[2].LastPosition, all[2].ScavengedAt));
        Assert.Equal((null, null, "not sealed yet"), (all[3].LastPosition, all[3].ScavengedAt, all[3].Why));
        Assert.Equal((100ul, 10ul, 4ul, 40ul), (all[0].Bytes, all[0].Events, all[0].RemovableEvents, all[0].RemovableBytes));
        Assert.Equal((3ul, 2ul, 1ul, true), (all[0].VisibleEvents, all[0].SystemEvents, all[0].HeldEvents, all[0].Rewrites));
        Assert.Equal([(1u, 2u), (3u, 2u)], node.Scavenge.Explained.Select(r => (r.FromSegment, r.PageSize)));
        Assert.Throws<ArgumentOutOfRangeException>(() => client.ExplainScavengeAsync(pageSize: 0));
    }
}
