using EventVault.Storage.Index;

namespace EventVault.Storage.Tests.Index;

public sealed class KeyTableTests
{
    public static TheoryData<string> Patterns => ["counter", "high counter", "many counters", "same low half", "random"];

    [Theory]
    [MemberData(nameof(Patterns))]
    public void Ids_of_any_pattern_are_found_in_a_few_steps(string pattern)
    {
        const int Keys = 50_000;
        var random = new Random(1);
        var starts = Enumerable.Range(0, 256).Select(_ => new UInt128((ulong)random.NextInt64(), 0)).ToArray();
        var keys = Enumerable.Range(1, Keys).Select(i => pattern switch
        {
            "counter" => (UInt128)(ulong)i,
            "high counter" => new UInt128((ulong)i, 0),
            "many counters" => starts[i % 256] + (ulong)(i / 256),
            "same low half" => new UInt128((ulong)random.NextInt64(), 42),
            _ => new UInt128((ulong)random.NextInt64(), (ulong)random.NextInt64()),
        }).Distinct().ToList();
        var table = new KeyTable();
        keys.ForEach(key => table.Add(key));

        Assert.Equal(Enumerable.Range(0, keys.Count), keys.Select(table.Find));
        Assert.All(starts.Select(s => s + UInt128.MaxValue / 2), key => Assert.Equal(-1, table.Find(key)));

        // Linear probing in a table that is half full takes half a step more than the first on average, a few at the worst.
        Assert.InRange(keys.Average(table.Detour), 0, 1.5);
        Assert.InRange(keys.Max(table.Detour), 0, 200);
    }
}
