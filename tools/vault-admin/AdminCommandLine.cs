using System.CommandLine;
using System.CommandLine.Help;
using System.Text.RegularExpressions;
using EventVault.Admin.Commands;
using EventVault.Admin.Commands.Cluster;

namespace EventVault.Admin;

/// <summary>The tree of commands, and the one place that turns a command line into an exit code.</summary>
internal static partial class AdminCommandLine
{
    private const string Description = """
        Looks after an EventVault vault.

        Exit codes: 0 done; 1 failed; 2 wrong usage; 3 conflict: a stream is not where the append expected it,
        a condition failed, or a reducer's version is not the expected one; 4 damage found; 5 the node can't be reached (given up within 15 seconds);
        6 not all nodes of the vault are well (cluster status), or the node is not (health).
        With --json, stdout holds compact JSON and nothing else; a failure is {"error":{"code":…,"message":…}}.
        """;

    // The library names the type in our code, which says nothing to whoever typed the command.
    [GeneratedRegex(" as expected type '[^']*'")]
    private static partial Regex TypeName();

    public static async Task<int> RunAsync(string[] args)
    {
        var global = new GlobalOptions();
        var root = new RootCommand(Description)
        {
            InfoCommand.Create(global),
            StatusCommand.Create(global),
            HealthCommand.Create(global),
            ClusterCommand.Create(global),
            AppendCommand.Create(global),
            ReadCommand.Create(global),
            TailCommand.Create(global),
            CountCommand.Create(global),
            FindAppendCommand.Create(global),
            ImportCommand.Create(global),
            ExportCommand.Create(global),
            StreamsCommand.Create(global),
            StateCommand.Create(global),
            StatesCommand.Create(global),
            ReducersCommand.Create(global),
            ScavengeCommand.Create(global),
            VerifyCommand.Create(global),
            BackupCommand.Create(global),
            RestoreCommand.Create(global),
            BenchCommand.Create(global),
            WhoAmICommand.Create(global),
            UsersCommand.Create(global),
            RolesCommand.Create(global),
            CertificatesCommand.Create(global),
        };
        root.Options.Add(global.Endpoint);
        root.Options.Add(global.Json);
        global.Credentials.AddTo(root);
        var help = root.Options.OfType<HelpOption>().Single();
        help.Action = new CommandWithExamples.Help((HelpAction)help.Action!);

        // A stream may be named `@x`, so no token stands for a file of further arguments.
        var parse = root.Parse(args, new ParserConfiguration { ResponseFileTokenReplacer = null, EnablePosixBundling = false });
        if (parse.Errors.Count > 0 && parse.Action is not CommandWithExamples.Help)
        {
            await using var output = new Output(json: args.Contains(global.Json.Name));
            var message = string.Join(" ", parse.Errors.Select(e => TypeName().Replace(e.Message, "")));
            return await ErrorReport.UsageAsync(output, $"{message} Add --help for what the command takes.");
        }

        // Signals and exceptions are handled by the commands: the library's own answers have other exit codes.
        return await parse.InvokeAsync(new InvocationConfiguration { EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = null });
    }
}
