namespace EventVault.Simulation.Workload;

/// <summary>The world of the clients: time, and a way to the nodes.</summary>
internal interface IClientWorld
{
    /// <summary>Virtual time, ticks of 100 ns; never steps.</summary>
    long Now { get; }

    /// <summary>Numbers of the nodes that a client may try.</summary>
    IReadOnlyList<uint> Nodes { get; }

    /// <summary>Runs an action later, for certain.</summary>
    void After(long delay, Action action);

    /// <summary>
    /// Sends a request. <paramref name="deliver"/> runs on the node, as an event of it, or never;
    /// <paramref name="refused"/> runs at the client if the node is down.
    /// </summary>
    void ToNode(int client, uint node, Action<NodeGate> deliver, Action refused);

    /// <summary>Sends an answer, which arrives as an event of its own, or never.</summary>
    void ToClient(uint node, int client, Action deliver);
}
