namespace EventVault.Rpc.Server;

/// <summary>What the method table holds for a path.</summary>
/// <param name="Handler">Reads, handles and writes the call.</param>
/// <param name="ServesWhileDraining">Whether new calls are let in while the server drains.</param>
/// <param name="MaxReceiveBytes">Largest request message, if the server's own limit is not smaller.</param>
internal sealed record MethodEntry(RpcHandler Handler, bool ServesWhileDraining = false, int MaxReceiveBytes = int.MaxValue);
