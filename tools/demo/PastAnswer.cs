using System.IO.Compression;
using System.Text;
using System.Text.Json;

namespace EventVault.Demo;

/// <summary>How many lines a source file had on a day, worked out from the file that was imported, beside the vault.</summary>
internal static class PastAnswer
{
    public const string Stream = "file-src/server.h";
    public const string Slots = "lines = SUM(data.delta), changes = COUNT(*)";

    /// <summary>Release day of a version that many know; the file is in the middle of its life.</summary>
    public const string Day = "2018-10-17T00:00:00Z";

    /// <summary>The state as canonical JSON.</summary>
    public static async Task<string> FromFileAsync()
    {
        var day = DateTimeOffset.Parse(Day, System.Globalization.CultureInfo.InvariantCulture).ToUnixTimeSeconds();
        using var text = new StreamReader(new GZipStream(File.OpenRead(Places.History), CompressionMode.Decompress), Encoding.UTF8);
        var (lines, changes) = (0L, 0);
        while (await text.ReadLineAsync() is { } line)
        {
            using var document = JsonDocument.Parse(line);
            var e = document.RootElement;
            if (e.GetProperty("stream").GetString() == Stream && e.GetProperty("occurredAt").GetInt64() <= day)
            {
                lines += e.GetProperty("data").GetProperty("delta").GetInt64();
                changes++;
            }
        }

        return $"{{\"changes\":{changes},\"lines\":{lines}}}";
    }
}
