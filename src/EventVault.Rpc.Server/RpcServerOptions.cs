using Microsoft.Extensions.Logging;

namespace EventVault.Rpc.Server;

/// <summary>Settings of an <see cref="RpcServer"/>.</summary>
public sealed class RpcServerOptions
{
    /// <summary>Largest request message in bytes, also after decompression; above it: RESOURCE_EXHAUSTED. Default 16 MiB.</summary>
    public int MaxReceiveBytes { get; init; } = 16 << 20;

    /// <summary>
    /// Bytes of request messages over 64 KiB that are held at once, by all calls together: from when they arrive until their call
    /// ends, or a stream asks for its next one. The calls of one connection may hold half. A message that does not fit is refused,
    /// and while more than half is held also one of which less than 64 KiB arrive in 10 s. Default 256 MiB.
    /// </summary>
    public long MaxReceivingBytes { get; init; } = 256L << 20;

    /// <summary>
    /// Looks at the request of a call with one request before its handler gets it; refuses it by throwing. The bytes lie in the connection's
    /// buffers and are valid until it returns. Handlers that take decoded requests are not concerned. Null: nobody looks.
    /// </summary>
    public Func<System.Buffers.ReadOnlySequence<byte>, RpcContext, ValueTask>? Inspect { get; init; }

    /// <summary>What a message is refused with for which there is no room; null: RESOURCE_EXHAUSTED with a plain message.</summary>
    public Func<RpcException>? OverloadRefusal { get; init; }

    /// <summary>
    /// Waits for room for a unary answer of more than 64 KiB, given its bytes. What it returns is disposed when the client has taken the answer but for some 64 KiB, or
    /// its call has ended. Handlers that write their answer themselves are not concerned. Null: such answers wait for their clients, however many there are.
    /// </summary>
    public Func<int, RpcContext, ValueTask<IDisposable>>? HoldAnswer { get; init; }

    /// <summary>Largest response message in bytes; above it: RESOURCE_EXHAUSTED. Default 16 MiB.</summary>
    public int MaxSendBytes { get; init; } = 16 << 20;

    /// <summary>
    /// From how many unflushed bytes on <see cref="RpcFrameWriter.WantsFlush"/> is true. Default 32 KiB: half of Kestrel's
    /// own buffer, so that building the next messages and sending these overlap.
    /// </summary>
    public int FlushThreshold { get; init; } = 32 << 10;

    /// <summary>Whether compressed requests are accepted and answers may be compressed. Default true.</summary>
    public bool AllowGzip { get; init; } = true;

    /// <summary>
    /// What a client is told in the place of what a call has failed with, be it a status or an exception of another kind; null, or a null from it: nothing else.
    /// </summary>
    public Func<Exception, RpcException?>? Explain { get; init; }

    /// <summary>Told of each call that was taken, and its status, when it has ended and before its client hears of it; must not throw. Null: nobody is told.</summary>
    public Action<RpcContext, RpcCode>? Ended { get; init; }

    /// <summary>Where unexpected exceptions of handlers are told; null: nowhere.</summary>
    public ILogger? Logger { get; init; }

    /// <summary>What a call is refused with while the server drains; null: UNAVAILABLE with a plain message.</summary>
    public Func<RpcException>? DrainRefusal { get; init; }

    /// <summary>What a call of a method that has no handler is refused with; null: UNIMPLEMENTED with a plain message.</summary>
    public Func<RpcException>? UnknownRefusal { get; init; }

    /// <summary>How long a large message may take for its next 64 KiB when its room is wanted; for tests.</summary>
    internal TimeSpan ReceivePatience { get; init; } = TimeSpan.FromSeconds(10);
}
