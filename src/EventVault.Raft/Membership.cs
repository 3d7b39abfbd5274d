// Who belongs to a vault and who decides. Guarantees: members ascend by id, none stands twice, there is at least one
// (incoming) voter unless it is Empty. Owned by the log: a membership counts from the moment its entry stands there.
//
// Bytes in the log, little-endian:
//
//   offset  size  what
//   0       1     layout, 1
//   1       1     number of members, 1 … MostMembers
//   then for each member, ascending by id
//   0       4     node
//   4       16    incarnation
//   20      1     role (MemberRole)
//   21      1     length of the address
//   22      …     address, UTF-8
using System.Buffers.Binary;
using System.Text;

namespace EventVault.Raft;

/// <summary>What a member is. In a joint membership a voter can be both incoming and outgoing.</summary>
[Flags]
public enum MemberRole : byte
{
    /// <summary>Votes in the (incoming) majority.</summary>
    Voter = 1,

    /// <summary>Votes in the outgoing majority of a joint membership.</summary>
    OutgoingVoter = 2,

    /// <summary>Receives the log, does not count. Together with OutgoingVoter: will be a learner when the joint membership ends.</summary>
    Learner = 4,

    /// <summary>Together with Learner: stays one. The core makes no difference; whoever promotes learners leaves it out.</summary>
    ReadReplica = 8,
}

/// <summary>A replica and what it is.</summary>
/// <param name="Id">The replica.</param>
/// <param name="Role">What it is.</param>
/// <param name="Address">Where peers reach it; the core does not look at it.</param>
public readonly record struct Member(ReplicaId Id, MemberRole Role, string Address = "");

/// <summary>Who belongs to the vault, and who decides. Immutable; equal if the members are.</summary>
public sealed class Membership : IEquatable<Membership>
{
    /// <summary>Most members: more would only slow down every decision, and a byte counts them.</summary>
    public const int MostMembers = 64;

    /// <summary>Longest address in bytes of UTF-8: as long as a DNS name can be, and a byte counts them.</summary>
    public const int MostAddressBytes = 255;

    private const byte Layout = 1;
    private const int FixedMemberBytes = 22;

    private static readonly UTF8Encoding StrictUtf8 = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    private readonly Member[] _members;

    private Membership(Member[] sorted)
    {
        Invariant.Check(sorted.Length <= MostMembers);
        var voters = 0;
        for (var i = 0; i < sorted.Length; i++)
        {
            var role = sorted[i].Role;
            Invariant.Check(IsValid(role));
            Invariant.Check(i == 0 || sorted[i - 1].Id < sorted[i].Id);
            voters += (role & MemberRole.Voter) != 0 ? 1 : 0;
            IsJoint |= (role & MemberRole.OutgoingVoter) != 0;
        }

        Invariant.Check(voters > 0 || sorted.Length == 0);
        _members = sorted;
        Members = Array.AsReadOnly(sorted);
        if (voters == 1 && !IsJoint)
        {
            SoleVoter = Array.Find(sorted, m => m.Role == MemberRole.Voter).Id;
        }
    }

    /// <summary>Nobody: a node that was not added yet.</summary>
    public static Membership Empty { get; } = new([]);

    /// <summary>Ascending by id.</summary>
    public IReadOnlyList<Member> Members { get; }

    /// <summary>Whether two majorities must agree: a change is under way.</summary>
    public bool IsJoint { get; }

    /// <summary>The one that decides alone; null if more than one voter is asked.</summary>
    public ReplicaId? SoleVoter { get; }

    /// <summary>Members without an interface in between.</summary>
    internal ReadOnlySpan<Member> Span => _members;

    /// <summary>These, as voters.</summary>
    /// <exception cref="ArgumentException">None, one twice, or too many.</exception>
    public static Membership OfVoters(params ReadOnlySpan<ReplicaId> voters)
    {
        var members = new Member[voters.Length];
        for (var i = 0; i < voters.Length; i++)
        {
            members[i] = new Member(voters[i], MemberRole.Voter);
        }

        return Of(members);
    }

    /// <summary>These members. Not joint.</summary>
    /// <exception cref="ArgumentException">No voter, a member twice, too many, an outgoing voter, or an address that is too long.</exception>
    public static Membership Of(IEnumerable<Member> members)
    {
        ArgumentNullException.ThrowIfNull(members);
        var sorted = new List<Member>(members);
        foreach (var member in sorted)
        {
            if (member.Role is not (MemberRole.Voter or MemberRole.Learner or (MemberRole.Learner | MemberRole.ReadReplica)))
            {
                throw new ArgumentException($"Replica {member.Id} has the role {member.Role}; a membership is made of voters, learners and read replicas, Towards makes the joint one.", nameof(members));
            }
        }

        return Check(sorted) is { } wrong ? throw new ArgumentException(wrong, nameof(members)) : new Membership([.. sorted]);
    }

