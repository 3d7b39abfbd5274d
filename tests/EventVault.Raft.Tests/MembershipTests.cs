using FsCheck;
using FsCheck.Fluent;

namespace EventVault.Raft.Tests;

public sealed class MembershipTests
{
    private static readonly Config Often = Config.QuickThrowOnFailure.WithMaxTest(1000);

    [Fact]
    public void A_change_of_voters_goes_through_both_majorities_and_ends_where_it_was_meant_to() => Prop.ForAll(
        Seeds(),
        seed =>
        {
            var random = new Random(seed);
            Membership now = DrawnMemberships.Simple(random);
            Membership target = DrawnMemberships.Simple(random);
            Membership next = now.Towards(target);
            if (DrawnMemberships.With(now, MemberRole.Voter).SetEquals(DrawnMemberships.With(target, MemberRole.Voter)))
            {
                Assert.Equal(target, next);
                return;
            }

            Assert.True(next.IsJoint);
            Assert.Equal(DrawnMemberships.With(target, MemberRole.Voter), DrawnMemberships.With(next, MemberRole.Voter));
            Assert.Equal(DrawnMemberships.With(now, MemberRole.Voter), DrawnMemberships.With(next, MemberRole.OutgoingVoter));
            Assert.All(now.Members.Where(m => m.Role == MemberRole.Voter), m => Assert.True(next.IsVoter(m.Id)));
            Assert.All(target.Members, m => Assert.NotEqual(default, next.RoleOf(m.Id)));
            Assert.Equal(target, next.Leave());
            Assert.Throws<ArgumentException>(() => next.Towards(now));
        }).Check(Often);

    [Fact]
    public void Learners_change_in_one_step()
    {
        Membership now = Membership.OfVoters(Id(1), Id(2));
        Membership target = Membership.Of([new(Id(1), MemberRole.Voter), new(Id(2), MemberRole.Voter), new(Id(3), MemberRole.Learner)]);
        Assert.Equal(target, now.Towards(target));
        Assert.Equal(now, target.Towards(now));
    }

    [Fact]
    public void A_voter_that_becomes_a_learner_votes_until_the_change_is_over()
    {
        Membership now = Membership.OfVoters(Id(1), Id(2), Id(3));
        Membership joint = now.Towards(Membership.Of([new(Id(1), MemberRole.Voter), new(Id(2), MemberRole.Voter), new(Id(3), MemberRole.Learner)]));
        Assert.True(joint.IsVoter(Id(3)));
        Assert.Equal(MemberRole.Learner, joint.Leave().RoleOf(Id(3)));
    }

    [Fact]
    public void Another_incarnation_of_a_node_is_another_member()
    {
        Membership membership = Membership.OfVoters(Id(1), Id(2), DrawnMemberships.Id(3, 1));
        Assert.False(membership.IsVoter(Id(3)));
        Assert.Equal(default, membership.RoleOf(Id(3)));
        Assert.True(membership.IsVoter(DrawnMemberships.Id(3, 1)));
    }

    [Fact]
    public void Members_stand_in_ascending_order_and_decide_equality()
    {
        Membership one = Membership.OfVoters(Id(3), Id(1), Id(2));
        Assert.Equal([Id(1), Id(2), Id(3)], one.Members.Select(m => m.Id));
        Membership other = Membership.OfVoters(Id(1), Id(2), Id(3));
        Assert.Equal(one, other);
        Assert.Equal(one.GetHashCode(), other.GetHashCode());
        Assert.NotEqual(one, Membership.OfVoters(Id(1), Id(2)));
        Assert.NotEqual(one, one.Towards(Membership.OfVoters(Id(1))));
        Assert.False(one.Equals(null));
    }

    [Fact]
    public void Without_a_voter_or_with_a_member_twice_it_is_refused()
    {
        Assert.Throws<ArgumentException>(() => Membership.Of([]));
        Assert.Throws<ArgumentException>(() => Membership.Of([new(Id(1), MemberRole.Learner)]));
        Assert.Throws<ArgumentException>(() => Membership.Of([new(Id(1), MemberRole.Voter), new(Id(1), MemberRole.Learner)]));
        Assert.Throws<ArgumentException>(() => Membership.OfVoters(Id(1)).Towards(Membership.Empty));
    }

    [Fact]
    public void Too_many_members_and_addresses_that_are_none_are_refused()
    {
        ReplicaId[] ids = [.. Enumerable.Range(1, Membership.MostMembers + 1).Select(n => Id((uint)n))];
        Assert.Equal(Membership.MostMembers, Membership.OfVoters(ids.AsSpan(..^1)).Members.Count);
        Assert.Throws<ArgumentException>(() => Membership.OfVoters(ids));
        Assert.Throws<ArgumentException>(() => Membership.OfVoters(ids.AsSpan(..40)).Towards(Membership.OfVoters(ids.AsSpan(40..))));
        Assert.Throws<ArgumentException>(() => Membership.Of([new(Id(1), MemberRole.Voter, new string('é', 128))]));
        Assert.ThrowsAny<ArgumentException>(() => Membership.Of([new(Id(1), MemberRole.Voter, "a\ud800")]));
        Assert.Throws<ArgumentException>(() => Membership.Of([new(Id(1), MemberRole.Voter | MemberRole.OutgoingVoter)]));
        Assert.Throws<ArgumentException>(() => Membership.Of([new(Id(1), MemberRole.Voter), new(Id(2), 0)]));
    }

