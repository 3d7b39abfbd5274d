using System.Buffers.Binary;
using System.Numerics;
using System.Runtime.CompilerServices;

namespace EventVault.Storage.Index;

/// <summary>
/// SipHash-2-4 with 128 bits of output (Aumasson and Bernstein, the reference implementation's outlen = 16).
/// Bytes may come in pieces; only their concatenation counts. The result's little-endian bytes are those of the
/// reference implementation.
/// </summary>
/// <remarks>2-4 and not the faster 1-3: decision 0005.</remarks>
internal ref struct SipHash128
{
    private ulong _v0;
    private ulong _v1;
    private ulong _v2;
    private ulong _v3;
    private ulong _pending; // the last 0 to 7 bytes, not yet mixed in
    private ulong _length;

    public SipHash128(in SipKey key)
    {
        _v0 = key.K0 ^ 0x736F6D6570736575;
        _v1 = key.K1 ^ 0x646F72616E646F6D ^ 0xEE;
        _v2 = key.K0 ^ 0x6C7967656E657261;
        _v3 = key.K1 ^ 0x7465646279746573;
    }

    /// <summary>Hash of one piece.</summary>
    public static UInt128 Compute(ReadOnlySpan<byte> bytes, in SipKey key)
    {
        var hash = new SipHash128(key);
        hash.Append(bytes);
        return hash.Finish();
    }

    /// <summary>
    /// The low half of the hash of a byte and of those behind it, as <see cref="FinishLow"/> gives it, without putting pieces together: all of
    /// it can stay in registers.
    /// </summary>
    public static ulong ComputeLow(byte first, ReadOnlySpan<byte> bytes, in SipKey key)
    {
        var hash = new SipHash128(key);
        ulong v0 = hash._v0;
        ulong v1 = hash._v1;
        ulong v2 = hash._v2;
        ulong v3 = hash._v3;
        ulong last = (ulong)(bytes.Length + 1) << 56;

        // Each word begins with the byte that the one before had no room for.
        ulong carried = first;
        while (bytes.Length >= 8)
        {
            ulong word = BinaryPrimitives.ReadUInt64LittleEndian(bytes);
            Absorb(carried | (word << 8), ref v0, ref v1, ref v2, ref v3);
            carried = word >> 56;
            bytes = bytes[8..];
        }

        if (bytes.Length == 7)
        {
            Absorb(carried | (ReadPartial(bytes) << 8), ref v0, ref v1, ref v2, ref v3);
            Absorb(last, ref v0, ref v1, ref v2, ref v3);
        }
        else
        {
            Absorb(last | carried | (ReadPartial(bytes) << 8), ref v0, ref v1, ref v2, ref v3);
        }

        v2 ^= 0xEE;
        for (int i = 0; i < 4; i++)
        {
            Round(ref v0, ref v1, ref v2, ref v3);
        }

        return v0 ^ v1 ^ v2 ^ v3;
    }

    /// <summary>Adds bytes behind those added before.</summary>
    public void Append(scoped ReadOnlySpan<byte> bytes)
    {
        int pendingBytes = (int)(_length & 7);
        _length += (ulong)bytes.Length;
        if (pendingBytes != 0)
        {
            int missing = Math.Min(8 - pendingBytes, bytes.Length);
            _pending |= ReadPartial(bytes[..missing]) << (8 * pendingBytes);
            bytes = bytes[missing..];
            if (pendingBytes + missing < 8)
            {
                return;
            }

            Mix(_pending);
            _pending = 0;
        }

        ulong v0 = _v0;
        ulong v1 = _v1;
        ulong v2 = _v2;
        ulong v3 = _v3;
        while (bytes.Length >= 8)
        {
            Absorb(BinaryPrimitives.ReadUInt64LittleEndian(bytes), ref v0, ref v1, ref v2, ref v3);
            bytes = bytes[8..];
        }

        _v0 = v0;
        _v1 = v1;
        _v2 = v2;
        _v3 = v3;
        _pending = ReadPartial(bytes);
    }

    /// <summary>The hash of all bytes added. Nothing may be added afterwards.</summary>
    public UInt128 Finish()
    {
        ulong low = FinishLow();
        _v1 ^= 0xDD;
        ulong high = FourRounds();
        return new UInt128(high, low);
    }

    /// <summary>The low half of <see cref="Finish"/>, for a quarter less of the work on short keys. Instead of it.</summary>
    public ulong FinishLow()
    {
        Mix(_pending | (_length << 56));
        _v2 ^= 0xEE;
        return FourRounds();
    }

    private void Mix(ulong word) => Absorb(word, ref _v0, ref _v1, ref _v2, ref _v3);

    private ulong FourRounds()
    {
        ulong v0 = _v0;
        ulong v1 = _v1;
        ulong v2 = _v2;
        ulong v3 = _v3;
        for (int i = 0; i < 4; i++)
        {
            Round(ref v0, ref v1, ref v2, ref v3);
        }

        _v0 = v0;
        _v1 = v1;
        _v2 = v2;
        _v3 = v3;
        return v0 ^ v1 ^ v2 ^ v3;
    }

    private static ulong ReadPartial(ReadOnlySpan<byte> bytes)
    {
        // Loads that overlap, instead of a loop: keys of events are short, so that it would be a third of the work.
        int length = bytes.Length;
        if (length >= 4)
        {
            ulong low = BinaryPrimitives.ReadUInt32LittleEndian(bytes);
            ulong high = BinaryPrimitives.ReadUInt32LittleEndian(bytes[(length - 4)..]);
            return low | (high << (8 * (length - 4)));
        }

        return length == 0
            ? 0
            : bytes[0] | ((ulong)bytes[length >> 1] << (8 * (length >> 1))) | ((ulong)bytes[length - 1] << (8 * (length - 1)));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Absorb(ulong word, ref ulong v0, ref ulong v1, ref ulong v2, ref ulong v3)
    {
        v3 ^= word;
        Round(ref v0, ref v1, ref v2, ref v3);
        Round(ref v0, ref v1, ref v2, ref v3);
        v0 ^= word;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Round(ref ulong v0, ref ulong v1, ref ulong v2, ref ulong v3)
    {
        v0 += v1;
        v1 = BitOperations.RotateLeft(v1, 13) ^ v0;
        v0 = BitOperations.RotateLeft(v0, 32);
        v2 += v3;
        v3 = BitOperations.RotateLeft(v3, 16) ^ v2;
        v0 += v3;
        v3 = BitOperations.RotateLeft(v3, 21) ^ v0;
        v2 += v1;
        v1 = BitOperations.RotateLeft(v1, 17) ^ v2;
        v2 = BitOperations.RotateLeft(v2, 32);
    }
}
