using System.CommandLine;
using EventVault.Client;

namespace EventVault.Admin.Commands;

/// <summary><c>read</c>: the events of a stream or of the whole vault.</summary>
internal sealed class ReadCommand
{
    private readonly RangeOptions _range = new();
    private readonly Option<ulong?> _until = new("--until") { Description = "Where to end, inclusive, in the direction of reading: a version, or with --all a position.", HelpName = "N" };
    private readonly Option<string?> _untilTime = new("--until-time") { Description = "Where to end, inclusive, in the direction of reading: a time of recording, as RFC 3339.", HelpName = "time" };
    private readonly ConsistencyOption _consistency = new();
    private readonly Option<bool> _backwards = new("--backwards") { Description = "Newest first." };

    public static Command Create(GlobalOptions global)
    {
        var self = new ReadCommand();
        var command = new Command("read", "Read the events of a stream, or of all streams with --all.");
        self._range.AddTo(command);
        command.Options.Add(self._until);
        command.Options.Add(self._untilTime);
        command.Options.Add(self._backwards);
        self._consistency.AddTo(command);
        global.Run(command, self.RunAsync);
        return command;
    }

    private async Task<int> RunAsync(ParseResult parse, CommandContext context)
    {
        var stream = _range.StreamOf(parse);
        var options = new ReadOptions
        {
            From = _range.BoundOf(parse, _range.From, _range.FromTime),
            Until = _range.BoundOf(parse, _until, _untilTime),
            Direction = parse.GetValue(_backwards) ? Direction.Backwards : Direction.Forwards,
            Limit = _range.LimitOf(parse),
            IncludeSystem = parse.GetValue(_range.System),
            Filter = _range.FilterOf(parse),
            Consistency = _consistency.Of(parse),
        };
        await using var client = context.Connect();
        await using var read = stream is null
            ? client.ReadAllAsync(options, context.Stop)
            : client.ReadStreamAsync(stream, options, context.Stop);
        await context.OpenAsync(read.GetHeadAsync(), options.Consistency.Position);
        await foreach (var e in read)
        {
            EventLine.Write(context.Output, e);
            await context.Output.FlushIfFullAsync();
        }

        return ExitCode.Done;
    }
}
