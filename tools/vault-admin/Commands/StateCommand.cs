using System.CommandLine;
using EventVault.Client;

namespace EventVault.Admin.Commands;

/// <summary><c>state</c>: the state of a stream as of a moment; its history and differences are commands of their own below it.</summary>
internal sealed class StateCommand
{
    private static readonly string[] Examples =
    [
        "state order-17                                          the newest state: the events' data merged",
        "state order-17 --at-time 2026-03-01T09:00:00Z           as of a time; asked again, the same for ever",
        "state order-17 --at-version 3 --json",
        "state file-a.c --slots \"lines = SUM(data.delta)\"        an aggregate instead",
        "state file-a.c --reducer lines --occurred 2015-01-01T00:00:00Z",
        "state -- history                                        a stream that is named as a command",
    ];

    private readonly Argument<string> _stream = new("stream") { Description = "Name of the stream. Behind -- if it is named history or diff." };
    private readonly CutOptions _cut = new();
    private readonly ReducerOptions _reducer = new();
    private readonly ConsistencyOption _consistency = new();

    public static Command Create(GlobalOptions global)
    {
        var self = new StateCommand();
        var command = new CommandWithExamples("state", "Show the state of a stream as of any moment.", Examples)
        {
            self._stream,
            StateHistoryCommand.Create(global),
            StateDiffCommand.Create(global),
        };
        self._reducer.AddTo(command);
        self._cut.AddTo(command, ofOneStream: true);
        self._consistency.AddTo(command);
        global.Run(command, self.RunAsync);
        return command;
    }

    private async Task<int> RunAsync(ParseResult parse, CommandContext context)
    {
        var asOf = _cut.Of(parse);
        var reducer = _reducer.Of(parse);
        var options = new StateOptions { AllowPartial = _reducer.AllowPartial(parse), Consistency = _consistency.Of(parse) };
        await using var client = context.Connect();
        StateText.Write(context.Output, await client.States.GetAsync(parse.GetValue(_stream)!, asOf, reducer, options, context.Stop));
        return ExitCode.Done;
    }
}
