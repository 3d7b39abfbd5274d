// The one thread that sequences appends and writes the log (decision 0007): it steps VaultLoop and LogWriter in turn. A quorum of
// one begins with an election, which it wins by itself; with other members time counts, in ticks.
// With nothing to do it spins for a moment, because the next append of a client that waits for each answer comes within
// it, and then parks. When the log has rested for a while it writes the commit mark.
//
// While it is parked in a vault of one node, whoever brings a lone append steps both in its stead, on the thread that it came on, and
// has its answer without waking anybody (decision 0024). Whoever steps has the turn: a lock, which this thread gives up only to park.
using System.Diagnostics;
using System.Runtime.ExceptionServices;
using EventVault.Node.Replication;

namespace EventVault.Node;

/// <summary>Runs the sequencer and the writer.</summary>
internal sealed class VaultThread : IDisposable
{
    /// <summary>How long it looks for work before it parks.</summary>
    private static readonly long SpinTicks = Stopwatch.Frequency / 50_000; // 20 µs

    /// <summary>The log rests if nothing came for so long; then its end is marked.</summary>
    private static readonly TimeSpan MarkAfter = TimeSpan.FromMilliseconds(8);

    /// <summary>How often it looks whether a segment was prepared or sealed, should a wake-up be late.</summary>
    private static readonly TimeSpan RoomCheck = TimeSpan.FromMilliseconds(5);

    /// <summary>Ticks that are caught up with after a step that took long; what else was missed is forgotten. As many as two heartbeats take.</summary>
    private const int MostTicksAtOnce = 4;

    /// <summary>Length of a tick.</summary>
    public static readonly TimeSpan Tick = TimeSpan.FromMilliseconds(50);

    /// <summary>So many flushes were of one append, with nobody waiting behind it, before callers may step; one with company takes back <see cref="LoneCost"/>.</summary>
    private const int LoneBefore = 256;

    /// <summary>More are not counted: so many that company closes it for a while only if it comes more than now and then.</summary>
    private const int MostLone = 2 * LoneBefore;

    private const int LoneCost = 32;

    /// <summary>A thread of the pool that flushes must not be the only one there is.</summary>
    private static readonly bool CallersMayStep = Environment.ProcessorCount > 1;

    private static readonly long TickTicks = Tick.Ticks * Stopwatch.Frequency / TimeSpan.TicksPerSecond;

    /// <summary>Not parked: this thread steps, or a caller does.</summary>
    private const int Running = 0;

    private const int Parked = 1;

    /// <summary>Parked, and callers may step.</summary>
    private const int Open = 2;

    private readonly VaultLoop _loop;
    private readonly Replica _replica;
    private readonly LogWriter _writer;
    private readonly PooledCompletions _completions;
    private readonly BackgroundThread _background;
    private readonly WriteWatch _watch;
    private readonly Action<Exception, string> _onFailed;
    private readonly ManualResetEventSlim _wake = new(initialState: false, spinCount: 0);
    private readonly TaskCompletionSource _leading = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Thread _thread;
    private readonly Lock _turn = new();
    private long _nextTick; // By Stopwatch; 0: time does not count.
    private long _longestStep;
    private int _state;
    private bool _wakesToMark; // Whoever has the turn, as of the next three.
    private bool _wasStepped;
    private int _lone;
    private Exception? _failure; // Of a caller that stepped.
    private volatile bool _stopping;
    private volatile bool _giveUp;

    /// <param name="loop">The sequencer.</param>
    /// <param name="replica">The node's part in consensus, which the loop steps.</param>
    /// <param name="writer">The writer.</param>
    /// <param name="completions">The loop's and the replica's.</param>
    /// <param name="background">Makes room when the sequencer waits for it.</param>
    /// <param name="patience">How long a write may take before who waits is answered.</param>
    /// <param name="onFailed">Called on this thread after it has refused what was queued; it ends then.</param>
    public VaultThread(VaultLoop loop, Replica replica, LogWriter writer, PooledCompletions completions, BackgroundThread background, TimeSpan patience, Action<Exception, string> onFailed)
    {
        _watch = new WriteWatch(loop, patience);
        _loop = loop;
        _replica = replica;
        _writer = writer;
        _completions = completions;
        _background = background;
        _onFailed = onFailed;
        _loop.Wake = Wake;
        _loop.TryStep = TryStep;
        _thread = new Thread(Run) { Name = "vault", IsBackground = true };
    }

