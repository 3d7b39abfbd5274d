using System.Net;
using EventVault.Node.Peers;
using EventVault.Node.Replication;
using EventVault.Rpc.Server;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;

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

        // The web host makes an activity and a scope of the log for each call if this is on, whether anybody looks at them or not.
        builder.Logging.AddFilter("Microsoft.AspNetCore.Hosting.Diagnostics", LogLevel.None);
        builder.WebHost.UseKestrelCore();

        // A read of a socket is one system call, not two; a connection at rest holds the 4 KiB that the next read goes into.
        builder.WebHost.UseSockets(static sockets => sockets.WaitForDataBeforeAllocatingBuffer = false);
        if (options.Certificate is not null)
        {
            builder.WebHost.UseKestrelHttpsConfiguration();
        }

        builder.WebHost.ConfigureKestrel(kestrel =>
        {
            kestrel.ConfigureForRpc();
            kestrel.Listen(options.Address, options.Port, listen =>
            {
                listen.Protocols = HttpProtocols.Http2;
                if (options.Certificate is { } certificate)
                {
                    listen.UseHttps(certificate);
                }
            });
            kestrel.Listen(options.Address, options.HttpPort, listen => listen.Protocols = HttpProtocols.Http1);
        });
        return builder.Build();
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
        var network = new PeerNetworkOptions
        {
            Hello = hello,
            Address = options.PeerAddress,
            Port = options.PeerPort!.Value,
            Tls = options.PeerCertificate is { } certificate ? new PeerTls(certificate, options.PeerAuthorities!) : null,
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
