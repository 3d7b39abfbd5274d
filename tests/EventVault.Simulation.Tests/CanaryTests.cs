namespace EventVault.Simulation.Tests;

/// <summary>Each rule is broken once: a checker that does not see it guards nothing.</summary>
public class CanaryTests
{
    private const int MostSeeds = 120;

    public static TheoryData<string> Names => [.. CanaryHunt.Names];

    [Theory]
    [MemberData(nameof(Names))]
    public void A_broken_rule_is_caught(string name) =>
        Assert.NotNull(CanaryHunt.Hunt(name, seed => SimulationOptions.Draw(seed, CanaryHunt.ProfileFor(name)), MostSeeds));

    [Fact]
    public void There_are_enough_of_them() => Assert.True(Names.Count >= 12);
}
