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
            var peers = new List<string>();
            foreach (var node in all)
            {
                peers.Add(await PeerAddresses.OfAsync(context, node));
            }

            // Of the first node alone: the others belong to no vault until they are added.
            await using var client = await context.ConnectForChangeAsync(context.EndpointOf(all[0]));
            var status = await client.Cluster.InitAsync(cancellationToken: context.Stop);
            foreach (var peer in peers.Skip(1))
            {
                status = await client.Cluster.AddAsync(peer, cancellationToken: context.Stop);
            }

            return await ClusterCommand.EndAsync(context, client, status, waits: !parse.GetValue(noWait));
        });
        return command;
    }
}
