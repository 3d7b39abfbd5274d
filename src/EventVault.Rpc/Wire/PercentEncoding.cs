using System.Text;

namespace EventVault.Rpc.Wire;

// grpc-message: UTF-8, then %XX for all but printable ASCII without '%'. Decoding never fails: what is not an
// escape stays as it is, what is not UTF-8 becomes U+FFFD, because a damaged text must not hide the status.
internal static class PercentEncoding
{
    /// <summary>Longer messages are cut: peers refuse trailers of more than 8 KiB in all (C-core's default).</summary>
    public const int MaxEncodedBytes = 4096;

    public static string Encode(string text)
    {
        if (text.Length <= MaxEncodedBytes && !NeedsEncoding(text))
        {
            return text;
        }

        var result = new StringBuilder(text.Length + 16);
        Span<byte> utf8 = stackalloc byte[4];
        Span<char> piece = stackalloc char[12];
        foreach (var rune in text.EnumerateRunes())
        {
            var length = 0;
            if (rune.Value is >= ' ' and <= '~' and not '%')
            {
                piece[length++] = (char)rune.Value;
            }
            else
            {
                foreach (var b in utf8[..rune.EncodeToUtf8(utf8)])
                {
                    piece[length++] = '%';
                    piece[length++] = HexDigit(b >> 4);
                    piece[length++] = HexDigit(b & 15);
                }
            }

            if (result.Length + length > MaxEncodedBytes)
            {
                break;
            }

            result.Append(piece[..length]);
        }

        return result.ToString();
    }

    public static string Decode(string encoded)
    {
        if (!encoded.Contains('%', StringComparison.Ordinal) && Ascii.IsValid(encoded))
        {
            return encoded;
        }

        // Characters above 0xFF can't come from a header; they are kept as their UTF-8.
        var bytes = new byte[Encoding.UTF8.GetMaxByteCount(encoded.Length)];
        var count = 0;
        for (var i = 0; i < encoded.Length; i++)
        {
            var c = encoded[i];
            if (c == '%' && i + 2 < encoded.Length && char.IsAsciiHexDigit(encoded[i + 1]) && char.IsAsciiHexDigit(encoded[i + 2]))
            {
                bytes[count++] = Convert.FromHexString(encoded.AsSpan(i + 1, 2))[0];
                i += 2;
            }
            else if (c <= '~')
            {
                bytes[count++] = (byte)c;
            }
            else
            {
                var length = char.IsHighSurrogate(c) && i + 1 < encoded.Length && char.IsLowSurrogate(encoded[i + 1]) ? 2 : 1;
                count += Encoding.UTF8.GetBytes(encoded.AsSpan(i, length), bytes.AsSpan(count));
                i += length - 1;
            }
        }

        return Encoding.UTF8.GetString(bytes, 0, count);
    }

    private static bool NeedsEncoding(string text)
    {
        foreach (var c in text)
        {
            if (c is < ' ' or > '~' or '%')
            {
                return true;
            }
        }

        return false;
    }

    private static char HexDigit(int value) => (char)(value < 10 ? '0' + value : 'A' + value - 10);
}
