using System.CommandLine;
using System.Text.Json;
using EventVault.Client;

namespace EventVault.Admin.Commands;

/// <summary><c>streams ls</c> and <c>streams show</c>.</summary>
internal static class StreamsCommand
{
    public static Command Create(GlobalOptions global) => new("streams", "List streams, or show one.") { CreateList(global), CreateShow(global) };

    private static Command CreateList(GlobalOptions global)
    {
        var prefix = new Option<string>("--prefix") { Description = "How the names begin; $ lists the vault's own.", DefaultValueFactory = _ => "" };
        var limit = new Option<ulong?>("--limit") { Description = "At most this many streams.", HelpName = "N" };
        var command = new Command("ls", "List streams in the order of their names.") { prefix, limit };
        global.Run(command, async (parse, context) =>
        {
            var left = parse.GetValue(limit) ?? ulong.MaxValue;
            if (left == 0)
            {
                throw new UsageException("--limit must be at least 1.");
            }

            await using var client = context.Connect();
            await foreach (var stream in client.ListStreamsAsync(parse.GetValue(prefix)!, (int)Math.Min(left, 1000), context.Stop))
            {
                if (context.Output.Json)
                {
                    context.Output.WriteJson(w => Write(w, stream));
                }
                else
                {
                    context.Output.WriteLine($"{stream.Stream}  {Rows.Number(stream.LastVersion + 1)} events, last at position {Rows.Number(stream.LastPosition)}, {JsonText.Time(stream.LastRecordedAt)}");
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
        var command = new Command("show", "Show a stream's last version, and where and when it was written.") { name };
        global.Run(command, async (parse, context) =>
        {
            await using var client = context.Connect();
            var stream = await client.GetStreamAsync(parse.GetValue(name)!, context.Stop);
            if (context.Output.Json)
            {
                context.Output.WriteJson(w => Write(w, stream));
            }
            else
            {
                context.Output.Show(Rows.Of(
                    ("stream", stream.Stream),
                    ("last version", Rows.Number(stream.LastVersion)),
                    ("last position", Rows.Number(stream.LastPosition)),
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
        writer.WriteEndObject();
    }
}
