// Passwords are hashed a few at a time: each takes a core for some 0.1 s, and whoever guesses must not take them all. The others wait, and two things
// keep those who flood the node from keeping everybody out: in a full queue whoever comes with less of it takes the place of the last one of the address, and
// then of the connection, that has most of it; and those who wait are taken in turns, by address and then by connection, whoever was served least recently
// first. So a login from elsewhere waits for as many hashes as others have addresses, not for theirs, and is refused only if as many addresses wait as there are places.
using System.Net;
using EventVault.Node.Services;
using EventVault.Rpc.Server;

namespace EventVault.Node.Security;

/// <summary>Checks passwords and hashes new ones. Safe for concurrent use.</summary>
internal sealed class PasswordChecks
{
    /// <summary>More than wait for one are refused: those that come behind them would give up first.</summary>
    private const int MostWaiting = 64;

    private readonly Lock _lock = new();
    private readonly List<Waiting> _waiting = []; // As they came.
    private readonly Dictionary<IPAddress, Share> _ofNetworks = [];
    private readonly Dictionary<RpcConnection, Share> _ofConnections = [];
    private int _free;
    private long _turns;
    private long _done;

    /// <param name="places">How many are hashed at a time; null: half of the cores, the others stay for appends and reads.</param>
    public PasswordChecks(int? places = null) => _free = places ?? Math.Max(1, Environment.ProcessorCount / 2);

    /// <summary>How many passwords were hashed, to check them or to keep them; for tests.</summary>
    public long Done => Volatile.Read(ref _done);

    /// <summary>How many wait for their turn; for tests.</summary>
    public int WaitingNow
    {
        get
        {
            lock (_lock)
            {
                return _waiting.Count;
            }
        }
    }

    /// <summary>Whether a password is the right one.</summary>
    /// <param name="stored">The hash of the right one; null: there is none, which takes as long to find out.</param>
    /// <param name="password">The password as it came.</param>
    /// <param name="origin">Who brings it.</param>
    /// <param name="gone">Gives up what waits.</param>
    /// <exception cref="Rpc.RpcException">RESOURCE_EXHAUSTED: too many wait.</exception>
    /// <exception cref="OperationCanceledException">It was given up.</exception>
    public async Task<bool> MatchesAsync(PasswordHash? stored, byte[] password, CallOrigin origin, CancellationToken gone)
    {
        var matches = await RunAsync(() => (stored ?? PasswordHash.OfNobody).Matches(password), origin, gone);
        return matches && stored is not null;
    }

    /// <summary>Hashes a new password.</summary>
    /// <exception cref="Rpc.RpcException">RESOURCE_EXHAUSTED: too many wait.</exception>
    /// <exception cref="OperationCanceledException">It was given up.</exception>
    public Task<PasswordHash> HashAsync(byte[] password, byte[] salt, CallOrigin origin) => RunAsync(() => PasswordHash.Of(password, salt), origin, origin.Gone);

