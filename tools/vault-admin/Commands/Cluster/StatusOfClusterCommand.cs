using System.CommandLine;

namespace EventVault.Admin.Commands.Cluster;

/// <summary><c>cluster status</c>: how the nodes stand.</summary>
internal static class StatusOfClusterCommand
{
    public static Command Create(GlobalOptions global)
    {
        var command = new CommandWithExamples(
            "status",
            $"Show how the nodes stand. Exit code 0: all is as it should be; {ExitCode.Degraded}: a node is away, behind, not in its place, or reports a problem, or nobody leads.",
            "cluster status",
            "cluster status --json",
            "cluster status --endpoint http://10.0.0.1:7400,10.0.0.2:7400,10.0.0.3:7400");
        global.Run(command, async (_, context) =>
        {
            await using var client = context.Connect();
            var status = await client.Cluster.StatusAsync(context.Stop);
            ClusterTable.Write(context.Output, status);
            return status.IsHealthy ? ExitCode.Done : ExitCode.Degraded;
        });
        return command;
    }
}
