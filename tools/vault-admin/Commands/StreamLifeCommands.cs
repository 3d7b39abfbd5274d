using System.CommandLine;
using EventVault.Client;

namespace EventVault.Admin.Commands;

/// <summary><c>streams delete</c>, <c>streams tombstone</c> and <c>streams truncate</c>: what ends streams, or their oldest events.</summary>
internal sealed class StreamLifeCommands
{
    private readonly Argument<string> _stream = new("stream") { Description = "Name of the stream." };
    private readonly Option<string> _expected = new("--expected")
    {
        Description = "What the stream's last version must be: any, exists, or a version.",
        DefaultValueFactory = _ => "any",
    };

    private readonly Option<Guid?> _operationId = new("--operation-id") { Description = "UUID of the change: a repeat with the same one does nothing." };
    private readonly AttemptedAfterOption _attemptedAfter = new();

    public static Command CreateDelete(GlobalOptions global) => Create(
        global,
        "delete",
        "End a stream: its events so far are no longer read. It can be written again, its versions going on.",
        static (client, stream, expected, options, stop) => client.DeleteStreamAsync(stream, expected, tombstone: false, options, stop));

    public static Command CreateTombstone(GlobalOptions global) => Create(
        global,
        "tombstone",
        "End a stream for ever: its events are no longer read, and its name can't be written any more. Can't be taken back.",
        static (client, stream, expected, options, stop) => client.DeleteStreamAsync(stream, expected, tombstone: true, options, stop));

    public static Command CreateTruncate(GlobalOptions global)
    {
        var self = new StreamLifeCommands();
        var before = new Option<ulong>("--before")
        {
            Description = "The first version that is kept, at most the last one + 1, which leaves none.",
            HelpName = "version",
            Required = true,
        };
        var command = new Command("truncate", "Take away a stream's oldest events: they are no longer read. Never moves back; versions and positions stay.")
        {
            self._stream, before, self._expected, self._operationId, self._attemptedAfter.Option,
        };
        global.Run(command, (parse, context) => self.RunAsync(
            parse, context, (client, stream, expected, options, stop) => client.TruncateStreamAsync(stream, parse.GetValue(before), expected, options, stop)));
        return command;
    }

    private static Command Create(GlobalOptions global, string name, string description, Change change)
    {
        var self = new StreamLifeCommands();
        var command = new Command(name, description) { self._stream, self._expected, self._operationId, self._attemptedAfter.Option };
        global.Run(command, (parse, context) => self.RunAsync(parse, context, change));
        return command;
    }

    private async Task<int> RunAsync(ParseResult parse, CommandContext context, Change change)
    {
        var stream = parse.GetValue(_stream)!;
        var expected = AppendCommand.ExpectedOf(parse.GetValue(_expected)!, _expected.Name);
        var options = new ChangeOptions { OperationId = parse.GetValue(_operationId), AttemptedAfter = _attemptedAfter.Of(parse, _operationId) };
        await using var client = context.Connect();
        var result = await change(client, stream, expected, options, context.Stop);
        AppendLine.Write(context.Output, $"{stream}, recorded in {result.Streams[0].Stream}", result);
        return ExitCode.Done;
    }

    private delegate Task<AppendResult> Change(
        VaultClient client, string stream, ExpectedVersion expected, ChangeOptions options, CancellationToken stop);
}
