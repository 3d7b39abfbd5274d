using Xunit.Abstractions;

namespace EventVault.Storage.Tests.Models;

/// <summary>The sequencer and the readers against plain lists, with cuts, power losses, restarts and lost index files between the steps.</summary>
public sealed class ModelTests(ITestOutputHelper output)
{
    [Fact]
    public void Every_append_is_decided_as_by_plain_lists() => ModelRun.Check(runs: 250, reads: 4, new()
    {
        ["Ok"] = 6_000,
        ["Known"] = 600,
        ["Proven"] = 20,
        ["TooOld"] = 160,
        ["Ahead"] = 100,
        ["LookAgain"] = 20,
        ["version failed"] = 800,
        ["requirement failed"] = 240,
        ["condition failed"] = 1_200,
        ["condition failed by what is pending"] = 600,
        ["change refused"] = 400,
        ["tombstoned"] = 120,
        ["first answer"] = 280,
        ["id reused"] = 60,
        ["known in sealed"] = 80,
        ["floor risen"] = 200,
        ["sealed"] = 120,
        ["cut"] = 120,
        ["cut, pending groups kept"] = 60,
        ["restarts"] = 160,
        ["power losses"] = 80,
        ["power losses with groups in flight"] = 100,
        ["index files lost"] = 120,
    }, output);

    [Fact]
    public void Every_read_is_that_of_a_plain_list() => ModelRun.Check(runs: 250, reads: 45, new()
    {
        ["filtered reads"] = 2_000,
        ["lists"] = 1_000,
        ["append found"] = 4_000,
        ["change refused"] = 240,
        ["sealed"] = 40,
        ["cut"] = 60,
        ["power losses with groups in flight"] = 60,
        ["index files lost"] = 60,
    }, output);
}
