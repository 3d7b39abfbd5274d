using EventVault.Node.Replication;
using EventVault.Simulation.Cluster;

namespace EventVault.Simulation;

/// <summary>Who looks on: checkers, and clients that wait for something to happen at a node.</summary>
internal interface ISimulationObserver
{
    /// <summary>A process has opened its storage; nothing was sent yet.</summary>
    void Started(SimulatedNode node);

    /// <summary>A process ended; its memory can still be looked at. Or it never opened.</summary>
    void Stopped(SimulatedNode node, StopKind kind);

    /// <summary>A node sends; its state is as it is then. What becomes of the message is not known yet.</summary>
    void Sent(SimulatedNode from, in PeerMessage message);

    /// <summary>Something happened at a running node. After every event, so it must be cheap.</summary>
    void Stepped(SimulatedNode node);
}
