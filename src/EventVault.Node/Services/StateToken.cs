// The token of an answer: names the moment and the reducer. Opaque to clients; what a server gave out is understood by all later ones.
//
// | offset | size | |
// |---|---|---|
// | 0 | 1 | format: 1; of a cut by time 2 |
// | 1 | 1 | 1: `occurred` counts |
// | 2 | 8 | position of the cut; -1: before the first event |
// | 10 | 8 | `occurred`, 100 ns ticks since 1970; 0 if it does not count |
// | 18 | 16 | first half of the reducer's hash |
// | 34 | 4 | erasure epoch, 0 |
// | 38 | 8 | the time that the cut stands for, 100 ns ticks since 1970; format 2 only |
// | 38 or 46 | 4 | CRC32C over the vault's id and the bytes before: it is whole, and of this vault |
using System.Buffers.Binary;
using System.Numerics;
using EventVault.Temporal.Reducers;
using Google.Protobuf;
using Position = EventVault.Storage.Position;

namespace EventVault.Node.Services;

/// <summary>What an answer's token says.</summary>
/// <param name="Position">The cut.</param>
/// <param name="Time">The time that it stands for; null: it was not given by time.</param>
/// <param name="Occurred">The second axis; null: not on it.</param>
/// <param name="ReducerHash">First 16 bytes of the reducer's.</param>
internal sealed record StateToken(Position Position, long? Time, long? Occurred, byte[] ReducerHash)
{
    private const byte OfPosition = 1;
    private const byte OfTime = 2;
    private const int HashBytes = 16;
    private const int HashOffset = 18;
    private const int TimeOffset = 38;
    private const int TimeBytes = 8;
    private const int ChecksumBytes = 4;

    /// <summary>The token of an answer.</summary>
    public static ByteString Encode(in ResolvedCut cut, Reducer reducer, Guid vault)
    {
        Span<byte> bytes = stackalloc byte[TimeOffset + (cut.Time is null ? 0 : TimeBytes) + ChecksumBytes];
        bytes.Clear();
        bytes[0] = cut.Time is null ? OfPosition : OfTime;
        bytes[1] = cut.Occurred is null ? (byte)0 : (byte)1;
        BinaryPrimitives.WriteInt64LittleEndian(bytes[2..], cut.Position.Value);
        BinaryPrimitives.WriteInt64LittleEndian(bytes[10..], cut.Occurred ?? 0);
        reducer.Hash.AsSpan(0, HashBytes).CopyTo(bytes[HashOffset..]);
        if (cut.Time is { } time)
        {
            BinaryPrimitives.WriteInt64LittleEndian(bytes[TimeOffset..], time);
        }

        BinaryPrimitives.WriteUInt32LittleEndian(bytes[^ChecksumBytes..], Checksum(bytes[..^ChecksumBytes], vault));
        return ByteString.CopyFrom(bytes);
    }

    /// <summary>What a token says; null if no server of this vault gave it out.</summary>
    public static StateToken? TryRead(ReadOnlySpan<byte> bytes, Guid vault)
    {
        var isOfTime = !bytes.IsEmpty && bytes[0] == OfTime;
        if (bytes.Length != TimeOffset + (isOfTime ? TimeBytes : 0) + ChecksumBytes || (!isOfTime && bytes[0] != OfPosition) || bytes[1] > 1
            || BinaryPrimitives.ReadUInt32LittleEndian(bytes[^ChecksumBytes..]) != Checksum(bytes[..^ChecksumBytes], vault))
        {
            return null;
        }

        var position = BinaryPrimitives.ReadInt64LittleEndian(bytes[2..]);
        long? occurred = bytes[1] == 1 ? BinaryPrimitives.ReadInt64LittleEndian(bytes[10..]) : null;
        long? time = isOfTime ? BinaryPrimitives.ReadInt64LittleEndian(bytes[TimeOffset..]) : null;
        return position < -1 ? null : new StateToken(new Position(position), time, occurred, bytes.Slice(HashOffset, HashBytes).ToArray());
    }

    /// <summary>Whether an answer by this reducer gave it out.</summary>
    public bool IsOf(Reducer reducer) => reducer.Hash.AsSpan(0, HashBytes).SequenceEqual(ReducerHash);

    private static uint Checksum(ReadOnlySpan<byte> bytes, Guid vault)
    {
        Span<byte> id = stackalloc byte[16];
        vault.TryWriteBytes(id);
        var crc = uint.MaxValue;
        foreach (var b in id)
        {
            crc = BitOperations.Crc32C(crc, b);
        }

        foreach (var b in bytes)
        {
            crc = BitOperations.Crc32C(crc, b);
        }

        return ~crc;
    }
}
