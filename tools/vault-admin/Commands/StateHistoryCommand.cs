using System.CommandLine;
using EventVault.Client;

namespace EventVault.Admin.Commands;

/// <summary><c>state history</c>: the states of a stream along a range of it.</summary>
internal sealed class StateHistoryCommand
{
    // What the vault gives in one call, its limit history_states.
    private const int MostStates = 10_000;

    private readonly Argument<string> _stream = new("stream") { Description = "Name of the stream." };
    private readonly Option<bool> _eachChange = new("--each-change") { Description = "Where the state differs from the one before; the default." };
    private readonly Option<ulong?> _every = new("--every") { Description = "After every N-th event, and after the last one.", HelpName = "N" };
    private readonly Option<string?> _everyTime = new("--every-time") { Description = "At the begin and each so much later: 90s, 30m, 12h, 30d, 4w. --from and --until are times then.", HelpName = "duration" };
    private readonly Option<string?> _from = new("--from") { Description = $"Where to begin, inclusive: {CutText.Form}. By default the first event.", HelpName = "moment" };
    private readonly Option<string?> _until = new("--until") { Description = $"Where to end, inclusive: {CutText.Form}.", HelpName = "moment" };
    private readonly Option<ulong?> _limit = new("--limit") { Description = "At most this many states; 10,000 are as many as one call gives.", HelpName = "N" };
    private readonly ReducerOptions _reducer = new();
    private readonly ConsistencyOption _consistency = new();

    public static Command Create(GlobalOptions global)
    {
        var self = new StateHistoryCommand();
        var command = new Command("history", "Show the states of a stream along its history, oldest first.")
        {
            self._stream, self._eachChange, self._every, self._everyTime, self._from, self._until, self._limit,
        };
        self._reducer.AddTo(command);
        self._consistency.AddTo(command);
        global.Run(command, self.RunAsync);
        return command;
    }

    private async Task<int> RunAsync(ParseResult parse, CommandContext context)
    {
        var options = new StateHistoryOptions
        {
            Step = StepOf(parse),
            From = parse.GetValue(_from) is { } from ? CutText.Parse(from, _from.Name) : null,
            Until = parse.GetValue(_until) is { } until ? CutText.Parse(until, _until.Name) : AsOf.Latest,
            Limit = parse.GetValue(_limit) switch { 0 => throw new UsageException($"{_limit.Name} must be at least 1."), var limit => limit ?? 0 },
            AllowPartial = _reducer.AllowPartial(parse),
            Consistency = _consistency.Of(parse),
        };
        var reducer = _reducer.Of(parse);
        var count = 0;
        await using var client = context.Connect();
        await foreach (var step in client.States.HistoryAsync(parse.GetValue(_stream)!, options, reducer, context.Stop))
        {
            StateText.Write(context.Output, step.State, step.Time);
            await context.Output.FlushIfFullAsync();
            count++;
        }

        if (options.Limit is 0 or > MostStates && count >= MostStates)
        {
            Output.Note($"vault-admin: ended after {Rows.Number(MostStates)} states, as many as one call gives; go on behind the last one with {_from.Name}.");
        }

        return ExitCode.Done;
    }

    private HistoryStep StepOf(ParseResult parse) => (parse.GetValue(_eachChange), parse.GetValue(_every), parse.GetValue(_everyTime)) switch
    {
        (_, null, null) => HistoryStep.EachChange,
        (false, 0, null) => throw new UsageException($"{_every.Name} must be at least 1."),
        (false, { } events, null) => HistoryStep.Events(events),
        (false, null, { } time) => Quantity.Duration(time, _everyTime.Name) is var step && step > TimeSpan.Zero
            ? HistoryStep.Time(step)
            : throw new UsageException($"{_everyTime.Name} must be longer than zero."),
        _ => throw new UsageException($"Give one of {_eachChange.Name}, {_every.Name} and {_everyTime.Name}."),
    };
}
