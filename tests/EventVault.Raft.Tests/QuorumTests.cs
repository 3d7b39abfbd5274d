using FsCheck;
using FsCheck.Fluent;

namespace EventVault.Raft.Tests;

/// <summary>Majorities, one and two, against definitions that can be seen to be right.</summary>
public sealed class QuorumTests
{
    private static readonly Config Often = Config.QuickThrowOnFailure.WithMaxTest(2000);

    [Fact]
    public void The_committed_index_is_the_highest_one_that_a_majority_holds_of_both_if_joint() => Prop.ForAll(
        Seeds(),
        seed =>
        {
            var random = new Random(seed);
            Membership membership = DrawnMemberships.Any(random);
            Dictionary<ReplicaId, LogIndex> held = membership.Members.ToDictionary(m => m.Id, _ => new LogIndex((ulong)random.Next(6)));
            ulong naive = Math.Min(
                Highest(DrawnMemberships.With(membership, MemberRole.Voter), held),
                membership.IsJoint ? Highest(DrawnMemberships.With(membership, MemberRole.OutgoingVoter), held) : ulong.MaxValue);
            Assert.Equal(naive, Quorum.Committed(membership, id => held[id]).Value);
        }).Check(Often);

    [Fact]
    public void An_election_is_won_by_majorities_and_lost_when_one_can_not_be_reached() => Prop.ForAll(
        Seeds(),
        seed =>
        {
            var random = new Random(seed);
            Membership membership = DrawnMemberships.Any(random);
            int yes = random.Next(11);
            Dictionary<ReplicaId, bool?> votes = membership.Members.ToDictionary(m => m.Id, _ => random.Next(10) < yes ? true : random.Next(2) == 0 ? false : (bool?)null);
            VoteResult incoming = Result(DrawnMemberships.With(membership, MemberRole.Voter), votes);
            VoteResult outgoing = membership.IsJoint ? Result(DrawnMemberships.With(membership, MemberRole.OutgoingVoter), votes) : incoming;
            VoteResult naive = incoming == VoteResult.Lost || outgoing == VoteResult.Lost ? VoteResult.Lost
                : incoming == VoteResult.Won && outgoing == VoteResult.Won ? VoteResult.Won : VoteResult.Pending;
            Assert.Equal(naive, Quorum.Votes(membership, id => votes[id]));
        }).Check(Often);

    [Fact]
    public void Whatever_commits_is_held_by_somebody_who_votes_in_any_election_that_is_won() => Prop.ForAll(
        Seeds(),
        seed =>
        {
            // The reason for majorities: those that hold an entry and those that elect a leader overlap, also across a change.
            var random = new Random(seed);
            Membership now = DrawnMemberships.Simple(random);
            Membership joint = now.Towards(DrawnMemberships.Simple(random));
            Membership then = random.Next(2) == 0 || !joint.IsJoint ? joint : joint.Leave();
            Membership before = then.IsJoint ? now : joint;
            ReplicaId[] all = [.. before.Members.Concat(then.Members).Select(m => m.Id).Distinct()];
            HashSet<ReplicaId> holders = [.. all.Where(_ => random.Next(3) > 0)];
            HashSet<ReplicaId> voters = [.. all.Where(_ => random.Next(3) > 0)];
            if (Quorum.Committed(before, id => new(holders.Contains(id) ? 1ul : 0)).Value == 1
                && Quorum.Votes(then, id => voters.Contains(id)) == VoteResult.Won)
            {
                Assert.True(holders.Overlaps(voters), $"{before} then {then}");
            }
        }).Check(Often);

    [Fact]
    public void Without_voters_nothing_holds_an_entry_back() =>
        Assert.Equal(ulong.MaxValue, Quorum.Committed(Membership.Empty, _ => default).Value);

    [Theory]
    [InlineData(new ulong[] { 7 }, 7)]
    [InlineData(new ulong[] { 7, 5 }, 5)]
    [InlineData(new ulong[] { 7, 5, 0 }, 5)]
    [InlineData(new ulong[] { 9, 7, 5, 0 }, 5)]
    [InlineData(new ulong[] { 9, 7, 5, 0, 0 }, 5)]
    [InlineData(new ulong[] { 9, 7, 5, 5, 0, 0, 0 }, 5)]
    public void Half_of_an_even_number_is_no_majority(ulong[] held, ulong committed)
    {
        Membership membership = Membership.OfVoters([.. held.Select((_, i) => DrawnMemberships.Id((uint)i + 1))]);
        Assert.Equal(committed, Quorum.Committed(membership, id => new(held[id.Node - 1])).Value);
    }

    [Fact]
    public void What_learners_and_others_hold_or_say_does_not_count()
    {
        Membership membership = Membership.Of([
            new(DrawnMemberships.Id(1), MemberRole.Voter), new(DrawnMemberships.Id(2), MemberRole.Voter),
            new(DrawnMemberships.Id(3), MemberRole.Learner), new(DrawnMemberships.Id(4), MemberRole.Learner)]);
        Assert.Equal(3ul, Quorum.Committed(membership, id => new(id.Node == 1 ? 3ul : 10)).Value);
        Assert.Equal(VoteResult.Pending, Quorum.Votes(membership, id => id.Node >= 2 ? true : null));
        Assert.Equal(VoteResult.Pending, Quorum.Votes(membership, id => id.Node >= 3 ? false : null));
    }

    private static Arbitrary<int> Seeds() => Gen.Choose(0, int.MaxValue - 1).ToArbitrary();

    private static ulong Highest(HashSet<ReplicaId> voters, Dictionary<ReplicaId, LogIndex> held)
    {
        ulong index = 0;
        while (voters.Count(v => held[v].Value >= index + 1) * 2 > voters.Count)
        {
            index++;
        }

        return index;
    }

    private static VoteResult Result(HashSet<ReplicaId> voters, Dictionary<ReplicaId, bool?> votes) =>
        voters.Count(v => votes[v] == true) * 2 > voters.Count ? VoteResult.Won
        : voters.Count(v => votes[v] != false) * 2 > voters.Count ? VoteResult.Pending : VoteResult.Lost;
}
