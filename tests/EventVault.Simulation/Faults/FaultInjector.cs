using EventVault.Simulation.Cluster;
using EventVault.Simulation.Scheduling;

namespace EventVault.Simulation.Faults;

/// <summary>
/// Brings one class of faults about, again and again, until it is told to stop. Each class draws from its own stream, so
/// that it comes at the same times whatever the other classes do.
/// </summary>
internal abstract class FaultInjector
{
    /// <summary>Between two faults of a class at rate 1.</summary>
    private static readonly long MeanInterval = TimeSpan.FromSeconds(10).Ticks;

    protected FaultInjector(Simulation simulation, FaultClass fault, double rate = 1)
    {
        Simulation = simulation;
        Class = fault;
        Random = simulation.RandomFor($"fault-{fault}");
        _interval = (long)(MeanInterval / (simulation.Options.FaultRate * rate));
    }

    private readonly long _interval;

    public FaultClass Class { get; }

    /// <summary>How often it struck.</summary>
    public int Strikes { get; private set; }

    protected Simulation Simulation { get; }

    protected Random Random { get; }

    protected bool IsStopped { get; private set; }

    /// <summary>How long the fault that is brought about now lasts.</summary>
    protected long Outage => Random.Exponential(Simulation.Options.OutageMean.Ticks) + TimeSpan.TicksPerMillisecond;

    public void Begin() => Simulation.After(Random.Exponential(_interval), Fire);

    /// <summary>No more faults, and what was brought about is taken back where it does not end by itself.</summary>
    public void Stop()
    {
        IsStopped = true;
        Heal();
    }

    /// <summary>Any node, or as often the leader: what happens to it matters most.</summary>
    protected SimulatedNode PickNode()
    {
        var any = Random.Pick(Simulation.Nodes);
        var isLeader = Random.Next(2) == 0;
        return isLeader && Simulation.LeaderNumber() is { } leader ? Simulation.Nodes[leader - 1] : any;
    }

    /// <summary>Brings a fault about; false if there is no way to now.</summary>
    protected abstract bool Strike();

    /// <summary>Takes back what lasts.</summary>
    protected virtual void Heal()
    {
    }

    /// <summary>Later, unless all faults were stopped before.</summary>
    protected void Later(long delay, Action action) => Simulation.After(delay, () =>
    {
        if (!IsStopped)
        {
            action();
        }
    });

    private void Fire()
    {
        if (IsStopped)
        {
            return;
        }

        Strikes += Strike() ? 1 : 0;
        Begin();
    }
}
