// Runs a scenario by its schedule. One pacing thread waits for the moments of the schedule and posts work; the work runs on the pool.
//
// A latency counts from the moment when the schedule wanted its iteration to start. If the server stalls, an open load's
// further starts wait in no queue of ours, they are late answers: the stall is in the figures of all of them, not of the one
// that happened to be in flight (no coordinated omission). What the generator itself was late is measured apart: the lag.
using EventVault.LoadTest.Figures;

namespace EventVault.LoadTest.Running;

/// <summary>Runs scenarios.</summary>
internal sealed class ScenarioRunner(LoadClock clock)
{
    // Iterations. Far more than any sensible open load has running; at a rate beyond what a server can do they would pile up
    // until memory ends, so starts are left out, which makes the run invalid.
    private const int MostInFlight = 100_000;

    // Between looks at how late posted work begins while copies run by themselves: a hundred a second cost nothing.
    private static readonly TimeSpan ProbeInterval = TimeSpan.FromMilliseconds(10);

    // How long iterations may take beyond the end: the time-out of an append in the client, and a little.
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(35);

    /// <summary>Processor time of the servers so far, in seconds; null: not known.</summary>
    public Func<double?> ServerCpuSeconds { get; init; } = static () => null;

    /// <summary>Memory of the servers, in MiB; null: not known.</summary>
    public Func<double?> ServerMemoryMiB { get; init; } = static () => null;

    /// <summary>Init, warm-up, the measured part, the check, clean.</summary>
    /// <exception cref="OperationCanceledException">It was cancelled; clean has run.</exception>
    public async Task<ScenarioResult> RunAsync(Scenario scenario, CancellationToken cancellation = default)
    {
        try
        {
            await scenario.Init().ConfigureAwait(false);
            if (scenario.WarmUp > TimeSpan.Zero)
            {
                var warmUp = new Pass(clock, scenario, Schedule.WarmUp(scenario.Loads, scenario.WarmUp));
                await clock.PaceAsync(() => warmUp.PaceAsync(cancellation)).ConfigureAwait(false);
                await warmUp.EndAsync().ConfigureAwait(false);
            }

            return await MeasureAsync(scenario, cancellation).ConfigureAwait(false);
        }
        finally
        {
            await scenario.Clean().ConfigureAwait(false);
        }
    }

    private async Task<ScenarioResult> MeasureAsync(Scenario scenario, CancellationToken cancellation)
    {
        var schedule = Schedule.Of(scenario.Loads);
        var (server, client) = (ServerCpuSeconds(), Environment.CpuUsage.TotalTime);
        var pass = new Pass(clock, scenario, schedule);
        using var end = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        var beside = scenario.Beside(pass.Recording, end.Token);
        await clock.PaceAsync(() => pass.PaceAsync(cancellation)).ConfigureAwait(false);
        var clientCpu = Environment.CpuUsage.TotalTime - client;
        var serverCpu = ServerCpuSeconds() - server;
        var unfinished = await pass.EndAsync().ConfigureAwait(false);
        var recording = pass.Recording;
        for (var i = 0L; i < unfinished; i++)
        {
            recording.Iterations.Failed(schedule.Length, "unfinished");
        }

        await CheckAsync(scenario, recording, beside).ConfigureAwait(false);
        await end.CancelAsync().ConfigureAwait(false);
        await EndOfAsync(beside, end.Token).ConfigureAwait(false);
        var result = new ScenarioResult
        {
            Name = scenario.Name,
            Description = scenario.Description,
            Loads = [.. scenario.Loads.Select(l => l.ToString())],
            Seconds = schedule.Length.TotalSeconds,
            Steps = [.. recording.Steps.Select(s => StepResult.Of(s, schedule.Length, recording.Interval))],
            Counts = recording.Counts,
            Findings = recording.Findings,
            Generator = GeneratorResult.Of(recording.Lag, pass.Dropped),
            ServerCpuSeconds = serverCpu,
            ClientCpuSeconds = clientCpu.TotalSeconds,
            ServerMemoryMiB = ServerMemoryMiB(),
            SeriesSeconds = recording.Interval.TotalSeconds,
            Thresholds = [],
        };
        return result with { Thresholds = [.. scenario.Thresholds.Select(t => new ThresholdResult(t.Text, t.Holds(result)))] };
    }

    private static async Task CheckAsync(Scenario scenario, Recording recording, Task beside)
    {
        // What failed beside the iterations would leave the check waiting for it.
        var check = scenario.Check(recording);
        if (await Task.WhenAny(check, beside).ConfigureAwait(false) == beside)
        {
            await beside.ConfigureAwait(false);
        }

        await check.ConfigureAwait(false);
    }

