using EventVault.Simulation.Scheduling;

namespace EventVault.Simulation.Faults;

/// <summary>A disk reports an error once: at a write, at a flush of a file or a folder, or at a read.</summary>
internal sealed class DiskErrors(Simulation simulation) : FaultInjector(simulation, FaultClass.FailingDisk)
{
    protected override bool Strike()
    {
        var node = Random.Pick(Simulation.Nodes);
        var kind = Random.Next(5);
        var isPartial = Random.Next(2) == 0;
        var (what, fault) = kind switch
        {
            0 => ("write", node.Files.FailingWrite),
            1 => ("folder's flush", node.Files.FailingDirectoryFlush),
            2 => ("read", node.Files.FailingRead),
            _ => ("flush", node.Files.FailingFlush),
        };
        if (isPartial)
        {
            fault.StrikeRandomly(Random, 0.2);
        }
        else
        {
            fault.StrikeAt(Random.Next(1, 10));
        }

        var files = node.Files;
        Simulation.Trace.Note($"node {node.Number}: a {what} will fail");
        Later(Outage, fault.Off);
        return files == node.Files;
    }

    protected override void Heal()
    {
        foreach (var files in Simulation.Nodes.Select(node => node.Files))
        {
            files.FailingFlush.Off();
            files.FailingWrite.Off();
            files.FailingRead.Off();
            files.FailingDirectoryFlush.Off();
        }
    }
}

/// <summary>A disk has next to no room left, and gets it back after a while.</summary>
internal sealed class FullDisks(Simulation simulation) : FaultInjector(simulation, FaultClass.FullDisk, rate: 0.5)
{
    private const long MostRoom = 300_000;

    protected override bool Strike()
    {
        var node = Random.Pick(Simulation.Nodes);
        var room = Random.NextInt64(MostRoom);
        var used = (1L << 50) - node.Files.FreeBytes("/");
        if (node.Files.CapacityBytes is not null)
        {
            return false;
        }

        node.Files.CapacityBytes = used + room;
        Simulation.Trace.Note($"node {node.Number}: {room} bytes of room left");
        Later(3 * Outage, () => node.Files.CapacityBytes = null);
        return true;
    }

    protected override void Heal()
    {
        foreach (var node in Simulation.Nodes)
        {
            node.Files.CapacityBytes = null;
        }
    }
}

/// <summary>
/// A disk loses what it was given and says nothing: flushes that make nothing durable, or writes that land elsewhere. No
/// node can see that at once, so it is beyond every budget.
/// </summary>
internal sealed class SilentLosses(Simulation simulation, FaultClass fault) : FaultInjector(simulation, fault)
{
    protected override bool Strike()
    {
        var node = PickNode();
        var files = node.Files;
        if (node.Id is not { } id || node.Aside is not null)
        {
            return false;
        }

        node.IsDamaged = true;
        Simulation.Disks.Spoil(id);
        Simulation.Trace.Note($"node {node.Number}: {(Class == FaultClass.Lie ? "its flushes lie" : "a write will land elsewhere")}");
        if (Class == FaultClass.Lie)
        {
            files.LyingFlush.StrikeRandomly(Random, 0.5);
            Later(Outage, files.LyingFlush.Off);
        }
        else
        {
            files.MisdirectedWrite.StrikeRandomly(Random, 0.2);
            Later(Outage, files.MisdirectedWrite.Off);
        }

        return true;
    }

    protected override void Heal()
    {
        foreach (var files in Simulation.Nodes.Select(node => node.Files))
        {
            files.LyingFlush.Off();
            files.MisdirectedWrite.Off();
        }
    }
}

/// <summary>A disk takes very long for a while.</summary>
internal sealed class SlowDisks(Simulation simulation) : FaultInjector(simulation, FaultClass.SlowDisk, rate: 0.5)
{
    protected override bool Strike()
    {
        var node = Random.Pick(Simulation.Nodes);
        node.ExtraFlushTicks = (long)Random.Logarithmic(TimeSpan.FromMilliseconds(20).Ticks, TimeSpan.FromSeconds(3).Ticks);
        Later(Outage, () => node.ExtraFlushTicks = 0);
        return true;
    }

    protected override void Heal()
    {
        foreach (var node in Simulation.Nodes)
        {
            node.ExtraFlushTicks = 0;
        }
    }
}
