using EventVault.Raft;
using EventVault.Simulation.Checkers;

namespace EventVault.Simulation.Tests.Checkers;

/// <summary>A replica whose state a test writes down by hand, with its disk.</summary>
internal sealed class PlantedReplica(uint node, VoterSets voters) : IReplicaView
{
    public List<CommittedGroup> Log { get; } = [];

    public Dictionary<ulong, VoterSets> Memberships { get; } = [];

    /// <summary>What its disk holds of the log.</summary>
    public HashSet<(ulong Index, LogMark Mark)> Flushed { get; } = [];

    public Promise FlushedPromise { get; set; }

    public ReplicaId Id { get; } = new(node, Guid.Empty);

    public ulong Term { get; set; } = 1;

    public bool IsLeader { get; set; }

    public ReplicaId? VotedFor { get; set; }

    public ulong LastIndex => (ulong)Log.Count;

    public ulong LastTerm => Log.Count == 0 ? 0 : Log[^1].Mark.Term;

    public ulong CommitIndex { get; set; }

    public (ulong Index, long Head) Visible { get; set; } = (0, -1);

    public ulong? MembershipIndex { get; set; } = 0;

    public VoterSets Voters { get; set; } = voters;

    public ulong InstalledThrough { get; set; }

    public byte[] BytesAt(ulong index) => [];

    public EntryFacts EntryAt(ulong index) => new(Log[(int)index - 1].Mark, Memberships.GetValueOrDefault(index));

    public CommittedGroup GroupAt(ulong index) => Log[(int)index - 1];
}

/// <summary>Three replicas and what they hold. Each step of a test ends with the checkers' look at one of them.</summary>
internal sealed class PlantedCluster : IDurableState
{
    private readonly Dictionary<ReplicaId, PlantedReplica> _replicas;

    public PlantedCluster()
    {
        var voters = new VoterSets([Id(1), Id(2), Id(3)], []);
        All = [.. Enumerable.Range(1, 3).Select(n => new PlantedReplica((uint)n, voters))];
        _replicas = All.ToDictionary(r => r.Id);
        Checker = new ReplicaChecker(Run.Ledger, Run.Appends, this);
        Array.ForEach(All, Checker.Started);
    }

    public PlantedRun Run { get; } = new();

    public PlantedReplica[] All { get; }

    public ReplicaChecker Checker { get; }

    /// <summary>Replicas whose disks lost what they had confirmed.</summary>
    public HashSet<ReplicaId> Spoilt { get; } = [];

    public static ReplicaId Id(uint node) => new(node, Guid.Empty);

    /// <summary>All vote for the first one, and flush it; it leads.</summary>
    public void Elect(PlantedReplica leader, ulong term)
    {
        foreach (var replica in All)
        {
            replica.IsLeader = false;
            Vote(replica, term, leader.Id);
        }

        leader.IsLeader = true;
        Checker.Look(leader);
    }

    public void Vote(PlantedReplica replica, ulong term, ReplicaId candidate)
    {
        (replica.Term, replica.VotedFor) = (term, candidate);
        replica.FlushedPromise = new Promise(term, candidate);
        Checker.Look(replica);
    }

    /// <summary>A system group of a term behind the replica's log.</summary>
    public static CommittedGroup NextGroup(PlantedReplica replica, ulong term, uint checksum) => new(
        replica.LastIndex + 1, new LogMark(term, checksum), replica.Log.Count == 0 ? 0 : replica.Log[^1].Mark.Checksum, 1_000 * (1 + (long)replica.LastIndex), 0, []);

    /// <summary>Takes a group into logs, and flushes it there.</summary>
    public void Append(CommittedGroup group, params PlantedReplica[] replicas)
    {
        foreach (var replica in replicas)
        {
            replica.Log.Add(group);
            replica.Flushed.Add((group.Index, group.Mark));
            Checker.Look(replica);
        }
    }

    public void Commit(PlantedReplica replica, ulong index)
    {
        replica.CommitIndex = index;
        Checker.Look(replica);
    }

    /// <summary>A replica says something, at the end of an event.</summary>
    public void Send(PlantedReplica from, MessageKind kind, PlantedReplica to, ulong index = 0)
    {
        Checker.Sent(from.Id, new SentMessage(kind, from.Term, to.Id, index));
        Checker.Look(from);
    }

    /// <summary>The replica's memory is gone; the test says what it starts with.</summary>
    public void Restart(PlantedReplica replica)
    {
        replica.CommitIndex = 0;
        replica.Visible = (0, -1);
        replica.IsLeader = false;
        Checker.Started(replica);
    }

    public bool HoldsGroup(ReplicaId replica, ulong index, IReplicaView source) => _replicas[replica].Flushed.Contains((index, source.EntryAt(index).Mark));

    public Promise PromiseOf(ReplicaId replica) => _replicas[replica].FlushedPromise;

    public bool IsHonest(ReplicaId replica) => !Spoilt.Contains(replica);
}
