namespace EventVault.Rpc.Server;

/// <summary>What handles a call, or the rest of what does.</summary>
/// <param name="context">The call.</param>
public delegate ValueTask RpcHandler(RpcContext context);

/// <summary>
/// Stands around every call: authentication, metrics, tracing. Refuses a call by throwing an <see cref="RpcException"/>
/// and passes it on by calling <paramref name="next"/> once. Sees the exceptions of what it stands around.
/// </summary>
/// <param name="context">The call; no message has been read yet.</param>
/// <param name="next">The rest.</param>
public delegate ValueTask RpcFilter(RpcContext context, RpcHandler next);
