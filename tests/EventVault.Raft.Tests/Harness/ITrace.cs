namespace EventVault.Raft.Tests.Harness;

/// <summary>Told what happens in a cluster.</summary>
internal interface ITrace
{
    void Started(TestReplica replica);

    void Delivery(Message message, bool arrives);

    void Flush(TestReplica replica, DiskWrite write);

    void Output(TestReplica replica, TakenOutput output);
}

internal sealed class NoTrace : ITrace
{
    public void Started(TestReplica replica)
    {
    }

    public void Delivery(Message message, bool arrives)
    {
    }

    public void Flush(TestReplica replica, DiskWrite write)
    {
    }

    public void Output(TestReplica replica, TakenOutput output)
    {
    }
}
