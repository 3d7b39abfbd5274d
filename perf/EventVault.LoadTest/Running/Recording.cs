using System.Collections.Concurrent;
using EventVault.LoadTest.Figures;

namespace EventVault.LoadTest.Running;

/// <summary>All that is recorded of one run of a scenario, warm-up or measured. Thread-safe.</summary>
internal sealed class Recording
{
    /// <summary>The step that is the whole iteration.</summary>
    public const string Whole = "iteration";

    // A chart of more points shows no more; and each keeps a histogram of 34 KiB a step.
    private const int MostIntervals = 300;

    private readonly LoadClock _clock;
    private readonly Func<Exception, string> _statusOf;
    private readonly ConcurrentDictionary<string, StepRecorder> _steps = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<string, long> _counts = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<string, long> _findings = new(StringComparer.Ordinal);
    private readonly Lock _adding = new();
    private readonly List<StepRecorder> _inOrder = [];

    public Recording(LoadClock clock, TimeSpan begin, TimeSpan length, Func<Exception, string> statusOf)
    {
        _clock = clock;
        _statusOf = statusOf;
        Begin = begin;
        Length = length;
        Interval = TimeSpan.FromSeconds(Math.Max(1, Math.Ceiling(length.TotalSeconds / MostIntervals)));
        Iterations = Step(Whole);
    }

    /// <summary>The step that is the whole iteration.</summary>
    public StepRecorder Iterations { get; }

    /// <summary>When the run began, by its clock.</summary>
    public TimeSpan Begin { get; }

    public TimeSpan Length { get; }

    /// <summary>Of the series.</summary>
    public TimeSpan Interval { get; }

    public IReadOnlyList<StepRecorder> Steps
    {
        get
        {
            lock (_adding)
            {
                return [.. _inOrder];
            }
        }
    }

    public IReadOnlyDictionary<string, long> Counts => _counts;

    public IReadOnlyDictionary<string, long> Findings => _findings;

    /// <summary>How late starts were.</summary>
    public LatencyHistogram Lag { get; } = new();

    /// <summary>By the run's clock.</summary>
    public TimeSpan Now => _clock.Now;

    /// <summary>Counts something of the scenario's own, such as conflicts. Not behind the run's end: a rate comes of it.</summary>
    public void Count(string name, long by = 1)
    {
        if (_clock.Now - Begin <= Length)
        {
            _counts.AddOrUpdate(name, static (_, n) => n, static (_, before, n) => before + n, by);
        }
    }

    /// <summary>What a check found, such as how many events are missing.</summary>
    public void Found(string name, long value) => _findings[name] = value;

    /// <summary>Records a time that was not taken by an iteration, such as that of a delivery.</summary>
    public void Record(string step, TimeSpan latency, long bytes = 0) => Step(step).Succeeded(_clock.Now - Begin, latency, bytes);

    /// <summary>Records a failure that was not an iteration's.</summary>
    public void Fail(string step, Exception e) => Step(step).Failed(_clock.Now - Begin, _statusOf(e));

    public StepRecorder Step(string name) => _steps.TryGetValue(name, out var step) ? step : AddStep(name);

    private StepRecorder AddStep(string name)
    {
        lock (_adding)
        {
            if (_steps.TryGetValue(name, out var step))
            {
                return step;
            }

            step = new StepRecorder(name, Length, Interval);
            _steps[name] = step;
            _inOrder.Add(step);
            return step;
        }
    }
}

/// <summary>One iteration of a scenario: its place among the others, and the clock of its steps.</summary>
/// <param name="recording">Where it is recorded.</param>
/// <param name="number">Counts the iterations of a run from 0.</param>
/// <param name="copy">Of a closed load, counted from 0; of an open one the number.</param>
/// <param name="intended">When it was to start, by the run's clock.</param>
internal sealed class Iteration(Recording recording, long number, long copy, TimeSpan intended)
{
    // The first step began when the iteration was to start, not when it could; each further one when the last was over.
    private TimeSpan _stepBegan = intended;

    public long Number => number;

    public long Copy => copy;

    /// <summary>When it was to start, by the run's clock.</summary>
    public TimeSpan Intended { get; } = intended;

    public Recording Recording => recording;

    /// <summary>Does a part of the iteration and records it under its own name. What it throws fails the iteration, too.</summary>
    /// <param name="name">Of the step.</param>
    /// <param name="work">The part.</param>
    /// <param name="bytes">What it moved, by what came of it.</param>
    public async Task<T> StepAsync<T>(string name, Func<Task<T>> work, Func<T, long>? bytes = null)
    {
        var step = recording.Step(name);
        var began = _stepBegan;
        try
        {
            var result = await work().ConfigureAwait(false);
            var now = recording.Now;
            step.Succeeded(now - recording.Begin, now - began, bytes?.Invoke(result) ?? 0);
            return result;
        }
        catch (Exception e)
        {
            recording.Fail(name, e);
            throw;
        }
        finally
        {
            _stepBegan = recording.Now;
        }
    }
}
