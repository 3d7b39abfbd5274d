using System.CommandLine;
using EventVault.Admin.History;
using EventVault.Client;

namespace EventVault.Admin.Commands;

/// <summary><c>import</c>: a history file into the vault, each of its batches as one append.</summary>
internal static class ImportCommand
{
    public static Command Create(GlobalOptions global)
    {
        var file = new Argument<string>("file") { Description = "The history, plain or gzip; - reads stdin." };
        var command = new Command("import", "Import a history: one JSON object a line, each batch as one atomic append. Importing it again adds nothing.") { file };
        global.Run(command, (parse, context) => RunAsync(parse.GetValue(file)!, context));
        return command;
    }

    private static async Task<int> RunAsync(string path, CommandContext context)
    {
        await using var file = path == "-" ? Console.OpenStandardInput() : OpenFile(path);
        await using var client = context.Connect(Importer.Retry);
        var info = await client.GetInfoAsync(context.Stop);
        var history = new HistoryReader(file, LimitOf(info, "append_events"), LimitOf(info, "append_bytes"));
        var figures = await ProgressBar.RunAsync($"Importing {path}", progress => new Importer(client).RunAsync(
            history, () => progress(file.CanSeek ? (double)file.Position / file.Length : 0), context.Stop));
        if (context.Output.Json)
        {
            context.Output.WriteJson(w =>
            {
                w.WriteStartObject();
                figures.Write(w);
                w.WriteEndObject();
            });
        }
        else
        {
            context.Output.WriteLine(
                $"{path}: {Rows.Count(figures.Events, "event")} in {Rows.Count(figures.Appends, "append")}, now in the vault; "
                + $"{Rows.Number((ulong)figures.Deduplicated)} of the appends were there before.");
        }

        return ExitCode.Done;
    }

    private static FileStream OpenFile(string path) => Directory.Exists(path)
        ? throw new UsageException($"'{path}' is a folder. Name a history file, or - for stdin.")
        : new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, bufferSize: 0, FileOptions.SequentialScan);

    private static ulong LimitOf(VaultInfo info, string name)
    {
        foreach (var limit in info.Limits)
        {
            if (limit.Name == name)
            {
                return limit.Allowed;
            }
        }

        // A node that names no such limit still refuses what is too large for it.
        return ulong.MaxValue;
    }
}
