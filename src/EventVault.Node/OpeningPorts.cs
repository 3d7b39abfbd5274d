// The ports of a node whose storage takes long to open: it installs what came from other nodes, makes indexes again, or waits to be let begin anew.
// People and load balancers see that it lives and what it does; calls are refused at once instead of running into a shut port.
// A host of its own, made only when an opening has taken a while, so that no start is slower for it; the node's own takes the ports over.
using EventVault.Node.Security;
using EventVault.Node.Services;
using EventVault.Rpc.Server;
using EventVault.Rpc.Server.Health;
using EventVault.Storage;

namespace EventVault.Node;

/// <summary>Says that a node is being opened. Start it, then stop it once.</summary>
internal sealed class OpeningPorts : IAsyncDisposable
{
    /// <summary>The state that it tells.</summary>
    public const string State = "opening";

    /// <summary>So long an opening may take before anybody is told: nearly all are over by then.</summary>
    public static readonly TimeSpan After = TimeSpan.FromSeconds(1);

    /// <summary>How long calls may take that run when it stops: they are refused, so none does but those who watch its health.</summary>
    private static readonly TimeSpan DrainLimit = TimeSpan.FromSeconds(1);

    private readonly NodeWeb _web;
    private readonly RpcServer _server;
    private readonly AccessGuard _guard; // All calls are refused, whoever calls; it says who may hear why. The vault's users are not known yet.

    private OpeningPorts(NodeOptions options, OpeningWatch watch, ILogger log)
    {
        _web = new NodeWeb(options);
        _guard = new AccessGuard(options.Access, registry: null, _web.Tls, log);
        var refusal = () => Errors.Opening(options.Access is null ? watch.Doing : null).ToException();
        _server = new RpcServer(new RpcServerOptions
        {
            MaxReceiveBytes = NodeLimits.MostRequestBytes,
            Logger = log,
            UnknownRefusal = refusal,
            DrainRefusal = refusal,
        });
        var health = new HealthService();
        health.AddTo(_server);
        NodeHealth.SetStatus(health, HealthStatus.NotServing);
        _web.Serve(_guard, _server);
        NodeHealth.Map(_web.Pipeline, _guard, static () => State, path => path == NodeHealth.Live ? null : watch.Doing);
    }

    /// <summary>Opens both ports, and tells the log.</summary>
    /// <exception cref="IOException">One can't be opened.</exception>
    public static async Task<OpeningPorts> StartAsync(NodeOptions options, OpeningWatch watch, ILogger log)
    {
        var ports = new OpeningPorts(options, watch, log);
        try
        {
            var (rpc, http) = await ports._web.OpenAsync();
            LogMessages.IsOpening(log, watch.Doing, rpc, http);
            return ports;
        }
        catch
        {
            await ports.DisposeAsync();
            throw;
        }
    }

    /// <summary>Gives the ports back.</summary>
    public async Task StopAsync()
    {
        await _server.DrainAsync(DrainLimit);
        await Task.Delay(Node.LastAnswers); // As there.
        using (var patience = new CancellationTokenSource(DrainLimit))
        {
            await _web.StopAsync(patience.Token);
        }

        await DisposeAsync();
    }

    /// <summary>Without an end of calls: for ports that were never opened.</summary>
    public async ValueTask DisposeAsync()
    {
        await _web.DisposeAsync();
        _guard.Dispose();
    }
}
