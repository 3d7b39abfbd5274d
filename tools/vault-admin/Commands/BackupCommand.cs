using System.CommandLine;
using System.Text.Json;
using EventVault.Client;
using EventVault.Storage;
using EventVault.Storage.Backups;
using EventVault.Storage.Io;
using EventVault.Storage.Shipping;

namespace EventVault.Admin.Commands;

/// <summary><c>backup</c>: a running node's log into a directory, or what is new of it; <c>backup verify</c>.</summary>
internal sealed class BackupCommand
{
    private const string Description =
        "Back a running vault up into a directory, over the network, from any of its nodes: all of it the first time, then what is new. Whenever it is interrupted or killed, the directory holds the last finished backup.";

    // 1.3 TB a day. What that costs a node on the same machine: perf/results.
    private const ulong UsualRate = 16 << 20;

    // What is read back here, to be checked, counts as a fourth of what comes from the node: nobody has sent it, and nothing is written.
    private const int ReadBackPart = 4;

    private static readonly string[] Examples =
    [
        "backup --to /mnt/backup                    the next backup in this directory",
        "backup --to /mnt/backup --rate 100MiB      faster; 0: as fast as it goes",
        "backup verify /mnt/backup                  check it from end to end",
    ];

    private readonly Option<string> _to = new("--to") { Description = "The backup directory; missing, empty, or with earlier backups of this vault.", HelpName = "directory" };
    private readonly Option<string> _rate = new("--rate") { Description = $"Bytes a second to read from the node at the most, such as 10MiB, and a quarter of that on a busy machine; 0: as fast as it goes. {Quantity.Text(UsualRate)} unless given.", HelpName = "size" };

    public static Command Create(GlobalOptions global)
    {
        var self = new BackupCommand();
        var command = new CommandWithExamples("backup", Description, Examples) { self._to, self._rate };
        global.Run(command, self.RunAsync);
        command.Subcommands.Add(Verify(global));
        return command;
    }

    private static Command Verify(GlobalOptions global)
    {
        var directory = new Argument<string>("directory") { Description = "The backup directory." };
        var command = new Command("verify", "Check a backup from end to end without restoring it; change nothing.") { directory };
        global.Run(command, async (parse, context) =>
        {
            var path = Path.GetFullPath(parse.GetValue(directory) is { Length: > 0 } given ? given : throw new UsageException("Name the backup directory."));
            RequireDirectory(path);
            var report = await ProgressBar.RunAsync($"Verifying {path}", progress => Task.Run(
                () => BackupVerifier.Verify(new NativeFileSystem(), path, (done, all) => Step(context, progress, done, all))));
            if (context.Output.Json)
            {
                context.Output.WriteJson(w => Write(w, report.Content, read: null, report.Damage));
                return report.Damage.Count == 0 ? ExitCode.Done : ExitCode.Damage;
            }

            foreach (var damage in report.Damage)
            {
                context.Output.WriteLine($"{damage.Segment}, offset {damage.Offset}: damaged: {damage.Expected}");
            }

            Show(context.Output, report.Content);
            context.Output.WriteLine(report.Damage.Count == 0
                ? $"{path}: no damage."
                : $"{path}: {Rows.Count(report.Damage.Count, "damaged segment")}. Delete their files in {Path.Combine(path, "segments")} and back up again: they are read anew. If the vault is gone, use another backup.");
            return report.Damage.Count == 0 ? ExitCode.Done : ExitCode.Damage;
        });
        return command;
    }

    /// <summary>A backup's directory that is to be read.</summary>
    /// <param name="path">Its full path.</param>
    /// <exception cref="UsageException">There is none.</exception>
    public static void RequireDirectory(string path)
    {
        if (!Directory.Exists(path))
        {
            throw new UsageException($"There is no directory '{path}'.");
        }
    }

    private async Task<int> RunAsync(ParseResult parse, CommandContext context)
    {
        try
        {
            return await BackUpAsync(parse, context);
        }
        catch (OperationCanceledException e)
        {
            throw new InterruptedException("Interrupted before it was done. The directory still holds the backup before, if there was one; the next run goes on with what is there.", e);
        }
    }

