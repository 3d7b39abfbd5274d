using System.Text;
using EventVault.Storage;
using EventVault.Storage.Log;

namespace EventVault.Node.Services;

/// <summary>Checks names of streams in requests that read. The vault's own streams may be read.</summary>
internal static class StreamNames
{
    /// <exception cref="Rpc.RpcException">INVALID_ARGUMENT: the name can't be one.</exception>
    public static byte[] Check(string name, NodeLimits limits)
    {
        var bytes = CheckLength(name, "stream", limits);
        return StreamName.Problem(bytes) is { } why ? throw Errors.InvalidName("stream", null, why).ToException() : bytes;
    }

    /// <exception cref="Rpc.RpcException">INVALID_ARGUMENT: the name can't be one.</exception>
    public static StreamReference Reference(EventReader reader, string name, NodeLimits limits) => reader.Reference(Check(name, limits));

    /// <exception cref="Rpc.RpcException">INVALID_ARGUMENT: longer than any name.</exception>
    public static byte[] CheckLength(string name, string field, NodeLimits limits)
    {
        var bytes = Encoding.UTF8.GetBytes(name);
        return bytes.Length <= VaultLimits.StreamNameBytes
            ? bytes
            : throw Errors.LimitExceeded(limits[NodeLimits.StreamNameBytes], bytes.Length, field).ToException();
    }
}
