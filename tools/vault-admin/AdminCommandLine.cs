using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Parsing;
using System.Text.RegularExpressions;
using System.Text.Unicode;
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
            return await ErrorReport.UsageAsync(output, WhatIsWrong(parse));
        }

        if (parse.Action is not CommandWithExamples.Help && WhatIsNoArgument(parse) is { } wrong)
        {
            await using var output = new Output(json: args.Contains(global.Json.Name));
            return await ErrorReport.UsageAsync(output, wrong);
        }

        // Signals and exceptions are handled by the commands: the library's own answers have other exit codes.
        return await parse.InvokeAsync(new InvocationConfiguration { EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = null });
    }

    // What the library takes, and no command can use; null: nothing.
    private static string? WhatIsNoArgument(ParseResult parse)
    {
        // The runtime has put U+FFFD in the place of what is no text: names that differ would become one.
        if (parse.Tokens.Any(static t => t.Value.Contains('\uFFFD', StringComparison.Ordinal)) && OperatingSystem.IsLinux() && !Utf8.IsValid(File.ReadAllBytes("/proc/self/cmdline")))
        {
            return "An argument is not valid UTF-8. Set the terminal to UTF-8, or write such text by a client of your own.";
        }

        for (SymbolResult? result = parse.CommandResult; result is CommandResult command; result = command.Parent)
        {
            foreach (var child in command.Children)
            {
                var (name, help) = child is OptionResult option ? (option.Option.Name, option.Option.HelpName) : child is ArgumentResult argument ? (argument.Argument.Name, argument.Argument.Name) : ("", null);
                if (name is not ("--user" or "--content-type") && help is not ("file" or "folder" or "directory" or "address"))
                {
                    continue;
                }

                if (child.Tokens.Any(static t => t.Value.Length == 0))
                {
                    return $"The value of {name} is empty. {(help is null or "name" ? "Give one, or leave it out" : $"Name a{(help == "address" ? "n address" : $" {help}")}")}.";
                }
            }
        }

        return null;
    }

    private static string WhatIsWrong(ParseResult parse)
    {
        var command = parse.CommandResult.Command;
        if (command.Subcommands.Count > 0 && command.Action is null && !parse.Errors.Any(static e => e.SymbolResult is OptionResult))
        {
            // The library's words would be of a command that is missing, and, apart from that, of an argument that it does not know.
            var name = parse.UnmatchedTokens is [var unknown, ..] ? $"'{unknown}' is no {(unknown.StartsWith('-') ? "option" : "command")}." : "A command is missing.";
            var path = parse.RootCommandResult.Command == command ? "vault-admin" : $"vault-admin {command.Name}";
            return $"{name} {path} has: {string.Join(", ", command.Subcommands.Select(static c => c.Name))}. Add --help to one of them for what it takes.";
        }

        return $"{string.Join(" ", parse.Errors.Select(Explained))} Add --help for what the command takes.";
    }

    private static string Explained(ParseError error)
    {
        var message = TypeName().Replace(error.Message, "");
        return error.SymbolResult is OptionResult { Option: { Description: { } takes } option }
            ? $"{message} {option.Name}{(option.HelpName is { } value ? $" {value}" : "")}: {takes}"
            : message;
    }
}
