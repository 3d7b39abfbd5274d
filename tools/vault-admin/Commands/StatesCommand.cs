using System.CommandLine;
using EventVault.Client;

namespace EventVault.Admin.Commands;

/// <summary><c>states</c>: the states of all streams of a category as of one moment.</summary>
internal sealed class StatesCommand
{
    private readonly Option<string> _category = new("--category") { Description = "Whose streams: what stands before the first - of the name.", HelpName = "C", Required = true };
    private readonly Option<ulong?> _limit = new("--limit") { Description = "At most this many streams.", HelpName = "N" };
    private readonly Option<string> _after = new("--after") { Description = "Only streams whose names come behind this one.", HelpName = "stream", DefaultValueFactory = _ => "" };
    private readonly CutOptions _cut = new();
    private readonly ReducerOptions _reducer = new();
    private readonly ConsistencyOption _consistency = new();

    public static Command Create(GlobalOptions global)
    {
        var self = new StatesCommand();
        var command = new Command("states", "Show the states of the streams of a category, all as of one moment, in the order of their names. Exit code 1 if one of them can't be told.")
        {
            self._category, self._limit, self._after,
        };
        self._reducer.AddTo(command);
        self._cut.AddTo(command, ofOneStream: false);
        self._consistency.AddTo(command);
        global.Run(command, self.RunAsync);
        return command;
    }

    private async Task<int> RunAsync(ParseResult parse, CommandContext context)
    {
        var asOf = _cut.Of(parse);
        var reducer = _reducer.Of(parse);
        var category = parse.GetValue(_category) is { Length: > 0 } given ? given : throw new UsageException($"{_category.Name} is empty. Give a text.");
        var options = new CategoryStateOptions
        {
            Limit = parse.GetValue(_limit) switch { 0 => throw new UsageException($"{_limit.Name} must be at least 1."), var limit => limit ?? 0 },
            After = parse.GetValue(_after)!,
            AllowPartial = _reducer.AllowPartial(parse),
            Consistency = _consistency.Of(parse),
        };
        var code = ExitCode.Done;
        await using var client = context.Connect();
        await foreach (var result in client.States.OfCategoryAsync(category, asOf, reducer, options, context.Stop))
        {
            if (result.State is { } state)
            {
                StateText.Write(context.Output, state);
            }
            else
            {
                code = ExitCode.Failed;
                ErrorReport.WriteOne(context.Output, result.Stream, result.Failure!, parse.CommandResult.Command);
            }

            await context.Output.FlushIfFullAsync();
        }

        return code;
    }
}
