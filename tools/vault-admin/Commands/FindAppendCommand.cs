using System.CommandLine;

namespace EventVault.Admin.Commands;

/// <summary><c>find-append</c>: what the append with an operation id was answered.</summary>
internal static class FindAppendCommand
{
    public static Command Create(GlobalOptions global)
    {
        var id = new Argument<Guid>("operation-id") { Description = "The append's --operation-id." };
        var command = new Command(
            "find-append", "Show what the append, deletion or truncation with an operation id was answered: whether it was written, and where.") { id };
        global.Run(command, async (parse, context) =>
        {
            await using var client = context.Connect();
            var result = await client.GetAppendAsync(parse.GetValue(id), context.Stop);
            AppendLine.Write(context.Output, string.Join(", ", result.Streams.Select(s => s.Stream)), result, listsStreams: true);
            return ExitCode.Done;
        });
        return command;
    }
}
