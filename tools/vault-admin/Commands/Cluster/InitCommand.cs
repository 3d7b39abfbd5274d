using System.CommandLine;

namespace EventVault.Admin.Commands.Cluster;

/// <summary><c>cluster init</c>: makes one vault of nodes that belong to none.</summary>
internal static class InitCommand
{
    public static Command Create(GlobalOptions global)
    {
        var nodes = new Option<string[]>("--nodes")
        {
            Description = "HOST:PORT of the gRPC ports of the nodes, with commas between; each was started with --join on an empty directory. The first one begins the vault.",
            HelpName = "HOST:PORT,…",
            Required = true,
            Arity = ArgumentArity.OneOrMore,
            AllowMultipleArgumentsPerToken = true,
        };
        var noWait = ClusterCommand.NoWait();
        var command = new CommandWithExamples(
            "init",
            "Make one vault of nodes that belong to none yet. May be repeated: what is done stays, and the rest is done.",
            "cluster init --nodes 10.0.0.1:7400,10.0.0.2:7400,10.0.0.3:7400")
        { nodes, noWait };
        global.Run(command, async (parse, context) =>
        {
            string[] all = [.. parse.GetValue(nodes)!.SelectMany(n => n.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))];
            if (all.Length == 0 || all.Distinct(StringComparer.Ordinal).Count() < all.Length)
            {
                throw new UsageException($"{nodes.Name} names {(all.Length == 0 ? "no node" : "a node twice")}.");
            }

            // Asked before anything is done: a node that is away or has no port for peers must not leave half a vault.
            var peers = new List<(string Address, Guid? Vault)>();
            foreach (var node in all)
            {
                peers.Add(await PeerAddresses.AskAsync(context, node));
            }

            CheckVaults(all, peers);

            // Of the first node alone: the others belong to no vault until they are added.
            await using var client = await context.ConnectForChangeAsync(context.EndpointOf(all[0]));
            var status = await client.Cluster.InitAsync(cancellationToken: context.Stop);
            foreach (var (peer, _) in peers.Skip(1))
            {
                status = await client.Cluster.AddAsync(peer, cancellationToken: context.Stop);
            }

            return await ClusterCommand.EndAsync(context, client, status, waits: !parse.GetValue(noWait));
        });
        return command;
    }

    // A first node without a vault beside others that have one has lost its disk: a second vault, made there, would take appends that belong into the first.
    private static void CheckVaults(string[] nodes, List<(string Address, Guid? Vault)> peers)
    {
        for (var i = 1; i < nodes.Length; i++)
        {
            if (peers[i].Vault is { } vault && vault != peers[0].Vault)
            {
                throw new UsageException(
                    $"{nodes[i]} belongs to vault {vault} already, and {nodes[0]} {(peers[0].Vault is null ? "to none" : $"to vault {peers[0].Vault}")}. Nothing was changed. "
                    + $"If {nodes[0]} has lost its disk, put it back into its place: vault-admin cluster replace NUMBER --with {nodes[0]} --endpoint http://{nodes[i]}.");
            }
        }
    }
}
