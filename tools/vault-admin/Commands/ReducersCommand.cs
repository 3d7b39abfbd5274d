using System.CommandLine;
using System.Text.Json;
using EventVault.Client;

namespace EventVault.Admin.Commands;

/// <summary><c>reducers ls</c>, <c>reducers show</c> and <c>reducers define</c>.</summary>
internal static class ReducersCommand
{
    public static Command Create(GlobalOptions global) => new("reducers", "List reducers that have a name, show one, define one.")
    {
        CreateList(global),
        CreateShow(global),
        CreateDefine(global),
    };

    private static Command CreateList(GlobalOptions global)
    {
        var consistency = new ConsistencyOption();
        var command = new Command("ls", "List the newest version of each reducer, in the order of their names.");
        consistency.AddTo(command);
        global.Run(command, async (parse, context) =>
        {
            await using var client = context.Connect();
            foreach (var reducer in await client.Reducers.ListAsync(consistency.Of(parse), context.Stop))
            {
                if (context.Output.Json)
                {
                    context.Output.WriteJson(w => Write(w, reducer, changed: null));
                }
                else
                {
                    context.Output.WriteLine($"{reducer.Name}@{reducer.Version}  {reducer.Definition}");
                }
            }

            return ExitCode.Done;
        });
        return command;
    }

    private static Command CreateShow(GlobalOptions global)
    {
        var name = new Argument<string>("name") { Description = "NAME for its newest version, or NAME@VERSION." };
        var consistency = new ConsistencyOption();
        var command = new Command("show", "Show a reducer.") { name };
        consistency.AddTo(command);
        global.Run(command, async (parse, context) =>
        {
            var (text, version) = ReducerOptions.Named(parse.GetValue(name)!, name.Name);
            await using var client = context.Connect();
            Show(context.Output, await client.Reducers.GetAsync(text, version, consistency.Of(parse), context.Stop), changed: null);
            return ExitCode.Done;
        });
        return command;
    }

    private static CommandWithExamples CreateDefine(GlobalOptions global)
    {
        var name = new Argument<string>("name") { Description = "Name: a-z, 0-9, - _ and . behind a letter." };
        var slots = new Option<string?>("--slots") { Description = "Named values over the events, such as \"lines = SUM(data.delta)\".", HelpName = "text" };
        var mergePatch = new Option<bool>("--merge-patch") { Description = "Merge the events' data." };
        var categories = new Option<string[]>("--category") { Description = "Keep states of this category's streams whole when old events are truncated; may be repeated.", HelpName = "C" };
        var eager = new Option<bool>("--eager") { Description = "Keep states on the way as events come, instead of when they are asked for." };
        var expected = new Option<uint?>("--expected-version") { Description = "What the newest version must be; 0: the name must be new.", HelpName = "N" };
        var operationId = new Option<Guid?>("--operation-id") { Description = "UUID of the change: a repeat with the same one does nothing." };
        var attemptedAfter = new AttemptedAfterOption();
        var command = new CommandWithExamples(
            "define",
            "Give a reducer a name. Another definition becomes the next version; the same one changes nothing.",
            "reducers define lines --slots \"lines = SUM(data.delta)\" --category file",
            "reducers define cart --merge-patch --expected-version 0")
        {
            name, slots, mergePatch, categories, eager, expected, operationId, attemptedAfter.Option,
        };
        global.Run(command, async (parse, context) =>
        {
            var definition = (parse.GetValue(slots), parse.GetValue(mergePatch)) switch
            {
                ({ } text, false) => Reducer.Slots(text),
                (null, true) => Reducer.MergePatch,
                _ => throw new UsageException($"Give {slots.Name} or {mergePatch.Name}, one of them."),
            };
            var options = new DefineReducerOptions
            {
                Categories = parse.GetValue(categories) ?? [],
                Eager = parse.GetValue(eager),
                ExpectedVersion = parse.GetValue(expected),
                Change = new ChangeOptions { OperationId = parse.GetValue(operationId), AttemptedAfter = attemptedAfter.Of(parse, operationId) },
            };
            await using var client = context.Connect();
            var result = await client.Reducers.DefineAsync(parse.GetValue(name)!, definition, options, context.Stop);
            Show(context.Output, result.Reducer, result.Changed);
            return ExitCode.Done;
        });
        return command;
    }

    private static void Show(Output output, NamedReducer reducer, bool? changed)
    {
        if (output.Json)
        {
            output.WriteJson(w => Write(w, reducer, changed));
            return;
        }

        var note = changed == false ? " (it was so already)" : "";
        output.WriteLine($"{reducer.Name}@{reducer.Version}{note}");
        output.WriteLine($"  definition  {reducer.Definition}");
        output.WriteLine($"  categories  {(reducer.Categories.Count == 0 ? "none" : string.Join(", ", reducer.Categories))}");
        output.WriteLine($"  eager       {(reducer.Eager ? "yes" : "no")}");
        output.WriteLine($"  hash        {reducer.Hash}");
        output.WriteLine($"  recorded    {JsonText.Time(reducer.RecordedAt)}, at position {Rows.Place(reducer.Position)}");
    }

    private static void Write(Utf8JsonWriter w, NamedReducer reducer, bool? changed)
    {
        w.WriteStartObject();
        w.WriteString("name", reducer.Name);
        w.WriteNumber("version", reducer.Version);
        w.WriteString("kind", reducer.Definition.SlotsText is null ? "merge_patch" : "slots");
        if (reducer.Definition.SlotsText is { } slots)
        {
            w.WriteString("slots", slots);
        }

        w.WriteStartArray("categories");
        foreach (var category in reducer.Categories)
        {
            w.WriteStringValue(category);
        }

        w.WriteEndArray();
        w.WriteBoolean("eager", reducer.Eager);
        w.WriteString("hash", reducer.Hash);
        w.WriteNumber("position", reducer.Position);
        w.WriteTime("recordedAt", reducer.RecordedAt);
        if (changed is { } c)
        {
            w.WriteBoolean("changed", c);
        }

        w.WriteEndObject();
    }
}
