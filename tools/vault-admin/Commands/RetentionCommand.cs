using System.CommandLine;

namespace EventVault.Admin.Commands;

/// <summary><c>streams retention</c>: lists the rules.</summary>
internal static class RetentionCommand
{
    public static Command Create(GlobalOptions global)
    {
        var consistency = new ConsistencyOption();
        var command = new Command("retention", "List all retention rules: those of categories, then those of streams, in the order of their names. streams retain sets them.");
        consistency.AddTo(command);
        global.Run(command, async (parse, context) =>
        {
            var any = false;
            await using var client = context.Connect();
            await foreach (var entry in client.ListRetentionAsync(consistency: consistency.Of(parse), cancellationToken: context.Stop))
            {
                any = true;
                RetentionLines.Write(context.Output, entry);
                await context.Output.FlushIfFullAsync();
            }

            if (!any && !context.Output.Json)
            {
                context.Output.WriteLine("No rule was set: everything is kept.");
            }

            return ExitCode.Done;
        });
        return command;
    }
}