    /// <summary>What the replica is; 0 if it is no member.</summary>
    public MemberRole RoleOf(ReplicaId id) => IndexOf(id) is var at and >= 0 ? _members[at].Role : 0;

    /// <summary>Whether the replica votes, in either majority.</summary>
    public bool IsVoter(ReplicaId id) => (RoleOf(id) & (MemberRole.Voter | MemberRole.OutgoingVoter)) != 0;

    /// <summary>
    /// The next membership on the way to <paramref name="target"/>: the target itself if its voters are ours, otherwise the
    /// joint one (thesis §4.3).
    /// </summary>
    /// <exception cref="ArgumentException">This one is joint or empty, or the target is.</exception>
    public Membership Towards(Membership target)
    {
        ArgumentNullException.ThrowIfNull(target);
        if (IsJoint || _members.Length == 0)
        {
            throw new ArgumentException($"The membership {this} can't change: it is joint or empty. Wait until the change that is under way has ended.", nameof(target));
        }

        if (target.IsJoint || target._members.Length == 0)
        {
            throw new ArgumentException($"{target} can't be a target: it is joint or empty. Name the members that shall be in the end.", nameof(target));
        }

        if (HasVotersOf(target) && target.HasVotersOf(this))
        {
            return target;
        }

        // Everybody of the target in its new role, and our voters outgoing besides: also those that leave or become learners.
        var joint = new List<Member>(target._members);
        foreach (var member in _members)
        {
            if (member.Role != MemberRole.Voter)
            {
                continue;
            }

            var at = target.IndexOf(member.Id);
            if (at < 0)
            {
                joint.Add(member with { Role = MemberRole.OutgoingVoter });
            }
            else
            {
                joint[at] = joint[at] with { Role = joint[at].Role | MemberRole.OutgoingVoter };
            }
        }

        if (Check(joint) is { } wrong)
        {
            throw new ArgumentException(wrong, nameof(target));
        }

        var result = new Membership([.. joint]);
        Invariant.Check(result.IsJoint);
        Invariant.Check(result.Leave().Equals(target));
        return result;
    }

    /// <summary>The membership that ends a joint one: without the outgoing voters.</summary>
    public Membership Leave()
    {
        Invariant.Check(IsJoint);
        var rest = new List<Member>(_members.Length);
        foreach (var member in _members)
        {
            if ((member.Role & ~MemberRole.OutgoingVoter) is var role and not 0)
            {
                rest.Add(member with { Role = role });
            }
        }

        var result = new Membership([.. rest]);
        Invariant.Check(!result.IsJoint);
        return result;
    }

    /// <summary>The bytes that stand in the log.</summary>
    public byte[] Encode()
    {
        Invariant.Check(_members.Length > 0);
        var length = 2;
        foreach (var member in _members)
        {
            length += FixedMemberBytes + StrictUtf8.GetByteCount(member.Address);
        }

        var bytes = new byte[length];
        bytes[0] = Layout;
        bytes[1] = (byte)_members.Length;
        var rest = bytes.AsSpan(2);
        foreach (var member in _members)
        {
            BinaryPrimitives.WriteUInt32LittleEndian(rest, member.Id.Node);
            Invariant.Check(member.Id.Incarnation.TryWriteBytes(rest[4..]));
            rest[20] = (byte)member.Role;
            var address = StrictUtf8.GetBytes(member.Address, rest[FixedMemberBytes..]);
            rest[21] = checked((byte)address);
            rest = rest[(FixedMemberBytes + address)..];
        }

        Invariant.Check(rest.IsEmpty);
        return bytes;
    }

    /// <summary>Reads what <see cref="Encode"/> made; null if the bytes are not a membership.</summary>
    public static Membership? Decode(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length < 2 || bytes[0] != Layout || bytes[1] is 0 or > MostMembers)
        {
            return null;
        }

        var members = new List<Member>(bytes[1]);
        var rest = bytes[2..];
        for (var i = 0; i < bytes[1]; i++)
        {
            if (rest.Length < FixedMemberBytes || rest.Length < FixedMemberBytes + rest[21] || !IsValid((MemberRole)rest[20]))
            {
                return null;
            }

            if (!TryDecode(rest.Slice(FixedMemberBytes, rest[21]), out var address))
            {
                return null;
            }

            var id = new ReplicaId(BinaryPrimitives.ReadUInt32LittleEndian(rest), new Guid(rest.Slice(4, 16)));
            if (i > 0 && members[^1].Id >= id)
            {
                return null;
            }

            members.Add(new Member(id, (MemberRole)rest[20], address));
            rest = rest[(FixedMemberBytes + rest[21])..];
        }

