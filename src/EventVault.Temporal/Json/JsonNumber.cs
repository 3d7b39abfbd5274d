// Numbers of JSON, exactly. Floating point would make the answer to a question about the past depend on the order in which it
// is worked out; so a number is its digits, and arithmetic is that of System.Decimal or none.
//
// Canonical form, so that equal numbers have equal bytes: no sign for zero, no plus, no needless zeros. Whatever a decimal can
// hold, and some more, is written out (12.5, 0.0001); what is longer or further from the point as 1.25e-40.
using System.Buffers;
using System.Globalization;

namespace EventVault.Temporal.Json;

/// <summary>Reads and writes numbers of JSON without rounding.</summary>
internal static class JsonNumber
{
    /// <summary>Digits before the point that are written out: those of the largest decimal.</summary>
    private const int MostWhole = 29;

    /// <summary>Digits behind the point that are written out: those of a decimal.</summary>
    private const int MostFraction = 28;

    /// <summary>Larger exponents than this, which no one means, are not numbers here: sums of exponents must not overflow.</summary>
    private const long MostExponent = 1_000_000_000;

    /// <summary>Tokens up to this many bytes are taken apart on the stack.</summary>
    private const int StackBytes = 128;

    /// <summary>Bytes that a decimal takes at most: sign, "0.", 28 zeros and 29 digits, with room to spare.</summary>
    public const int MostDecimalBytes = 64;

    /// <summary>Bytes that the canonical form takes at most, beyond the token's: zeros before or behind, or an exponent.</summary>
    private const int Extra = 40;

    private static readonly UInt128[] Powers = MakePowers();

    /// <summary>The number as a decimal; false if it is none exactly.</summary>
    /// <param name="token">A number of JSON, well-formed.</param>
    /// <param name="value">Without needless zeros behind the point.</param>
    public static bool TryDecimal(ReadOnlySpan<byte> token, out decimal value)
    {
        byte[]? rented = null;
        var digits = token.Length <= StackBytes ? stackalloc byte[StackBytes] : rented = ArrayPool<byte>.Shared.Rent(token.Length);
        value = 0;
        var isExact = TrySplit(token, digits, out var parts) && TryDecimal(digits[..parts.Count], parts, out value);
        if (rented is not null)
        {
            ArrayPool<byte>.Shared.Return(rented);
        }

        return isExact;
    }

    /// <summary>Writes the number in its canonical form; false if its exponent is out of all bounds.</summary>
    public static bool TryWrite(ReadOnlySpan<byte> token, IBufferWriter<byte> to)
    {
        byte[]? rented = null;
        var digits = token.Length <= StackBytes ? stackalloc byte[StackBytes] : rented = ArrayPool<byte>.Shared.Rent(token.Length);
        var isNumber = TrySplit(token, digits, out var parts);
        if (isNumber)
        {
            to.Advance(Write(digits[..parts.Count], parts, to.GetSpan(parts.Count + Extra)));
        }

        if (rented is not null)
        {
            ArrayPool<byte>.Shared.Return(rented);
        }

        return isNumber;
    }

    /// <summary>Writes a decimal in the canonical form.</summary>
    public static void Write(decimal value, IBufferWriter<byte> to)
    {
        Span<byte> token = stackalloc byte[MostDecimalBytes];
        Invariant.Check(value.TryFormat(token, out var length, default, CultureInfo.InvariantCulture));
        Invariant.Check(TryWrite(token[..length], to));
    }

