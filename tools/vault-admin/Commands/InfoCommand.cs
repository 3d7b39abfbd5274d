using System.CommandLine;
using System.Globalization;
using EventVault.Client;
using Spectre.Console;

namespace EventVault.Admin.Commands;

/// <summary><c>info</c>: what the node is.</summary>
internal static class InfoCommand
{
    public static Command Create(GlobalOptions global)
    {
        var command = new Command("info", "Show what the node is: version, identity, limits.");
        global.Run(command, async (_, context) =>
        {
            await using var client = context.Connect();
            var info = await client.GetInfoAsync(context.Stop);
            if (context.Output.Json)
            {
                WriteJson(context.Output, info);
            }
            else
            {
                Show(context, info);
            }

            return ExitCode.Done;
        });
        return command;
    }

    private static void WriteJson(Output output, VaultInfo info) => output.WriteJson(w =>
    {
        w.WriteStartObject();
        w.WriteString("version", info.Version);
        w.WriteString("vaultId", info.VaultId);
        w.WriteNumberOrNull("head", info.Head);
        w.WriteTime("headRecordedAt", info.HeadRecordedAt);
        w.WriteNumber("segmentSizeBytes", info.SegmentSizeBytes);
        w.WriteNumberOrNull("operationFloor", info.OperationFloor);
        w.WriteStartArray("limits");
        foreach (var limit in info.Limits)
        {
            w.WriteStartObject();
            w.WriteString("name", limit.Name);
            w.WriteNumber("allowed", limit.Allowed);
            w.WriteString("setting", limit.Setting);
            w.WriteEndObject();
        }

        w.WriteEndArray();
        w.WriteEndObject();
    });

    private static void Show(CommandContext context, VaultInfo info)
    {
        context.Output.Show(Rows.Of(
            ("endpoint", CredentialOptions.WithoutUser(context.Endpoint)),
            ("version", info.Version),
            ("vault", info.VaultId.ToString()),
            ("head", Rows.Head(info.Head, info.HeadRecordedAt)),
            ("segment size", Rows.Bytes(info.SegmentSizeBytes)),
            ("operation ids", info.OperationFloor is { } floor ? $"kept behind position {Rows.Place(floor)}" : "all kept")));
        var limits = new Table().AddColumn("limit").AddColumn(new TableColumn("allowed").RightAligned()).AddColumn("setting");
        foreach (var limit in info.Limits)
        {
            limits.AddRow(
                Markup.Escape(limit.Name),
                limit.Allowed.ToString("N0", CultureInfo.InvariantCulture),
                Markup.Escape(limit.Setting.Length > 0 ? limit.Setting : "(fixed)"));
        }

        context.Output.Show(limits);
    }
}
