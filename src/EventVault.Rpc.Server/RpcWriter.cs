using System.IO.Pipelines;
using Google.Protobuf;

namespace EventVault.Rpc.Server;

/// <summary>Writes response messages; or encoded ones, by its base class.</summary>
/// <typeparam name="T">The generated response message.</typeparam>
public sealed class RpcWriter<T> : RpcFrameWriter
    where T : class, IMessage<T>, new()
{
    private readonly RpcContext _context;

    internal RpcWriter(RpcContext context, PipeWriter pipe, int limitBytes, int flushThreshold)
        : base(context, pipe, limitBytes, flushThreshold) => _context = context;

    /// <summary>
    /// Adds a message to those that the next flush sends. Never waits; follow it with
    /// <see cref="RpcFrameWriter.FlushIfFullAsync"/> in a loop.
    /// </summary>
    /// <param name="message">Encoded before this returns.</param>
    /// <exception cref="RpcException">RESOURCE_EXHAUSTED: over the send limit.</exception>
    public void Write(T message)
    {
        ArgumentNullException.ThrowIfNull(message);
        if (_context.CompressesNow)
        {
            WriteFrame(message.ToByteArray());
            return;
        }

        var size = message.CalculateSize();
        message.WriteTo(BeginFrame(size));
    }

    /// <summary>Writes a message and sends it at once, with all written before.</summary>
    /// <param name="message">Encoded before this returns.</param>
    /// <exception cref="RpcException">RESOURCE_EXHAUSTED: over the send limit.</exception>
    /// <exception cref="OperationCanceledException">The call has ended: client gone, deadline passed, server stopping.</exception>
    public ValueTask WriteAsync(T message)
    {
        Write(message);
        return FlushAsync();
    }
}
