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
    private readonly Option<Guid?> _id = new("--id") { Description = "The event's UUID. Unless given, that of the append, so that a repeat with its --operation-id is the same event." };
    private readonly Option<string[]> _requires = new("--require")
    {
        Description = "STREAM=EXPECTED: a stream that is not written must be where it is expected; may be given several times.",
        HelpName = "STREAM=EXPECTED",
    };

    private readonly Option<string[]> _failIfTypes = new("--fail-if-type") { Description = "Fail if an event of this type was appended; given several times, of any of them.", HelpName = "type" };
    private readonly Option<string[]> _failIfTags = new("--fail-if-tag") { Description = "Fail if an event with this tag was appended; given several times, with all of them.", HelpName = "tag" };
    private readonly Option<ulong?> _after = new("--after") { Description = "For --fail-if-…: only events behind this position count, the head of what was read. Unless given, all events do.", HelpName = "position" };
    private readonly Option<Guid?> _operationId = new("--operation-id") { Description = "UUID of the append: a repeat with the same one and the same event writes nothing." };
    private readonly AttemptedAfterOption _attemptedAfter = new();

    public static Command Create(GlobalOptions global)
    {
        var self = new AppendCommand();
        var command = new Command("append", "Append one event to a stream.")
        {
            self._stream, self._type, self._data, self._expected, self._tags, self._metadata, self._contentType,
            self._schemaVersion, self._occurredAt, self._id, self._requires, self._failIfTypes, self._failIfTags, self._after,
            self._operationId, self._attemptedAfter.Option,
        };
        global.Run(command, self.RunAsync);
        return command;
    }

    private async Task<int> RunAsync(ParseResult parse, CommandContext context)
    {
        var stream = parse.GetValue(_stream)!;
        var expected = ExpectedOf(parse.GetValue(_expected)!, _expected.Name);

        // One id for both, unless they are named: whoever repeats an append whose outcome nobody knew is told the operation id alone.
        var operation = parse.GetValue(_operationId) ?? Guid.CreateVersion7();
        var e = EventOf(parse, operation);
        var options = OptionsOf(parse, operation);
        await using var client = context.Connect();
        var result = await client.AppendAsync(stream, expected, e, options, context.Stop);
        AppendLine.Write(context.Output, stream, result);
        return ExitCode.Done;
    }

    /// <summary>Reads an expected version.</summary>
    /// <param name="text">The text.</param>
    /// <param name="option">The option that it came with.</param>
    /// <exception cref="UsageException">It is none.</exception>
    public static ExpectedVersion ExpectedOf(string text, string option) => ExpectedVersion.TryParse(text, out var expected)
        ? expected
        : throw new UsageException($"{option} '{text}' is none of: any, no-stream, exists, or a version such as 4.");

    private AppendOptions OptionsOf(ParseResult parse, Guid operation)
    {
        var query = FilterOptions.QueryOf(
            parse.GetValue(_failIfTypes) ?? [], parse.GetValue(_failIfTags) ?? [], _failIfTypes.Name, _failIfTags.Name);
        var after = parse.GetValue(_after);
        if (after is not null && query is null)
        {
            throw new UsageException($"{_after.Name} goes with {_failIfTypes.Name} or {_failIfTags.Name}.");
        }

        return new AppendOptions
        {
            OperationId = operation,
            Requires = [.. (parse.GetValue(_requires) ?? []).Select(RequirementOf)],
            Conditions = query is null ? [] : [AppendCondition.FailIfMatch(query, after)],
            AttemptedAfter = _attemptedAfter.Of(parse, _operationId),
        };
    }

    // The name of a stream may hold = itself; what is expected can't.
    private StreamRequirement RequirementOf(string pair)
    {
        var at = pair.LastIndexOf('=');
        return at >= 1
            ? new StreamRequirement(pair[..at], ExpectedOf(pair[(at + 1)..], _requires.Name))
            : throw new UsageException($"{_requires.Name} '{pair}' must be STREAM=EXPECTED, as in account-1=4.");
    }

    private EventData EventOf(ParseResult parse, Guid operation)
    {
        var data = Encoding.UTF8.GetBytes(parse.GetValue(_data)!);
        DateTimeOffset? occurredAt = null;
        if (parse.GetValue(_occurredAt) is { } text)
        {
            occurredAt = JsonText.TryParseTime(text, out var time) ? time : throw BadTime(_occurredAt.Name, text);
        }

        var e = new EventData(parse.GetValue(_type)!, data)
        {
            // A repeat must be the same to the byte, or its operation id counts as reused.
            Id = parse.GetValue(_id) ?? operation,
            ContentType = parse.GetValue(_contentType) ?? "",
            SchemaVersion = parse.GetValue(_schemaVersion),
            OccurredAt = occurredAt,
            Tags = parse.GetValue(_tags) ?? [],
            Metadata = MetadataOf(parse.GetValue(_metadata) ?? []),
        };
        return !e.IsJson || JsonText.IsJson(data)
            ? e
            : throw new UsageException($"--data is not valid JSON, or nested deeper than {JsonText.MaxDepth}. Quote it for the shell, as in --data '{{\"amount\":1}}', or name its --content-type.");
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
