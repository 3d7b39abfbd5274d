using EventVault.Client;

namespace EventVault.Admin.Commands;

/// <summary>What became of an append, in the form that was asked for.</summary>
internal static class AppendLine
{
    /// <summary>Writes the answer.</summary>
    /// <param name="output">Where to.</param>
    /// <param name="subject">What it is about, for people.</param>
    /// <param name="result">The answer.</param>
    /// <param name="listsStreams">Also all its streams, where the caller does not know them.</param>
    public static void Write(Output output, string subject, AppendResult result, bool listsStreams = false)
    {
        if (!output.Json)
        {
            output.WriteLine(
                $"{subject}: version {result.LastVersion}, position {result.LastPosition}, recorded {JsonText.Time(result.RecordedAt)}"
                + (result.Deduplicated ? " (an earlier attempt had written it)" : ""));
            return;
        }

        output.WriteJson(w =>
        {
            w.WriteStartObject();
            w.WriteNumber("firstPosition", result.FirstPosition);
            w.WriteNumber("lastPosition", result.LastPosition);
            w.WriteNumber("version", result.LastVersion);
            w.WriteTime("recordedAt", result.RecordedAt);
            w.WriteBoolean("deduplicated", result.Deduplicated);
            if (listsStreams)
            {
                w.WriteStartArray("streams");
                foreach (var stream in result.Streams)
                {
                    w.WriteStartObject();
                    w.WriteString("stream", stream.Stream);
                    w.WriteNumber("version", stream.Version);
                    w.WriteEndObject();
                }

                w.WriteEndArray();
            }

            w.WriteEndObject();
        });
    }
}
