using Xunit.Abstractions;

namespace EventVault.Storage.Tests.Models;

/// <summary>The sequencer, the readers and the retention work against plain lists, with cuts, power losses, restarts and lost index files between the steps.</summary>
public sealed class ModelTests(ITestOutputHelper output)
{
    [Fact]
    public void Every_append_is_decided_as_by_plain_lists() => ModelRun.Check(runs: 250, mostSteps: 220, new Shares(Reads: 4, Retention: 8), new()
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
        ["change refused: Held"] = 80,
        ["change refused: NotDue"] = 15,
        ["due"] = 200,
        ["tombstoned"] = 120,
        ["first answer"] = 280,
        ["id reused"] = 60,
        ["known in sealed"] = 80,
        ["floor risen"] = 200,
        ["sealed"] = 120,
        ["cut"] = 120,
        ["cut, pending groups kept"] = 60,
        ["restarts"] = 160,
        ["saved indexes compared"] = 25,
        ["power losses"] = 80,
        ["power losses with groups in flight"] = 100,
        ["index files lost"] = 120,
    }, output);

    [Fact]
    public void Every_read_is_that_of_a_plain_list() => ModelRun.Check(runs: 250, mostSteps: 220, new Shares(Reads: 45, Retention: 5), new()
    {
        ["filtered reads"] = 2_000,
        ["lists"] = 1_000,
        ["append found"] = 4_000,
        ["change refused"] = 240,
        ["due"] = 100,
        ["sealed"] = 40,
        ["cut"] = 60,
        ["power losses with groups in flight"] = 60,
        ["index files lost"] = 60,
    }, output);

    [Fact]
    public void What_is_due_goes_and_nothing_else() => ModelRun.Check(runs: 100, mostSteps: 500, new Shares(Reads: 10, Retention: 40), new()
    {
        ["passes"] = 2_600,
        ["passes cut short"] = 150,
        ["to the age"] = 380,
        ["due"] = 600,
        ["due, segments scavenged"] = 450,
        ["change refused: Held"] = 180,
        ["change refused: NotDue"] = 50,
        ["scavenged"] = 60,
        ["cut"] = 70,
        ["restarts"] = 110,
        ["power losses"] = 75,
        ["index files lost"] = 75,
    }, output);
}
