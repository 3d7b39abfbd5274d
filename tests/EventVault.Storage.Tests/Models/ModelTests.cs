using Xunit.Abstractions;

namespace EventVault.Storage.Tests.Models;

/// <summary>The sequencer and the readers against plain lists, with cuts, power losses, restarts and lost index files between the steps.</summary>
public sealed class ModelTests(ITestOutputHelper output)
{
    [Fact]
    public void Every_append_is_decided_as_by_plain_lists() => ModelRun.Check(runs: 400, reads: 4, new()
    {
        ["Ok"] = 5_000,
    }, output);

    [Fact]
    public void Every_read_is_that_of_a_plain_list() => ModelRun.Check(runs: 400, reads: 45, new()
    {
        ["filtered reads"] = 5_000,
    }, output);
}
