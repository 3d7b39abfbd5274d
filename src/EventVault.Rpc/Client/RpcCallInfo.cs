namespace EventVault.Rpc;

/// <summary>Which call credentials are asked for.</summary>
/// <param name="Address">The channel's address.</param>
/// <param name="Method">The method's path, <c>/package.Service/Method</c>.</param>
public readonly record struct RpcCallInfo(Uri Address, string Method);
