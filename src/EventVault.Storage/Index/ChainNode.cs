namespace EventVault.Storage.Index;

/// <summary>
/// One segment's events of one stream, as a node of the stream's chain: entry <paramref name="Entry"/> of that
/// segment's index. <paramref name="Depth"/> counts the stream's nodes from 1; depth 0 is no node.
/// </summary>
internal readonly record struct ChainNode(uint Segment, uint Entry, uint Depth)
{
    public static ChainNode None => default;

    public bool Exists => Depth != 0;
}
