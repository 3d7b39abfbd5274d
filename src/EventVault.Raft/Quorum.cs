namespace EventVault.Raft;

/// <summary>How an election stands.</summary>
public enum VoteResult
{
    /// <summary>Neither is certain.</summary>
    Pending,

    /// <summary>A majority (of both, if joint) agreed.</summary>
    Won,

    /// <summary>A majority can't be reached any more.</summary>
    Lost,
}

/// <summary>Turns acknowledgements and votes into decisions. Pure functions.</summary>
public static class Quorum
{
    /// <summary>Highest index that a majority (of both, if joint) holds; the highest possible one if there are no voters.</summary>
    public static LogIndex Committed(Membership membership, Func<ReplicaId, LogIndex> matched) => throw new NotImplementedException();

    /// <summary>How the votes stand; null: not answered yet.</summary>
    public static VoteResult Votes(Membership membership, Func<ReplicaId, bool?> vote) => throw new NotImplementedException();
}
