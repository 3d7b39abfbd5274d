namespace EventVault.Storage.Index;

/// <summary>One node as a walk along the chain sees it: its first and last version (or position), and its links.</summary>
internal readonly record struct ChainView(long First, long Last, ChainNode Previous, ChainNode Jump);

/// <summary>
/// The chain that links a stream's runs in sealed segments, newest first. Beside the link to the previous node
/// each node has a jump link along a skew-binary numeral (Myers 1983), so that any of 40,000 nodes is at most 35
/// links away, and nothing is ever rewritten or merged.
/// </summary>
internal static class StreamChain
{
    /// <summary>
    /// The head after a stream's run in <paramref name="segment"/> became entry <paramref name="entry"/> of that
    /// segment's index. The new entry's own links are <c>head.Latest</c> (previous) and the result's
    /// <see cref="StreamHead.Jump"/>.
    /// </summary>
    /// <param name="head">The head before; <see cref="StreamHead.None"/> for a new stream.</param>
    /// <param name="segment">Segment of the new node.</param>
    /// <param name="entry">Its entry in that segment's index.</param>
    /// <param name="lastVersion">The stream's last version in the segment.</param>
    /// <param name="lastPosition">Position of that event.</param>
    /// <param name="jumpOf">Reads where an older node jumps to; called for about half of the nodes at most.</param>
    public static StreamHead Next(
        in StreamHead head, uint segment, uint entry, long lastVersion, long lastPosition, Func<ChainNode, ChainNode> jumpOf)
    {
        Invariant.Check(lastVersion > head.LastVersion && lastPosition > head.LastPosition);
        Invariant.Check(!head.Latest.Exists || segment > head.Latest.Segment);
        var latest = new ChainNode(segment, entry, head.Latest.Depth + 1);
        bool jumpsFar = head.Latest.Depth - head.Jump.Depth == head.Jump.Depth - head.JumpOfJump.Depth;
        ChainNode jump = jumpsFar ? head.JumpOfJump : head.Latest;
        Invariant.Check(jump.Depth == JumpDepth(latest.Depth));
        return new StreamHead
        {
            LastVersion = lastVersion,
            LastPosition = lastPosition,
            Latest = latest,
            Jump = jump,
            JumpOfJump = jumpsFar ? ReadJump(jump, jumpOf) : head.Jump,
        };
    }

    /// <summary>
    /// The same head, worked out from the finished index entry: for redo, when the heads file may already hold it
    /// and so cannot say what was before.
    /// </summary>
    public static StreamHead HeadOf(
        uint segment, uint entry, in StreamRun run, long lastPosition, Func<ChainNode, ChainNode> jumpOf) => new()
        {
            LastVersion = run.FirstVersion + run.Count - 1,
            LastPosition = lastPosition,
            Latest = new ChainNode(segment, entry, run.Previous.Depth + 1),
            Jump = run.Jump,
            JumpOfJump = ReadJump(run.Jump, jumpOf),
        };

    /// <summary>
    /// The newest node whose first version (or position) is at or before <paramref name="target"/>, walking from
    /// <paramref name="start"/>; <see cref="ChainNode.None"/> if all are later.
    /// </summary>
    /// <param name="start">The newest node; <see cref="ChainNode.None"/> finds nothing.</param>
    /// <param name="target">Version or position, whatever <paramref name="read"/> reports.</param>
    /// <param name="source">Has the nodes; given to <paramref name="read"/>, so that a look-up allocates nothing.</param>
    /// <param name="read">Reads a node.</param>
    /// <param name="hops">How many links were followed.</param>
    public static ChainNode Find<T>(ChainNode start, long target, T source, Func<T, ChainNode, ChainView> read, out int hops)
    {
        hops = 0;
        ChainNode node = start;
        ChainView view = node.Exists ? read(source, node) : default;
        while (node.Exists && view.First > target)
        {
            Invariant.Check(view.Previous.Depth == node.Depth - 1 && view.Jump.Depth == JumpDepth(node.Depth));
            hops++;
            if (view.Jump.Exists && view.Jump != view.Previous)
            {
                // A jump overshoots only if all of its node lies before the target.
                ChainView jumped = read(source, view.Jump);
                if (jumped.Last >= target)
                {
                    (node, view) = (view.Jump, jumped);
                    continue;
                }
            }

            node = view.Previous;
            view = node.Exists ? read(source, node) : default;
        }

        return node;
    }

    /// <summary>
    /// The depth that a node of this depth jumps to: itself less the lowest term of its skew-binary numeral
    /// (terms 1, 3, 7, 15 …). 0 means no jump.
    /// </summary>
    public static uint JumpDepth(uint depth)
    {
        uint rest = depth;
        uint lowest = 0;
        while (rest != 0)
        {
            // The greatest term 2^k − 1 that fits.
            lowest = (uint)((1UL << (32 - System.Numerics.BitOperations.LeadingZeroCount(rest))) - 1);
            if (lowest > rest)
            {
                lowest >>= 1;
            }

            rest -= lowest;
        }

        return depth - lowest;
    }

    private static ChainNode ReadJump(ChainNode node, Func<ChainNode, ChainNode> jumpOf)
    {
        uint depth = JumpDepth(node.Depth);
        ChainNode jump = depth == 0 ? ChainNode.None : jumpOf(node);
        Invariant.Check(jump.Depth == depth);
        return jump;
    }
}
