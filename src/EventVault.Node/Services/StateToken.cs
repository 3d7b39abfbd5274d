// The token of an answer: names the moment and the reducer. Opaque to clients; what a server gave out is understood by all later ones.
//
// | offset | size | |
// |---|---|---|
// | 0 | 1 | format, 1 |
// | 1 | 1 | 1: `occurred` counts |
// | 2 | 8 | position of the cut; -1: before the first event |
// | 10 | 8 | `occurred`, 100 ns ticks since 1970; 0 if it does not count |
// | 18 | 16 | first half of the reducer's hash |
// | 34 | 4 | erasure epoch, 0 |
// | 38 | 4 | CRC32C over the vault's id and the bytes before: it is whole, and of this vault |
using System.Buffers.Binary;
using System.Numerics;
using EventVault.Temporal.Reducers;
using Google.Protobuf;
using Position = EventVault.Storage.Position;

namespace EventVault.Node.Services;

/// <summary>What an answer's token says.</summary>
/// <param name="Position">The cut.</param>
/// <param name="Occurred">The second axis; null: not on it.</param>
/// <param name="ReducerHash">First 16 bytes of the reducer's.</param>
internal sealed record StateToken(Position Position, long? Occurred, byte[] ReducerHash)
{
    /// <summary>Bytes of a token.</summary>
    public const int Bytes = 42;

    private const byte Format = 1;
    private const int HashBytes = 16;
    private const int HashOffset = 18;
    private const int ChecksumOffset = 38;

    /// <summary>The token of an answer.</summary>
    public static ByteString Encode(Position cut, long? occurred, Reducer reducer, Guid vault)
    {
        Span<byte> bytes = stackalloc byte[Bytes];
        bytes.Clear();
        bytes[0] = Format;
        bytes[1] = occurred is null ? (byte)0 : (byte)1;
        BinaryPrimitives.WriteInt64LittleEndian(bytes[2..], cut.Value);
        BinaryPrimitives.WriteInt64LittleEndian(bytes[10..], occurred ?? 0);
        reducer.Hash.AsSpan(0, HashBytes).CopyTo(bytes[HashOffset..]);
        BinaryPrimitives.WriteUInt32LittleEndian(bytes[ChecksumOffset..], Checksum(bytes[..ChecksumOffset], vault));
        return ByteString.CopyFrom(bytes);
    }

    /// <summary>What a token says; null if no server of this vault gave it out.</summary>
    public static StateToken? TryRead(ReadOnlySpan<byte> bytes, Guid vault)
    {
        if (bytes.Length != Bytes || bytes[0] != Format || bytes[1] > 1
            || BinaryPrimitives.ReadUInt32LittleEndian(bytes[ChecksumOffset..]) != Checksum(bytes[..ChecksumOffset], vault))
        {
            return null;
        }

        var position = BinaryPrimitives.ReadInt64LittleEndian(bytes[2..]);
        long? occurred = bytes[1] == 1 ? BinaryPrimitives.ReadInt64LittleEndian(bytes[10..]) : null;
        return position < -1 ? null : new StateToken(new Position(position), occurred, bytes.Slice(HashOffset, HashBytes).ToArray());
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
