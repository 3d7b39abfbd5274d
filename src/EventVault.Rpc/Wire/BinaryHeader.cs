using System.Buffers;
using System.Buffers.Text;
using System.Text;

namespace EventVault.Rpc.Wire;

// Values of keys that end in -bin: base64, written without padding, read with and without. Several values may
// come joined by commas, which base64 itself never contains.
internal static class BinaryHeader
{
    public static string Encode(ReadOnlySpan<byte> value) => Convert.ToBase64String(value).TrimEnd('=');

    public static bool TryDecode(ReadOnlySpan<char> text, out byte[] value)
    {
        text = text.Trim(" \t").TrimEnd('=');
        value = [];
        if (text.Length % 4 == 1 || !Ascii.IsValid(text))
        {
            return false;
        }

        var padded = new byte[(text.Length + 3) / 4 * 4];
        padded.AsSpan().Fill((byte)'=');
        Encoding.ASCII.GetBytes(text, padded);
        var decoded = new byte[Base64.GetMaxDecodedFromUtf8Length(padded.Length)];
        if (Base64.DecodeFromUtf8(padded, decoded, out _, out var written) != OperationStatus.Done)
        {
            return false;
        }

        value = written == decoded.Length ? decoded : decoded[..written];
        return true;
    }

    /// <summary>Adds one header line to metadata; false if a value of a -bin key is not base64 (it is left out).</summary>
    public static bool AddTo(RpcMetadata metadata, string lowerKey, string value)
    {
        if (!RpcMetadata.IsBinaryKey(lowerKey))
        {
            metadata.AddReceived(new RpcMetadataEntry(lowerKey, value));
            return true;
        }

        var complete = true;
        foreach (var part in value.AsSpan().Split(','))
        {
            if (TryDecode(value.AsSpan(part), out var bytes))
            {
                metadata.AddReceived(new RpcMetadataEntry(lowerKey, bytes));
            }
            else
            {
                complete = false;
            }
        }

        return complete;
    }

    /// <summary>What goes on the wire for an entry.</summary>
    public static string WireText(in RpcMetadataEntry entry) => entry.IsBinary ? Encode(entry.Bytes.Span) : entry.Text;
}
