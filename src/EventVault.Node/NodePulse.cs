// Whether the node is alive inside, as opposed to being a process that answers HTTP. Twice a second the vault thread is asked for a sign of life: one
// that stands in a write, waits for a disk that hangs, or has come to spin, gives none. The beat itself runs on the thread pool: if that stands
// still, there are no beats, which shows as well. Between the questions nothing is measured, so a healthy node pays for two wake-ups a second.
using EventVault.Node.Subscriptions;
using EventVault.Raft;
using EventVault.Storage;

namespace EventVault.Node;

/// <summary>The node's heartbeat. Everything but the beat is for every thread.</summary>
internal sealed class NodePulse : IDisposable
{
    /// <summary>Between two questions.</summary>
    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(500);

    /// <summary>
    /// How long a part of the node may stand still before the node calls itself unready: much longer than the slowest flush of a disk that works,
    /// and than a busy machine keeps a thread waiting.
    /// </summary>
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);

    private readonly VaultLoop _loop;
    private readonly VaultStorage _storage;
    private readonly LiveSubscriptions _subscriptions;
    private readonly TimeProvider _clock;
    private readonly Action _onBeat;
    private ITimer? _timer;
    private RaftStatus? _status;
    private long _askedAt; // By the clock's timestamps, as the two below.
    private long _answeredAt;
    private long _beatAt;
    private long _asleepMs;
    private bool _unasked; // The last question was refused: it is asked again, and its silence counts on.
    private int _beating;

    /// <param name="loop">Is asked.</param>
    /// <param name="storage">Has the head.</param>
    /// <param name="subscriptions">Must not sleep through commits.</param>
    /// <param name="clock">Counts time, and beats.</param>
    /// <param name="onBeat">Called at each beat, on one thread at a time.</param>
    public NodePulse(VaultLoop loop, VaultStorage storage, LiveSubscriptions subscriptions, TimeProvider clock, Action onBeat)
    {
        (_loop, _storage, _subscriptions, _clock, _onBeat) = (loop, storage, subscriptions, clock, onBeat);
        _beatAt = _answeredAt = _askedAt = clock.GetTimestamp();
    }

    /// <summary>How consensus stood when the vault thread was asked last; null: it has not answered yet.</summary>
    public RaftStatus? Status => Volatile.Read(ref _status);

    /// <summary>How long the vault thread has owed a sign of life; zero: it owes none.</summary>
    public TimeSpan Silence => Volatile.Read(ref _askedAt) is var asked && asked > Volatile.Read(ref _answeredAt) ? _clock.GetElapsedTime(asked) : TimeSpan.Zero;

    /// <summary>How long ago the last beat was.</summary>
    public TimeSpan SinceBeat => _clock.GetElapsedTime(Volatile.Read(ref _beatAt));

    /// <summary>How long a subscription has slept through commits.</summary>
    public TimeSpan Asleep => TimeSpan.FromMilliseconds(Volatile.Read(ref _asleepMs));

    /// <summary>What stands still, for people; null: nothing does.</summary>
    public string? Problem =>
        Silence is var silence && silence > Patience ? $"the vault thread has given no sign of life for {silence.TotalSeconds:F0} s: no append can be written"
        : SinceBeat is var beat && beat > Patience ? $"the thread pool has stood still for {beat.TotalSeconds:F0} s"
        : Asleep is var asleep && asleep > Patience ? $"a subscription has slept through commits for {asleep.TotalSeconds:F0} s: what is committed is not delivered"
        : null;

    /// <summary>Begins to beat.</summary>
    public void Start() => _timer = _clock.CreateTimer(static pulse => ((NodePulse)pulse!).Beat(), this, TimeSpan.Zero, Interval);

    /// <summary>Asks, and looks after the subscriptions. Called by the timer, and by tests.</summary>
    internal void Beat()
    {
        if (Interlocked.Exchange(ref _beating, 1) == 1)
        {
            return; // The last one still runs.
        }

        try
        {
            Ask();
            Volatile.Write(ref _asleepMs, (long)_subscriptions.Asleep(_storage.Head, VaultLoop.NowMs(_clock)).TotalMilliseconds);
            _onBeat();
        }
        finally
        {
            Volatile.Write(ref _beating, 0);
        }
    }

    private void Ask()
    {
        var now = _clock.GetTimestamp();
        Volatile.Write(ref _beatAt, now);
        if (Volatile.Read(ref _answeredAt) >= _askedAt)
        {
            // Later than the answer to the last question, also where the clock stands still.
            Volatile.Write(ref _askedAt, Math.Max(now, _answeredAt + 1));
            _unasked = true;
        }

        // With too many questions before it nobody will ever answer this one.
        _unasked = _unasked && _loop.AskAsync(Answer).IsCanceled;
    }

    /// <summary>Ends the beats.</summary>
    public void Dispose() => _timer?.Dispose();

    // On the vault thread.
    private bool Answer(Replication.Replica replica)
    {
        Volatile.Write(ref _status, replica.Status());
        Volatile.Write(ref _answeredAt, Math.Max(_clock.GetTimestamp(), _askedAt));
        return true;
    }
}
