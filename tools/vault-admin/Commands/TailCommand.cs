using System.CommandLine;
using EventVault.Client;

namespace EventVault.Admin.Commands;

/// <summary><c>tail</c>: a live subscription, until Ctrl-C, SIGTERM or its limit.</summary>
internal sealed class TailCommand
{
    private readonly RangeOptions _range = new();

    public static Command Create(GlobalOptions global)
    {
        var self = new TailCommand();
        var command = new Command("tail", "Follow a stream, or all streams with --all: what is appended from now on, or from --from on. Ctrl-C ends it.");
        self._range.AddTo(command);
        global.Run(command, self.RunAsync);
        return command;
    }

    private async Task<int> RunAsync(ParseResult parse, CommandContext context)
    {
        var stream = _range.StreamOf(parse);
        var from = _range.BoundOf(parse, _range.From, _range.FromTime);
        var limit = _range.LimitOf(parse);
        var isFollowing = false;
        var options = new SubscribeOptions
        {
            From = from,
            FromEnd = from is null,
            IncludeSystem = parse.GetValue(_range.System),
            Filter = _range.FilterOf(parse),
            Interrupted = failure =>
            {
                if (isFollowing)
                {
                    isFollowing = false;
                    Output.Note($"Nothing comes until a node answers again. ({failure.Message})");
                }
            },
        };
        await using var client = context.Connect();
        await using var subscription = stream is null
            ? client.SubscribeToAllAsync(options, context.Stop)
            : client.SubscribeToStreamAsync(stream, options, context.Stop);
        try
        {
            await context.OpenAsync(subscription.GetHeadAsync());
            Output.Note($"Following {stream ?? (options.Filter is null ? "all streams" : "what matches")}; Ctrl-C ends it.");
            isFollowing = true;
            ulong count = 0;
            await foreach (var page in subscription.PagesAsync())
            {
                if (!isFollowing)
                {
                    isFollowing = true;
                    Output.Note("Following again, without a gap.");
                }

                for (var i = 0; i < page.Count; i++)
                {
                    EventLine.Write(context.Output, page[i].ToEvent());
                    if (++count == limit)
                    {
                        return ExitCode.Done;
                    }
                }

                // What is live is shown at once, not when a buffer happens to be full.
                await context.Output.FlushAsync();
            }
        }
        catch (OperationCanceledException) when (context.Stop.IsCancellationRequested)
        {
            // That is how it is meant to end.
        }

        return ExitCode.Done;
    }
}
