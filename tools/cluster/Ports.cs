using System.Globalization;
using System.Net;
using System.Net.Sockets;

namespace EventVault.LocalCluster;

/// <summary>
/// The ports of the three nodes, taken once and kept in the file <c>ports</c> of the folder: the vault knows its nodes by their peer addresses, so a node must
/// come back where it was.
/// </summary>
/// <param name="Grpc">For clients.</param>
/// <param name="Peers">For the other nodes.</param>
internal readonly record struct Ports(int Grpc, int Peers)
{
    public static IReadOnlyList<Ports> Of(string folder, int nodes)
    {
        var file = Path.Combine(folder, "ports");
        if (!File.Exists(file))
        {
            var free = Free(2 * nodes);
            File.WriteAllLines(file, free.Select(p => p.ToString(CultureInfo.InvariantCulture)));
        }

        var lines = File.ReadAllLines(file);
        var ports = lines.Select(l => int.TryParse(l, NumberStyles.None, CultureInfo.InvariantCulture, out var port) && port is > 0 and < 65536 ? port : 0).ToArray();
        return ports.Length == 2 * nodes && !ports.Contains(0)
            ? [.. Enumerable.Range(0, nodes).Select(i => new Ports(ports[2 * i], ports[(2 * i) + 1]))]
            : throw new StartException($"The file {file} does not hold {2 * nodes} ports, one a line. Is --data the folder of such a cluster?");
    }

    // All are held at once, so that they differ.
    private static int[] Free(int count)
    {
        var listeners = Enumerable.Range(0, count).Select(_ => new TcpListener(IPAddress.Loopback, 0)).ToList();
        try
        {
            listeners.ForEach(l => l.Start());
            return [.. listeners.Select(l => ((IPEndPoint)l.LocalEndpoint).Port)];
        }
        finally
        {
            listeners.ForEach(l => l.Dispose());
        }
    }
}
