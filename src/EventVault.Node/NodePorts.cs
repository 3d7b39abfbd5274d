using System.Net;
using EventVault.Node.Peers;
using EventVault.Node.Replication;
using EventVault.Node.Security;
using EventVault.Rpc.Server;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Https;

namespace EventVault.Node;

/// <summary>The ports that a node opens, whether it has a vault or not.</summary>
internal static class NodePorts
{
    // No defaults of the web host: its watcher of configuration files sees every write to a data directory below the
    // working directory, and once cost half of all throughput.
    public static WebApplication NewHost(NodeOptions options)
    {
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions { ApplicationName = "EventVault.Node" });
        options.Logging?.Invoke(builder.Logging);
        builder.WebHost.UseKestrelCore();
        ILogger? log = null;
        var tls = options.Tls is { } files ? new ServerTls(files, e => SecurityLogMessages.FileNotRead(log!, e, files.Certificate)) : null;
        if (tls is not null)
        {
            builder.WebHost.UseKestrelHttpsConfiguration();
        }

        builder.WebHost.ConfigureKestrel(kestrel =>
        {
            kestrel.ConfigureForRpc();
            kestrel.Listen(options.Address, options.Port, listen =>
            {
                listen.Protocols = HttpProtocols.Http2;
                Secure(listen, tls);
            });
            kestrel.Listen(options.Address, options.HttpPort, listen =>
            {
                listen.Protocols = HttpProtocols.Http1;
                Secure(listen, tls);
            });
        });
        var app = builder.Build();
        log = app.Services.GetRequiredService<ILoggerFactory>().CreateLogger("EventVault.Node");
        return app;
    }

    /// <summary>Puts calls and pages on a host, behind what guards them.</summary>
    public static void Serve(WebApplication app, NodeOptions options, AccessGuard guard, RpcServer server)
    {
        app.UseRpc(server);
        app.Use(next => http => guard.FilterHttpAsync(http, next, IPAddress.IsLoopback(options.Address)));
    }

    private static void Secure(ListenOptions listen, ServerTls? tls)
    {
        if (tls is not null)
        {
            listen.UseHttps(new TlsHandshakeCallbackOptions { OnConnection = _ => ValueTask.FromResult(tls.Current()) });
        }
    }

    /// <summary>Opens the host's ports.</summary>
    /// <returns>Which they are.</returns>
    /// <exception cref="IOException">One can't be opened.</exception>
    public static async Task<(IPEndPoint Rpc, IPEndPoint Http)> OpenAsync(WebApplication app)
    {
        await app.StartAsync();
        var addresses = app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.ToList();
        return (EndPoint(addresses[0]), EndPoint(addresses[1]));
    }

    /// <summary>What reaches the other nodes.</summary>
    public static IPeerNetwork NewNetwork(NodeOptions options, PeerHello hello, ILogger log, Func<DiskMark>? mark = null, Func<string, bool>? onOldDisk = null)
    {
        if (options.PeerTls is { } tls)
        {
            tls.OnBad = e => SecurityLogMessages.FileNotRead(log, e, "A certificate for other nodes");
        }

        var network = new PeerNetworkOptions
        {
            Hello = hello,
            Address = options.PeerAddress,
            Port = options.PeerPort!.Value,
            Tls = options.PeerTls,
            Directory = hello.VaultId == Guid.Empty ? null : options.Directory,
            Files = options.Files,
            ElectionTimeout = options.ElectionTimeout,
            Clock = options.Clock,
            Mark = mark ?? (static () => default),
            OnOldDisk = onOldDisk ?? (static _ => false),
        };
        return options.Network?.Invoke(network, log) ?? new PeerNetwork(network, log);
    }

    /// <summary>Where others reach what listens here: a port on all addresses is told by the machine's name.</summary>
    public static string Reachable(IPEndPoint listens) =>
        Addresses.IsUnspecified(listens.Address) ? $"{Dns.GetHostName()}:{listens.Port}" : Addresses.Of(listens);

    private static IPEndPoint EndPoint(string url)
    {
        var uri = new Uri(url);
        return new IPEndPoint(IPAddress.Parse(uri.Host.Trim('[', ']')), uri.Port);
    }
}
