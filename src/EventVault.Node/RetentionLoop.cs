// The leader's retention work: passes over what is due, at least once a minute, and a truncation through the sequencer's queue for
// each stream that has events due, like a client's. Only the leader works, and from the start whenever it begins to lead.
//
// Unhurried: behind each step it rests three times as long as the step took, so it takes a quarter of a core at most, and
// no more than a step's truncations wait in the queue at once.
using System.Diagnostics;
using EventVault.Node.Services;
using EventVault.Node.States;
using EventVault.Rpc;
using EventVault.Storage;
using EventVault.Storage.Index;
using EventVault.Storage.Log;
using EventVault.Temporal;
using EventVault.Temporal.Reducers;

namespace EventVault.Node;

/// <summary>Runs the retention work.</summary>
internal sealed class RetentionLoop : IAsyncDisposable
{
    /// <summary>Rest behind a step, in multiples of what it took.</summary>
    private const int Rest = 3;

    /// <summary>Bytes that a truncation's objects take in the queue beside the name, roughly.</summary>
    private const int QueuedBytes = 512;

    /// <summary>A queue that was full is empty again in less, and a full disk is full for longer.</summary>
    private static readonly TimeSpan RetryAfter = TimeSpan.FromMilliseconds(200);

    private readonly VaultStorage _storage;
    private readonly VaultLoop _loop;
    private readonly AnchorMaker _anchors;
    private readonly NodeOptions _options;
    private readonly ILogger _log;
    private readonly Action<Exception, string> _onFailed;
    private readonly RetentionWork _work;
    private readonly SemaphoreSlim _passing = new(1, 1);
    private readonly CancellationTokenSource _stopping = new();
    private RetentionClock? _clock; // Null: it has not begun.
    private bool _isAhead;
    private long _truncations;
    private int _waiting; // Streams of this pass whose anchors can't be made.
    private WaitingStream? _firstWaiting;
    private Task _running = Task.CompletedTask;

    /// <param name="storage">Whose rules and events.</param>
    /// <param name="loop">Takes the truncations.</param>
    /// <param name="anchors">Makes what keeps states the same where events go.</param>
    /// <param name="options">How often, and by which clock.</param>
    /// <param name="log">Gets warnings.</param>
    /// <param name="onFailed">Called when a rule of the program was found broken; the work has ended then.</param>
    public RetentionLoop(VaultStorage storage, VaultLoop loop, AnchorMaker anchors, NodeOptions options, ILogger log, Action<Exception, string> onFailed)
    {
        (_storage, _loop, _anchors, _options, _log, _onFailed) = (storage, loop, anchors, options, log, onFailed);
        _work = new RetentionWork(storage);
    }

    /// <summary>
    /// Notes what the log says of the time. To be called before anything is recorded by the clock of this start; it is watched from
    /// here on, whoever leads.
    /// </summary>
    public void BeginClock()
    {
        LogTimes? times;
        try
        {
            times = LogTimes.Of(_storage.Reader);
        }
        catch (Exception e) when (e is DamageException or IndexDamageException)
        {
            LogMessages.RetentionMetDamage(_log, e);
            times = new LogTimes(0, IsSteady: false); // Nothing confirms the clock.
        }

        if (times is null && _storage.IsJoined)
        {
            times = new LogTimes(0, IsSteady: false); // Its events are yet to come, and have something to lose.
        }

        _clock = new RetentionClock(_options.Clock, times);
    }

    /// <summary>Begins to work, behind <see cref="BeginClock"/>; the node leads or will.</summary>
    public void Start() => _running = Task.Run(RunAsync);

    /// <summary>Streams truncated since the node began. For every thread.</summary>
    public long Truncations => Volatile.Read(ref _truncations);

    /// <summary>Ends the work: the step that runs is finished. May be called more than once.</summary>
    public void BeginStop() => _stopping.Cancel();

