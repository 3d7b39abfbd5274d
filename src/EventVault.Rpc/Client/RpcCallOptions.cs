namespace EventVault.Rpc;

/// <summary>What may differ from call to call; <c>default</c> means no time-out, no headers, no compression.</summary>
/// <param name="Timeout">
/// From the start of the call to its end. When it has passed the call fails with DEADLINE_EXCEEDED; the server is told
/// the same time-out. Null: none.
/// </param>
/// <param name="Headers">Metadata sent before the first message; not changed, may be shared by calls.</param>
/// <param name="Gzip">Whether to compress the messages that are sent. Answers may be compressed in any case.</param>
public readonly record struct RpcCallOptions(TimeSpan? Timeout = null, RpcMetadata? Headers = null, bool Gzip = false);
