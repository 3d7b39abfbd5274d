namespace EventVault.Rpc;

/// <summary>How a call ended.</summary>
/// <param name="Code">The gRPC status code.</param>
/// <param name="Message">What happened, for a person; empty for <see cref="RpcCode.Ok"/>.</param>
public readonly record struct RpcStatus(RpcCode Code, string Message)
{
    /// <inheritdoc/>
    public override string ToString() => string.IsNullOrEmpty(Message) ? Code.ToString() : $"{Code}: {Message}";
}
