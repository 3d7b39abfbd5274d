namespace EventVault.Simulation.Tests;

/// <summary>The same seeds at each change: what they come through today they must come through tomorrow.</summary>
public class SeedTests
{
    private const ulong SeedsEach = 10;

    public static TheoryData<ulong> Ranges => [.. Enumerable.Range(0, 10).Select(i => (((ulong)i) * SeedsEach) + 1)];

    [Theory]
    [MemberData(nameof(Ranges))]
    public void Seeds_pass(ulong first)
    {
        for (var seed = first; seed < first + SeedsEach; seed++)
        {
            Run.Passes(SimulationOptions.Draw(seed));
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(11)]
    public void Seeds_of_segments_that_are_shipped_and_scavenged_pass(ulong first)
    {
        var installs = 0;
        for (var seed = first; seed < first + SeedsEach; seed++)
        {
            installs += Run.Passes(SimulationOptions.Draw(seed, Profile.Segments)).Installs;
        }

        Assert.NotEqual(0, installs);
    }

    [Fact]
    public void Followers_that_are_equally_far_behind_get_segments_from_the_leader() => Run.Passes(SimulationOptions.Draw(66, Profile.Segments));

    [Theory]
    [InlineData(1001)]
    [InlineData(1002)]
    [InlineData(1003)]
    [InlineData(1004)]
    [InlineData(1005)]
    public void A_seed_replays_bit_for_bit(ulong seed)
    {
        var first = Run.Passes(SimulationOptions.Draw(seed));
        var second = Run.Passes(SimulationOptions.Draw(seed));
        Assert.Equal((first.Hash, first.Events, first.VirtualTime), (second.Hash, second.Events, second.VirtualTime));
        Assert.NotEqual(first.Hash, Run.Passes(SimulationOptions.Draw(seed + 1000)).Hash);
    }

    [Fact]
    public void A_class_of_faults_that_is_switched_off_does_not_shift_the_others()
    {
        var whole = SimulationOptions.Draw(7);
        var without = new CommandLine { Without = FaultClass.PowerLoss }.OptionsOf(7);
        Assert.Equal(whole with { Faults = whole.Faults & ~FaultClass.PowerLoss }, without);
    }
}
