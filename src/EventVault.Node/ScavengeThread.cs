// Scavenges a step at a time, slowly: the disk belongs to appends and reads. After each step it pauses, for at least three
// times as long as the step took, so that it slows down by itself when the disk is busy, and as long as the rate demands. Between its steps,
// at the same pace, sealed segments are checked for damage: it alone replaces their files, so nobody does while they are checked.
using System.Diagnostics;
using EventVault.Storage;
using EventVault.Storage.Index;
using EventVault.Storage.Scavenging;

namespace EventVault.Node;

/// <summary>Runs the storage's scavenger.</summary>
internal sealed class ScavengeThread : IDisposable
{
    /// <summary>What a step reads or writes at the most, but for an index.</summary>
    private const double StepBytes = 1024 * 1024;

    /// <summary>Of the time at most one part in this many is spent on steps, unless it runs as fast as it can.</summary>
    private const int MostShare = 4;

    /// <summary>How often to look for work: a segment may have been sealed, or there may be room again.</summary>
    private static readonly TimeSpan LookAgain = TimeSpan.FromSeconds(1);

    private readonly VaultStorage _storage;
    private readonly KeyRepair _repair;
    private readonly ScavengeStarter _starter;
    private readonly Scrub _scrub;
    private readonly TimeSpan _stepTime;
    private readonly ILogger _log;
    private readonly Action<Exception, string> _onFailed;
    private readonly AutoResetEvent _wake = new(initialState: false);
    private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private Position _damagedAt = Position.None;
    private volatile string? _problem;
    private volatile bool _stopping;
    private bool _isStarted;
    private long _paced; // When the last rest of a check ended.

    /// <param name="storage">Has the scavenger.</param>
    /// <param name="starter">Starts one by itself when it is time.</param>
    /// <param name="scrub">Checks sealed segments.</param>
    /// <param name="bytesPerSecond">What it reads and writes at the most; 0: as much as it can.</param>
    /// <param name="log">Where it says what it did.</param>
    /// <param name="onFailed">Called on this thread, which ends then.</param>
    public ScavengeThread(VaultStorage storage, ScavengeStarter starter, Scrub scrub, long bytesPerSecond, ILogger log, Action<Exception, string> onFailed)
    {
        _storage = storage;
        _repair = new KeyRepair(storage);
        _starter = starter;
        _scrub = scrub;
        _stepTime = bytesPerSecond == 0 ? TimeSpan.Zero : TimeSpan.FromSeconds(StepBytes / bytesPerSecond);
        _log = log;
        _onFailed = onFailed;
    }

    /// <summary>
    /// Why it does not go on although the storage would, in a sentence: a segment is damaged. It tries again when another
    /// scavenge is started, and after a restart. Null: it goes on. For every thread.
    /// </summary>
    public string? Problem => _problem;

    /// <summary>Why no scavenge starts by itself before the next look, in a sentence; null: none is worth it. For every thread.</summary>
    public string? StartProblem => _starter.Problem;

    public void Start()
    {
        _isStarted = true;
        new Thread(Run) { Name = "scavenge", IsBackground = true }.Start();
    }

    /// <summary>There may be something to do. For every thread.</summary>
    public void Wake() => _wake.Set();

    /// <summary>Ends after the step that is running, and once what it has begun is decided: so the sequencer must be drained, too.</summary>
    public async Task StopAsync()
    {
        _stopping = true;
        _starter.BeginStop();
        _wake.Set();
        if (_isStarted)
        {
            await _ended.Task;
        }

        await _starter.StopAsync();
    }

    /// <summary>After the end, when nobody can call <see cref="Wake"/> any more.</summary>
    public void Dispose() => _wake.Dispose();

    private void Run()
    {
        var wasRunning = false;
        try
        {
            while (!_stopping)
            {
                var began = _paced = Stopwatch.GetTimestamp();
                if (_scrub.Hurry(Pace))
                {
                    continue; // It has rested.
                }

                var worked = Repair() || Step() || _starter.Step();
                wasRunning = Tell(wasRunning);
                if (worked || !_scrub.Step(Pace))
                {
                    Rest(worked, Stopwatch.GetElapsedTime(began));
                }
            }
        }
        catch (Exception e)
        {
            // The boundary of the thread. A DiskException is not for a full disk: the scavenger waits for space by itself.
            _onFailed(e, "scavenge");
        }

        _ended.SetResult();
    }

    private bool Repair()
    {
        if (_repair.Step() is not { } path)
        {
            return false;
        }

        LogMessages.KeysMadeAgain(_log, path);
        return true;
    }

    // Damage in old events is no reason to stop serving the others.
    private bool Step()
    {
        var progress = _storage.Scavenger.Progress;
        if (_problem is not null && progress.Point == _damagedAt)
        {
            return false;
        }

        _problem = null;
        try
        {
            return _storage.Scavenger.Step(_storage.CommitIndex);
        }
        catch (Exception e) when (e is DamageException or IndexDamageException)
        {
            LogMessages.ScavengeDamaged(_log, e);
            _damagedAt = progress.Point;
            _problem = e.Message;
            return false;
        }
    }

    private bool Tell(bool wasRunning)
    {
        var progress = _storage.Scavenger.Progress;
        var isRunning = progress.State is ScavengeState.Running or ScavengeState.Waiting;
        if (wasRunning && !isRunning)
        {
            LogMessages.ScavengeEnded(_log, progress.Point.Value, progress.State, progress.SegmentsRewritten, progress.SegmentsTotal, progress.BytesFreed);
            if (progress.Why is { } why)
            {
                LogMessages.ScavengeIsNotWhole(_log, why);
            }
        }

        return isRunning;
    }

    private void Rest(bool worked, TimeSpan took)
    {
        if (!worked)
        {
            _wake.WaitOne(LookAgain);
        }
        else if (_stepTime > TimeSpan.Zero && !_stopping)
        {
            Rest(_stepTime, took);
        }
    }

    private void Rest(TimeSpan atLeast, TimeSpan took)
    {
        var rest = atLeast - took;
        var share = took * (MostShare - 1);
        _wake.WaitOne(rest > share ? rest : share);
    }

    // Within a check.
    private void Pace(int bytes)
    {
        if (_stepTime > TimeSpan.Zero && !_stopping)
        {
            Rest(_stepTime * (bytes / StepBytes), Stopwatch.GetElapsedTime(_paced));
        }

        _paced = Stopwatch.GetTimestamp();
        if (_stopping)
        {
            throw new OperationCanceledException("The node stops.");
        }
    }
}