    /// <summary>Runs what takes a core for a while, when its turn comes.</summary>
    /// <exception cref="Rpc.RpcException">RESOURCE_EXHAUSTED: too many wait.</exception>
    /// <exception cref="OperationCanceledException">It was given up.</exception>
    internal async Task<T> RunAsync<T>(Func<T> work, CallOrigin origin, CancellationToken gone)
    {
        if (Enter(origin) is { } waiting)
        {
            await using var givesUp = gone.UnsafeRegister(_ => GiveUp(waiting, gone), null);
            await waiting.Turn.Task;
        }

        try
        {
            // On a thread of its own: those of the pool answer appends and reads.
            Interlocked.Increment(ref _done);
            return await Task.Factory.StartNew(work, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        }
        finally
        {
            Leave();
        }
    }

    // Null: it need not wait.
    private Waiting? Enter(CallOrigin origin)
    {
        Waiting? pushedOut = null;
        Waiting waiting;
        lock (_lock)
        {
            if (_free > 0)
            {
                _free--;
                return null;
            }

            var (network, connection) = (ShareOf(_ofNetworks, origin.Network), ShareOf(_ofConnections, origin.Connection));
            if (_waiting.Count == MostWaiting)
            {
                pushedOut = WhoHasMore(network, connection);
                if (pushedOut is null)
                {
                    Forget(origin.Network, network, origin.Connection, connection);
                    throw Errors.PasswordsWait().ToException();
                }

                Remove(pushedOut);
            }

            network.Waiting++;
            connection.Waiting++;
            waiting = new Waiting(origin.Network, network, origin.Connection, connection);
            _waiting.Add(waiting);
        }

        pushedOut?.Turn.SetException(Errors.PasswordsWait().ToException());
        return waiting;
    }

    // Whose place somebody takes: the last one of the address that has most, if that has more even then, or else of his own address if a connection there
    // does; of the connections that have most the one that came last. Null: nobody has too much.
    private Waiting? WhoHasMore(Share network, Share connection)
    {
        var most = _waiting.MaxBy(static w => w.OfNetwork.Waiting)!.OfNetwork;
        var isElsewhere = most.Waiting > network.Waiting + 1;
        var theirs = _waiting.FindAll(w => w.OfNetwork == (isElsewhere ? most : network));
        var mostOfOne = theirs.Count == 0 ? 0 : theirs.Max(static w => w.OfConnection.Waiting);
        return isElsewhere || mostOfOne > connection.Waiting + 1 ? theirs.FindLast(w => w.OfConnection.Waiting == mostOfOne) : null;
    }

    private void Leave()
    {
        Waiting? next;
        lock (_lock)
        {
            // The first of those that are alike, which is the oldest.
            next = _waiting.MinBy(static w => (w.OfNetwork.ServedAt, w.OfConnection.ServedAt));
            if (next is null)
            {
                _free++;
                return;
            }

            next.OfNetwork.ServedAt = next.OfConnection.ServedAt = ++_turns;
            Remove(next);
        }

        next.Turn.SetResult();
    }

    private void GiveUp(Waiting waiting, CancellationToken gone)
    {
        lock (_lock)
        {
            if (!_waiting.Contains(waiting))
            {
                return; // Its turn has come.
            }

            Remove(waiting);
        }

        waiting.Turn.SetCanceled(gone);
    }

    private void Remove(Waiting waiting)
    {
        _waiting.Remove(waiting);
        waiting.OfNetwork.Waiting--;
        waiting.OfConnection.Waiting--;
        Forget(waiting.Network, waiting.OfNetwork, waiting.Connection, waiting.OfConnection);
    }

    // Who comes first stands where he would if he had just been served: coming and going gets nobody ahead of those who wait.
    private Share ShareOf<T>(Dictionary<T, Share> shares, T of)
        where T : notnull
    {
        if (!shares.TryGetValue(of, out var share))
        {
            shares[of] = share = new Share { ServedAt = _turns };
        }

        return share;
    }

    private void Forget(IPAddress network, Share ofNetwork, RpcConnection connection, Share ofConnection)
    {
        if (ofNetwork.Waiting == 0)
        {
            _ofNetworks.Remove(network);
        }

        if (ofConnection.Waiting == 0)
        {
            _ofConnections.Remove(connection);
        }
    }

    /// <summary>What one of those that wait has in the queue.</summary>
    private sealed class Share
    {
        public int Waiting { get; set; }

        /// <summary>Number of the turn that was his last.</summary>
        public long ServedAt { get; set; }
    }

    private sealed class Waiting(IPAddress network, Share ofNetwork, RpcConnection connection, Share ofConnection)
    {
        public IPAddress Network => network;

        public Share OfNetwork => ofNetwork;

        public RpcConnection Connection => connection;

        public Share OfConnection => ofConnection;

        public TaskCompletionSource Turn { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }
}
