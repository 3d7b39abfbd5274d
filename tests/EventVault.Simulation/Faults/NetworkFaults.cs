using EventVault.Raft;
using EventVault.Simulation.Scheduling;

namespace EventVault.Simulation.Faults;

/// <summary>Nodes can't reach each other: a split, one node alone, the leader alone, or some links only; clients too.</summary>
internal sealed class Partitions(Simulation simulation) : FaultInjector(simulation, FaultClass.Partition)
{
    protected override bool Strike()
    {
        var nodes = Simulation.Options.Nodes;
        var cut = new List<(int From, int To)>();
        var kind = Random.Next(5);
        var alone = kind == 0 && Simulation.LeaderNumber() is { } leader ? leader : Random.Next(1, nodes + 1);
        var side = Enumerable.Range(0, nodes + 1).Select(_ => Random.Next(2) == 0).ToArray();
        for (var a = 1; a <= nodes; a++)
        {
            for (var b = a + 1; b <= nodes; b++)
            {
                var isCut = kind switch
                {
                    0 or 1 => a == alone || b == alone,
                    2 => Random.Next(2) == 0, // Some links: each may see a majority, and no two the same one.
                    _ => side[a] != side[b],
                };
                if (isCut)
                {
                    cut.Add((a, b));
                    cut.Add((b, a));
                }
            }
        }

        var client = (Client: Random.Next(8), Node: Random.Next(1, nodes + 1), IsCut: Random.Next(3) == 0);
        if (client.IsCut)
        {
            Simulation.ClientNetwork.Cut(client.Client, client.Node);
        }

        cut.ForEach(link => Simulation.Network.Cut(link.From, link.To));
        Later(Outage, () =>
        {
            cut.ForEach(link => Simulation.Network.Restore(link.From, link.To));
            if (client.IsCut)
            {
                Simulation.ClientNetwork.Restore(client.Client, client.Node);
            }
        });
        Simulation.Trace.Note($"links cut: {string.Join(' ', cut.Where(link => link.From < link.To).Select(link => $"{link.From}-{link.To}"))}");
        return cut.Count > 0;
    }
}

/// <summary>One direction of some links is dead.</summary>
internal sealed class OneWayCuts(Simulation simulation) : FaultInjector(simulation, FaultClass.OneWay)
{
    protected override bool Strike()
    {
        var nodes = Simulation.Options.Nodes;
        var node = Random.Next(2) == 0 && Simulation.LeaderNumber() is { } leader ? leader : Random.Next(1, nodes + 1);
        var hears = Random.Next(2) == 0;
        var isAll = Random.Next(2) == 0;
        var cut = new List<(int From, int To)>();
        for (var other = 1; other <= nodes; other++)
        {
            if (other != node && (isAll || Random.Next(2) == 0))
            {
                cut.Add(hears ? (node, other) : (other, node));
            }
        }

        cut.ForEach(link => Simulation.Network.Cut(link.From, link.To));
        Later(Outage, () => cut.ForEach(link => Simulation.Network.Restore(link.From, link.To)));
        Simulation.Trace.Note($"one-way cuts: {string.Join(' ', cut.Select(link => $"{link.From}>{link.To}"))}");
        return cut.Count > 0;
    }
}

/// <summary>One node's links go up and down.</summary>
internal sealed class Flaps(Simulation simulation) : FaultInjector(simulation, FaultClass.Flap)
{
    protected override bool Strike()
    {
        var node = Random.Next(1, Simulation.Options.Nodes + 1);
        var period = (long)Random.Logarithmic(TimeSpan.FromMilliseconds(30).Ticks, TimeSpan.FromSeconds(2).Ticks);
        var until = Simulation.Now + (4 * Outage);
        Simulation.Trace.Note($"node {node}: its links flap every {TimeSpan.FromTicks(period).TotalMilliseconds:F0} ms");
        Toggle(node, period, until, isDown: false);
        return true;
    }

    private void Toggle(int node, long period, long until, bool isDown)
    {
        for (var other = 1; other <= Simulation.Options.Nodes; other++)
        {
            if (isDown)
            {
                Simulation.Network.Restore(node, other);
                Simulation.Network.Restore(other, node);
            }
            else if (Simulation.Now < until)
            {
                Simulation.Network.Cut(node, other);
                Simulation.Network.Cut(other, node);
            }
        }

        if (isDown || Simulation.Now < until)
        {
            Later(Random.Exponential(period) + 1, () => Toggle(node, period, until, !isDown));
        }
    }
}

/// <summary>Links stand still, one after the other, and their messages come late, in another order of links.</summary>
internal sealed class Clogs(Simulation simulation) : FaultInjector(simulation, FaultClass.Clog)
{
    protected override bool Strike()
    {
        var nodes = Simulation.Options.Nodes;
        long begin = 0;
        for (var i = Random.Next(1, (2 * nodes) + 1); i > 0; i--)
        {
            var from = Random.Next(1, nodes + 1);
            var to = Random.Next(1, nodes + 1);
            begin += Random.Exponential(TimeSpan.FromMilliseconds(50).Ticks);
            var length = Outage;
            Later(begin, () => Simulation.Network.Clog(from, to, Simulation.Now + length));
        }

        return true;
    }
}

/// <summary>Leadership is handed to somebody.</summary>
internal sealed class Transfers(Simulation simulation) : FaultInjector(simulation, FaultClass.Transfer)
{
    protected override bool Strike()
    {
        var to = Random.Pick(Simulation.Nodes);
        foreach (var node in Simulation.Nodes)
        {
            if (node.IsRunning && !node.IsPaused && node.Replica.Role == Role.Leader && to.Id is { } id && to != node)
            {
                Simulation.Trace.Note($"node {node.Number}: hands leadership to {to.Number}");
                node.Guard(() => node.Replica.Transfer(id));
                return true;
            }
        }

        return false;
    }
}

/// <summary>Clocks jump, and run at other rates.</summary>
internal sealed class ClockFaults(Simulation simulation) : FaultInjector(simulation, FaultClass.Clock)
{
    protected override bool Strike()
    {
        var node = Random.Pick(Simulation.Nodes);
        var magnitude = (long)Random.Logarithmic(TimeSpan.FromMilliseconds(1).Ticks, TimeSpan.FromHours(3).Ticks);
        if (Random.Next(2) == 0)
        {
            node.Clock.Offset = Random.Next(2) == 0 ? magnitude : -magnitude;
            Simulation.Trace.Note($"node {node.Number}: wall clock {TimeSpan.FromTicks(node.Clock.Offset)} off");
        }
        else
        {
            node.Clock.Rate = 1 + ((Random.NextDouble() - 0.5) / 50);
        }

        return true;
    }

    protected override void Heal()
    {
        foreach (var node in Simulation.Nodes)
        {
            (node.Clock.Offset, node.Clock.Rate) = (0, 1);
        }
    }
}
