using System.Globalization;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Unicode;

namespace EventVault.Admin;

/// <summary>How JSON is checked and written here.</summary>
internal static class JsonText
{
    /// <summary>Deeper than any sensible document, and far from the end of the stack.</summary>
    public const int MaxDepth = 1000;

    private const string TimeFormat = "yyyy-MM-dd'T'HH:mm:ss.fffffff'Z'";

    private static readonly string[] TimeForms =
    [
        "yyyy-MM-dd'T'HH:mm:ss.FFFFFFF'Z'",
        "yyyy-MM-dd'T'HH:mm:ss.FFFFFFFzzz",
    ];

    // Text outside ASCII stays readable; the output is for files and pipes, not for HTML.
    public static JsonWriterOptions WriterOptions { get; } =
        new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, SkipValidation = true, MaxDepth = MaxDepth + 10 };

    /// <summary>Whether the bytes are one JSON value in valid UTF-8, without a byte order mark.</summary>
    /// <param name="bytes">The bytes.</param>
    public static bool IsJson(ReadOnlySpan<byte> bytes)
    {
        if (!Utf8.IsValid(bytes))
        {
            return false;
        }

        try
        {
            var reader = new Utf8JsonReader(bytes, new JsonReaderOptions { MaxDepth = MaxDepth });
            while (reader.Read())
            {
            }

            return true;
        }
        catch (JsonException)
        {
            return false;
        }
    }

    /// <summary>
    /// The same JSON without the whitespace between its tokens: all else, such as the digits of numbers and the order
    /// and repetition of names, stays as it is. The bytes must be valid JSON.
    /// </summary>
    /// <param name="json">Valid JSON.</param>
    public static ReadOnlyMemory<byte> Compact(ReadOnlyMemory<byte> json)
    {
        var span = json.Span;
        var result = new byte[span.Length];
        var length = 0;
        var inString = false;
        for (var i = 0; i < span.Length; i++)
        {
            var c = span[i];
            if (inString)
            {
                result[length++] = c;
                if (c == '\\')
                {
                    result[length++] = span[++i];
                }
                else if (c == '"')
                {
                    inString = false;
                }
            }
            else if (c is not ((byte)' ' or (byte)'\t' or (byte)'\r' or (byte)'\n'))
            {
                result[length++] = c;
                inString = c == '"';
            }
        }

        return length == span.Length ? json : result.AsMemory(0, length);
    }

    /// <summary>A time as RFC 3339 in UTC with 7 digits of a second: all that the vault keeps.</summary>
    /// <param name="time">The time.</param>
    public static string Time(DateTimeOffset time) => time.UtcDateTime.ToString(TimeFormat, CultureInfo.InvariantCulture);

    /// <summary>Reads an RFC 3339 time of at most 7 digits of a second.</summary>
    /// <param name="text">The text.</param>
    /// <param name="time">The time.</param>
    public static bool TryParseTime(string text, out DateTimeOffset time) => DateTimeOffset.TryParseExact(
        text.ToUpperInvariant(), TimeForms, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal | DateTimeStyles.AdjustToUniversal, out time);

    /// <summary>Writes a time, or null.</summary>
    /// <param name="writer">Where to.</param>
    /// <param name="name">Name of the field.</param>
    /// <param name="time">The time.</param>
    public static void WriteTime(this Utf8JsonWriter writer, string name, DateTimeOffset? time)
    {
        if (time is { } t)
        {
            writer.WriteString(name, Time(t));
        }
        else
        {
            writer.WriteNull(name);
        }
    }

    /// <summary>Writes a number, or null.</summary>
    /// <param name="writer">Where to.</param>
    /// <param name="name">Name of the field.</param>
    /// <param name="number">The number.</param>
    public static void WriteNumberOrNull(this Utf8JsonWriter writer, string name, ulong? number)
    {
        if (number is { } n)
        {
            writer.WriteNumber(name, n);
        }
        else
        {
            writer.WriteNull(name);
        }
    }
}
