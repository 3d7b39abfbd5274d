using System.Net;
using EventVault.Node.Peers;
using EventVault.Node.Replication;

namespace EventVault.Node;

/// <summary>How a node reaches others, and they it.</summary>
internal static class NodePorts
{
    /// <summary>What reaches the other nodes.</summary>
    public static IPeerNetwork NewNetwork(NodeOptions options, PeerHello hello, ILogger log, Func<DiskMark>? mark = null, Func<string, bool>? onOldDisk = null)
    {
        options.PeerTls?.LogTo(log);
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
}
