using EventVault.Storage.Index;

namespace EventVault.Storage.Tests.Index;

public sealed class StreamChainTests
{
    private static readonly UInt128 Key = 42;

    [Theory]
    [InlineData(0, 0)]
    [InlineData(1, 0)]
    [InlineData(2, 1)]
    [InlineData(3, 0)]
    [InlineData(4, 3)]
    [InlineData(5, 4)]
    [InlineData(6, 3)]
    [InlineData(7, 0)]
    [InlineData(8, 7)]
    [InlineData(11, 10)]
    [InlineData(14, 7)]
    [InlineData(15, 0)]
    [InlineData(uint.MaxValue, 0)]
    public void Jump_depth_takes_off_the_lowest_skew_binary_term(uint depth, uint expected) =>
        Assert.Equal(expected, StreamChain.JumpDepth(depth));

    [Fact]
    public void Next_asks_for_an_old_node_for_at_most_half_of_the_nodes()
    {
        int asked = 0;
        StreamHead head = StreamHead.None;
        var jumps = new Dictionary<ChainNode, ChainNode>();
        for (uint s = 0; s < 10_000; s++)
        {
            head = StreamChain.Next(head, s, 7, s, s, node =>
            {
                asked++;
                return jumps[node];
            });
            jumps.Add(head.Latest, head.Jump);
        }

        Assert.InRange(asked, 1, 5_000);
    }

    [Fact]
    public void Any_of_40000_nodes_is_at_most_35_links_away_and_25_on_average()
    {
        const int Nodes = 40_000;
        ChainModel model = OneStream(Nodes, _ => 3);
        long hopsTotal = 0;
        int hopsMost = 0;
        for (long version = 0; version < 3 * Nodes; version++)
        {
            ChainNode node = StreamChain.Find(model.Heads[Key].Latest, version, model, Versions, out int hops);
            Assert.Equal(version / 3, node.Segment);
            hopsTotal += hops;
            hopsMost = Math.Max(hopsMost, hops);
        }

        Assert.Equal(35, hopsMost);
        Assert.Equal(25.23, hopsTotal / (double)(3 * Nodes), precision: 2);
    }

    [Fact]
    public void Find_returns_the_newest_node_that_begins_at_or_before_the_target_also_between_nodes()
    {
        // Nodes at 10, 20, 30 … that reach to 14, 24, 34 …: as positions of a stream are, with gaps.
        ChainModel model = OneStream(300, _ => 5);
        static ChainView Read(ChainModel model, ChainNode node) =>
            new(10 * node.Depth, (10 * node.Depth) + 4, model.Runs[node].Previous, model.Runs[node].Jump);
        for (long target = 0; target < 3_100; target++)
        {
            ChainNode node = StreamChain.Find(model.Heads[Key].Latest, target, model, Read, out _);
            Assert.Equal(Math.Min(300, target / 10), node.Depth);
        }
    }

    [Fact]
    public void Find_in_no_chain_finds_nothing() =>
        Assert.False(StreamChain.Find(ChainNode.None, 5, 0, (_, _) => throw new InvalidOperationException(), out _).Exists);

    [Fact]
    public void The_head_follows_from_the_index_entry_too()
    {
        ChainModel model = OneStream(500, s => 1 + (s % 4));
        StreamHead head = StreamHead.None;
        for (int s = 0; s < 500; s++)
        {
            head = model.Segments[s][0].Value;
            StreamHead redone = StreamChain.HeadOf(
                (uint)s, 0, model.Runs[head.Latest], head.LastPosition, node => model.Runs[node].Jump);
            Assert.Equal(head, redone);
        }
    }

    private static ChainModel OneStream(int nodes, Func<int, int> count)
    {
        var model = new ChainModel();
        for (int s = 0; s < nodes; s++)
        {
            model.Seal([new(Key, count(s))]);
        }

        return model;
    }

    private static ChainView Versions(ChainModel model, ChainNode node)
    {
        StreamRun run = model.Runs[node];
        return new ChainView(run.FirstVersion, run.FirstVersion + run.Count - 1, run.Previous, run.Jump);
    }
}
