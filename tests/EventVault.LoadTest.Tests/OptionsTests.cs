using EventVault.LoadTest.Scenarios;

namespace EventVault.LoadTest.Tests;

public sealed class OptionsTests
{
    [Theory]
    [InlineData]
    [InlineData("measure")]
    [InlineData("run", "--no-such-option", "1")]
    [InlineData("run", "append", "--seconds")]
    [InlineData("run", "append", "--seconds", "soon")]
    [InlineData("run", "append", "--seconds", "0")]
    [InlineData("run", "append", "--in-flight", "1,x")]
    [InlineData("run", "append", "--in-flight", "0")]
    [InlineData("run", "append", "--via", "pigeon")]
    [InlineData("run", "append", "--address", "a", "--nodes", "b")]
    public void What_makes_no_sense_is_refused(params string[] arguments) => Assert.Throws<ArgumentException>(() => Options.Parse(arguments));

    [Fact]
    public void Several_nodes_are_one_address_of_the_sdk() =>
        Assert.Equal("eventvault://a:7400,b:7400", Options.Parse(["run", "append", "--nodes", "a:7400,b:7400"]).Address);

    [Fact]
    public void All_leaves_out_what_needs_nodes_unless_they_are_given()
    {
        Assert.DoesNotContain(Catalog.Find(["all"], hasNodes: false), e => e.NeedsNodes);
        Assert.Contains(Catalog.Find(["all"], hasNodes: true), e => e.NeedsNodes);
        Assert.Throws<ArgumentException>(() => Catalog.Find(["cluster-fail-over"], hasNodes: false));
        Assert.Throws<ArgumentException>(() => Catalog.Find(["appendix"], hasNodes: false));
        Assert.Throws<ArgumentException>(() => Catalog.Find([], hasNodes: false));
    }

    [Fact]
    public void Lists_make_a_run_of_each_combination()
    {
        var options = Options.Parse(["run", "append", "--in-flight", "1,16", "--events", "1,10,100", "--payload", "256,1024", "--via", "session,unary"]);
        var names = Catalog.Find(["append"], hasNodes: false).SelectMany(e => e.Scenarios(new Target("eventvault://127.0.0.1:1", new VirtualClock(), options))).Select(s => s.Name).ToList();
        Assert.Equal(24, names.Distinct().Count());
        Assert.Equal(24, names.Count);
    }

    [Fact]
    public void Every_scenario_has_a_threshold_and_a_load_as_long_as_asked()
    {
        var target = new Target("eventvault://127.0.0.1:1", new VirtualClock(), Options.Parse(["run", "all", "--nodes", "127.0.0.1:1", "--seconds", "40"]));
        Assert.All(Catalog.Entries.SelectMany(e => e.Scenarios(target)), scenario =>
        {
            Assert.NotEmpty(scenario.Thresholds);
            Assert.Equal(40, scenario.Loads.Sum(l => l.During.TotalSeconds), tolerance: 0.001);
        });
    }
}