    /// <summary>Ends once the node leads and shows all that is committed; with the failure, if one comes before.</summary>
    public Task Leading => _leading.Task;

    /// <summary>The longest that writing and flushing took since this was asked last. For one thread beside this one.</summary>
    public TimeSpan TakeLongestWrite() => TimeSpan.FromSeconds((double)Interlocked.Exchange(ref _longestStep, 0) / Stopwatch.Frequency);

    public void Start()
    {
        _thread.Start();
        _watch.Start(e => _onFailed(e, "write watch"));
    }

    /// <summary>Wakes the thread if it is parked. For every thread.</summary>
    public void Wake()
    {
        // The caller's write (a queued append, a flag) comes before this read; the write to _state of whoever ceases to step comes
        // before its look at those. One of the two sees the other.
        if (Volatile.Read(ref _state) != Running && Interlocked.Exchange(ref _state, Running) != Running)
        {
            _wake.Set();
        }
    }

    /// <summary>
    /// Sequences, writes and answers what is queued on the caller's thread, if this one is parked and callers may. For every thread.
    /// </summary>
    /// <returns>False: somebody else steps, or has to be woken.</returns>
    private bool TryStep()
    {
        if (Volatile.Read(ref _state) != Open || !_turn.TryEnter())
        {
            return false;
        }

        IThreadPoolWorkItem? answers;
        var rests = false;
        try
        {
            if (Interlocked.CompareExchange(ref _state, Running, Open) != Open)
            {
                return false;
            }

            try
            {
                StepForCaller();
                rests = _wakesToMark && _lone >= LoneBefore && _loop.IsIdle && !_replica.NeedsTicks;
            }
            catch (Exception e)
            {
                // It is the vault's failure, not the caller's: the vault's own thread ends with it.
                _failure = e;
            }

            answers = _completions.TakeKept(); // Behind a failure, too: what was committed before it is answered.
            Interlocked.Exchange(ref _state, rests ? Open : Parked);
        }
        finally
        {
            _turn.Exit();
        }

        if (!rests || _loop.HasQueued || _stopping)
        {
            Wake();
        }

        Answer(answers);
        return true;
    }

    // Writes once, and decides nothing behind that: what comes meanwhile does not hold up this answer.
    private void StepForCaller()
    {
        _wasStepped = true;
        _loop.Step();
        if (_replica.NeedsTicks || !_writer.Step())
        {
            return;
        }

        CountLone();
        _completions.KeepsNext = true;
        try
        {
            _replica.Step();
        }
        finally
        {
            _completions.KeepsNext = false;
        }
    }

    private void Answer(IThreadPoolWorkItem? answers)
    {
        try
        {
            answers?.Execute();
        }
        catch (Exception e)
        {
            // Not the caller's either. Whoever else was to be answered there never is.
            _onFailed(e, _thread.Name!);
        }
    }

    // Of appends that come together, the thread of the first would serve all: measured, 16 in flight lost a third of their speed.
    // But one that took longer than usual, so that the next one caught up with it, is not company.
    private void CountLone() => _lone = _writer.AppendsWritten != 1 || _loop.HasAppends ? Math.Max(_lone - LoneCost, 0) : Math.Min(_lone + 1, MostLone);

    /// <summary>
    /// Finishes what is queued, and ends the thread. What still waits for room on the disk after the
    /// limit is refused. The loop is draining already.
    /// </summary>
    public async Task StopAsync(TimeSpan limit)
    {
        _stopping = true;
        Interlocked.MemoryBarrier();
        Wake();
        try
        {
            await _ended.Task.WaitAsync(limit);
        }
        catch (TimeoutException)
        {
            _giveUp = true;
            Wake();
            await _ended.Task;
        }
    }

    /// <summary>After the end, when nobody can call <see cref="Wake"/> any more.</summary>
    public void Dispose()
    {
        _watch.Dispose();
        _wake.Dispose();
    }

