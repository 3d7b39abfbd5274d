using System.CommandLine;
using System.IO.Compression;
using EventVault.Admin.History;
using EventVault.Client;
using EventVault.Storage.Io;

namespace EventVault.Admin.Commands;

/// <summary><c>export</c>: all events as a history file that <c>import</c> reads.</summary>
internal static class ExportCommand
{
    // As files of the vault have them: its events are nobody else's business.
    private const UnixFileMode Rights = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.GroupRead;

    public static Command Create(GlobalOptions global)
    {
        var file = new Argument<string>("file") { Description = "Where to; gzip if the name ends with .gz; - writes to stdout." };
        var command = new Command("export", "Export all events in the form that import reads; each append is one batch. The vault's own streams ($…) stay out.") { file };
        global.Run(command, (parse, context) => parse.GetValue(file) switch
        {
            "-" => ToStdoutAsync(context),
            { Length: > 0 } path => ToFileAsync(path, context),
            _ => throw new UsageException("Name a file, or - for stdout."),
        });
        return command;
    }

    // Under another name until it is whole: a file that has the name is complete.
    private static async Task<int> ToFileAsync(string path, CommandContext context)
    {
        RequireFile(path);
        var partial = path + ".partial";
        await using var client = context.Connect();
        await using var read = client.ReadAllAsync(cancellationToken: context.Stop);
        var head = await context.OpenAsync(read.GetHeadAsync());
        HistoryWriter history;
        try
        {
            File.Delete(partial); // Of one that was killed; with its rights, too.
            var created = new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write, BufferSize = 0 };
            if (!OperatingSystem.IsWindows())
            {
                created.UnixCreateMode = Rights;
            }

            await using var file = new FileStream(partial, created);
            await using Stream target = path.EndsWith(".gz", StringComparison.OrdinalIgnoreCase) ? new GZipStream(file, CompressionLevel.Optimal) : file;
            history = await ProgressBar.RunAsync($"Exporting to {path}", progress => WriteAsync(read, head, bytes => target.WriteAsync(bytes), progress));
        }
        catch
        {
            File.Delete(partial);
            throw;
        }

        PutInPlace(partial, path);
        if (context.Output.Json)
        {
            context.Output.WriteJson(w =>
            {
                w.WriteStartObject();
                w.WriteNumber("appends", history.Appends);
                w.WriteNumber("events", history.Events);
                w.WriteNumberOrNull("lastPosition", history.LastPosition);
                w.WriteEndObject();
            });
        }
        else
        {
            context.Output.WriteLine($"{path}: {Rows.Count(history.Events, "event")} in {Rows.Count(history.Appends, "append")}.");
        }

        return ExitCode.Done;
    }

    // A file takes the place of what has its name: that must be nothing, or a file. Where a link leads the kernel knows, and only while it follows it.
    private static void RequireFile(string path)
    {
        if (Directory.Exists(path))
        {
            throw new UsageException($"'{path}' is a folder. Name a file, or - for stdout.");
        }

        if (NativeFileSystem.IsNoRegularFile(path))
        {
            throw new UsageException($"'{path}' is no regular file. Name another, or write to stdout, by -, and from there into it.");
        }

        if (new FileInfo(path).LinkTarget is { } target)
        {
            throw new UsageException($"'{path}' is a link to '{target}'. Name the file itself.");
        }
    }

    // Durable before it has the name: perhaps what it was made of is deleted next.
    private static void PutInPlace(string partial, string path)
    {
        var files = new NativeFileSystem();
        using (var file = files.OpenFile(partial, FileOpening.Existing))
        {
            file.Flush();
        }

        files.MoveFile(partial, path);
        files.FlushDirectory(Path.GetDirectoryName(Path.GetFullPath(path))!);
    }

    private static async Task<int> ToStdoutAsync(CommandContext context)
    {
        await using var client = context.Connect();
        await using var read = client.ReadAllAsync(cancellationToken: context.Stop);
        var head = await context.OpenAsync(read.GetHeadAsync());
        var history = await WriteAsync(read, head, context.Output.WriteAsync, _ => { });
        Output.Note($"Exported {Rows.Count(history.Events, "event")} in {Rows.Count(history.Appends, "append")}.");
        return ExitCode.Done;
    }

    private static async Task<HistoryWriter> WriteAsync(ReadResult read, ReadHead head, Func<ReadOnlyMemory<byte>, ValueTask> target, Action<double> progress)
    {
        await using var history = new HistoryWriter(target);
        await foreach (var e in read)
        {
            await history.WriteAsync(e);
            progress((e.Position + 1.0) / (head.LastPosition + 1.0 ?? 1));
        }

        await history.FlushAsync();
        return history;
    }
}
