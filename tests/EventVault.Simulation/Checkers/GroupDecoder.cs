// Reads a group's bytes as docs/FORMAT.md has them, without help of the code and the indexes that are under test, but for
// the decoders of appends and records.
using System.Buffers.Binary;
using System.Text;
using EventVault.Raft;
using EventVault.Storage.Log;

namespace EventVault.Simulation.Checkers;

/// <summary>Decodes groups.</summary>
internal static class GroupDecoder
{
    private const int BodyOffset = 104;
    private const int LocalOffset = 88;
    private const byte KindSystem = 2;
    private const int SystemHeaderLength = 16;
    private const ushort TypeMembership = 2;

    /// <summary>The part that is the same on every node, before what is the node's own.</summary>
    public static ReadOnlySpan<byte> SharedHeader(ReadOnlySpan<byte> group) => group[..LocalOffset];

    /// <summary>Appends, or a system record.</summary>
    public static ReadOnlySpan<byte> Body(ReadOnlySpan<byte> group) => group[BodyOffset..];

    /// <summary>Where the body stands behind the group's beginning.</summary>
    public static int BodyAt => BodyOffset;

    /// <summary>Number of its segment, and where it stands in it.</summary>
    public static (uint Segment, uint Offset) Place(ReadOnlySpan<byte> group)
    {
        var place = BinaryPrimitives.ReadUInt64LittleEndian(group[16..]);
        return ((uint)(place >> 32), (uint)place);
    }

    public static LogMark Mark(ReadOnlySpan<byte> group) => new(
        BinaryPrimitives.ReadUInt64LittleEndian(group[24..]), BinaryPrimitives.ReadUInt32LittleEndian(group[84..]), ContentDigest.Of(Body(group)));

    /// <summary>The voters, if it is a group with a membership.</summary>
    public static VoterSets? Voters(ReadOnlySpan<byte> group)
    {
        var record = Body(group);
        if (group[4] != KindSystem || BinaryPrimitives.ReadUInt16LittleEndian(record[12..]) != TypeMembership)
        {
            return null;
        }

        var length = BinaryPrimitives.ReadInt32LittleEndian(record);
        var membership = Membership.Decode(record[SystemHeaderLength..(length - record[11])]);
        return membership is null ? null : VoterSets.Of(membership);
    }

    public static CommittedGroup Decode(ReadOnlySpan<byte> group)
    {
        var index = BinaryPrimitives.ReadUInt64LittleEndian(group[32..]);
        var appends = new List<CommittedAppend>();
        if (group[4] != KindSystem)
        {
            for (var body = Body(group); !body.IsEmpty;)
            {
                Require.That(Rules.AppendWhole, RecordFormat.TryDecodeAppend(body, out var append), $"group {index}: append {appends.Count} can't be read.");
                appends.Add(new CommittedAppend(append.OperationId, Events(append.Records, index)));
                body = body[append.Length..];
            }
        }

        return new CommittedGroup(
            index,
            Mark(group),
            BinaryPrimitives.ReadUInt32LittleEndian(group[72..]),
            BinaryPrimitives.ReadInt64LittleEndian(group[48..]),
            BinaryPrimitives.ReadInt64LittleEndian(group[40..]),
            [.. appends])
        {
            Voters = Voters(group),
        };
    }

    private static CommittedEvent[] Events(ReadOnlySpan<byte> records, ulong index)
    {
        var events = new List<CommittedEvent>();
        while (!records.IsEmpty)
        {
            Require.That(Rules.AppendWhole, RecordFormat.TryDecodeEvent(records, out var e), $"group {index}: a record can't be read.");
            var stream = Encoding.UTF8.GetString(e.Stream);
            var (change, rule, scavenge) = stream == "$streams" ? EventDecoder.OfSystem(e.EventData) : default;
            events.Add(new CommittedEvent(stream, e.Version.Value, e.Position.Value, e.RecordedAt, ContentDigest.Of(e.EventData), EventDecoder.Label(e.EventData), change, rule, scavenge));
            records = records[e.RecordLength..];
        }

        return [.. events];
    }
}
