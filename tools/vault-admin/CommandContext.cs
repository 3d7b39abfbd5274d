using EventVault.Client;

namespace EventVault.Admin;

/// <summary>What a command works with.</summary>
/// <param name="Output">Where its results go.</param>
/// <param name="Endpoint">Address of the node.</param>
/// <param name="Stop">Cancelled by Ctrl-C and SIGTERM.</param>
internal sealed record CommandContext(Output Output, string Endpoint, CancellationToken Stop)
{
    // Without a node every command gives up within 15 seconds, the worst case being a read: it connects, retries until
    // RetryFor has passed since that first failure, may have begun one more attempt, and takes up to a second to close.
    // The rest is for a busy machine, on which a process takes its time to start.
    private static readonly TimeSpan CallTimeout = TimeSpan.FromSeconds(8);
    private static readonly TimeSpan ConnectTimeout = TimeSpan.FromSeconds(3);
    private static readonly TimeSpan RetryFor = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan CloseTimeout = TimeSpan.FromSeconds(1);

    /// <summary>Connects; a node that is away is reported by the first call.</summary>
    /// <param name="retry">Null: give up after some seconds.</param>
    /// <exception cref="UsageException">The address is of no known form.</exception>
    public VaultClient Connect(RetryPolicy? retry = null)
    {
        try
        {
            return VaultClient.Connect(Endpoint, new VaultClientOptions
            {
                AppendTimeout = CallTimeout,
                CallTimeout = CallTimeout,
                ConnectTimeout = ConnectTimeout,
                CloseTimeout = CloseTimeout,
                Retry = retry ?? new RetryPolicy { GiveUpAfter = RetryFor, MaxDelay = TimeSpan.FromSeconds(1) },
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
                VaultErrorCode.TimedOutBehind, $"The node at {Endpoint} has not reached position {position} within {CallTimeout.TotalSeconds} s. Look at its head with vault-admin status.", inner: e);
        }
        catch (TimeoutException e)
        {
            throw new VaultException(
                VaultErrorCode.TimedOut, $"The node at {Endpoint} took the call and did not answer within {CallTimeout.TotalSeconds} s. Look at its log; restart it if it hangs.", inner: e);
        }
    }
}
