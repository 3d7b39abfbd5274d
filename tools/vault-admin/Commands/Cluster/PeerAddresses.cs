using EventVault.Client;

namespace EventVault.Admin.Commands.Cluster;

/// <summary>
/// Where other nodes reach a node. People name nodes by the one address that they use anyway, that of the gRPC port, and the node is asked for
/// the other one.
/// </summary>
internal static class PeerAddresses
{
    /// <param name="context">The command's.</param>
    /// <param name="node">HOST:PORT of its gRPC port.</param>
    /// <exception cref="UsageException">The node has no port for peers.</exception>
    /// <exception cref="OtherNodeUnreachableException">It can't be reached.</exception>
    public static async Task<string> OfAsync(CommandContext context, string node) => (await AskAsync(context, node)).Address;

    /// <summary>As <see cref="OfAsync"/>, and which vault the node belongs to; null: none.</summary>
    /// <param name="context">The command's.</param>
    /// <param name="node">HOST:PORT of its gRPC port.</param>
    /// <exception cref="UsageException">The node has no port for peers.</exception>
    /// <exception cref="OtherNodeUnreachableException">It can't be reached.</exception>
    public static async Task<(string Address, Guid? Vault)> AskAsync(CommandContext context, string node)
    {
        await using var client = context.ConnectTo(context.EndpointOf(node));
        ClusterStatus status;
        try
        {
            status = await client.Cluster.StatusAsync(context.Stop);
        }
        catch (VaultException e) when (e.Code is VaultErrorCode.Unreachable or VaultErrorCode.TimedOut)
        {
            throw new OtherNodeUnreachableException($"The node {node} can't be reached. Start it with --join on an empty directory, or mend its address. ({e.Message})", e);
        }

        var self = status.Nodes.FirstOrDefault(n => n.NodeId == status.AnsweredBy);
        return self is { PeerAddress.Length: > 0 }
            ? (self.PeerAddress, status.VaultId)
            : throw new UsageException($"The node {node} has no port for other nodes. Start it with --peer-port PORT.");
    }
}

/// <summary>A node that the command is about can't be reached; the one that it was sent to may be well.</summary>
/// <param name="message">Which, and what to do.</param>
/// <param name="inner">How that showed.</param>
internal sealed class OtherNodeUnreachableException(string message, Exception inner) : Exception(message, inner);
