namespace EventVault.Simulation.Workload;

/// <summary>What one client machine knows of the cluster.</summary>
internal sealed class ClientView(int client)
{
    private readonly Dictionary<string, long> _versions = new(StringComparer.Ordinal);

    public int Client => client;

    /// <summary>Who leads, as the client was told; 0: it does not know.</summary>
    public int Leader { get; set; }

    /// <summary>The highest position it was told of: what it may ask any node to show.</summary>
    public long Highest { get; private set; } = -1;

    /// <summary>The last version of a stream that it was told of; −1: none.</summary>
    public long Version(string stream) => _versions.GetValueOrDefault(stream, -1);

    public void Learn(string stream, long version) => _versions[stream] = version;

    public void Learn(long position) => Highest = Math.Max(Highest, position);
}
