// Looks after the callers of a vault thread that stands in a write or flush: a disk that hangs. Another node leads by then, but whoever waits here
// would wait for the disk. After an election timeout what waits is answered, and what comes is refused, until the write is done.
//
// Who may touch what the vault thread owns: that thread, but while it writes nobody does, and then the watch may, for the time that it takes to
// answer. The writer shares with the sequencer only its two queues and the groups' buffers; answers are not its own. So each append is still
// completed exactly once: the watch takes answers out of the groups, and leaves the groups where they are.
using System.Diagnostics;

namespace EventVault.Node;

/// <summary>Answers for a vault thread that stands in a write. <see cref="Begin"/> and <see cref="End"/> are that thread's.</summary>
internal sealed class WriteWatch : IDisposable
{
    private const int Running = 0;
    private const int Writing = 1;
    private const int Answering = 2;

    /// <summary>Looks in the time that a write may take: so that callers wait little longer than that.</summary>
    private const int LooksPerPatience = 8;

    private readonly VaultLoop _loop;
    private readonly long _patience; // By Stopwatch.
    private readonly TimeSpan _interval;
    private Timer? _timer;
    private long _since;
    private int _state;

    /// <param name="loop">Has who waits.</param>
    /// <param name="patience">How long a write may take: an election timeout, behind which others lead.</param>
    public WriteWatch(VaultLoop loop, TimeSpan patience)
    {
        _loop = loop;
        _patience = (long)(patience.TotalSeconds * Stopwatch.Frequency);
        _interval = patience / LooksPerPatience;
    }

    /// <summary>Begins to look. What breaks is told there: the node must stop.</summary>
    public void Start(Action<Exception> onFailed) => _timer = new Timer(
        _ =>
        {
            try
            {
                Look();
            }
            catch (Exception e)
            {
                // The boundary of the timer's thread.
                onFailed(e);
            }
        },
        null, _interval, _interval);

    /// <summary>The vault thread begins to write; until <see cref="End"/> it touches nothing of the sequencer's.</summary>
    public void Begin()
    {
        Volatile.Write(ref _since, Stopwatch.GetTimestamp());
        Volatile.Write(ref _state, Writing);
    }

    /// <summary>The write is done.</summary>
    /// <returns>How long it took, by Stopwatch.</returns>
    public long End()
    {
        var wait = default(SpinWait);
        while (Interlocked.CompareExchange(ref _state, Running, Writing) != Writing)
        {
            wait.SpinOnce(); // The watch answers, and is done soon: that is handed to the thread pool.
        }

        if (_loop.IsHeldUp)
        {
            _loop.IsHeldUp = false;
        }

        return Stopwatch.GetTimestamp() - _since;
    }

    /// <summary>Answers who waits, if a write takes too long. What comes between two looks is refused, or waits for the next.</summary>
    public void Look()
    {
        if (Volatile.Read(ref _state) != Writing || Stopwatch.GetTimestamp() - Volatile.Read(ref _since) < _patience
            || Interlocked.CompareExchange(ref _state, Answering, Writing) != Writing)
        {
            return;
        }

        try
        {
            // Once more, now that it can't end: it may have been another one.
            if (Stopwatch.GetTimestamp() - _since >= _patience)
            {
                _loop.GiveUpHeldUp();
            }
        }
        finally
        {
            Volatile.Write(ref _state, Writing);
        }
    }

    /// <summary>Ends when no look runs any more.</summary>
    public void Dispose()
    {
        if (_timer is { } timer)
        {
            using var ended = new ManualResetEvent(initialState: false);
            if (timer.Dispose(ended))
            {
                ended.WaitOne();
            }
        }
    }
}
