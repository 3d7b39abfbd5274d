using EventVault.Raft;

namespace EventVault.Node.Replication;

/// <summary>How often leadership moved, as one replica saw it. Counted by the sequencer's thread, read by every thread.</summary>
internal sealed class ReplicaFigures
{
    private ReplicaId? _leader;
    private long _elections;
    private long _leaderChanges;
    private long _transfers;

    /// <summary>Elections in which this replica asked for votes; alone it elects itself once at each start.</summary>
    public long Elections => Volatile.Read(ref _elections);

    /// <summary>How often another replica came to lead than the last that was known to.</summary>
    public long LeaderChanges => Volatile.Read(ref _leaderChanges);

    /// <summary>How often this replica began to hand leadership over.</summary>
    public long Transfers => Volatile.Read(ref _transfers);

    /// <summary>It stands differently now.</summary>
    public void Changed(ReplicaStanding before, ReplicaStanding now)
    {
        if (now.Term != before.Term && now.Role is (Role.Candidate or Role.Leader))
        {
            Volatile.Write(ref _elections, _elections + 1);
        }

        if (now.Leader is { } leader && leader != _leader)
        {
            _leader = leader;
            Volatile.Write(ref _leaderChanges, _leaderChanges + 1);
        }

        if (before.Role == Role.Leader && now.Role == Role.Leader && before.TakesProposals && !now.TakesProposals)
        {
            Volatile.Write(ref _transfers, _transfers + 1);
        }
    }
}
