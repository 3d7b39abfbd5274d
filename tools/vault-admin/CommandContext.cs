using EventVault.Client;

namespace EventVault.Admin;

/// <summary>What a command works with.</summary>
/// <param name="Output">Where its results go.</param>
/// <param name="Endpoint">Address of the node.</param>
/// <param name="Stop">Cancelled by Ctrl-C and SIGTERM.</param>
internal sealed record CommandContext(Output Output, string Endpoint, CancellationToken Stop)
{
    /// <summary>Without a node every command gives up after this; closing takes up to a second more, and the contract says 15.</summary>
    public static readonly TimeSpan GiveUpAfter = TimeSpan.FromSeconds(10);

    /// <summary>Connects; a node that is away is reported by the first call.</summary>
    /// <param name="retry">Null: give up after <see cref="GiveUpAfter"/>.</param>
    /// <exception cref="UsageException">The address is of no known form.</exception>
    public VaultClient Connect(RetryPolicy? retry = null)
    {
        try
        {
            return VaultClient.Connect(Endpoint, new VaultClientOptions
            {
                AppendTimeout = GiveUpAfter,
                CallTimeout = GiveUpAfter,
                ConnectTimeout = TimeSpan.FromSeconds(4),
                CloseTimeout = TimeSpan.FromSeconds(1),
                Retry = retry ?? new RetryPolicy { GiveUpAfter = GiveUpAfter - TimeSpan.FromSeconds(2), MaxDelay = TimeSpan.FromSeconds(1) },
            });
        }
        catch (ArgumentException e)
        {
            throw new UsageException(e.Message);
        }
    }
}
