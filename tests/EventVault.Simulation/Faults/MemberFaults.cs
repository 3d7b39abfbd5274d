using EventVault.Simulation.Cluster;
using EventVault.Simulation.Scheduling;

namespace EventVault.Simulation.Faults;

/// <summary>Who is to be a voter changes.</summary>
internal sealed class MembershipChanges(Simulation simulation) : FaultInjector(simulation, FaultClass.Membership)
{
    protected override bool Strike()
    {
        var nodes = Simulation.Options.Nodes;
        var wanted = Enumerable.Range(1, nodes).Where(_ => Random.Next(4) != 0).ToList();
        if (wanted.Count == 0)
        {
            wanted.Add(Random.Next(1, nodes + 1));
        }

        foreach (var node in Simulation.Nodes)
        {
            Simulation.Operator.Want(node.Number, wanted.Contains(node.Number));
        }

        Simulation.Trace.Note($"wanted voters: {string.Join(' ', wanted)}");
        return true;
    }
}

/// <summary>
/// A disk is lost, and its node comes back with an empty one. Within the budget only if the others decide without it, and
/// not again before the membership has replaced it: whatever was acknowledged is then on a majority that is left.
/// </summary>
internal sealed class Wipes(Simulation simulation) : FaultInjector(simulation, FaultClass.Wipe, rate: 0.7)
{
    protected override bool Strike()
    {
        var node = Random.Pick(Simulation.Nodes);
        var outage = Outage;
        if (!Simulation.CanLose(node))
        {
            return false;
        }

        Simulation.Trace.Note($"node {node.Number}: disk lost");
        Simulation.Restarts.Held.Add(node.Number);
        node.IsDamaged = true;
        if (node.IsRunning)
        {
            node.CutPower();
        }

        Simulation.After(outage, () => Simulation.GiveNewDisk(node));
        return true;
    }
}

/// <summary>Two machines get each other's disks, or one a copy of another's: they must not start. Then they get their own back.</summary>
internal sealed class ForeignDisks(Simulation simulation) : FaultInjector(simulation, FaultClass.Foreign, rate: 0.5)
{
    private readonly List<SimulatedNode> _struck = [];

    protected override bool Strike()
    {
        var a = Random.Pick(Simulation.Nodes);
        var b = Random.Pick(Simulation.Nodes);
        var isSwap = Random.Next(2) == 0;
        var outage = Outage;
        if (a == b || _struck.Count > 0 || a.Id is null || b.Id is null || Simulation.Restarts.Held.Overlaps([a.Number, b.Number]))
        {
            return false;
        }

        Simulation.Trace.Note($"nodes {a.Number} and {b.Number}: {(isSwap ? "disks swapped" : "one gets a copy of the other's disk")}");
        _struck.AddRange(isSwap ? [a, b] : [a]);
        foreach (var node in _struck)
        {
            Simulation.Restarts.Held.Add(node.Number);
            if (node.IsRunning)
            {
                node.CutPower();
            }
        }

        var diskOfA = a.Files;
        a.InsertForeign(isSwap ? b.Files : b.Files.Copy());
        if (isSwap)
        {
            b.InsertForeign(diskOfA);
        }

        foreach (var node in _struck)
        {
            if (node.Start())
            {
                Simulation.Fail("foreign-disk-accepted", $"{node} started on the disk of another node.");
            }
        }

        Simulation.After(outage, Heal);
        return true;
    }

    // A disk that was tried in the wrong machine must be as it was: it goes back with all it went through there.
    protected override void Heal()
    {
        if (_struck.Count == 2)
        {
            var (first, second) = (_struck[0], _struck[1]);
            var (diskOfSecond, diskOfFirst) = (first.Files, second.Files);
            first.RemoveForeign();
            second.RemoveForeign();
            first.TakeBack(diskOfFirst);
            second.TakeBack(diskOfSecond);
        }
        else
        {
            _struck.ForEach(node => node.RemoveForeign());
        }

        foreach (var node in _struck)
        {
            Simulation.Restarts.Held.Remove(node.Number);
            Simulation.Restarts.OnEnded(node);
        }

        _struck.Clear();
    }
}

/// <summary>
/// Bits flip on a disk, at rest. Within the budget only where a checksum shows it for certain, on a node that the others
/// can do without, and which gets a new disk soon.
/// </summary>
internal sealed class Rot(Simulation simulation) : FaultInjector(simulation, FaultClass.Rot, rate: 0.5)
{
    protected override bool Strike()
    {
        var node = Random.Pick(Simulation.Nodes);
        var bits = Random.Next(1, 4);
        var outage = 2 * Outage;
        if (node.Aside is not null || (!Simulation.CanLose(node) && !Simulation.Options.IsBeyondBudget))
        {
            return false;
        }

        var files = node.Files.AllFiles().Where(IsVictim).ToList();
        if (files.Count == 0)
        {
            return false;
        }

        node.IsDamaged = true;
        if (node.Id is { } id)
        {
            Simulation.Disks.Spoil(id);
        }

        for (; bits > 0; bits--)
        {
            var path = Random.Pick(files);
            if (node.Files.ReadFlushed(path) is { Length: > 0 } bytes)
            {
                var offset = Random.NextInt64(bytes.Length);
                node.Files.FlipBit(path, offset, Random.Next(8));
                Simulation.Trace.Note($"node {node.Number}: a bit flips in {path} at {offset}");
            }
        }

        if (!Simulation.Options.IsBeyondBudget)
        {
            Simulation.After(outage, () =>
            {
                Simulation.Restarts.Held.Add(node.Number);
                Simulation.GiveNewDisk(node);
            });
        }

        return true;

        // Not in the vote's file: there one of two copies is always allowed to be torn, so the other one would count. Not in
        // segments behind the last sealed one: at the log's very end damage can't be told from a torn write.
        // Not in the index of a running node: it was checked when it was opened, and is in the page cache since.
        bool IsVictim(string path) => (path.Contains("/index/", StringComparison.Ordinal) && !node.IsRunning)
            || (path.EndsWith(".seg", StringComparison.Ordinal) && node.IsRunning && SegmentOf(path) < node.Storage.SegmentCounts.Sealed);

        static long SegmentOf(string path) => long.Parse(Path.GetFileNameWithoutExtension(path), System.Globalization.CultureInfo.InvariantCulture);
    }
}
