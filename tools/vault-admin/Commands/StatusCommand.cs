using System.CommandLine;
using System.Globalization;
using EventVault.Client;

namespace EventVault.Admin.Commands;

/// <summary><c>status</c>: how the node is doing right now.</summary>
internal static class StatusCommand
{
    public static Command Create(GlobalOptions global)
    {
        var command = new Command("status", "Show how the node is doing right now.");
        global.Run(command, async (_, context) =>
        {
            await using var client = context.Connect();
            var status = await client.GetStatusAsync(context.Stop);
            if (context.Output.Json)
            {
                WriteJson(context.Output, status);
            }
            else
            {
                Show(context.Output, status);
            }

            return ExitCode.Done;
        });
        return command;
    }

    private static void WriteJson(Output output, VaultStatus status) => output.WriteJson(w =>
    {
        w.WriteStartObject();
        w.WriteNumberOrNull("head", status.Head);
        w.WriteTime("headRecordedAt", status.HeadRecordedAt);
        w.WriteString("state", status.State);
        w.WriteTime("startedAt", status.StartedAt);
        w.WriteNumber("startNumber", status.StartNumber);
        w.WriteNumber("term", status.Term);
        w.WriteNumber("commitIndex", status.CommitIndex);
        w.WriteNumber("segmentsSealed", status.SegmentsSealed);
        w.WriteNumber("segmentsUnsealed", status.SegmentsUnsealed);
        w.WriteNumber("logBytes", status.LogBytes);
        w.WriteNumber("freeBytes", status.FreeBytes);
        w.WriteNumber("appendsWaiting", status.AppendsWaiting);
        w.WriteNumber("subscriptions", status.Subscriptions);
        w.WriteNumber("appends", status.Appends);
        w.WriteNumber("eventsAppended", status.EventsAppended);
        w.WriteNumber("groupsFlushed", status.GroupsFlushed);
        w.WriteNumber("memoryBytes", status.MemoryBytes);
        w.WriteEndObject();
    });

    private static void Show(Output output, VaultStatus status) => output.Show(Rows.Of(
        ("state", status.State),
        ("head", Rows.Head(status.Head, status.HeadRecordedAt)),
        ("started", $"{JsonText.Time(status.StartedAt)}, start number {status.StartNumber}"),
        ("term, commit index", string.Create(CultureInfo.InvariantCulture, $"{status.Term}, {status.CommitIndex}")),
        ("segments", $"{status.SegmentsSealed} sealed, {status.SegmentsUnsealed} unsealed"),
        ("log on disk", $"{Rows.Bytes(status.LogBytes)}, free {Rows.Bytes(status.FreeBytes)}"),
        ("since start", $"{Rows.Number(status.Appends)} appends, {Rows.Number(status.EventsAppended)} events, {Rows.Number(status.GroupsFlushed)} groups flushed"),
        ("now", $"{Rows.Number(status.AppendsWaiting)} appends waiting, {Rows.Number(status.Subscriptions)} subscriptions"),
        ("memory", Rows.Bytes(status.MemoryBytes))));
}
