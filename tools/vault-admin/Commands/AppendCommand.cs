using System.CommandLine;
using System.Text;
using EventVault.Client;

namespace EventVault.Admin.Commands;

/// <summary><c>append</c>: one event to one stream.</summary>
internal sealed class AppendCommand
{
    private readonly Argument<string> _stream = new("stream") { Description = "Name of the stream." };
    private readonly Option<string> _type = new("--type") { Description = "What kind of fact this is, such as order-placed.", Required = true };
    private readonly Option<string> _data = new("--data") { Description = "The fact itself: JSON, or any text with a --content-type other than application/json.", Required = true };
    private readonly Option<string> _expected = new("--expected")
    {
        Description = "What the stream's last version must be: any, no-stream, exists, or a version.",
        DefaultValueFactory = _ => "any",
    };

    private readonly Option<string[]> _tags = new("--tag") { Description = "A label; may be given several times." };
    private readonly Option<string[]> _metadata = new("--metadata") { Description = "KEY=VALUE; may be given several times." };
    private readonly Option<string?> _contentType = new("--content-type") { Description = "Media type of the data; application/json unless given." };
    private readonly Option<uint> _schemaVersion = new("--schema-version") { Description = "Version of the schema that the data follows." };
    private readonly Option<string?> _occurredAt = new("--occurred-at") { Description = "When it happened, as RFC 3339." };
    private readonly Option<Guid?> _id = new("--id") { Description = "The event's UUID; a new one unless given." };
    private readonly Option<Guid?> _operationId = new("--operation-id") { Description = "UUID of the append: a repeat with the same one and the same event writes nothing." };

    public static Command Create(GlobalOptions global)
    {
        var self = new AppendCommand();
        var command = new Command("append", "Append one event to a stream.")
        {
            self._stream, self._type, self._data, self._expected, self._tags, self._metadata, self._contentType,
            self._schemaVersion, self._occurredAt, self._id, self._operationId,
        };
        global.Run(command, self.RunAsync);
        return command;
    }

    private async Task<int> RunAsync(ParseResult parse, CommandContext context)
    {
        var stream = parse.GetValue(_stream)!;
        if (!ExpectedVersion.TryParse(parse.GetValue(_expected), out var expected))
        {
            throw new UsageException($"--expected '{parse.GetValue(_expected)}' is none of: any, no-stream, exists, or a version such as 4.");
        }

        var e = EventOf(parse);
        var operation = parse.GetValue(_operationId) ?? Guid.CreateVersion7();
        await using var client = context.Connect();
        var result = await client.AppendAsync(stream, expected, e, new AppendOptions { OperationId = operation }, context.Stop);
        if (context.Output.Json)
        {
            context.Output.WriteJson(w =>
            {
                w.WriteStartObject();
                w.WriteNumber("firstPosition", result.FirstPosition);
                w.WriteNumber("lastPosition", result.LastPosition);
                w.WriteNumber("version", result.LastVersion);
                w.WriteTime("recordedAt", result.RecordedAt);
                w.WriteBoolean("deduplicated", result.Deduplicated);
                w.WriteEndObject();
            });
        }
        else
        {
            context.Output.WriteLine(
                $"{stream}: version {result.LastVersion}, position {result.LastPosition}, recorded {JsonText.Time(result.RecordedAt)}"
                + (result.Deduplicated ? " (an earlier attempt had written it)" : ""));
        }

        return ExitCode.Done;
    }

    private EventData EventOf(ParseResult parse)
    {
        var data = Encoding.UTF8.GetBytes(parse.GetValue(_data)!);
        var contentType = parse.GetValue(_contentType) ?? "";
        if (contentType is "" or RecordedEvent.JsonContentType && !JsonText.IsJson(data))
        {
            throw new UsageException("--data is not valid JSON. Quote it for the shell, as in --data '{\"amount\":1}', or name its --content-type.");
        }

        DateTimeOffset? occurredAt = null;
        if (parse.GetValue(_occurredAt) is { } text)
        {
            occurredAt = JsonText.TryParseTime(text, out var time) ? time : throw BadTime(_occurredAt.Name, text);
        }

        return new EventData(parse.GetValue(_type)!, data)
        {
            Id = parse.GetValue(_id) ?? Guid.CreateVersion7(),
            ContentType = contentType,
            SchemaVersion = parse.GetValue(_schemaVersion),
            OccurredAt = occurredAt,
            Tags = parse.GetValue(_tags) ?? [],
            Metadata = MetadataOf(parse.GetValue(_metadata) ?? []),
        };
    }

    public static UsageException BadTime(string option, string text) =>
        new($"{option} '{text}' is no time. Write it as RFC 3339, with at most 7 digits of a second: 2024-05-01T12:00:00Z.");

    private static Dictionary<string, string> MetadataOf(string[] pairs)
    {
        var metadata = new Dictionary<string, string>();
        foreach (var pair in pairs)
        {
            var at = pair.IndexOf('=', StringComparison.Ordinal);
            if (at < 1 || !metadata.TryAdd(pair[..at], pair[(at + 1)..]))
            {
                throw new UsageException($"--metadata '{pair}' must be KEY=VALUE, each key once.");
            }
        }

        return metadata;
    }
}
