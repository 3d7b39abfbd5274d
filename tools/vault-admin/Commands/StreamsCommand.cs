using System.CommandLine;
using System.Text.Json;
using EventVault.Client;

namespace EventVault.Admin.Commands;

/// <summary><c>streams ls</c>, <c>streams show</c>, what ends streams, and retention.</summary>
internal static class StreamsCommand
{
    public static Command Create(GlobalOptions global) => new("streams", "List streams, show one, end one, and say how long events are kept.")
    {
        CreateList(global),
        CreateShow(global),
        StreamLifeCommands.CreateDelete(global),
        StreamLifeCommands.CreateTombstone(global),
        StreamLifeCommands.CreateTruncate(global),
        RetainCommand.Create(global),
        RetentionCommand.Create(global),
    };

    private static Command CreateList(GlobalOptions global)
    {
        var prefix = new Option<string>("--prefix") { Description = "How the names begin; $ lists the vault's own.", DefaultValueFactory = _ => "" };
        var category = new Option<string?>("--category") { Description = "Only streams of this category: what stands before the first - of the name. Instead of --prefix." };
        var consistency = new ConsistencyOption();
        var limit = new Option<ulong?>("--limit") { Description = "At most this many streams.", HelpName = "N" };
        var command = new Command("ls", "List streams in the order of their names.") { prefix, category, limit };
        consistency.AddTo(command);
        global.Run(command, async (parse, context) =>
        {
            var left = parse.GetValue(limit) ?? ulong.MaxValue;
            if (left == 0)
            {
                throw new UsageException("--limit must be at least 1.");
            }

            var options = new ListStreamsOptions
            {
                Prefix = parse.GetValue(prefix)!,
                Category = parse.GetValue(category),
                PageSize = (int)Math.Min(left, 1000),
                Consistency = consistency.Of(parse),
            };
            if (options.Category is "" || (options.Category is not null && options.Prefix.Length > 0))
            {
                throw new UsageException(options.Category is "" ? "--category is empty. Give a text, or leave the option out." : "Give --prefix or --category, not both.");
            }

            await using var client = context.Connect();
            await foreach (var stream in client.ListStreamsAsync(options, context.Stop))
            {
                if (context.Output.Json)
                {
                    context.Output.WriteJson(w => Write(w, stream));
                }
                else
                {
                    context.Output.WriteLine($"{stream.Stream}  {Rows.Count((long)stream.EventCount, "event")}, last version {Rows.Place(stream.LastVersion)} at position {Rows.Place(stream.LastPosition)}, {JsonText.Time(stream.LastRecordedAt)}");
                }

                await context.Output.FlushIfFullAsync();
                if (--left == 0)
                {
                    break;
                }
            }

            return ExitCode.Done;
        });
        return command;
    }

    private static Command CreateShow(GlobalOptions global)
    {
        var name = new Argument<string>("stream") { Description = "Name of the stream." };
        var consistency = new ConsistencyOption();
        var command = new Command("show", "Show a stream's versions, and where and when the last was written.") { name };
        consistency.AddTo(command);
        global.Run(command, async (parse, context) =>
        {
            await using var client = context.Connect();
            var stream = await client.GetStreamAsync(parse.GetValue(name)!, consistency.Of(parse), context.Stop);
            if (context.Output.Json)
            {
                context.Output.WriteJson(w => Write(w, stream));
            }
            else
            {
                context.Output.Show(Rows.Of(
                    ("stream", stream.Stream),
                    ("events", Rows.Number(stream.EventCount)),
                    ("first version", Rows.Place(stream.FirstVersion)),
                    ("last version", Rows.Place(stream.LastVersion)),
                    ("last position", Rows.Place(stream.LastPosition)),
                    ("last recorded", JsonText.Time(stream.LastRecordedAt))));
            }

            return ExitCode.Done;
        });
        return command;
    }

    private static void Write(Utf8JsonWriter writer, StreamInfo stream)
    {
        writer.WriteStartObject();
        writer.WriteString("stream", stream.Stream);
        writer.WriteNumber("lastVersion", stream.LastVersion);
        writer.WriteNumber("lastPosition", stream.LastPosition);
        writer.WriteTime("lastRecordedAt", stream.LastRecordedAt);
        writer.WriteNumber("firstVersion", stream.FirstVersion);
        writer.WriteNumber("eventCount", stream.EventCount);
        writer.WriteEndObject();
    }
}
