using EventVault.Simulation.Cluster;
using EventVault.Simulation.Scheduling;

namespace EventVault.Simulation.Faults;

/// <summary>Machines lose power, one or several at once, between two events or in the middle of a disk operation.</summary>
internal sealed class PowerLosses(Simulation simulation) : FaultInjector(simulation, FaultClass.PowerLoss)
{
    private const int MostOperations = 60;
    private const int MostTruncationOperations = 6;

    protected override bool Strike()
    {
        // All at once is what a power cut in a building does, and the hardest for what was acknowledged.
        var isAll = Random.Next(6) == 0;
        IReadOnlyList<SimulatedNode> struck = isAll ? Simulation.Nodes : [PickNode()];
        var when = Random.Next(4);
        foreach (var node in struck)
        {
            var operations = (long)Random.Logarithmic(1, MostOperations);
            if (!node.IsRunning)
            {
                continue;
            }

            if (when == 0)
            {
                // The log's cut is the rarest of what a disk is asked to do, and the hardest to get right.
                node.CutPowerInTruncation(1 + (operations % MostTruncationOperations));
            }
            else if (when == 1)
            {
                node.CutPowerAfter(operations);
            }
            else
            {
                Simulation.Trace.Note($"node {node.Number}: power cut");
                node.CutPower();
            }
        }

        return true;
    }
}

/// <summary>Processes are killed; the page cache stays.</summary>
internal sealed class Kills(Simulation simulation) : FaultInjector(simulation, FaultClass.Kill)
{
    private const int MostOperations = 60;

    protected override bool Strike()
    {
        var node = PickNode();
        var operations = (long)Random.Logarithmic(1, MostOperations);
        var isWithin = Random.Next(2) == 0;
        if (!node.IsRunning)
        {
            return false;
        }

        if (isWithin)
        {
            node.KillAfter(operations);
        }
        else
        {
            Simulation.Trace.Note($"node {node.Number}: killed");
            node.Kill();
        }

        return true;
    }
}

/// <summary>
/// Processes stand still while time goes on; some of them also hear nothing when they go on, so that a leader that was
/// replaced meanwhile still takes itself for one.
/// </summary>
internal sealed class Pauses(Simulation simulation) : FaultInjector(simulation, FaultClass.Pause)
{
    protected override bool Strike()
    {
        var node = PickNode();
        var outage = Outage;
        var alone = Outage;
        var isAlone = Random.Next(2) == 0;
        if (!node.IsRunning || node.IsPaused)
        {
            return false;
        }

        var life = node.Life;
        node.Pause();
        if (isAlone)
        {
            Isolate(node.Number, outage + alone);
        }

        Simulation.Trace.Note($"node {node.Number}: paused for {TimeSpan.FromTicks(outage).TotalMilliseconds:F0} ms");
        Later(outage, () =>
        {
            if (node.Life == life)
            {
                node.Resume();
            }
        });
        return true;
    }

    protected override void Heal()
    {
        foreach (var node in Simulation.Nodes)
        {
            node.Resume();
        }
    }

    private void Isolate(int node, long duration)
    {
        for (var other = 1; other <= Simulation.Options.Nodes; other++)
        {
            var peer = other;
            Simulation.Network.Cut(node, peer);
            Simulation.Network.Cut(peer, node);
            Later(duration, () =>
            {
                Simulation.Network.Restore(node, peer);
                Simulation.Network.Restore(peer, node);
            });
        }
    }
}

/// <summary>Starts processes that ended again, after a while; the power may go again while one opens.</summary>
internal sealed class Restarts
{
    private const int MostOperations = 300;

    private readonly Simulation _simulation;
    private readonly Random _random;

    public Restarts(Simulation simulation)
    {
        _simulation = simulation;
        _random = simulation.RandomFor("restart");
    }

    /// <summary>Nodes that stay down: the liveness phase left them out, or they are being taken care of.</summary>
    public HashSet<int> Held { get; } = [];

    public void OnEnded(SimulatedNode node)
    {
        var life = node.Life;
        var outage = _random.Exponential(_simulation.Options.OutageMean.Ticks) + TimeSpan.TicksPerMillisecond;
        outage = node.LastStop == StopKind.Reopened ? TimeSpan.TicksPerMillisecond : outage;
        var crashAfter = _random.Next(4) == 0 ? (long)_random.Logarithmic(1, MostOperations) : 0;
        _simulation.After(outage, () => Restart(node, life, crashAfter));
    }

    private void Restart(SimulatedNode node, int life, long crashAfter)
    {
        // What refused to start is somebody else's turn: its disk has to be replaced, or put back.
        if (node.IsRunning || node.Life != life || Held.Contains(node.Number))
        {
            return;
        }

        var isPowerOut = crashAfter > 0 && _simulation.Options.Has(FaultClass.PowerLoss) && !_simulation.IsLiveness;
        node.Start(isPowerOut ? crashAfter : 0);
    }
}
