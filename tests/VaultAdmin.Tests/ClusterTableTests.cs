using EventVault.Admin.Commands.Cluster;
using EventVault.Client;
using Spectre.Console;

namespace EventVault.Admin.Tests;

/// <summary>What people see of a cluster that is not well, and in a narrow window.</summary>
public sealed class ClusterTableTests
{
    [Theory]
    [InlineData(200, "")]
    [InlineData(110, "version")]
    [InlineData(80, "term, commit, clock, version")]
    public void No_number_is_broken_and_what_has_no_room_is_named(int width, string leftOut)
    {
        var (table, names) = ClusterTable.TableOf(Status(Node(1, isLeader: true), Node(2), Node(3)), width);
        Assert.Equal(leftOut, string.Join(", ", names));
        using var text = new StringWriter();
        var console = AnsiConsole.Create(new AnsiConsoleSettings { Ansi = AnsiSupport.No, Interactive = InteractionSupport.No, Out = new AnsiConsoleOutput(text) });
        console.Profile.Width = width;
        console.Write(table);
        var lines = text.ToString().Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal(7, lines.Length); // Three nodes, the heading and three rules.
        Assert.All(lines, line => Assert.True(line.TrimEnd().Length <= width, line));
        Assert.Equal(3, lines.Count(line => line.Contains(" 98,765,432 ", StringComparison.Ordinal)));
    }

    [Fact]
    public void All_is_well_takes_one_sentence() =>
        Assert.Equal(["Node 1 leads; term 7. All is well."], ClusterTable.SentencesOf(Status(Node(1, isLeader: true), Node(2), Node(3))));

    [Fact]
    public void Each_node_that_is_not_well_is_told_with_where_to_look()
    {
        var away = Node(1, isLeader: true) with { IsReachable = false, Problem = "it can't be reached: Connection refused." };
        var said = ClusterTable.SentencesOf(Status(away, Node(2) with { Problem = "the disk fails" }, Node(3) with { State = "catching_up" }, Node(4) with { LagGroups = 4_321_000 })).ToArray();
        Assert.Equal(5, said.Length);
        Assert.StartsWith("Node 1 led when node 2 last heard of it: the others choose another leader", said[0], StringComparison.Ordinal);
        Assert.EndsWith("Not all is well.", said[0], StringComparison.Ordinal);
        Assert.StartsWith("Node 1 does not answer at 10.0.0.1:7402 (it can't be reached: Connection refused): see", said[1], StringComparison.Ordinal);
        Assert.Equal("Node 2: the disk fails.", said[2]);
        Assert.StartsWith("Node 3 is catching_up:", said[3], StringComparison.Ordinal);
        Assert.StartsWith("Node 4 is 4,321,000 groups behind the leader:", said[4], StringComparison.Ordinal);
        Assert.StartsWith("Node 2 knows of no leader: unless others have one, no append succeeds until", ClusterTable.SentencesOf(Status(Node(2)) with { LeaderNodeId = null }).First(), StringComparison.Ordinal);
    }

    [Fact]
    public void A_read_replica_that_was_just_added_is_waited_for_until_it_has_the_log()
    {
        const string Address = "10.0.0.5:7403";
        var newcomer = Node(5) with { Role = ClusterRole.ReadReplica, PeerAddress = Address, CommitIndex = 1_000 };
        Assert.True(Settled.IsInPlace(newcomer, Address, wanted: 1_000));
        foreach (var behind in new[] { newcomer with { CommitIndex = 999 }, newcomer with { IsReachable = false } })
        {
            Assert.False(Settled.IsInPlace(behind, Address, wanted: 1_000));
            Assert.True(Settled.IsInPlace(behind, "10.0.0.6:7403", wanted: 1_000)); // Another change does not wait for it.
        }

        Assert.False(Settled.IsInPlace(newcomer with { Role = ClusterRole.Learner }, newcomer: null, wanted: 0));
    }

    private static ClusterStatus Status(params ClusterNodeStatus[] nodes) => new()
    {
        VaultId = Guid.Parse("5f0f6a0e-1c7b-4b0c-9d51-d5d3a1f0c001"),
        AnsweredBy = 2,
        Term = 7,
        LeaderNodeId = 1,
        IsChanging = false,
        Nodes = nodes,
    };

    private static ClusterNodeStatus Node(uint number, bool isLeader = false) => new()
    {
        NodeId = number,
        Incarnation = null,
        Role = ClusterRole.Voter,
        IsLeader = isLeader,
        IsReachable = true,
        State = "serving",
        Term = 7,
        CommitIndex = 98_765_431,
        LastIndex = 98_765_432,
        Head = 1_234_567_890,
        LagGroups = 0,
        ClockAhead = TimeSpan.FromMilliseconds(-12),
        Address = $"10.0.0.{number}:7400",
        PeerAddress = $"10.0.0.{number}:7402",
        Version = "0.1.0",
        Problem = "",
    };
}
