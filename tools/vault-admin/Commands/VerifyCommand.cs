using System.CommandLine;
using System.Text.Json;
using EventVault.Storage;
using EventVault.Storage.Io;

namespace EventVault.Admin.Commands;

/// <summary><c>verify</c>: checks a stopped vault's data directory, and changes nothing.</summary>
internal static class VerifyCommand
{
    public static Command Create(GlobalOptions global)
    {
        var directory = new Argument<string>("directory") { Description = "The data directory; no node may be running on it." };
        var command = new Command("verify", "Check a stopped vault's data directory from end to end.") { directory };
        global.Run(command, async (parse, context) =>
        {
            var path = Path.GetFullPath(parse.GetValue(directory) is { Length: > 0 } given ? given : throw new UsageException("Name the data directory."));
            var report = await ProgressBar.RunAsync($"Verifying {path}", progress => Task.Run(
                () => LogVerifier.Verify(new NativeFileSystem(), path, (done, all) => progress((double)done / all)), context.Stop).WaitAsync(context.Stop));
            if (!report.IsLocked)
            {
                Output.Note("vault-admin: the file system can only be read, so the directory could not be locked. If a node writes to it elsewhere, what follows may be wrong.");
            }

            if (context.Output.Json)
            {
                context.Output.WriteJson(w => Write(w, report));
            }
            else
            {
                Show(context.Output, path, report);
            }

            return report.Damage.Count == 0 ? ExitCode.Done : ExitCode.Damage;
        });
        return command;
    }

    private static void Write(Utf8JsonWriter w, VerifyReport report)
    {
        w.WriteStartObject();
        w.WriteNumber("events", report.Events);
        w.WriteStartArray("damage");
        foreach (var damage in report.Damage)
        {
            w.WriteStartObject();
            w.WriteString("segment", damage.Segment);
            w.WriteNumber("offset", damage.Offset);
            w.WriteString("expected", damage.Expected);
            if (damage.Remedy is { } remedy)
            {
                w.WriteString("remedy", remedy);
            }

            w.WriteEndObject();
        }

        w.WriteEndArray();
        if (report.Torn is { } torn)
        {
            w.WriteStartObject("torn");
            w.WriteString("segment", torn.Segment);
            w.WriteNumber("offset", torn.Offset);
            w.WriteNumber("bytes", torn.Bytes);
            w.WriteEndObject();
        }

        w.WriteEndObject();
    }

    private static void Show(Output output, string path, VerifyReport report)
    {
        foreach (var damage in report.Damage)
        {
            output.WriteLine($"{damage.Segment}, offset {damage.Offset}: damaged: {damage.Expected.TrimEnd('.')}.{(damage.Remedy is { } remedy ? " " + remedy : string.Empty)}");
        }

        if (report.Torn is { } torn)
        {
            output.WriteLine($"{torn.Segment}, offset {torn.Offset}: {torn.Bytes} bytes of a torn tail, never acknowledged; the next start cuts them off. This is no damage.");
        }

        var events = Rows.Count(report.Events, "event");
        output.WriteLine($"{path}: " + report switch
        {
            { Damage.Count: 0 } => $"{events} in {Rows.Count(report.Segments, "segment")}, no damage.",
            _ when report.Damage.All(d => d.Remedy is not null) => $"{Rows.Count(report.Damage.Count, "damaged place")}, and no event is lost: {events}. What can be made again is damaged, as said above; a disk that changes what it holds may be failing.",
            _ => $"{Rows.Count(report.Damage.Count, "damaged place")}; {Rows.Count(report.Events, "intact event")}. Keep this directory as it is and restore the vault from another node or a backup.",
        });
    }
}
