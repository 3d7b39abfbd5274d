using EventVault.Client;

namespace EventVault.Admin;

/// <summary>What a command works with.</summary>
/// <param name="Output">Where its results go.</param>
/// <param name="Endpoint">Address of the node, or of several of one vault.</param>
/// <param name="Credentials">How the command shows who it is; looked at by those that call a node only, so that variables which don't fit hinder no other.</param>
/// <param name="Stop">Cancelled by Ctrl-C and SIGTERM.</param>
internal sealed record CommandContext(Output Output, string Endpoint, Lazy<ConnectionCredentials> Credentials, CancellationToken Stop)
{
    // Without a node every command gives up within 15 seconds, the worst case being a read: it connects, retries until
    // RetryFor has passed since that first failure, may have begun one more attempt, and takes up to a second to close.
    // The rest is for a busy machine, on which a process takes its time to start.
    private static readonly TimeSpan CallTimeout = TimeSpan.FromSeconds(8);
    private static readonly TimeSpan ConnectTimeout = TimeSpan.FromSeconds(3);
    private static readonly TimeSpan RetryFor = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan ChangeTimeout = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan CloseTimeout = TimeSpan.FromSeconds(1);

    /// <summary>Connects; a node that is away is reported by the first call.</summary>
    /// <param name="retry">Null: give up after some seconds.</param>
    /// <exception cref="UsageException">The address is of no known form.</exception>
    public VaultClient Connect(RetryPolicy? retry = null) => ConnectTo(Endpoint, retry);

    /// <summary>The address of another node than the command's own, reached in the same way: in clear text or by TLS.</summary>
    /// <param name="hostAndPort">HOST:PORT, or several with commas between.</param>
    public string EndpointOf(string hostAndPort)
    {
        var end = Endpoint.IndexOf("://", StringComparison.Ordinal) is > 0 and var scheme ? scheme + 3 : 0;
        var user = Endpoint.LastIndexOf('@') is >= 0 and var at && at >= end ? Endpoint[end..(at + 1)] : string.Empty;
        return $"{(end > 0 ? Endpoint[..end] : "http://")}{user}{hostAndPort}";
    }

    /// <summary>
    /// Connects to change the vault's nodes. A node answers only when the change is committed, and one that joins takes a while; so these calls get more time,
    /// once the vault has been reached at all.
    /// </summary>
    /// <param name="endpoint">The vault's address.</param>
    /// <exception cref="VaultException">No node can be reached.</exception>
    public async Task<VaultClient> ConnectForChangeAsync(string endpoint)
    {
        await using (var quick = ConnectTo(endpoint))
        {
            await quick.Cluster.StatusAsync(Stop);
        }

        return VaultClient.Connect(endpoint, new VaultClientOptions
        {
            CallTimeout = ChangeTimeout,
            ConnectTimeout = ConnectTimeout,
            CloseTimeout = CloseTimeout,
            Retry = new RetryPolicy { GiveUpAfter = ChangeTimeout, MaxDelay = TimeSpan.FromSeconds(1) },
            Credentials = Credentials.Value.User,
            Tls = Credentials.Value.Tls,
        });
    }

    /// <summary>Connects to back the vault up: a node reads its unsealed segments before it says what it has, so that may take longer than other calls.</summary>
    /// <exception cref="UsageException">The address is of no known form.</exception>
    public VaultClient ConnectForBackup() => ConnectTo(Endpoint, callTimeout: ChangeTimeout);

    /// <summary>As <see cref="Connect"/>, to other nodes.</summary>
    /// <param name="endpoint">Their address.</param>
    /// <param name="retry">Null: give up after some seconds.</param>
    /// <param name="callTimeout">For calls that only read; null: the usual one.</param>
    /// <exception cref="UsageException">The address is of no known form.</exception>
    public VaultClient ConnectTo(string endpoint, RetryPolicy? retry = null, TimeSpan? callTimeout = null)
    {
        try
        {
            return VaultClient.Connect(endpoint, new VaultClientOptions
            {
                AppendTimeout = CallTimeout,
                CallTimeout = callTimeout ?? CallTimeout,
                ConnectTimeout = ConnectTimeout,
                CloseTimeout = CloseTimeout,
                Retry = retry ?? new RetryPolicy { GiveUpAfter = RetryFor, MaxDelay = TimeSpan.FromSeconds(1) },
                Credentials = Credentials.Value.User,
                Tls = Credentials.Value.Tls,
            });
        }
        catch (ArgumentException e)
        {
            throw new UsageException(e.Message.Split(" (Parameter", 2)[0]);
        }
    }

    /// <summary>Waits for a read or subscription to be established. A node that takes the call and never answers is away, too.</summary>
    /// <param name="opening">The read's head.</param>
    /// <param name="position">What the read must have seen, if it waits for a position.</param>
    /// <exception cref="VaultException">There was no answer in time.</exception>
    public async Task<ReadHead> OpenAsync(Task<ReadHead> opening, ulong? position = null)
    {
        try
        {
            return await opening.WaitAsync(CallTimeout, Stop);
        }
        catch (TimeoutException e) when (position is not null)
        {
            throw new VaultException(
                VaultErrorCode.TimedOutBehind, $"The node at {CredentialOptions.WithoutUser(Endpoint)} has not reached position {position} within {CallTimeout.TotalSeconds} s. Look at its head with vault-admin status.", inner: e);
        }
        catch (TimeoutException e)
        {
            throw new VaultException(
                VaultErrorCode.TimedOut, $"The node at {CredentialOptions.WithoutUser(Endpoint)} took the call and did not answer within {CallTimeout.TotalSeconds} s. Look at its log; restart it if it hangs.", inner: e);
        }
    }
}
