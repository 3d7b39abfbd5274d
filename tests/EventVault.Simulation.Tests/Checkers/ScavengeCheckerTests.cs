using EventVault.Simulation.Checkers;
using EventVault.Storage.Index;
using static EventVault.Simulation.Tests.Checkers.PlantedCluster;
using static EventVault.Simulation.Tests.Checkers.PlantedRun;

namespace EventVault.Simulation.Tests.Checkers;

/// <summary>Scavenged segments as nodes should not have them.</summary>
public sealed class ScavengeCheckerTests
{
    private static readonly SegmentDigest One = new(1, 1);
    private readonly PlantedCluster _cluster = new();
    private readonly ScavengeChecker _checker;

    public ScavengeCheckerTests()
    {
        _checker = new ScavengeChecker(_cluster.Run.Ledger);
        var leader = _cluster.All[0];
        _cluster.Elect(leader, 2);
        _cluster.Append(NextGroup(leader, 2, 7), _cluster.All);
        _cluster.Commit(leader, 1);
    }

    [Fact]
    public void The_same_form_on_two_nodes_passes_and_counts_once()
    {
        _checker.Look(1, 0, -1, One, 1, 7);
        _checker.Look(2, 0, -1, One, 1, 7);
        Assert.Equal(1, _checker.Seen);
    }

    [Fact]
    public void Another_form_of_a_segment_at_the_same_point_is_caught()
    {
        _checker.Look(1, 0, -1, One, 1, 7);
        Breaks(Rules.ScavengedEqual, () => _checker.Look(2, 0, -1, new SegmentDigest(1, 2), 1, 7));
    }

    [Fact]
    public void What_is_scavenged_before_it_is_committed_is_caught() => Breaks(Rules.ScavengedIsCommitted, () => _checker.Look(1, 0, -1, One, 2, 8));

    [Fact]
    public void A_point_that_is_not_committed_is_caught() => Breaks(Rules.ScavengedIsCommitted, () => _checker.Look(1, 0, 5, One, 1, 7));

    [Fact]
    public void A_segment_that_ends_with_another_group_than_was_committed_is_caught() => Breaks(Rules.LogsEqual, () => _checker.Look(1, 0, -1, One, 1, 8));
}