    private void Run()
    {
        Action letFinish = _completions.LetFinish;
        _turn.Enter();
        try
        {
            if (_replica.IsAlone)
            {
                _replica.Campaign();
            }

            while (true)
            {
                // Not if there is one caller: before it comes back this thread is to have parked, so that it may step itself.
                var worked = _loop.Step(_lone == 0 && !_replica.NeedsTicks ? letFinish : null);
                worked |= Write();
                worked |= LetTimePass();
                if (!_leading.Task.IsCompleted && _replica.IsCaughtUp)
                {
                    _leading.SetResult();
                }

                if (worked)
                {
                    continue;
                }

                if (_stopping && (_loop.IsIdle || _giveUp))
                {
                    _loop.Stop();
                    break;
                }

                Rest();
            }
        }
        catch (Exception e)
        {
            // The boundary of the thread: whatever broke, nothing further may be written or acknowledged.
            _loop.Stop();
            _onFailed(e, _thread.Name!);
            _leading.TrySetException(e);
        }

        _turn.Exit();
        _leading.TrySetCanceled();
        _ended.SetResult();
    }

    private bool Write()
    {
        if (!_replica.NeedsTicks)
        {
            if (!_writer.Step())
            {
                return false;
            }

            CountLone();
            return true;
        }

        bool worked;
        long took;
        _watch.Begin();
        try
        {
            worked = _writer.Step();
        }
        finally
        {
            took = _watch.End();
        }

        if (took > Volatile.Read(ref _longestStep))
        {
            Volatile.Write(ref _longestStep, took);
        }

        return worked;
    }

    // Behind what came meanwhile: a node that was held up hears of its leader before it misses it. False: no tick was due.
    private bool LetTimePass()
    {
        if (!_replica.NeedsTicks)
        {
            _nextTick = 0;
            return false;
        }

        var now = Stopwatch.GetTimestamp();
        _nextTick = _nextTick == 0 ? now + TickTicks : _nextTick;
        var passed = 0;
        for (; now >= _nextTick && passed < MostTicksAtOnce; passed++)
        {
            _nextTick += TickTicks;
            _loop.Tick();
        }

        _nextTick = now >= _nextTick ? now + TickTicks : _nextTick;
        return passed > 0;
    }

    private void Rest()
    {
        var spinUntil = Stopwatch.GetTimestamp() + SpinTicks;
        do
        {
            if (_loop.HasQueued)
            {
                return;
            }

            Thread.SpinWait(20);
        }
        while (Stopwatch.GetTimestamp() < spinUntil);

        // With other members what is not idle may wait for them rather than for room; they wake this thread.
        var isIdle = _loop.IsIdle;
        var waitsForRoom = _nextTick == 0 ? !isIdle : _loop.WaitsForRoom;
        if (waitsForRoom)
        {
            _background.Wake();
        }

        var marks = !waitsForRoom && _writer.WantsMark;
        var patience = waitsForRoom ? RoomCheck : marks ? MarkAfter : Timeout.InfiniteTimeSpan;
        if (_nextTick != 0 && ToNextTick() is var toTick && (patience == Timeout.InfiniteTimeSpan || toTick < patience))
        {
            (patience, marks) = (toTick, false);
        }

        var woken = Park(patience, isIdle, marks);
        if (!woken && marks && !_loop.HasQueued && _writer.WantsMark)
        {
            _watch.Begin();
            try
            {
                _writer.WriteMark();
            }
            finally
            {
                _watch.End();
            }
        }
    }

    // False: nothing came for so long.
    private bool Park(TimeSpan patience, bool isIdle, bool marks)
    {
        var isOpen = isIdle && _nextTick == 0 && _lone >= LoneBefore && CallersMayStep;
        _wake.Reset();
        (_wakesToMark, _wasStepped) = (marks, false);
        Interlocked.Exchange(ref _state, isOpen ? Open : Parked);
        var woken = _loop.HasQueued || (_stopping && isIdle);
        if (!woken)
        {
            _turn.Exit();
            woken = _wake.Wait(patience);
            _turn.Enter();
        }

        Volatile.Write(ref _state, Running);
        if (_failure is { } failure)
        {
            ExceptionDispatchInfo.Throw(failure);
        }

        return woken || _wasStepped;
    }

    private TimeSpan ToNextTick()
    {
        var left = TimeSpan.FromSeconds((double)(_nextTick - Stopwatch.GetTimestamp()) / Stopwatch.Frequency);
        return left > TimeSpan.Zero ? left : TimeSpan.Zero;
    }
}
