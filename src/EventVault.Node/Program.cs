using System.Collections;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using EventVault.Node;
using EventVault.Storage;
using EventVault.Storage.Io;
using Microsoft.AspNetCore.Connections;

NodeSettings settings;
NodeOptions options;
try
{
    var environment = Environment.GetEnvironmentVariables().Cast<DictionaryEntry>()
        .Select(e => new KeyValuePair<string, string>((string)e.Key, (string?)e.Value ?? string.Empty));
    settings = NodeSettings.Read(args, environment, Environment.CurrentDirectory);
    if (settings.Answer is { } answer)
    {
        Console.WriteLine(answer);
        return ExitCode.Ok;
    }

    options = settings.ToOptions() with { Logging = () => ConsoleLogs.To(settings.LogLevel, settings.LogsJson) };
}
catch (SettingException e)
{
    Console.Error.WriteLine(e.Message);
    return ExitCode.Usage;
}

// From here on a signal stops the node in order, also one that comes while it starts.
var stopRequested = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
using var terminated = PosixSignalRegistration.Create(PosixSignal.SIGTERM, RequestStop);
using var interrupted = PosixSignalRegistration.Create(PosixSignal.SIGINT, RequestStop);

NodeHost node;
using var ending = new CancellationTokenSource();
try
{
    var starting = NodeHost.StartAsync(options, ending.Token);
    if (await Task.WhenAny(starting, stopRequested.Task) == stopRequested.Task && !starting.IsCompleted)
    {
        // What stands in a disk that hangs, or waits for space on a full one, does not hear of it: a start may end at any point.
        await ending.CancelAsync();
        await Task.WhenAny(starting, Task.Delay(NodeHost.EndsWithin));
        if (starting.IsCompletedSuccessfully)
        {
            await (await starting).StopAsync();
        }

        return ExitCode.Ok;
    }

    node = await starting;
}
catch (Exception e)
{
    // The boundary of the start: each cause has its exit code, and none needs a stack trace but a bug.
    var code = ExitCodeOf(e);
    Console.Error.WriteLine($"The node can't start: {(code == ExitCode.Failed ? e.ToString() : e.Message.TrimEnd('.') + ".")}{NextStep(code, e)}");
    return code;
}

Console.WriteLine(
    $"EventVault ready: gRPC {node.RpcEndPoint}, HTTP {node.HttpEndPoint}, {(node.PeerPort > 0 ? FormattableString.Invariant($"peers {node.PeerPort}, ") : string.Empty)}data {options.Directory}");
ServiceNotice.Send(ServiceNotice.Ready);
await Task.WhenAny(stopRequested.Task, node.Failed);
ServiceNotice.Send(ServiceNotice.Stopping);
await node.StopAsync();
return node.Failed.IsCompleted ? ExitCodeOfRunning(await node.Failed) : ExitCode.Ok;

void RequestStop(PosixSignalContext context)
{
    context.Cancel = true;
    stopRequested.TrySetResult();
}

// Rights that were there when it started may come back: the next start finds out.
static int ExitCodeOfRunning(Exception error) => error is DiskException ? ExitCode.DiskFailed : ExitCodeOf(error);

static int ExitCodeOf(Exception error) => error switch
{
    DamageException => ExitCode.Damage,
    DirectoryInUseException => ExitCode.DirectoryInUse,
    ForeignDirectoryException or SettingException or DiskException { IsForbidden: true } or DiskException { IsOtherKind: true } => ExitCode.Usage,
    UnsupportedFormatException => ExitCode.UnsupportedFormat,
    DiskException => ExitCode.DiskFailed,
    IOException { InnerException: AddressInUseException or SocketException } or SocketException => ExitCode.PortUnavailable,
    _ => ExitCode.Failed,
};

static string NextStep(int code, Exception error) => (code, error) switch
{
    (ExitCode.PortUnavailable, _) => " Give the node another address or port: --listen, --port for gRPC, --http-port, --peer-listen, --peer-port.",
    (_, DiskException { IsForbidden: true }) => $" The node runs as user '{Environment.UserName}': give it the data directory with all that is in it (chown -R), or start it as its owner.",
    (_, DiskException { IsOtherKind: true }) => " Something else has that name there: move it away.",
    _ => string.Empty,
};
