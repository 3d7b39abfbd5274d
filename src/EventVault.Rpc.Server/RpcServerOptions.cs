using Microsoft.Extensions.Logging;

namespace EventVault.Rpc.Server;

/// <summary>Settings of an <see cref="RpcServer"/>.</summary>
public sealed class RpcServerOptions
{
    private ReceiveBudget? _receiving;

    /// <summary>Largest request message in bytes, also after decompression; above it: RESOURCE_EXHAUSTED. Default 16 MiB.</summary>
    public int MaxReceiveBytes { get; init; } = 16 << 20;

    /// <summary>
    /// Bytes of request messages over 64 KiB that are held at once, by all calls together: from when their length is known until
    /// their call ends, or a stream asks for its next one. A message that does not fit is refused. Default 256 MiB.
    /// </summary>
    public long MaxReceivingBytes { get; init; } = 256L << 20;

    /// <summary>What a message is refused with for which there is no room; null: RESOURCE_EXHAUSTED with a plain message.</summary>
    public Func<RpcException>? OverloadRefusal { get; init; }

    /// <summary>Largest response message in bytes; above it: RESOURCE_EXHAUSTED. Default 16 MiB.</summary>
    public int MaxSendBytes { get; init; } = 16 << 20;

    /// <summary>
    /// From how many unflushed bytes on <see cref="RpcFrameWriter.WantsFlush"/> is true. Default 32 KiB: half of Kestrel's
    /// own buffer, so that building the next messages and sending these overlap.
    /// </summary>
    public int FlushThreshold { get; init; } = 32 << 10;

    /// <summary>Whether compressed requests are accepted and answers may be compressed. Default true.</summary>
    public bool AllowGzip { get; init; } = true;

    /// <summary>Where unexpected exceptions of handlers are told; null: nowhere.</summary>
    public ILogger? Logger { get; init; }

    /// <summary>What a call is refused with while the server drains; null: UNAVAILABLE with a plain message.</summary>
    public Func<RpcException>? DrainRefusal { get; init; }

    /// <summary>Of the server that has these options.</summary>
    internal ReceiveBudget Receiving => _receiving ??= new ReceiveBudget(MaxReceivingBytes);
}
