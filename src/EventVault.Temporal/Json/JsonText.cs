// Canonical JSON: no white space, the members of an object in the order of their names' bytes, numbers as JsonNumber writes
// them, strings with as few escapes as may be. Two values are equal if and only if their canonical bytes are.
using System.Buffers;
using System.Text.Json;

namespace EventVault.Temporal.Json;

/// <summary>Checks JSON, and writes it in its canonical form.</summary>
internal static class JsonText
{
    /// <summary>Objects and arrays within each other. What is deeper is not JSON here: every walk over it is recursive.</summary>
    public const int MostDepth = 64;

    private static readonly JsonReaderOptions Strict = new() { MaxDepth = MostDepth };

    private static ReadOnlySpan<byte> HexDigits => "0123456789abcdef"u8;

    /// <summary>A reader for a text that <see cref="IsValid"/>.</summary>
    public static Utf8JsonReader Read(ReadOnlySpan<byte> text) => new(text, Strict);

    /// <summary>Whether it is one value of JSON, all of whose strings are text and all of whose numbers have a canonical form.</summary>
    public static bool IsValid(ReadOnlySpan<byte> text)
    {
        try
        {
            var reader = Read(text);
            while (reader.Read())
            {
                if ((reader.ValueIsEscaped && !IsText(ref reader)) || (reader.TokenType == JsonTokenType.Number && !IsNumber(reader.ValueSpan)))
                {
                    return false;
                }
            }

            return reader.BytesConsumed == text.Length && text.Length > 0;
        }
        catch (JsonException)
        {
            return false;
        }
    }

    /// <summary>Writes the value at which the reader stands, and reads to its end.</summary>
    public static void WriteCanonical(ref Utf8JsonReader reader, IBufferWriter<byte> to)
    {
        switch (reader.TokenType)
        {
            case JsonTokenType.StartObject:
                var o = new JsonObject();
                o.Fill(ref reader);
                o.Write(to);
                break;
            case JsonTokenType.StartArray:
                WriteArray(ref reader, to);
                break;
            case JsonTokenType.String:
                WriteString(ref reader, to);
                break;
            case JsonTokenType.Number:
                Invariant.Check(JsonNumber.TryWrite(reader.ValueSpan, to), "The text was checked.");
                break;
            default:
                to.Write(reader.ValueSpan); // true, false, null
                break;
        }
    }

    /// <summary>Writes a string in quotes.</summary>
    public static void WriteString(ReadOnlySpan<byte> text, IBufferWriter<byte> to)
    {
        to.Write("\""u8);
        while (!text.IsEmpty)
        {
            var plain = text.IndexOfAnyInRange((byte)0, (byte)0x1f);
            var quoted = text.IndexOfAny((byte)'"', (byte)'\\');
            var escape = plain < 0 ? quoted : quoted < 0 ? plain : Math.Min(plain, quoted);
            if (escape < 0)
            {
                to.Write(text);
                break;
            }

            to.Write(text[..escape]);
            WriteEscape(text[escape], to);
            text = text[(escape + 1)..];
        }

        to.Write("\""u8);
    }

    /// <summary>The text of the string or name at which the reader stands, in the buffer if it is escaped.</summary>
    public static ReadOnlySpan<byte> Text(ref Utf8JsonReader reader, ref byte[] buffer)
    {
        if (!reader.ValueIsEscaped)
        {
            return reader.ValueSpan;
        }

        if (buffer.Length < reader.ValueSpan.Length)
        {
            buffer = new byte[Math.Max(reader.ValueSpan.Length, 256)];
        }

        return buffer.AsSpan(0, reader.CopyString(buffer));
    }

    private static void WriteArray(ref Utf8JsonReader reader, IBufferWriter<byte> to)
    {
        to.Write("["u8);
        for (var first = true; reader.Read() && reader.TokenType != JsonTokenType.EndArray; first = false)
        {
            if (!first)
            {
                to.Write(","u8);
            }

            WriteCanonical(ref reader, to);
        }

        to.Write("]"u8);
    }

    private static void WriteString(ref Utf8JsonReader reader, IBufferWriter<byte> to)
    {
        byte[] buffer = [];
        WriteString(Text(ref reader, ref buffer), to);
    }

    private static void WriteEscape(byte character, IBufferWriter<byte> to)
    {
        switch (character)
        {
            case (byte)'"':
                to.Write("\\\""u8);
                break;
            case (byte)'\\':
                to.Write("\\\\"u8);
                break;
            case (byte)'\n':
                to.Write("\\n"u8);
                break;
            case (byte)'\r':
                to.Write("\\r"u8);
                break;
            case (byte)'\t':
                to.Write("\\t"u8);
                break;
            case (byte)'\b':
                to.Write("\\b"u8);
                break;
            case (byte)'\f':
                to.Write("\\f"u8);
                break;
            default:
                to.Write([(byte)'\\', (byte)'u', (byte)'0', (byte)'0', HexDigits[character >> 4], HexDigits[character & 15]]);
                break;
        }
    }

    // Half of a surrogate pair, escaped, is well-formed JSON and yet no text.
    private static bool IsText(ref Utf8JsonReader reader)
    {
        var rented = ArrayPool<byte>.Shared.Rent(reader.ValueSpan.Length);
        try
        {
            reader.CopyString(rented);
            return true;
        }
        catch (InvalidOperationException)
        {
            return false;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(rented);
        }
    }

    // Nearly all numbers are short and without exponent.
    private static bool IsNumber(ReadOnlySpan<byte> token) =>
        !token.ContainsAny((byte)'e', (byte)'E') || JsonNumber.TryWrite(token, new ArrayBufferWriter<byte>());
}