    /// <summary>Works through all that is due now. For tests, and for the loop itself.</summary>
    /// <returns>How many streams were truncated.</returns>
    public async Task<int> PassAsync()
    {
        await _passing.WaitAsync(_stopping.Token).ConfigureAwait(false);
        try
        {
            var truncated = 0;
            do
            {
                if (!_loop.Leads)
                {
                    _work.Reset();
                    return truncated;
                }

                (_waiting, _firstWaiting) = (0, null);
                _work.Begin(Now());
                truncated += await StepAllAsync().ConfigureAwait(false);
                if (_firstWaiting is { } first)
                {
                    LogMessages.RetentionWaits(_log, first.Why, _waiting, first.Stream);
                }

                if (_work.Damage is { } damage)
                {
                    LogMessages.RetentionMetDamage(_log, damage);
                }
            }
            while (_work.HasMore);
            return truncated;
        }
        finally
        {
            _passing.Release();
        }
    }

    /// <summary>Ends when the work has ended. <see cref="BeginStop"/> was called.</summary>
    public async ValueTask DisposeAsync()
    {
        BeginStop();
        await _running.ConfigureAwait(false);
        await _passing.WaitAsync().ConfigureAwait(false);
        _passing.Dispose();
        _stopping.Dispose();
    }

    private async Task RunAsync()
    {
        try
        {
            using var timer = new PeriodicTimer(_options.RetentionInterval, _options.Clock);
            do
            {
                await PassAsync().ConfigureAwait(false);
            }
            while (await timer.WaitForNextTickAsync(_stopping.Token).ConfigureAwait(false));
        }
        catch (OperationCanceledException) when (_stopping.IsCancellationRequested)
        {
        }
        catch (Exception e)
        {
            // The boundary of the work: a rule of the program is broken.
            _onFailed(e, "retention");
        }
    }

    private long? Now()
    {
        Invariant.Check(_clock is not null);
        if (!_work.NeedsClock)
        {
            return null;
        }

        var now = _clock.Now();
        if (_clock.Ahead is null == _isAhead)
        {
            _isAhead = !_isAhead;
            if (_clock.Ahead is { } ahead)
            {
                LogMessages.ClockIsAhead(_log, ahead, RetentionClock.Confirmation);
            }
            else
            {
                LogMessages.ClockIsBelieved(_log);
            }
        }

        return now;
    }

    private async Task<int> StepAllAsync()
    {
        var (truncated, more) = (0, true);
        var due = new List<DueEvents>();
        while (more)
        {
            _stopping.Token.ThrowIfCancellationRequested();
            var began = Stopwatch.GetTimestamp();
            more = _work.Step(due);
            var rest = Rest * Stopwatch.GetElapsedTime(began);
            var outcomes = await TruncateAsync(due).ConfigureAwait(false);
            var done = outcomes.Count(o => o == AppendOutcome.Appended);
            truncated += done;
            Interlocked.Add(ref _truncations, done);
            if (outcomes.Contains(AppendOutcome.NotLeader))
            {
                _work.Reset();
                return truncated;
            }

            foreach (var (refused, _) in due.Zip(outcomes).Where(d => d.Second is AppendOutcome.Conflict or AppendOutcome.Damaged))
            {
                _work.Refused(refused);
            }

            due.Clear();
            if (more)
            {
                await Task.Delay(rest, _stopping.Token).ConfigureAwait(false);
            }
        }

        return truncated;
    }

    // Together, but for streams with anchors: each of those may hold some MiB until it is written.
    private async Task<AppendOutcome[]> TruncateAsync(List<DueEvents> due)
    {
        var tasks = new Task<AppendOutcome>[due.Count];
        for (var i = 0; i < due.Count; i++)
        {
            tasks[i] = TruncateAsync(due[i]);
            if (!tasks[i].IsCompleted && HasAnchors(due[i]))
            {
                await tasks[i].ConfigureAwait(false);
            }
        }

        return await Task.WhenAll(tasks).ConfigureAwait(false);
    }

