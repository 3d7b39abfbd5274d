using System.CommandLine;
using EventVault.Client;

namespace EventVault.Admin.Commands.Cluster;

/// <summary><c>cluster</c>: the nodes of a vault, and how they change. docs/CLUSTER.md is the guide.</summary>
internal static class ClusterCommand
{
    public static Command Create(GlobalOptions global)
    {
        var command = new Command("cluster", "Show and change the nodes of a vault. docs/CLUSTER.md says what to do when.");
        command.Subcommands.Add(StatusOfClusterCommand.Create(global));
        command.Subcommands.Add(InitCommand.Create(global));
        command.Subcommands.Add(Add(global));
        command.Subcommands.Add(Remove(global));
        command.Subcommands.Add(Replace(global));
        command.Subcommands.Add(Transfer(global));
        return command;
    }

    private static CommandWithExamples Add(GlobalOptions global)
    {
        var node = NodeArgument("HOST:PORT of the new node's gRPC port; it was started with --join on an empty directory.");
        var id = new Option<uint>("--node-id") { Description = "Its number, 1 to 65,535. Without: the lowest one that is free." };
        var readReplica = new Option<bool>("--read-replica") { Description = "It gets the log and answers reads, and never votes." };
        var noWait = NoWait();
        var command = new CommandWithExamples(
            "add",
            "Add a node. It gets the log, and votes when it has caught up. Returns when it has.",
            "cluster add 10.0.0.4:7400",
            "cluster add 10.0.0.5:7400 --read-replica")
        { node, id, readReplica, noWait };
        global.Run(command, async (parse, context) =>
        {
            await using var client = await context.ConnectForChangeAsync(context.Endpoint);
            var peer = await PeerAddresses.OfAsync(context, parse.GetValue(node)!);
            var options = new AddNodeOptions { NodeId = parse.GetValue(id), IsReadReplica = parse.GetValue(readReplica) };
            var status = await client.Cluster.AddAsync(peer, options, context.Stop);
            return await EndAsync(context, client, status, waits: !parse.GetValue(noWait), peer);
        });
        return command;
    }

    private static CommandWithExamples Remove(GlobalOptions global)
    {
        var id = new Argument<uint>("node") { Description = "Its number, as cluster status shows it." };
        var force = new Option<bool>("--force") { Description = "Also if too few voters remain that are there. The vault may then take no appends without the removed one." };
        var command = new CommandWithExamples(
            "remove", "Remove a node; a leader hands over first. Its data stay on its disk.", "cluster remove 3", "cluster remove 3 --force")
        { id, force };
        global.Run(command, async (parse, context) =>
        {
            await using var client = await context.ConnectForChangeAsync(context.Endpoint);
            var number = parse.GetValue(id);
            var before = await client.Cluster.StatusAsync(context.Stop);
            var status = await client.Cluster.RemoveAsync(number, parse.GetValue(force), context.Stop);
            if (before.Nodes.All(n => n.NodeId != number))
            {
                Output.Note($"vault-admin: the vault has no node {number}: nothing was changed."); // As after a removal that is repeated.
            }

            return await EndAsync(context, client, status, waits: false);
        });
        return command;
    }

    private static CommandWithExamples Replace(GlobalOptions global)
    {
        var id = new Argument<uint>("node") { Description = "The node whose disk is gone." };
        var with = new Option<string>("--with")
        {
            Description = "HOST:PORT of the gRPC port of the node that takes its place; it was started with --join on an empty directory.",
            HelpName = "address",
            Required = true,
        };
        var noWait = NoWait();
        var command = new CommandWithExamples(
            "replace", "Put a new disk in the place of a node's lost one, in one step.", "cluster replace 2 --with 10.0.0.2:7400")
        { id, with, noWait };
        global.Run(command, async (parse, context) =>
        {
            await using var client = await context.ConnectForChangeAsync(context.Endpoint);
            var peer = await PeerAddresses.OfAsync(context, parse.GetValue(with)!);
            var status = await client.Cluster.ReplaceAsync(parse.GetValue(id), peer, context.Stop);
            return await EndAsync(context, client, status, waits: !parse.GetValue(noWait), peer);
        });
        return command;
    }

    private static CommandWithExamples Transfer(GlobalOptions global)
    {
        var to = new Option<uint>("--to") { Description = "The node that is to lead. Without: the voter that is furthest." };
        var command = new CommandWithExamples("transfer", "Hand leadership over.", "cluster transfer", "cluster transfer --to 2") { to };
        global.Run(command, async (parse, context) =>
        {
            await using var client = await context.ConnectForChangeAsync(context.Endpoint);
            var status = await client.Cluster.TransferAsync(parse.GetValue(to), context.Stop);
            return await EndAsync(context, client, status, waits: false);
        });
        return command;
    }

    private static Argument<string> NodeArgument(string description) => new("node") { Description = description, HelpName = "HOST:PORT" };

    /// <summary>For commands that bring a node in.</summary>
    public static Option<bool> NoWait() => new("--no-wait") { Description = "Return at once; the nodes go on by themselves." };

    /// <summary>Shows how the nodes stand, perhaps after having waited for all to be in their places.</summary>
    public static async Task<int> EndAsync(CommandContext context, VaultClient client, ClusterStatus status, bool waits, string? newcomer = null)
    {
        if (waits)
        {
            status = await Settled.WaitAsync(client, newcomer, context.Stop);
        }

        ClusterTable.Write(context.Output, status);
        return ExitCode.Done;
    }
}
