namespace EventVault.Client;

/// <summary>What a node is added as. The default is a voter with the lowest free number.</summary>
public sealed record AddNodeOptions
{
    /// <summary>Its number, 1 to 65,535; 0: the lowest one that no member has.</summary>
    public uint NodeId { get; init; }

    /// <summary>It gets the log and answers reads, and never becomes a voter.</summary>
    public bool IsReadReplica { get; init; }
}
