using EventVault.Protocol;
using EventVault.Rpc;

namespace EventVault.Node.Services;

/// <summary>What the node serves, by name. Their descriptors come after the start, of which they would take a sixth.</summary>
internal static class VaultServices
{
    public static readonly RpcService Streams = new("eventvault.v1.Streams", static () => StreamsReflection.Descriptor.Services[0]);
    public static readonly RpcService Temporal = new("eventvault.v1.Temporal", static () => TemporalReflection.Descriptor.Services[0]);
    public static readonly RpcService Admin = new("eventvault.v1.Admin", static () => AdminReflection.Descriptor.Services[0]);
    public static readonly RpcService Cluster = new("eventvault.v1.Cluster", static () => ClusterReflection.Descriptor.Services[0]);
    public static readonly RpcService Access = new("eventvault.v1.Access", static () => AccessReflection.Descriptor.Services[0]);

    /// <summary>Makes the descriptors, so that the first who sends a request that is checked against them need not wait for it.</summary>
    public static void Describe()
    {
        foreach (var service in (ReadOnlySpan<RpcService>)[Streams, Temporal, Admin, Cluster, Access])
        {
            _ = service.Descriptor;
        }
    }
}
