// One segment on its way from node to node, as the source tells of it, and as a plan names it. 72 bytes on the wire and on the disk:
//
// | offset | size | meaning                                                                          |
// |      0 |    4 | segment                                                                          |
// |      4 |    1 | form: 1 groups, all of them; 2 scavenged; 3 groups, the first one only; 4 groups |
// |        |      | of an unsealed segment, as far as they were committed: in backups only           |
// |      5 |    3 | zero                                                                             |
// |      8 |    8 | scavenge point; -1 unless scavenged                                              |
// |     16 |    8 | bytes that go over: with groups up to the end of the last one, scavenged all     |
// |     24 |   16 | digest: with groups SipHash of their shared headers, scavenged that of its header |
// |     40 |   16 | first and last log index                                                         |
// |     56 |   16 | first and last term                                                              |
using System.Buffers.Binary;
using EventVault.Storage.Index;
using EventVault.Storage.Log;

namespace EventVault.Storage.Shipping;

/// <summary>What a shipped segment consists of.</summary>
public enum ShippedForm : byte
{
    /// <summary>All of its groups, of a sealed segment.</summary>
    Groups = 1,

    /// <summary>What a scavenge left of it.</summary>
    Scavenged = 2,

    /// <summary>
    /// Its first group, of the segment behind the last sealed one: a log never ends with a sealed segment, and that group is what
    /// made the one before it committed as a whole.
    /// </summary>
    Beginning = 3,

    /// <summary>Groups of a segment that was not sealed, up to one that was committed. In backups only.</summary>
    Unsealed = 4,
}

/// <summary>A segment that can be shipped.</summary>
/// <param name="Segment">Its number.</param>
/// <param name="Form">What goes over.</param>
/// <param name="ScavengePoint">Position of the scavenge's event; −1 if it was not scavenged.</param>
/// <param name="LengthBytes">Bytes that go over; behind them are zeros.</param>
/// <param name="Digest">Equal for equal content, whatever nodes add of their own.</param>
/// <param name="FirstIndex">Log index of its first group.</param>
/// <param name="LastIndex">Log index of the last group that goes over.</param>
/// <param name="FirstTerm">Term of the first one.</param>
/// <param name="LastTerm">Term of the last one.</param>
public readonly record struct ShippedSegment(
    uint Segment, ShippedForm Form, long ScavengePoint, long LengthBytes, SegmentDigest Digest, LogIndex FirstIndex, LogIndex LastIndex, Term FirstTerm, Term LastTerm)
{
    /// <summary>Bytes of its description.</summary>
    public const int EncodedLength = 72;

    /// <summary>Writes the description.</summary>
    public void Encode(Span<byte> bytes)
    {
        Invariant.Check(bytes.Length >= EncodedLength && LengthBytes > Blocks.Size && FirstIndex.Value > 0 && FirstIndex <= LastIndex);
        bytes[..EncodedLength].Clear();
        BinaryPrimitives.WriteUInt32LittleEndian(bytes, Segment);
        bytes[4] = (byte)Form;
        BinaryPrimitives.WriteInt64LittleEndian(bytes[8..], ScavengePoint);
        BinaryPrimitives.WriteInt64LittleEndian(bytes[16..], LengthBytes);
        Digest.Write(bytes[24..]);
        BinaryPrimitives.WriteUInt64LittleEndian(bytes[40..], FirstIndex.Value);
        BinaryPrimitives.WriteUInt64LittleEndian(bytes[48..], LastIndex.Value);
        BinaryPrimitives.WriteUInt64LittleEndian(bytes[56..], FirstTerm.Value);
        BinaryPrimitives.WriteUInt64LittleEndian(bytes[64..], LastTerm.Value);
    }

    /// <summary>Reads a description; null if its numbers contradict each other.</summary>
    /// <param name="bytes">At least <see cref="EncodedLength"/>.</param>
    /// <param name="segmentSizeBytes">Of the vault: nothing is longer.</param>
    /// <param name="isBackup">Whether it may be an unsealed one.</param>
    public static ShippedSegment? TryDecode(ReadOnlySpan<byte> bytes, uint segmentSizeBytes, bool isBackup = false)
    {
        if (bytes.Length < EncodedLength || bytes[5] != 0 || bytes[6] != 0 || bytes[7] != 0)
        {
            return null;
        }

        var segment = new ShippedSegment(
            BinaryPrimitives.ReadUInt32LittleEndian(bytes),
            (ShippedForm)bytes[4],
            BinaryPrimitives.ReadInt64LittleEndian(bytes[8..]),
            BinaryPrimitives.ReadInt64LittleEndian(bytes[16..]),
            SegmentDigest.Read(bytes[24..]),
            new LogIndex(BinaryPrimitives.ReadUInt64LittleEndian(bytes[40..])),
            new LogIndex(BinaryPrimitives.ReadUInt64LittleEndian(bytes[48..])),
            new Term(BinaryPrimitives.ReadUInt64LittleEndian(bytes[56..])),
            new Term(BinaryPrimitives.ReadUInt64LittleEndian(bytes[64..])));
        var isScavenged = segment.Form == ShippedForm.Scavenged;
        var isKnown = segment.Form is ShippedForm.Groups or ShippedForm.Scavenged || segment.Form == (isBackup ? ShippedForm.Unsealed : ShippedForm.Beginning);
        var isOfOne = segment.Form != ShippedForm.Beginning || segment.FirstIndex == segment.LastIndex;

        // The footer block is no part of what goes over, but of a scavenged segment, which is shorter than others.
        var fits = segment.LengthBytes > Blocks.Size && segment.LengthBytes <= segmentSizeBytes - Blocks.Size && segment.LengthBytes % Blocks.Alignment == 0;
        return isKnown && isOfOne && fits && (segment.ScavengePoint >= 0) == isScavenged && segment.ScavengePoint >= -1
            && segment.FirstIndex.Value > 0 && segment.FirstIndex <= segment.LastIndex
            && segment.FirstTerm.Value > 0 && segment.FirstTerm <= segment.LastTerm ? segment : null;
    }
}
