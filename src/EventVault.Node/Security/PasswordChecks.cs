using EventVault.Node.Services;

namespace EventVault.Node.Security;

/// <summary>
/// Checks passwords and hashes new ones, a few at a time: each takes a core for some 0.1 s, and whoever guesses must not take them all.
/// Safe for concurrent use.
/// </summary>
internal sealed class PasswordChecks : IDisposable
{
    /// <summary>More than wait for one are refused: those that come behind them would give up first.</summary>
    private const int MostWaiting = 64;

    // Half of the cores; the others stay for appends and reads.
    private readonly SemaphoreSlim _places = new(Math.Max(1, Environment.ProcessorCount / 2));
    private int _waiting;
    private long _done;

    /// <summary>How many passwords were hashed, to check them or to keep them; for tests.</summary>
    public long Done => Volatile.Read(ref _done);

    /// <summary>Whether a password is the right one.</summary>
    /// <param name="stored">The hash of the right one; null: there is none, which takes as long to find out.</param>
    /// <param name="password">The password as it came.</param>
    /// <exception cref="Rpc.RpcException">RESOURCE_EXHAUSTED: too many wait.</exception>
    public async Task<bool> MatchesAsync(PasswordHash? stored, byte[] password)
    {
        var matches = await RunAsync(() => (stored ?? PasswordHash.OfNobody).Matches(password));
        return matches && stored is not null;
    }

    /// <summary>Hashes a new password.</summary>
    /// <exception cref="Rpc.RpcException">RESOURCE_EXHAUSTED: too many wait.</exception>
    public Task<PasswordHash> HashAsync(byte[] password, byte[] salt) => RunAsync(() => PasswordHash.Of(password, salt));

    public void Dispose() => _places.Dispose();

    private async Task<T> RunAsync<T>(Func<T> work)
    {
        try
        {
            if (Interlocked.Increment(ref _waiting) > MostWaiting)
            {
                throw Errors.PasswordsWait().ToException();
            }

            await _places.WaitAsync();
            try
            {
                // On a thread of its own: those of the pool answer appends and reads.
                Interlocked.Increment(ref _done);
                return await Task.Factory.StartNew(work, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
            }
            finally
            {
                _places.Release();
            }
        }
        finally
        {
            Interlocked.Decrement(ref _waiting);
        }
    }
}