    private static async Task EndOfAsync(Task beside, CancellationToken end)
    {
        try
        {
            await beside.ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (end.IsCancellationRequested)
        {
        }
    }

    /// <summary>One way through a schedule.</summary>
    private sealed class Pass
    {
        private readonly LoadClock _clock;
        private readonly Scenario _scenario;
        private readonly Schedule _schedule;
        private readonly List<Copy> _copies = [];
        private readonly TaskCompletionSource _idle = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private long _iterations = -1;
        private int _wanted;

        // Iterations and copies that are running, and one for the pass itself until its end.
        private int _running = 1;

        public Pass(LoadClock clock, Scenario scenario, Schedule schedule)
        {
            _clock = clock;
            _scenario = scenario;
            _schedule = schedule;
            Recording = new Recording(clock, clock.Now, schedule.Length, scenario.StatusOf);
        }

        public Recording Recording { get; }

        public long Dropped { get; private set; }

        public async Task PaceAsync(CancellationToken cancellation)
        {
            try
            {
                foreach (var stretch in _schedule.Stretches)
                {
                    if (stretch is ClosedStretch closed)
                    {
                        await PaceCopiesAsync(closed, cancellation).ConfigureAwait(false);
                    }
                    else
                    {
                        Volatile.Write(ref _wanted, 0);
                        await PaceStartsAsync((IOpenStretch)stretch, cancellation).ConfigureAwait(false);
                    }

                    await _clock.WaitUntilAsync(Recording.Begin + stretch.End, cancellation).ConfigureAwait(false);
                }
            }
            finally
            {
                Volatile.Write(ref _wanted, 0);
            }
        }

        /// <summary>Waits for what is in flight.</summary>
        /// <returns>Iterations that did not end.</returns>
        public async Task<long> EndAsync()
        {
            LeaveRunning();
            return await _clock.CompletesAsync(_idle.Task, Patience).ConfigureAwait(false) ? 0 : Volatile.Read(ref _running);
        }

        private async Task PaceStartsAsync(IOpenStretch stretch, CancellationToken cancellation)
        {
            foreach (var start in stretch.Starts())
            {
                var at = Recording.Begin + start;
                await _clock.WaitUntilAsync(at, cancellation).ConfigureAwait(false);
                if (Volatile.Read(ref _running) > MostInFlight)
                {
                    Dropped++;
                    continue;
                }

                Interlocked.Increment(ref _running);
                _clock.Post(() =>
                {
                    Recording.Lag.Add(_clock.Now - at);
                    var number = Interlocked.Increment(ref _iterations);
                    _ = OpenIterationAsync(number, at);
                });
            }
        }

        private async Task PaceCopiesAsync(ClosedStretch stretch, CancellationToken cancellation)
        {
            using var changes = stretch.Changes().GetEnumerator();
            var more = changes.MoveNext();
            for (var at = stretch.Begin; at < stretch.End; at += ProbeInterval)
            {
                for (; more && changes.Current.At <= at; more = changes.MoveNext())
                {
                    Want(changes.Current.Copies);
                }

                var due = Recording.Begin + at;
                await _clock.WaitUntilAsync(due, cancellation).ConfigureAwait(false);
                _clock.Post(() => Recording.Lag.Add(_clock.Now - due));
            }
        }

        private void Want(int copies)
        {
            Volatile.Write(ref _wanted, copies);
            while (_copies.Count < copies)
            {
                _copies.Add(new Copy(_copies.Count));
            }

            foreach (var copy in _copies.Take(copies).Where(c => c.TryTake()))
            {
                Interlocked.Increment(ref _running);
                _clock.Post(() => _ = RunCopyAsync(copy));
            }
        }

        private async Task RunCopyAsync(Copy copy)
        {
            // A copy that is to go and to come back in one moment may see neither; it gives itself back before its last look.
            do
            {
                while (copy.Number < Volatile.Read(ref _wanted))
                {
                    await IterateAsync(new Iteration(Recording, Interlocked.Increment(ref _iterations), copy.Number, _clock.Now)).ConfigureAwait(false);
                }

                copy.Return();
            }
            while (copy.Number < Volatile.Read(ref _wanted) && copy.TryTake());
            LeaveRunning();
        }

        private async Task OpenIterationAsync(long number, TimeSpan intended)
        {
            await IterateAsync(new Iteration(Recording, number, number, intended)).ConfigureAwait(false);
            LeaveRunning();
        }

        private async Task IterateAsync(Iteration iteration)
        {
            try
            {
                await _scenario.Run(iteration).ConfigureAwait(false);
                var now = _clock.Now;
                Recording.Iterations.Succeeded(now - Recording.Begin, now - iteration.Intended, bytes: 0);
            }
            catch (Exception e)
            {
                // The boundary of the iteration: whatever it was, it failed, and the run goes on.
                Recording.Fail(Recording.Whole, e);
            }
        }

        private void LeaveRunning()
        {
            if (Interlocked.Decrement(ref _running) == 0)
            {
                _idle.TrySetResult();
            }
        }
    }

    /// <summary>A copy of a closed load, running or not.</summary>
    private sealed class Copy(int number)
    {
        private int _taken;

        public int Number => number;

        public bool TryTake() => Interlocked.Exchange(ref _taken, 1) == 0;

        public void Return() => Volatile.Write(ref _taken, 0);
    }
}
