using System.Net.Security;

namespace EventVault.Client;

/// <summary>Settings of a <see cref="VaultClient"/>; read once by <see cref="VaultClient.Connect(string, VaultClientOptions?)"/>.</summary>
public sealed class VaultClientOptions
{
    /// <summary>
    /// Append sessions, each with a connection of its own, 1 to 64. Appends are spread by the name of the first stream
    /// that they list: among those with the same first stream the order is kept at any number, among others only with
    /// one. From about 64 appends in flight on, two carry an eighth to a quarter more; four carried no more than two, on 2 cores.
    /// </summary>
    public int Sessions { get; init; } = 1;

    /// <summary>Connections that reads and subscriptions share, 1 to 64.</summary>
    public int ReadConnections { get; init; } = 1;

    /// <summary>How long an append may take with all its retries, unless its <see cref="AppendOptions.Timeout"/> says otherwise.</summary>
    public TimeSpan AppendTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>
    /// How long the calls that answer once (stream and vault information) may take with all their retries, and how long each
    /// attempt of a read waits for its head, with which a node answers at once unless it has to reach a position first. How long
    /// a read goes on when attempts fail, as while no node can be reached, is <see cref="Retry"/>'s to say. A read that has its
    /// head, and a subscription, take as long as they take.
    /// </summary>
    public TimeSpan CallTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>How long one attempt to connect may take.</summary>
    public TimeSpan ConnectTimeout { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>How long disposing the client waits for appends in flight; zero: not at all. At most 24 days.</summary>
    public TimeSpan CloseTimeout { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>Which node of a vault of several answers reads and subscriptions.</summary>
    public ReadFrom ReadFrom { get; init; }

    /// <summary>How transient failures are retried.</summary>
    public RetryPolicy Retry { get; init; } = RetryPolicy.Default;

    /// <summary>TLS settings for <c>eventvaults://</c> and <c>https://</c>; null: the system's trust store, no client certificate. <see cref="VaultTls"/> makes them of files.</summary>
    public SslClientAuthenticationOptions? Tls { get; init; }

    /// <summary>How the client shows who it is; null: as its address says, or by the certificate of <see cref="Tls"/>, or not at all.</summary>
    public VaultCredentials? Credentials { get; init; }

    /// <summary>
    /// Most appends of one session that are on their way at once; further ones wait. At least 1. Four thousand
    /// of 256 bytes each keep a disk busy for tens of milliseconds, longer than any round trip it has to cover.
    /// </summary>
    public int MaxInFlightAppends { get; init; } = 4096;

    /// <summary>Most bytes of one session's appends that are on their way at once; one larger append goes alone.</summary>
    public int MaxInFlightBytes { get; init; } = 32 << 20;

    /// <summary>
    /// HTTP/2 window of a read or subscription, 64 KiB to 16 MiB: what the node may send ahead of the reader.
    /// 4 MiB made catching up two to three times as fast as the runtime's default.
    /// </summary>
    public int StreamWindowBytes { get; init; } = 4 << 20;

    internal void Validate()
    {
        Check(Sessions, 1, 64, nameof(Sessions));
        Check(ReadConnections, 1, 64, nameof(ReadConnections));
        Check(MaxInFlightAppends, 1, 1 << 20, nameof(MaxInFlightAppends));
        Check(MaxInFlightBytes, 1, 1 << 30, nameof(MaxInFlightBytes));
        Check(StreamWindowBytes, 64 << 10, 16 << 20, nameof(StreamWindowBytes));
        CheckPositive(AppendTimeout, nameof(AppendTimeout));
        CheckPositive(CallTimeout, nameof(CallTimeout));
        CheckPositive(ConnectTimeout, nameof(ConnectTimeout));
        ArgumentOutOfRangeException.ThrowIfLessThan(CloseTimeout, TimeSpan.Zero);
        if (CloseTimeout > TimeSpan.Zero)
        {
            CheckPositive(CloseTimeout, nameof(CloseTimeout));
        }

        if (!Enum.IsDefined(ReadFrom))
        {
            throw new ArgumentOutOfRangeException(nameof(ReadFrom), ReadFrom, "ReadFrom must be Leader, Any or Local.");
        }

        ArgumentNullException.ThrowIfNull(Retry);
        CheckPositive(Retry.InitialDelay, nameof(RetryPolicy.InitialDelay));
        CheckPositive(Retry.MaxDelay, nameof(RetryPolicy.MaxDelay));
    }

    private static void Check(int value, int low, int high, string name)
    {
        if (value < low || value > high)
        {
            throw new ArgumentOutOfRangeException(name, value, $"{name} must be from {low} to {high}.");
        }
    }

    private static void CheckPositive(TimeSpan value, string name)
    {
        if (value <= TimeSpan.Zero || value.TotalMilliseconds > int.MaxValue)
        {
            throw new ArgumentOutOfRangeException(name, value, $"{name} must be longer than zero and at most 24 days.");
        }
    }
}