    private bool HasAnchors(DueEvents due)
    {
        try
        {
            return _anchors.AreNeeded(due.Stream);
        }
        catch (Exception e) when (e is DamageException or IndexDamageException)
        {
            // It waits for that, as its task says.
            return false;
        }
    }

    // Until it is decided: the work has gone on and would not find these again. Whatever the sequencer finds in the way (a hold, another
    // rule, a deletion) is an answer.
    private async Task<AppendOutcome> TruncateAsync(DueEvents due)
    {
        while (true)
        {
            if (await MakeAnchorsAsync(due).ConfigureAwait(false) is not { } anchors)
            {
                return AppendOutcome.Conflict;
            }

            var append = new SingleAppend(_storage);
            append.Content.OperationId = due.OperationId;
            append.Content.SetChange(
                new StreamChange(StreamChangeKind.Truncate, due.Before) { DueBy = due.Rule, Anchors = anchors }, due.Stream, ExpectedKind.Any, default);
            if (append.Content.Check(out _, out _) is { Kind: not EventProblemKind.None } problem)
            {
                // The anchors together are more than an append may be, or one of them than an event.
                return WaitsFor(due, new InvalidDataException($"Its anchors can't be written: {problem.Why}."));
            }

            append.QueuedBytes = QueuedBytes + append.Content.Bytes.Length;
            var outcome = await AppendAsync(append).ConfigureAwait(false);
            if (outcome == AppendOutcome.Conflict && append.Content.Change!.Problem == StreamChangeProblem.LookAgain)
            {
                continue;
            }

            if (outcome == AppendOutcome.Full && anchors.Events.Count > 0)
            {
                // The others need less room, and may make some.
                return WaitsFor(due, new IOException("The disk is full, and its anchors don't get the room that is kept for what gives space back."));
            }

            if (outcome is not (AppendOutcome.Overloaded or AppendOutcome.Full or AppendOutcome.TimedOut or AppendOutcome.Unknown))
            {
                return outcome;
            }

            await Task.Delay(RetryAfter, _stopping.Token).ConfigureAwait(false);
        }
    }

    // Null: they can't be made now. The stream waits, and the next pass looks at it again.
    private async Task<TruncationAnchors?> MakeAnchorsAsync(DueEvents due)
    {
        try
        {
            return await _anchors.MakeAsync(due.Stream, due.Before, _stopping.Token).ConfigureAwait(false);
        }
        catch (Exception e) when (e is StateTooLargeException or StreamChangedException or RpcException or InvalidDataException or UnsupportedFormatException
            or DamageException or IndexDamageException)
        {
            WaitsFor(due, e);
            return null;
        }
    }

    private AppendOutcome WaitsFor(DueEvents due, Exception why)
    {
        Interlocked.Increment(ref _waiting);
        Interlocked.CompareExchange(ref _firstWaiting, new WaitingStream(Errors.Name(due.Stream), why), null);
        return AppendOutcome.Conflict;
    }

    private ValueTask<AppendOutcome> AppendAsync(SingleAppend append)
    {
        try
        {
            if (_storage.Reader.LookUp(append.Content, out _))
            {
                return ValueTask.FromResult(AppendOutcome.Known);
            }
        }
        catch (Exception e) when (e is DamageException or IndexDamageException)
        {
            // What is due stays, and is found due again by the next pass.
            LogMessages.RetentionMetDamage(_log, e);
            return ValueTask.FromResult(AppendOutcome.Damaged);
        }

        var refused = _loop.Enqueue(append, append, 1, append.QueuedBytes, mayStep: false);
        return refused == AppendOutcome.None ? append.WaitAsync() : ValueTask.FromResult(refused);
    }

    /// <summary>A stream whose events are due and have to wait.</summary>
    private sealed record WaitingStream(string Stream, Exception Why);
}
