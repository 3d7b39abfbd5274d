using System.CommandLine;
using EventVault.Raft;
using EventVault.Storage.Backups;
using EventVault.Storage.Io;

namespace EventVault.Admin.Commands;

/// <summary><c>restore</c>: a data directory of a backup, up to any position or time in it.</summary>
internal sealed class RestoreCommand
{
    private const string Description =
        "Make a data directory of a backup: a vault of its own, with a new id and one node, in which positions, versions, ids and times are what they were. Add nodes to it as to any other.";

    private static readonly string[] Examples =
    [
        "restore --from /mnt/backup --data vault                                        all of it",
        "restore --from /mnt/backup --data vault --position 41999                       as it was with this position",
        "restore --from /mnt/backup --data vault --time 2026-11-21T08:59:59.9999999Z    as it was then",
    ];

    private readonly Option<string> _from = new("--from") { Description = "The backup directory.", HelpName = "directory" };
    private readonly Option<string> _data = new("--data") { Description = "The new data directory; missing or empty.", HelpName = "directory" };
    private readonly Option<long?> _position = new("--position") { Description = "End with the last append that ends at or before this position." };
    private readonly Option<string?> _time = new("--time") { Description = "End with the last append that was recorded at or before this time (RFC 3339).", HelpName = "time" };
    private readonly Option<uint?> _nodeId = new("--node-id") { Description = "The node's number in the new vault, 1 to 65,535; 1 unless given." };

    public static Command Create(GlobalOptions global)
    {
        var self = new RestoreCommand();
        var command = new CommandWithExamples("restore", Description, Examples) { self._from, self._data, self._position, self._time, self._nodeId };
        global.Run(command, self.RunAsync);
        return command;
    }

    private async Task<int> RunAsync(ParseResult parse, CommandContext context)
    {
        var from = FullPath(parse.GetValue(_from) is { Length: > 0 } given ? given : throw new UsageException($"Say which backup: {_from.Name} DIRECTORY."));
        var data = FullPath(parse.GetValue(_data) is { Length: > 0 } named ? named : throw new UsageException($"Say where to: {_data.Name} DIRECTORY."));
        var (position, time, node) = (parse.GetValue(_position), parse.GetValue(_time), parse.GetValue(_nodeId) ?? 1);
        if (position is not null && time is not null)
        {
            throw new UsageException($"Say one of {_position.Name} and {_time.Name}.");
        }

        if (position < 0)
        {
            throw new UsageException($"{_position.Name} is {position}; positions are counted from 0.");
        }

        if (node is 0 or > ushort.MaxValue)
        {
            throw new UsageException($"{_nodeId.Name} is {node}; numbers of nodes go from 1 to {ushort.MaxValue}.");
        }

        if ((data + Path.DirectorySeparatorChar).StartsWith(from + Path.DirectorySeparatorChar, StringComparison.Ordinal))
        {
            throw new UsageException($"'{data}' is in the backup directory, which holds backups and nothing else. Name another directory.");
        }

        if (File.Exists(data))
        {
            throw new UsageException($"'{data}' is a file. Name a directory, missing or empty.");
        }

        if (Directory.Exists(data) && Directory.EnumerateFileSystemEntries(data).Any(entry => Path.GetFileName(entry) != "lock"))
        {
            throw new BackupException($"'{data}' is not empty. A backup is restored into an empty directory only: name another one, or empty it if nothing in it is needed.");
        }

        var options = new RestoreOptions
        {
            UntilPosition = position is { } p ? new Storage.Position(p) : null,
            UntilTime = time is null ? null : JsonText.TryParseTime(time, out var until) ? (until - DateTimeOffset.UnixEpoch).Ticks : throw new UsageException($"{_time.Name} '{time}' is no time as RFC 3339, such as 2026-11-21T09:00:00Z."),
            NodeId = node,
            OnlyVoter = static (node, disk) => Membership.OfVoters(new ReplicaId(node, disk)).Encode(),
        };
        BackupCommand.RequireDirectory(from);
        var report = await RestoreAsync(from, data, options, context);
        if (context.Output.Json)
        {
            context.Output.WriteJson(w =>
            {
                w.WriteStartObject();
                w.WriteString("vaultId", report.VaultId);
                w.WriteString("fromVaultId", report.From.VaultId);
                w.WriteNumberOrNull("lastPosition", report.Last == Storage.Position.None ? null : (ulong)report.Last.Value);
                w.WriteString("lastTime", BackupCommand.Time(report.LastTime));
                w.WriteNumber("segments", report.Segments);
                w.WriteEndObject();
            });
            return ExitCode.Done;
        }

        context.Output.WriteLine(report.Last == Storage.Position.None
            ? $"{data}: a vault without events, as vault {report.From.VaultId} was then. It is vault {report.VaultId} from now on."
            : $"{data}: positions 0 to {Rows.Place((ulong)report.Last.Value)} of vault {report.From.VaultId}, up to {BackupCommand.Time(report.LastTime)}, all checked. It is vault {report.VaultId} from now on.");
        context.Output.WriteLine($"Start a node on it with --data {data}{(node == 1 ? "" : $" --node-id {node}")}. Its first start makes the indexes.");
        return ExitCode.Done;
    }

    private static async Task<RestoreReport> RestoreAsync(string from, string data, RestoreOptions options, CommandContext context)
    {
        try
        {
            return await ProgressBar.RunAsync($"Restoring to {data}", progress => Task.Run(() => BackupRestore.Run(new NativeFileSystem(), from, data, options, (done, all) =>
            {
                context.Stop.ThrowIfCancellationRequested();
                progress((double)done / all);
            })));
        }
        catch (OperationCanceledException e)
        {
            throw new InterruptedException($"Interrupted before it was done. What is in '{data}' is no vault: empty that directory, and restore again.", e);
        }
    }

    private static string FullPath(string name) => Path.TrimEndingDirectorySeparator(Path.GetFullPath(name));
}
