using System.CommandLine;
using EventVault.Client;

namespace EventVault.Admin.Commands;

/// <summary><c>count</c>: how many events match, by the node's indexes.</summary>
internal sealed class CountCommand
{
    private readonly FilterOptions _filter = new();
    private readonly ConsistencyOption _consistency = new();
    private readonly Option<ulong?> _from = new("--from") { Description = "Where to begin, inclusive: a position.", HelpName = "N" };
    private readonly Option<string?> _fromTime = new("--from-time") { Description = "Where to begin, inclusive: a time of recording, as RFC 3339.", HelpName = "time" };
    private readonly Option<ulong?> _until = new("--until") { Description = "Where to end, inclusive: a position.", HelpName = "N" };
    private readonly Option<string?> _untilTime = new("--until-time") { Description = "Where to end, inclusive: a time of recording, as RFC 3339.", HelpName = "time" };

    public static Command Create(GlobalOptions global)
    {
        var self = new CountCommand();
        var command = new Command("count", "Count the events that match, without reading them. Events of the vault's own streams are not counted.")
        {
            self._from, self._fromTime, self._until, self._untilTime,
        };
        self._filter.AddTo(command);
        self._consistency.AddTo(command);
        global.Run(command, self.RunAsync);
        return command;
    }

    private async Task<int> RunAsync(ParseResult parse, CommandContext context)
    {
        var filter = _filter.Of(parse)
            ?? throw new UsageException("Say what to count: --category, --prefix, --type, --tag, --correlation-id or --event-id.");
        var from = RangeOptions.BoundOf(parse, _from, _fromTime, ReadBound.Position);
        var until = RangeOptions.BoundOf(parse, _until, _untilTime, ReadBound.Position);
        var consistency = _consistency.Of(parse);
        await using var client = context.Connect();
        var count = await client.CountEventsAsync(filter, from, until, consistency, context.Stop);
        if (context.Output.Json)
        {
            context.Output.WriteJson(w =>
            {
                w.WriteStartObject();
                w.WriteNumber("count", count.Count);
                w.WriteNumberOrNull("head", count.Head.LastPosition);
                w.WriteEndObject();
            });
        }
        else
        {
            context.Output.WriteLine($"{Rows.Count((long)count.Count, "event")}; head: {Rows.Head(count.Head.LastPosition, count.Head.RecordedAt)}");
        }

        return ExitCode.Done;
    }
}