    [Fact]
    public void Bytes_are_those_of_version_1()
    {
        // Logs hold these: they never change.
        Membership joint = Membership.Of([new(Id(1), MemberRole.Voter, "a:1"), new(DrawnMemberships.Id(2, 0x102), MemberRole.Voter)])
            .Towards(Membership.Of([new(Id(1), MemberRole.Voter, "a:1"), new(DrawnMemberships.Id(2, 0x102), MemberRole.Learner)]));
        Assert.Equal(
            "0102" + "01000000" + "00000000000000000000000000000000" + "03" + "03" + "613A31"
                + "02000000" + "00000000020100000000000000000000" + "06" + "00",
            Convert.ToHexString(joint.Encode()));
    }

    [Fact]
    public void Bytes_of_a_read_replica_are_those_of_version_1()
    {
        // Logs hold these, too.
        const MemberRole Replica = MemberRole.Learner | MemberRole.ReadReplica;
        Membership membership = Membership.Of([new(Id(1), MemberRole.Voter), new(DrawnMemberships.Id(2), Replica)]);
        Assert.Equal(
            "0102" + "01000000" + "00000000000000000000000000000000" + "01" + "00" + "02000000" + "00000000000000000000000000000000" + "0C" + "00",
            Convert.ToHexString(membership.Encode()));
        Assert.Equal("(1) learners=(2) replicas=(2)", membership.ToString());
        Assert.False(membership.IsVoter(Id(2)));
    }

    [Fact]
    public void A_voter_becomes_a_read_replica_and_stays_one_behind_the_joint_membership()
    {
        const MemberRole Replica = MemberRole.Learner | MemberRole.ReadReplica;
        Membership joint = Membership.OfVoters(Id(1), Id(2)).Towards(Membership.Of([new(Id(1), MemberRole.Voter), new(Id(2), Replica)]));
        Assert.Equal(Replica | MemberRole.OutgoingVoter, joint.RoleOf(Id(2)));
        Assert.True(joint.IsVoter(Id(2)));
        Assert.Equal(joint, Membership.Decode(joint.Encode()));
        Assert.Equal(Replica, joint.Leave().RoleOf(Id(2)));
    }

    [Theory]
    [InlineData(MemberRole.ReadReplica)]
    [InlineData(MemberRole.ReadReplica | MemberRole.Voter)]
    [InlineData(MemberRole.ReadReplica | MemberRole.OutgoingVoter)]
    public void Only_a_learner_can_be_a_read_replica(MemberRole role)
    {
        Assert.Throws<ArgumentException>(() => Membership.Of([new(Id(1), MemberRole.Voter), new(Id(2), role)]));
        byte[] bytes = Membership.Of([new(Id(1), MemberRole.Voter), new(Id(2), MemberRole.Learner)]).Encode();
        bytes[44] = (byte)role;
        Assert.Null(Membership.Decode(bytes));
    }

    [Fact]
    public void Nobody_belongs_to_the_empty_one()
    {
        Assert.Empty(Membership.Empty.Members);
        Assert.False(Membership.Empty.IsVoter(Id(1)));
        Assert.False(Membership.Empty.IsJoint);
    }

    [Fact]
    public void Text_names_voters_outgoing_voters_and_learners()
    {
        Membership now = Membership.Of([new(Id(1), MemberRole.Voter), new(Id(2), MemberRole.Voter), new(Id(3), MemberRole.Voter), new(Id(5), MemberRole.Learner)]);
        Assert.Equal("(1 2 3) learners=(5)", now.ToString());
        Assert.Equal("(1 2 4)&&(1 2 3)", Membership.OfVoters(Id(1), Id(2), Id(3)).Towards(Membership.OfVoters(Id(1), Id(2), Id(4))).ToString());
    }

    [Fact]
    public void Bytes_come_back_as_what_they_were_made_of() => Prop.ForAll(
        Seeds(),
        seed =>
        {
            Membership membership = DrawnMemberships.Any(new Random(seed));
            byte[] bytes = membership.Encode();
            Assert.Equal(membership, Membership.Decode(bytes));
            Assert.Equal(bytes, Membership.Decode(bytes)!.Encode());
        }).Check(Often);

    [Fact]
    public void Bytes_that_are_cut_longer_or_changed_are_refused_or_say_exactly_something_else() => Prop.ForAll(
        Seeds(),
        seed =>
        {
            var random = new Random(seed);
            Membership membership = DrawnMemberships.Any(random);
            byte[] bytes = membership.Encode();
            for (int length = 0; length < bytes.Length; length++)
            {
                Assert.Null(Membership.Decode(bytes.AsSpan(0, length)));
            }

            Assert.Null(Membership.Decode([.. bytes, 0]));
            for (int i = 0; i < 20; i++)
            {
                byte[] changed = [.. bytes];
                changed[random.Next(changed.Length)] ^= (byte)(1 << random.Next(8));
                IsNothingOrExactlyThis(changed);
                Assert.NotEqual(membership, Membership.Decode(changed));
            }
        }).Check(Often.WithMaxTest(200));

    [Fact]
    public void Garbage_is_no_membership_or_exactly_one() => Prop.ForAll(
        Seeds(),
        seed =>
        {
            var random = new Random(seed);
            byte[] garbage = new byte[random.Next(200)];
            random.NextBytes(garbage);
            IsNothingOrExactlyThis(garbage);

            // Likelier to look right: small numbers.
            for (int i = 0; i < garbage.Length; i++)
            {
                garbage[i] &= 3;
            }

            IsNothingOrExactlyThis(garbage);
        }).Check(Often.WithMaxTest(5000));

    private static void IsNothingOrExactlyThis(byte[] bytes)
    {
        if (Membership.Decode(bytes) is { } membership)
        {
            Assert.Equal(bytes, membership.Encode());
            Assert.NotEmpty(membership.ToString());
        }
    }

    private static Arbitrary<int> Seeds() => Gen.Choose(0, int.MaxValue - 1).ToArbitrary();

    private static ReplicaId Id(uint node) => DrawnMemberships.Id(node);
}
