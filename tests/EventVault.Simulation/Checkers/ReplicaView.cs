using EventVault.Node.Replication;
using EventVault.Raft;
using EventVault.Storage;
using EventVault.Storage.Scavenging;

namespace EventVault.Simulation.Checkers;

/// <summary>A running node's replica and storage, as the checkers look at them.</summary>
internal sealed class ReplicaView(VaultStorage storage, Replica replica, Ledger ledger) : IReplicaView
{
    private RaftStatus _status = replica.Status();
    private Membership? _membership;
    private VoterSets _voters = VoterSets.None;

    public ReplicaId Id => _status.Id;

    public ulong Term => _status.Term.Value;

    public bool IsLeader => _status.Role == Role.Leader;

    public ReplicaId? VotedFor => _status.VotedFor;

    public ulong LastIndex => storage.Tail.LastIndex.Value;

    public ulong LastTerm => LastIndex == 0 ? 0 : storage.Tail.LastTerm.Value;

    public ulong CommitIndex => _status.CommitIndex.Value;

    public (ulong Index, long Head) Visible => (storage.CommitIndex.Value, storage.Head.Value);

    public ulong? MembershipIndex => _status.Membership.Members.Count == 0 ? null : _status.MembershipIndex.Value;

    public VoterSets Voters
    {
        get
        {
            if (!ReferenceEquals(_membership, _status.Membership))
            {
                _membership = _status.Membership;
                _voters = VoterSets.Of(_membership);
            }

            return _voters;
        }
    }

    public ulong InstalledThrough => storage.Shipped.Through.Value;

    /// <summary>Something ran on the node.</summary>
    public void Refresh() => _status = replica.Status();

    /// <summary>A group's bytes as they are on every node.</summary>
    public byte[] BytesAt(ulong index)
    {
        try
        {
            return storage.ReadGroup(new(index));
        }
        catch (ScavengedGroupException)
        {
            Require.That(Rules.ScavengedIsCommitted, index <= ledger.LastIndex, $"{Id} has scavenged entry {index}, committed are {ledger.LastIndex}.");
            return [];
        }
    }

    public EntryFacts EntryAt(ulong index)
    {
        var bytes = BytesAt(index);
        if (bytes.Length == 0)
        {
            // What is left of it is held against the ledger by reads, and by its segment's end.
            return new EntryFacts(ledger.Group(index).Mark, ledger.Group(index).Voters);
        }

        return new EntryFacts(GroupDecoder.Mark(bytes), GroupDecoder.Voters(bytes));
    }

    public CommittedGroup GroupAt(ulong index) => GroupDecoder.Decode(BytesAt(index));
}
