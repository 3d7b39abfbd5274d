namespace EventVault.Simulation.Network;

/// <summary>Something on its way from node to node.</summary>
internal interface IParcel
{
    /// <summary>All that decides what the receiver does, for the trace.</summary>
    void MixInto(Scheduling.Trace trace);
}
