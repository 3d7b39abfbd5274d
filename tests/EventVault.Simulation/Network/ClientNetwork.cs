using EventVault.Simulation.Cluster;
using EventVault.Simulation.Scheduling;

namespace EventVault.Simulation.Network;

/// <summary>The way between clients and nodes: requests and answers take time and may be lost.</summary>
internal sealed class ClientNetwork
{
    /// <summary>Of requests and answers, where messages are lost at all.</summary>
    private const double MostLoss = 0.02;

    private readonly Simulation _simulation;
    private readonly Random _delay;
    private readonly Random _loss;
    private readonly Dictionary<(int Client, int Node), int> _cuts = [];
    private readonly Dictionary<(int Client, int Node), long> _lastArrival = [];

    public ClientNetwork(Simulation simulation)
    {
        _simulation = simulation;
        _delay = simulation.RandomFor("client-delay");
        _loss = simulation.RandomFor("client-loss");
    }

    /// <summary>A request on its way to a node. Lost, or delivered there, or <paramref name="refused"/> comes back: the node's process is down.</summary>
    public void ToNode(int client, int node, Action<SimulatedNode> deliver, Action? refused)
    {
        if (IsLost(client, node))
        {
            return;
        }

        // In order, as on one connection.
        var at = Math.Max(_simulation.Now + Delay(), _lastArrival.GetValueOrDefault((client, node)));
        _lastArrival[(client, node)] = at;
        _simulation.Add(new SimulatedEvent(at, EventKind.Request, node, 0, new ClientRequest(client, deliver, refused)));
    }

    /// <summary>An answer on its way. Always an event of its own.</summary>
    public void ToClient(int client, int node, Action deliver)
    {
        if (!IsLost(client, node))
        {
            _simulation.Add(new SimulatedEvent(_simulation.Now + Delay(), EventKind.Answer, 0, 0, deliver));
        }
    }

    public void Cut(int client, int node) => _cuts[(client, node)] = _cuts.GetValueOrDefault((client, node)) + 1;

    public void Restore(int client, int node) => _cuts[(client, node)] = Math.Max(0, _cuts.GetValueOrDefault((client, node)) - 1);

    public void HealAll() => _cuts.Clear();

    private bool IsLost(int client, int node)
    {
        var isLost = _simulation.Options.Has(FaultClass.Loss) && _loss.Chance(Math.Min(MostLoss, _simulation.Options.LossProbability));
        return (isLost && !_simulation.IsLiveness) || _cuts.GetValueOrDefault((client, node)) > 0;
    }

    private long Delay() => _delay.Exponential(_simulation.Options.NetworkDelay.Ticks) + 1;
}

/// <summary>A client's request on its way.</summary>
/// <param name="Client">Who sent it.</param>
/// <param name="Deliver">Runs on the node.</param>
/// <param name="Refused">The node's process is down.</param>
internal sealed record ClientRequest(int Client, Action<SimulatedNode> Deliver, Action? Refused)
{
    public override string ToString() => $"of client {Client}";
}
