using System.Buffers;
using System.Buffers.Binary;

namespace EventVault.Temporal.Reducers;

/// <summary>Writes states for <see cref="FoldState.Save"/>: little-endian, lengths first.</summary>
internal readonly struct SavedStateWriter(IBufferWriter<byte> to)
{
    public void Byte(byte value) => to.Write([value]);

    public void Number(long value)
    {
        BinaryPrimitives.WriteInt64LittleEndian(to.GetSpan(8), value);
        to.Advance(8);
    }

    /// <summary>All bits: decimals of one value may differ in how many digits they show, and calculate on differently.</summary>
    public void Decimal(decimal value)
    {
        Span<int> bits = stackalloc int[4];
        decimal.GetBits(value, bits);
        foreach (var part in bits)
        {
            BinaryPrimitives.WriteInt32LittleEndian(to.GetSpan(4), part);
            to.Advance(4);
        }
    }

    public void Bytes(ReadOnlySpan<byte> value)
    {
        BinaryPrimitives.WriteInt32LittleEndian(to.GetSpan(4), value.Length);
        to.Advance(4);
        to.Write(value);
    }

    public void Counts(in FoldCounts counts)
    {
        Number(counts.Events);
        Number(counts.Skipped);
        Number(counts.Mismatches);
        Number(counts.Errors);
    }
}

/// <summary>Reads what <see cref="SavedStateWriter"/> wrote.</summary>
/// <exception cref="InvalidDataException">There is less, or what can't be.</exception>
internal ref struct SavedStateReader(ReadOnlySpan<byte> from)
{
    private ReadOnlySpan<byte> _left = from;

    public byte Byte() => Take(1)[0];

    public long Number() => BinaryPrimitives.ReadInt64LittleEndian(Take(8));

    public decimal Decimal()
    {
        var bytes = Take(16);
        Span<int> bits = stackalloc int[4];
        for (var i = 0; i < bits.Length; i++)
        {
            bits[i] = BinaryPrimitives.ReadInt32LittleEndian(bytes[(4 * i)..]);
        }

        try
        {
            return new decimal(bits);
        }
        catch (ArgumentException e)
        {
            throw new InvalidDataException("A saved state has a number that is none.", e);
        }
    }

    public ReadOnlySpan<byte> Bytes() => Take(BinaryPrimitives.ReadInt32LittleEndian(Take(4)));

    public FoldCounts Counts() => new(Number(), Number(), Number(), Number());

    /// <summary>Nothing may be left.</summary>
    public readonly void End()
    {
        if (!_left.IsEmpty)
        {
            throw new InvalidDataException($"A saved state has {_left.Length} bytes too many.");
        }
    }

    private ReadOnlySpan<byte> Take(int length)
    {
        if (length < 0 || length > _left.Length)
        {
            throw new InvalidDataException($"A saved state is cut short: {length} bytes are needed, {_left.Length} are left.");
        }

        var taken = _left[..length];
        _left = _left[length..];
        return taken;
    }
}
