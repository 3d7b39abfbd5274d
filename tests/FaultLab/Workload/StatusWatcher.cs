using EventVault.FaultLab.History;
using EventVault.FaultLab.Machine;
using EventVault.Rpc;

namespace EventVault.FaultLab.Workload;

/// <summary>Asks every node now and then how it stands.</summary>
internal sealed class StatusWatcher(WorkState state) : LabClient("watcher", state)
{
    private const int PauseMilliseconds = 400;

    public override Task RunAsync(CancellationToken stop) => Task.WhenAll(Enumerable.Range(0, 9).Select(i => WatchAsync(i, stop)));

    private async Task WatchAsync(int index, CancellationToken stop)
    {
        while (!stop.IsCancellationRequested)
        {
            if (index < State.Cluster.Nodes.Count && State.Cluster.Nodes[index] is { IsRunning: true, IsForeign: false } node)
            {
                await State.AddAsync(await SampleAsync(node));
            }

            await Task.Delay(PauseMilliseconds, stop).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    private async Task<StatusSample> SampleAsync(LabNode node)
    {
        var sample = new StatusSample { Client = Name, Node = node.Number, Start = node.Starts, Invoked = Clock.Now };
        var isAlone = !State.Cluster.HasPeers;
        try
        {
            if (isAlone)
            {
                var status = await To(node).GetStatusAsync();
                return sample with { Completed = Clock.Now, Term = status.Term, CommitIndex = status.CommitIndex, LastIndex = status.CommitIndex, IsLeader = true };
            }

            var view = await To(node).GetClusterAsync();
            var self = view.VaultId.IsEmpty ? null : view.Nodes.FirstOrDefault(n => n.NodeId == view.NodeId && n.IsReachable);
            return self is null
                ? sample with { Completed = Clock.Now, Failure = "it belongs to no vault" }
                : sample with
                {
                    Completed = Clock.Now,
                    Incarnation = Convert.ToHexStringLower(self.Incarnation.Span),
                    Term = view.Term,
                    CommitIndex = self.CommitIndex,
                    LastIndex = self.LastIndex,
                    IsLeader = view.LeaderNodeId == view.NodeId,
                };
        }
        catch (RpcException e)
        {
            return sample with { Completed = Clock.Now, Failure = e.Code.ToString() };
        }
    }
}
