using System.Net.Security;

namespace EventVault.Rpc;

/// <summary>Settings of an <see cref="RpcChannel"/>.</summary>
public sealed class RpcChannelOptions
{
    /// <summary>Largest message that is accepted from the server, in bytes, also after decompression. Default 16 MiB.</summary>
    public int MaxReceiveBytes { get; init; } = 16 << 20;

    /// <summary>How many HTTP/2 connections the calls are spread over, in turn. 1 to 64, default 1.</summary>
    public int Connections { get; init; } = 1;

    /// <summary>TLS settings for an <c>https</c> address; null takes the machine's trust.</summary>
    public SslClientAuthenticationOptions? Tls { get; init; }

    /// <summary>How long to try to connect before a call fails with UNAVAILABLE. Default 10 s.</summary>
    public TimeSpan ConnectTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>
    /// After how much silence a connection with open calls is asked for a sign of life. Default 30 s; some servers
    /// close connections that ask more often.
    /// </summary>
    public TimeSpan KeepAlivePing { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>How long to wait for that sign before the connection is closed. Default 20 s.</summary>
    public TimeSpan KeepAliveTimeout { get; init; } = TimeSpan.FromSeconds(20);

    /// <summary>
    /// First HTTP/2 window of each call's answers, in bytes (65,535 to 16 MiB): how much the server may send ahead of
    /// the reader. 0, the default, leaves it to the runtime, which starts small and grows it. 4 MiB suits subscriptions.
    /// </summary>
    public int InitialStreamWindow { get; init; }

    /// <summary>
    /// Called before each call to add credentials to its headers; may be asynchronous (a token's renewal). Its token is cancelled
    /// when the call ends before, by its time-out too; the call does not wait for it then.
    /// </summary>
    public Func<RpcCallInfo, RpcMetadata, CancellationToken, ValueTask>? Credentials { get; init; }
}
