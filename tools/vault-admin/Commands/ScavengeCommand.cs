using System.CommandLine;
using EventVault.Client;

namespace EventVault.Admin.Commands;

/// <summary><c>scavenge</c>: gives back the disk space of events that can't be read any more.</summary>
internal sealed class ScavengeCommand
{
    private const string Description =
        "Give back the disk space of events that can't be read any more, in the background. Reads, positions and versions stay as they are; it goes on by itself after a restart.";

    private static readonly string[] Examples =
    [
        "scavenge                    starts one",
        "scavenge --wait             starts one and waits until it is done",
        "scavenge --status           how it is doing; with --wait until it is done",
        "scavenge --explain          why is my space not back? segment by segment; changes nothing",
        "scavenge --stop             ends it; what it has done stays",
    ];

    // Often enough for a progress bar, seldom enough to cost nothing.
    private static readonly TimeSpan LookAgain = TimeSpan.FromMilliseconds(500);

    private readonly Option<bool> _explain = new("--explain") { Description = "Show what one would do, segment by segment, and what keeps the rest; change nothing." };
    private readonly Option<bool> _stop = new("--stop") { Description = "End the one that runs, for good; none starts by itself until one is started by hand." };
    private readonly Option<bool> _status = new("--status") { Description = "Show how it is doing; start nothing." };
    private readonly Option<bool> _wait = new("--wait") { Description = "Wait until it is done; interrupting ends the waiting, not the scavenge." };
    private readonly Option<Guid?> _operationId = new("--operation-id") { Description = "UUID of the start or stop: a repeat with the same one does nothing." };

    public static Command Create(GlobalOptions global)
    {
        var self = new ScavengeCommand();
        var command = new CommandWithExamples("scavenge", Description, Examples) { self._explain, self._stop, self._status, self._wait, self._operationId };
        global.Run(command, self.RunAsync);
        return command;
    }

    private async Task<int> RunAsync(ParseResult parse, CommandContext context)
    {
        var (explains, stops, shows, waits) = (parse.GetValue(_explain), parse.GetValue(_stop), parse.GetValue(_status), parse.GetValue(_wait));
        var id = parse.GetValue(_operationId);
        if ((explains ? 1 : 0) + (stops ? 1 : 0) + (shows ? 1 : 0) > 1)
        {
            throw new UsageException($"Say one of {_explain.Name}, {_stop.Name} and {_status.Name}.");
        }

        if (waits && (explains || stops))
        {
            throw new UsageException($"{_wait.Name} goes with a start or with {_status.Name}.");
        }

        if (id is not null && (explains || shows))
        {
            throw new UsageException($"{_operationId.Name} goes with a start or with {_stop.Name}: {(explains ? _explain : _status).Name} changes nothing.");
        }

        await using var client = context.Connect();
        if (explains)
        {
            await ScavengeExplanation.WriteAsync(context.Output, client.ExplainScavengeAsync(cancellationToken: context.Stop));
            return ExitCode.Done;
        }

        var status = await (stops ? client.StopScavengeAsync(id, context.Stop) : shows ? client.GetScavengeAsync(context.Stop) : client.StartScavengeAsync(id, context.Stop));
        if (waits)
        {
            status = await ProgressBar.RunAsync("Scavenging", progress => WaitAsync(client, status, progress, context.Stop));
        }

        Write(context.Output, status);
        if (stops && status.State == ScavengeState.Never)
        {
            Output.Note("Nothing was stopped. A node started with --scavenge-interval 0 starts none by itself.");
        }

        if (!context.Output.Json && status.State == ScavengeState.Running && !shows)
        {
            context.Output.WriteLine("It runs in the background. scavenge --status shows how it is doing, scavenge --status --wait waits for it.");
        }

        return waits && status.State is not (ScavengeState.Done or ScavengeState.Never) ? ExitCode.Failed : ExitCode.Done;
    }

    // Whatever was started in its place meanwhile does its work, too.
    private static async Task<ScavengeStatus> WaitAsync(VaultClient client, ScavengeStatus status, Action<double> progress, CancellationToken stop)
    {
        var why = "";
        while (status.State is ScavengeState.Running or ScavengeState.Waiting)
        {
            progress(status.SegmentsTotal == 0 ? 0 : (double)status.SegmentsDone / status.SegmentsTotal);
            if (status.Why != why)
            {
                why = status.Why;
                Output.Note(why.Length == 0 ? "It goes on." : status.State == ScavengeState.Waiting ? $"It waits: {why}" : $"It goes on: {why}");
            }

            await Task.Delay(LookAgain, stop);
            status = await client.GetScavengeAsync(stop);
        }

        progress(1);
        return status;
    }

    private static void Write(Output output, ScavengeStatus status)
    {
        if (!output.Json)
        {
            Show(output, status);
            return;
        }

        output.WriteJson(w =>
        {
            w.WriteStartObject();
            w.WriteString("state", status.State.ToString().ToLowerInvariant());
            w.WriteNumberOrNull("point", status.Point);
            w.WriteTime("startedAt", status.StartedAt);
            w.WriteNumber("segmentsDone", status.SegmentsDone);
            w.WriteNumber("segmentsTotal", status.SegmentsTotal);
            w.WriteNumber("segmentsRewritten", status.SegmentsRewritten);
            w.WriteNumber("bytesFreed", status.BytesFreed);
            w.WriteString("why", status.Why);
            w.WriteEndObject();
        });
    }

    private static void Show(Output output, ScavengeStatus status)
    {
        if (status.State == ScavengeState.Never)
        {
            output.WriteLine("No scavenge was ever started in this vault.");
            return;
        }

        output.Show(Rows.Of(
            ("state", status.State.ToString().ToLowerInvariant() + (status.Why.Length > 0 ? $": {status.Why}" : "")),
            ("started", $"{(status.StartedAt is { } at ? JsonText.Time(at) : "at an unknown time")}, point {(status.Point is { } point ? Rows.Place(point) : "unknown")}"),
            ("segments", $"{Rows.Number(status.SegmentsDone)} of {Rows.Number(status.SegmentsTotal)} looked at, {Rows.Number(status.SegmentsRewritten)} written anew"),
            ("given back", $"{Rows.Bytes(status.BytesFreed)}, by all scavenges so far")));
    }
}
