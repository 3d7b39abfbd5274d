using System.CommandLine;
using System.Runtime.InteropServices;

namespace EventVault.Admin;

/// <summary>The options that every command takes, and the frame that every command runs in.</summary>
internal sealed class GlobalOptions
{
    public const string EndpointVariable = "EVENTVAULT_ENDPOINT";
    private const string DefaultEndpoint = "http://127.0.0.1:7400";

    public Option<string> Endpoint { get; } = new("--endpoint")
    {
        Description = $"Address of the node: http://host:port or eventvault://host:port (https and eventvaults for TLS), or of several of one vault: http://a:7400,b:7400. One is enough: the others are asked for. Also by the variable {EndpointVariable}.",
        HelpName = "address",
        Recursive = true,
        DefaultValueFactory = _ => Environment.GetEnvironmentVariable(EndpointVariable) is { Length: > 0 } set ? set : DefaultEndpoint,
    };

    public CredentialOptions Credentials { get; } = new();

    public Option<bool> Json { get; } = new("--json")
    {
        Description = "Write compact JSON to stdout and nothing else.",
        Recursive = true,
    };

    /// <summary>Makes the command run <paramref name="run"/>, with every failure turned into its exit code.</summary>
    /// <param name="command">The command.</param>
    /// <param name="run">Returns the exit code.</param>
    public void Run(Command command, Func<ParseResult, CommandContext, Task<int>> run) => command.SetAction(async (parse, _) =>
    {
        await using var output = new Output(parse.GetValue(Json));
        using var stop = new CancellationTokenSource();
        using var interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, Stop);
        using var terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Stop);
        try
        {
            var context = new CommandContext(output, parse.GetValue(Endpoint)!, new Lazy<ConnectionCredentials>(() => Credentials.Of(parse)), stop.Token);
            var code = await run(parse, context);
            await output.FlushAsync();
            return code;
        }
        catch (OutputClosedException)
        {
            // The reader of our output, such as `head`, has seen enough.
            return ExitCode.Done;
        }
#pragma warning disable CA1031 // The process boundary: whatever is thrown becomes a message and an exit code.
        catch (Exception e)
#pragma warning restore CA1031
        {
            return await ErrorReport.WriteAsync(output, e, CredentialOptions.WithoutUser(parse.GetValue(Endpoint)!), command);
        }

        void Stop(PosixSignalContext signal)
        {
            // The first signal ends the command in order; a second one finds the default and ends the process.
            signal.Cancel = !stop.IsCancellationRequested;
            stop.Cancel();
        }
    });
}
