namespace EventVault.Rpc.Server;

/// <summary>How many connections are open. Thread-safe.</summary>
public sealed class RpcConnections
{
    private long _open;

    /// <summary>Connections that are open now.</summary>
    public long Open => Volatile.Read(ref _open);

    internal void Add(int count) => Interlocked.Add(ref _open, count);
}
