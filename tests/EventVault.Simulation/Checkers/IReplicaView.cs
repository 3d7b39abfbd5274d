using EventVault.Raft;

namespace EventVault.Simulation.Checkers;

/// <summary>A running replica as the checkers look at it: the truth of its memory, taken between two events.</summary>
internal interface IReplicaView
{
    ReplicaId Id { get; }

    ulong Term { get; }

    bool IsLeader { get; }

    ReplicaId? VotedFor { get; }

    ulong LastIndex { get; }

    /// <summary>What its core takes for committed.</summary>
    ulong CommitIndex { get; }

    /// <summary>What it shows to readers: index and position.</summary>
    (ulong Index, long Head) Visible { get; }

    /// <summary>Index of the membership that it goes by; null: it has none.</summary>
    ulong? MembershipIndex { get; }

    VoterSets Voters { get; }

    /// <summary>Term of the last entry.</summary>
    ulong LastTerm { get; }

    /// <summary>Entries up to this one were put in their places by this start, as others had them; 0: none were.</summary>
    ulong InstalledThrough => 0;

    /// <summary>An entry's bytes; the node's own part of them is zero. Empty: it was scavenged, so it is in no single group any more.</summary>
    byte[] BytesAt(ulong index);

    /// <summary>An entry of its log.</summary>
    EntryFacts EntryAt(ulong index);

    /// <summary>An entry of its log, decoded.</summary>
    CommittedGroup GroupAt(ulong index);
}

/// <summary>An entry of a replica's log.</summary>
/// <param name="Mark">Term and checksum.</param>
/// <param name="Voters">Of an entry with a membership; otherwise null.</param>
internal readonly record struct EntryFacts(LogMark Mark, VoterSets? Voters = null);

/// <summary>What a replica promised by term and vote.</summary>
internal readonly record struct Promise(ulong Term, ReplicaId? VotedFor);

/// <summary>What the disks would hold after any loss of power now.</summary>
internal interface IDurableState
{
    /// <summary>Whether the whole group is flushed on this replica's disk.</summary>
    bool HoldsGroup(ReplicaId replica, ulong index, IReplicaView source);

    /// <summary>The flushed term and vote of a replica.</summary>
    Promise PromiseOf(ReplicaId replica);

    /// <summary>Whether its disk never lost what it had confirmed to be flushed.</summary>
    bool IsHonest(ReplicaId replica);
}
