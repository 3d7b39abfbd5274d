using System.CommandLine;
using System.Text.Json;
using EventVault.Client;

namespace EventVault.Admin.Commands;

/// <summary><c>state diff</c>: what changed in a stream's state between two moments.</summary>
internal sealed class StateDiffCommand
{
    // A state may be some levels deeper than the events' 64.
    private static readonly JsonDocumentOptions Deep = new() { MaxDepth = JsonText.MaxDepth };

    private readonly Argument<string> _stream = new("stream") { Description = "Name of the stream." };
    private readonly Option<string> _from = new("--from") { Description = $"The earlier moment, as a rule: {CutText.Form}.", HelpName = "moment", Required = true };
    private readonly Option<string> _to = new("--to") { Description = $"The other moment: {CutText.Form}.", HelpName = "moment", Required = true };
    private readonly ReducerOptions _reducer = new();

    public static Command Create(GlobalOptions global)
    {
        var self = new StateDiffCommand();
        var command = new Command("diff", "Show what changed in the state of a stream between two moments, by the paths of its members. Arrays are compared whole.")
        {
            self._stream, self._from, self._to,
        };
        self._reducer.AddTo(command);
        global.Run(command, self.RunAsync);
        return command;
    }

    private async Task<int> RunAsync(ParseResult parse, CommandContext context)
    {
        var stream = parse.GetValue(_stream)!;
        var from = CutText.Parse(parse.GetValue(_from)!, _from.Name);
        var to = CutText.Parse(parse.GetValue(_to)!, _to.Name);
        var reducer = _reducer.Of(parse);
        var options = new StateOptions { AllowPartial = _reducer.AllowPartial(parse), Consistency = Consistency.Linearizable };
        await using var client = context.Connect();
        var before = await client.States.GetAsync(stream, from, reducer, options, context.Stop);
        var after = await client.States.GetAsync(stream, to, reducer, options, context.Stop);
        if (before.ReducerHash != after.ReducerHash)
        {
            throw new UsageException("The reducer was defined anew between the two answers. Ask again, or name its version.");
        }

        using var old = before.Exists ? JsonDocument.Parse(before.Json, Deep) : null;
        using var now = after.Exists ? JsonDocument.Parse(after.Json, Deep) : null;
        var changes = JsonDifference.Between(old?.RootElement, now?.RootElement);
        if (context.Output.Json)
        {
            context.Output.WriteJson(w => WriteJson(w, before, after, changes));
        }
        else
        {
            WriteLines(context.Output, before, after, changes);
        }

        return ExitCode.Done;
    }

    private static void WriteLines(Output output, StreamState before, StreamState after, IReadOnlyList<JsonChange> changes)
    {
        output.WriteLine("- " + StateText.Title(before));
        output.WriteLine("+ " + StateText.Title(after));
        foreach (var change in changes)
        {
            var path = change.Path.Length == 0 ? "the whole state" : change.Path;
            output.WriteLine($"{path}: {change.From?.GetRawText() ?? "nothing"} → {change.To?.GetRawText() ?? "nothing"}");
        }

        if (changes.Count == 0)
        {
            output.WriteLine("no difference");
        }
    }

    private static void WriteJson(Utf8JsonWriter w, StreamState before, StreamState after, IReadOnlyList<JsonChange> changes)
    {
        w.WriteStartObject();
        w.WriteString("stream", after.Stream);
        WriteEnd(w, "from", before);
        WriteEnd(w, "to", after);
        w.WriteStartArray("changes");
        foreach (var change in changes)
        {
            w.WriteStartObject();
            w.WriteString("path", change.Path);
            w.WriteString("change", change.From is null ? "added" : change.To is null ? "removed" : "changed");
            WriteValue(w, "from", change.From);
            WriteValue(w, "to", change.To);
            w.WriteEndObject();
        }

        w.WriteEndArray();
        w.WriteEndObject();
    }

    private static void WriteEnd(Utf8JsonWriter w, string name, StreamState state)
    {
        w.WriteStartObject(name);
        w.WriteBoolean("exists", state.Exists);
        w.WriteNumberOrNull("version", state.Version);
        w.WriteNumberOrNull("position", state.Position);
        w.WriteTime("recordedAt", state.RecordedAt);
        w.WriteEndObject();
    }

    // What is not there has no member: JSON's null is a value.
    private static void WriteValue(Utf8JsonWriter w, string name, JsonElement? value)
    {
        if (value is { } v)
        {
            w.WritePropertyName(name);
            w.WriteRawValue(v.GetRawText(), skipInputValidation: true);
        }
    }
}