    // The significant digits, without zeros at either end, and where the point is: the value is 0.digits × 10^Point.
    private static bool TrySplit(ReadOnlySpan<byte> token, Span<byte> digits, out Parts parts)
    {
        var negative = token[0] == (byte)'-';
        var (count, significant, point) = (0, 0, 0L);
        var (behindPoint, exponent, i) = (false, 0L, negative ? 1 : 0);
        for (; i < token.Length && token[i] is not ((byte)'e' or (byte)'E'); i++)
        {
            if (token[i] == (byte)'.')
            {
                behindPoint = true;
                continue;
            }

            var isLeadingZero = count == 0 && token[i] == (byte)'0';
            if (!isLeadingZero)
            {
                digits[count++] = token[i];
                significant = token[i] == (byte)'0' ? significant : count;
            }

            point += behindPoint ? (isLeadingZero ? -1 : 0) : (isLeadingZero ? 0 : 1);
        }

        if (i < token.Length)
        {
            var negativeExponent = token[++i] == (byte)'-';
            for (i += token[i] is (byte)'-' or (byte)'+' ? 1 : 0; i < token.Length; i++)
            {
                exponent = Math.Min((exponent * 10) + (token[i] - '0'), MostExponent + 1);
            }

            if (exponent > MostExponent && significant > 0)
            {
                parts = default;
                return false;
            }

            exponent = negativeExponent ? -exponent : exponent;
        }

        parts = significant == 0 ? default : new Parts(negative, significant, point + exponent);
        return true;
    }

    private static bool TryDecimal(ReadOnlySpan<byte> digits, in Parts parts, out decimal value)
    {
        value = 0;
        if (parts.Count == 0)
        {
            return true;
        }

        var zeros = parts.Point - parts.Count;
        if (parts.Count > MostWhole || parts.Point > MostWhole || zeros < -MostFraction)
        {
            return false;
        }

        UInt128 whole = 0;
        foreach (var digit in digits)
        {
            whole = (whole * 10) + (uint)(digit - '0');
        }

        whole *= zeros > 0 ? Powers[zeros] : 1;
        if (whole >> 96 != 0)
        {
            return false;
        }

        value = new decimal((int)(uint)whole, (int)(uint)(whole >> 32), (int)(uint)(whole >> 64), parts.IsNegative, (byte)Math.Max(0, -zeros));
        return true;
    }

    private static int Write(ReadOnlySpan<byte> digits, in Parts parts, Span<byte> to)
    {
        if (parts.Count == 0)
        {
            to[0] = (byte)'0';
            return 1;
        }

        var at = 0;
        if (parts.IsNegative)
        {
            to[at++] = (byte)'-';
        }

        if (parts.Point > MostWhole || parts.Count - parts.Point > MostFraction)
        {
            return at + WriteScientific(digits, parts, to[at..]);
        }

        var whole = (int)Math.Max(0, parts.Point);
        for (var i = 0; i < whole; i++)
        {
            to[at++] = i < digits.Length ? digits[i] : (byte)'0';
        }

        if (whole == 0)
        {
            to[at++] = (byte)'0';
        }

        if (digits.Length > whole)
        {
            to[at++] = (byte)'.';
            for (var zeros = parts.Point; zeros < 0; zeros++)
            {
                to[at++] = (byte)'0';
            }

            digits[whole..].CopyTo(to[at..]);
            at += digits.Length - whole;
        }

        return at;
    }

    private static int WriteScientific(ReadOnlySpan<byte> digits, in Parts parts, Span<byte> to)
    {
        var at = 0;
        to[at++] = digits[0];
        if (digits.Length > 1)
        {
            to[at++] = (byte)'.';
            digits[1..].CopyTo(to[at..]);
            at += digits.Length - 1;
        }

        to[at++] = (byte)'e';
        Invariant.Check((parts.Point - 1).TryFormat(to[at..], out var length, default, CultureInfo.InvariantCulture));
        return at + length;
    }

    private static UInt128[] MakePowers()
    {
        var powers = new UInt128[MostWhole + 1];
        powers[0] = 1;
        for (var i = 1; i < powers.Length; i++)
        {
            powers[i] = powers[i - 1] * 10;
        }

        return powers;
    }

    private readonly record struct Parts(bool IsNegative, int Count, long Point);
}
