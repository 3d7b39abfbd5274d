using EventVault.Node.Replication;
using EventVault.Raft;
using EventVault.Storage;

namespace EventVault.Simulation.Checkers;

/// <summary>A running node's replica and storage, as the checkers look at them.</summary>
internal sealed class ReplicaView(VaultStorage storage, Replica replica) : IReplicaView
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

    /// <summary>Something ran on the node.</summary>
    public void Refresh() => _status = replica.Status();

    /// <summary>A group's bytes as they are on every node.</summary>
    public byte[] BytesAt(ulong index) => storage.ReadGroup(new(index));

    public EntryFacts EntryAt(ulong index)
    {
        var bytes = BytesAt(index);
        return new EntryFacts(GroupDecoder.Mark(bytes), GroupDecoder.Voters(bytes));
    }

    public CommittedGroup GroupAt(ulong index) => GroupDecoder.Decode(BytesAt(index));
}
