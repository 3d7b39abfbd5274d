using EventVault.Raft;
using EventVault.Simulation.Scheduling;

namespace EventVault.Simulation.Cluster;

/// <summary>
/// Who keeps the cluster's membership at what is wanted: adds learners, makes them voters once they have the log, replaces
/// the replicas of lost disks, and removes who is not wanted. Looks every now and then, as a person or a controller would.
/// </summary>
internal sealed class Operator
{
    /// <summary>How far behind the leader a learner may be when it is made a voter.</summary>
    private const ulong MostBehind = 16;

    private readonly Simulation _simulation;
    private readonly Random _random;
    private readonly bool[] _wanted;
    private bool _isOff;

    public Operator(Simulation simulation)
    {
        _simulation = simulation;
        _random = simulation.RandomFor("operator");
        _wanted = new bool[simulation.Options.Nodes + 1];
        Array.Fill(_wanted, true);
    }

    /// <summary>Which nodes are to be voters.</summary>
    public void Want(int number, bool isVoter) => _wanted[number] = isVoter;

    public bool Wants(int number) => _wanted[number];

    public int WantedCount => _wanted.Skip(1).Count(wanted => wanted);

    public void Begin() => _simulation.After(_random.Exponential(TimeSpan.FromMilliseconds(300).Ticks) + 1, Look);

    /// <summary>No more changes.</summary>
    public void Stop() => _isOff = true;

    /// <summary>
    /// The membership that counts, if it is certain which one that is: committed at the leader of the highest term that any
    /// node knows. Null while anything is under way.
    /// </summary>
    public Membership? Settled(out SimulatedNode? leader)
    {
        leader = null;
        ulong highest = 0;
        foreach (var node in _simulation.Nodes)
        {
            highest = Math.Max(highest, node.Term);
            if (node.IsRunning && node.Replica.Role == Role.Leader && (leader is null || node.Term > leader.Term))
            {
                leader = node;
            }
        }

        if (leader is null)
        {
            return null;
        }

        var s = leader.Replica.Status();
        var isCertain = s.Term.Value == highest && s.MembershipIndex.Value <= s.CommitIndex.Value && !s.Membership.IsJoint && leader.Replica.IsCaughtUp;
        return isCertain ? s.Membership : null;
    }

    /// <summary>Whether all that is wanted is so, and committed.</summary>
    public bool IsDone()
    {
        if (Settled(out _) is not { } membership)
        {
            return false;
        }

        return _simulation.Nodes.All(node => node.Id is { } id && membership.IsVoter(id) == _wanted[node.Number]) && membership.Members.All(member => IsPresent(member.Id));
    }

    private bool IsPresent(ReplicaId id) => _simulation.Nodes.Any(node => node.Id == id);

    private void Look()
    {
        if (_isOff)
        {
            return;
        }

        // Any node that takes itself for a leader is asked: it has to find out by itself whether it is one.
        foreach (var node in _simulation.Nodes)
        {
            if (node.IsRunning && !node.IsPaused && node.Replica.Role == Role.Leader)
            {
                node.Guard(() => Improve(node));
            }
        }

        Begin();
    }

    private void Improve(SimulatedNode leader)
    {
        var status = leader.Replica.Status();
        var membership = status.Membership;
        if (membership.IsJoint || Next(status) is not { } target || target.Equals(membership))
        {
            return;
        }

        var result = leader.Replica.ProposeMembership(target);
        _simulation.Trace.Note($"node {leader.Number}: membership {membership} towards {target}: {result}");
    }

    // First the missing ones as learners; once they have caught up, all the voters in one step. Whose disk is known to be
    // bad is no choice: it may be gone before anybody else has what it holds.
    private Membership? Next(RaftStatus status)
    {
        var members = status.Membership.Members;
        var wanted = _simulation.Nodes.Where(node => _wanted[node.Number] && node.Id is not null && !node.IsDamaged).ToList();
        var missing = wanted.Where(node => status.Membership.RoleOf(node.Id!.Value) == 0).ToList();
        if (missing.Count > 0)
        {
            var added = missing.Select(node => Member(node.Id!.Value, MemberRole.Learner));
            return Membership.Of(members.Where(member => IsPresent(member.Id) || member.Role == MemberRole.Voter).Concat(added));
        }

        var voters = wanted.ConvertAll(node => node.Id!.Value);
        var lagging = voters.Any(id => !status.Membership.IsVoter(id) && !HasCaughtUp(status, id));
        return lagging || voters.Count == 0 ? null : Membership.Of(voters.Select(id => Member(id, MemberRole.Voter)));
    }

    private static Member Member(ReplicaId id, MemberRole role) => new(id, role, $"node-{id.Node}");

    private static bool HasCaughtUp(RaftStatus status, ReplicaId id) =>
        status.Followers.Any(follower => follower.Id == id && follower.IsActive && follower.Match.Value + MostBehind >= status.LastIndex.Value);
}
