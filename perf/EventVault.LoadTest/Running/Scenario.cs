using EventVault.LoadTest.Figures;

namespace EventVault.LoadTest.Running;

/// <summary>What is done over and over, how often, and what must come of it.</summary>
internal sealed record Scenario
{
    public required string Name { get; init; }

    /// <summary>One sentence.</summary>
    public required string Description { get; init; }

    /// <summary>Run one behind the other.</summary>
    public required IReadOnlyList<Load> Loads { get; init; }

    /// <summary>One iteration. It fails by throwing.</summary>
    public required Func<Iteration, Task> Run { get; init; }

    /// <summary>Before anything is started: connections, data.</summary>
    public Func<Task> Init { get; init; } = static () => Task.CompletedTask;

    /// <summary>Beside the iterations of the measured part, until it is cancelled: what belongs to no single one, such as subscribers.</summary>
    public Func<Recording, CancellationToken, Task> Beside { get; init; } = static (_, _) => Task.CompletedTask;

    /// <summary>After the iterations and what ran beside them, while the recording still counts: what must hold at the end.</summary>
    public Func<Recording, Task> Check { get; init; } = static _ => Task.CompletedTask;

    /// <summary>At the end, whatever happened.</summary>
    public Func<ValueTask> Clean { get; init; } = static () => ValueTask.CompletedTask;

    /// <summary>Iterations before the measured part; zero: none.</summary>
    public TimeSpan WarmUp { get; init; }

    public IReadOnlyList<Threshold> Thresholds { get; init; } = [];

    /// <summary>What a failure is called in the reports.</summary>
    public Func<Exception, string> StatusOf { get; init; } = static e => e.GetType().Name;
}

/// <summary>A bound that the result must keep; the program ends with an exit code if it does not.</summary>
/// <param name="Text">What must hold, in words.</param>
/// <param name="Holds">Whether it does.</param>
internal sealed record Threshold(string Text, Func<ScenarioResult, bool> Holds)
{
    /// <summary>At most this share of iterations fails, 0 to 1.</summary>
    public static Threshold FailedShare(double most) =>
        new(FormattableString.Invariant($"at most {most * 100:0.###} % of iterations fail"), r => r.Whole.FailedShare <= most);

    /// <summary>Some iteration went well.</summary>
    public static Threshold SomethingDone { get; } = new("something was done", static r => r.Whole.Ok > 0);

    /// <summary>The check looked for something and found none.</summary>
    public static Threshold None(string finding) => new($"none {finding}", r => r.Findings.TryGetValue(finding, out var found) && found == 0);

    /// <summary>A step's 99th percentile is at most this.</summary>
    public static Threshold P99(string step, TimeSpan most) =>
        new(FormattableString.Invariant($"p99 of {step} at most {most.TotalMilliseconds} ms"), r => r.Step(step).Latency.P99 <= most.TotalMicroseconds);
}