        return rest.IsEmpty && Check(members) is null ? new Membership([.. members]) : null;
    }

    /// <inheritdoc/>
    public bool Equals(Membership? other) => other is not null && _members.AsSpan().SequenceEqual(other._members);

    /// <inheritdoc/>
    public override bool Equals(object? obj) => Equals(obj as Membership);

    /// <inheritdoc/>
    public override int GetHashCode()
    {
        // Not from HashCode or strings: those differ from process to process, and a run must be repeatable.
        var hash = _members.Length;
        foreach (var member in _members)
        {
            hash = unchecked((hash * 31) + ((int)member.Id.Node * 8) + (int)member.Role);
        }

        return hash;
    }

    /// <summary>
    /// As in scripts: <c>(1 2 3)</c>, joint <c>(1 2 4)&amp;&amp;(1 2 3)</c>, learners behind: <c>learners=(5 6)</c>, and which of them stay
    /// some: <c>replicas=(6)</c>.
    /// </summary>
    public override string ToString()
    {
        var text = new StringBuilder();
        List(text, MemberRole.Voter);
        if (IsJoint)
        {
            text.Append("&&");
            List(text, MemberRole.OutgoingVoter);
        }

        if (Array.Exists(_members, m => (m.Role & MemberRole.Learner) != 0))
        {
            text.Append(" learners=");
            List(text, MemberRole.Learner);
        }

        if (Array.Exists(_members, m => (m.Role & MemberRole.ReadReplica) != 0))
        {
            text.Append(" replicas=");
            List(text, MemberRole.ReadReplica);
        }

        return text.ToString();
    }

    /// <summary>Where the replica stands in <see cref="Members"/>; -1 if it is none.</summary>
    internal int IndexOf(ReplicaId id)
    {
        for (var i = 0; i < _members.Length; i++)
        {
            if (IsSame(_members[i].Id, id))
            {
                return i;
            }
        }

        return -1;
    }

    /// <summary>A replica is a node together with its disk: a node that lost its disk has forgotten what it promised.</summary>
    internal static bool IsSame(in ReplicaId a, in ReplicaId b) => Canary.Is(Canary.WipedDiskVotes) ? a.Node == b.Node : a == b;

    private static bool IsValid(MemberRole role) =>
        role is MemberRole.Voter or MemberRole.Learner or MemberRole.OutgoingVoter
            or (MemberRole.Voter | MemberRole.OutgoingVoter) or (MemberRole.Learner | MemberRole.OutgoingVoter)
            or (MemberRole.Learner | MemberRole.ReadReplica) or (MemberRole.Learner | MemberRole.ReadReplica | MemberRole.OutgoingVoter);

    private static bool TryDecode(ReadOnlySpan<byte> bytes, out string address)
    {
        address = string.Empty;
        if (!System.Text.Unicode.Utf8.IsValid(bytes))
        {
            return false;
        }

        address = StrictUtf8.GetString(bytes);
        return true;
    }

    // Sorts, and says what is wrong with the members; null: nothing.
    private static string? Check(List<Member> members)
    {
        members.Sort((a, b) => a.Id.CompareTo(b.Id));
        if (members.Count > MostMembers)
        {
            return $"{members.Count} members, {MostMembers} are the most.";
        }

        var voters = 0;
        for (var i = 0; i < members.Count; i++)
        {
            voters += (members[i].Role & MemberRole.Voter) != 0 ? 1 : 0;
            if (i > 0 && members[i - 1].Id == members[i].Id)
            {
                return $"Replica {members[i].Id} is a member twice.";
            }

            if (members[i].Address is not { } address || StrictUtf8.GetByteCount(address) > MostAddressBytes)
            {
                return $"The address of replica {members[i].Id} is longer than {MostAddressBytes} bytes, or missing.";
            }
        }

        return voters == 0 ? "No member is a voter: nobody could decide." : null;
    }

    // Whether every voter of the other one is a voter here.
    private bool HasVotersOf(Membership other)
    {
        foreach (var member in other._members)
        {
            if (member.Role == MemberRole.Voter && RoleOf(member.Id) != MemberRole.Voter)
            {
                return false;
            }
        }

        return true;
    }

    private void List(StringBuilder text, MemberRole role)
    {
        text.Append('(');
        var first = true;
        foreach (var member in _members)
        {
            if ((member.Role & role) != 0)
            {
                text.Append(first ? "" : " ").Append(member.Id);
                first = false;
            }
        }

        text.Append(')');
    }
}