    private async Task<int> BackUpAsync(ParseResult parse, CommandContext context)
    {
        var path = Path.TrimEndingDirectorySeparator(Path.GetFullPath(parse.GetValue(_to) is { Length: > 0 } given ? given : throw new UsageException($"Say where to: {_to.Name} DIRECTORY.")));
        if (File.Exists(path))
        {
            throw new UsageException($"'{path}' is a file. Name a directory: missing, empty, or with earlier backups of this vault.");
        }

        var pace = new Pace(parse.GetValue(_rate) is { } rate ? Quantity.Bytes(rate, _rate.Name) : UsualRate, TimeProvider.System);
        await using var client = context.ConnectForBackup();
        var begunAt = (DateTimeOffset.UtcNow - DateTimeOffset.UnixEpoch).Ticks;
        var listing = await client.Backups.ListAsync(cancellationToken: context.Stop);
        var vault = VaultIdentity.Decode(listing.Vault.Span)
            ?? throw new UsageException($"The node at {CredentialOptions.WithoutUser(context.Endpoint)} describes its vault in a way that this version of vault-admin does not know. Use the node's version.");
        List<ShippedSegment>? first = Segments(listing, vault);
        using var folder = BackupFolder.Open(new NativeFileSystem(), path, vault, bytes => pace.Wait(bytes / ReadBackPart, context.Stop));
        var read = 0L;
        var content = await ProgressBar.RunAsync($"Backing up to {path}", progress => BackupRun.RunAsync(
            folder, new BackupOrigin(ListAsync, ReadAsync), begunAt, (done, all) => progress((double)done / all)));
        if (context.Output.Json)
        {
            context.Output.WriteJson(w => Write(w, content, read, damage: null));
        }
        else
        {
            Show(context.Output, content);
            context.Output.WriteLine($"{path}: done, {Rows.Bytes((ulong)read)} were read.");
        }

        return ExitCode.Done;

        async Task<IReadOnlyList<ShippedSegment>> ListAsync(uint from)
        {
            // What was asked for to learn whose it is, is the first list.
            var known = first;
            first = null;
            return from == 0 && known is not null ? known : Segments(await client.Backups.ListAsync(from, context.Stop), vault);
        }

        async Task<bool> ReadAsync(ShippedSegment segment, long offset)
        {
            var description = new byte[ShippedSegment.EncodedLength];
            segment.Encode(description);
            await foreach (var piece in client.Backups.ReadAsync(description, offset, context.Stop))
            {
                if (piece.IsEmpty)
                {
                    return false;
                }

                folder.Add(piece.Span);
                read += piece.Length;
                await pace.WaitAsync(piece.Length, context.Stop);
            }

            return true;
        }
    }

    private static List<ShippedSegment> Segments(BackupListing listing, VaultIdentity vault) =>
    [
        .. listing.Segments.Select(bytes => bytes.Length == ShippedSegment.EncodedLength && ShippedSegment.TryDecode(bytes.Span, vault.SegmentSizeBytes, isBackup: true) is { } segment
            ? segment
            : throw new VaultException(VaultErrorCode.ProtocolViolation, "The node named a segment that can't be: it is of another version than vault-admin, or damaged.")),
    ];

    private static void Step(CommandContext context, Action<double> progress, int done, int all)
    {
        context.Stop.ThrowIfCancellationRequested();
        progress((double)done / all);
    }

    private static void Show(Output output, BackupContent content) => output.Show(Rows.Of(
        ("vault", content.VaultId.ToString()),
        ("backup", $"number {Rows.Place((ulong)content.Number)}, begun {Time(content.BegunAt)}"),
        ("events", content.Last == Storage.Position.None ? "none" : $"positions 0 to {Rows.Place((ulong)content.Last.Value)}, up to {Time(content.LastTime)}"),
        ("size", $"{Rows.Bytes((ulong)content.Bytes)} in {Rows.Count(content.Segments, "segment")}"),
        ("follows", content.FollowsBegunAt == 0 ? "none: it is the first" : $"that of {Time(content.FollowsBegunAt)}, up to position {content.FollowsLast}")));

    private static void Write(Utf8JsonWriter w, BackupContent content, long? read, IReadOnlyList<Damage>? damage)
    {
        w.WriteStartObject();
        w.WriteString("vaultId", content.VaultId);
        w.WriteNumber("number", content.Number);
        w.WriteString("begunAt", Time(content.BegunAt));
        w.WriteNumberOrNull("lastPosition", content.Last == Storage.Position.None ? null : (ulong)content.Last.Value);
        w.WriteString("lastTime", Time(content.LastTime));
        w.WriteNumber("segments", content.Segments);
        w.WriteNumber("bytes", content.Bytes);
        if (read is { } bytes)
        {
            w.WriteNumber("bytesRead", bytes);
        }

        if (damage is not null)
        {
            w.WriteStartArray("damage");
            foreach (var place in damage)
            {
                w.WriteStartObject();
                w.WriteString("segment", place.Segment);
                w.WriteNumber("offset", place.Offset);
                w.WriteString("expected", place.Expected);
                w.WriteEndObject();
            }

            w.WriteEndArray();
        }

        w.WriteEndObject();
    }

    /// <summary>A time of the vault's, as people and JSON have it.</summary>
    /// <param name="ticks">100 ns ticks since 1970.</param>
    public static string Time(long ticks) => JsonText.Time(DateTimeOffset.UnixEpoch.AddTicks(ticks));
}
