namespace EventVault.Raft;

/// <summary>What a member is. In a joint membership a voter can be both incoming and outgoing.</summary>
[Flags]
public enum MemberRole : byte
{
    /// <summary>Votes in the (incoming) majority.</summary>
    Voter = 1,

    /// <summary>Votes in the outgoing majority of a joint membership.</summary>
    OutgoingVoter = 2,

    /// <summary>Receives the log, does not count.</summary>
    Learner = 4,
}

/// <summary>A replica and what it is.</summary>
/// <param name="Id">The replica.</param>
/// <param name="Role">What it is.</param>
/// <param name="Address">Where peers reach it; the core does not look at it.</param>
public readonly record struct Member(ReplicaId Id, MemberRole Role, string Address = "");

/// <summary>Who belongs to the vault, and who decides. Immutable; equal if the members are.</summary>
public sealed class Membership : IEquatable<Membership>
{
    /// <summary>Nobody: a node that was not added yet.</summary>
    public static Membership Empty => throw new NotImplementedException();

    /// <summary>Ascending by id.</summary>
    public IReadOnlyList<Member> Members => throw new NotImplementedException();

    /// <summary>Whether two majorities must agree: a change is under way.</summary>
    public bool IsJoint => throw new NotImplementedException();

    /// <summary>These, as voters.</summary>
    public static Membership OfVoters(params ReadOnlySpan<ReplicaId> voters) => throw new NotImplementedException();

    /// <summary>These members. Not joint.</summary>
    /// <exception cref="ArgumentException">No voter, or a member twice.</exception>
    public static Membership Of(IEnumerable<Member> members) => throw new NotImplementedException();

    /// <summary>What the replica is; 0 if it is no member.</summary>
    public MemberRole RoleOf(ReplicaId id) => throw new NotImplementedException();

    /// <summary>Whether the replica votes, in either majority.</summary>
    public bool IsVoter(ReplicaId id) => throw new NotImplementedException();

    /// <summary>
    /// The next membership on the way to <paramref name="target"/>: the target itself if its voters are ours, otherwise the
    /// joint one (thesis §4.3).
    /// </summary>
    /// <exception cref="ArgumentException">This one is joint, or the target has no voters or is joint.</exception>
    public Membership Towards(Membership target) => throw new NotImplementedException();

    /// <summary>The membership that ends a joint one: without the outgoing voters.</summary>
    public Membership Leave() => throw new NotImplementedException();

    /// <summary>The bytes that stand in the log.</summary>
    public byte[] Encode() => throw new NotImplementedException();

    /// <summary>Reads what <see cref="Encode"/> made; null if the bytes are not a membership.</summary>
    public static Membership? Decode(ReadOnlySpan<byte> bytes) => throw new NotImplementedException();

    /// <inheritdoc/>
    public bool Equals(Membership? other) => throw new NotImplementedException();

    /// <inheritdoc/>
    public override bool Equals(object? obj) => Equals(obj as Membership);

    /// <inheritdoc/>
    public override int GetHashCode() => throw new NotImplementedException();

    /// <summary>As in scripts: <c>(1 2 3)</c>, joint <c>(1 2 4)&amp;&amp;(1 2 3)</c>, learners behind: <c>learners=(5)</c>.</summary>
    public override string ToString() => throw new NotImplementedException();
}
