using EventVault.LoadTest.Figures;
using EventVault.LoadTest.Running;

namespace EventVault.LoadTest.Tests;

public sealed class ScenarioRunnerTests
{
    private static readonly TimeSpan Second = TimeSpan.FromSeconds(1);
    private readonly VirtualClock _clock = new();

    [Fact]
    public void A_stall_is_in_the_latency_of_everything_that_was_to_start_in_it()
    {
        // A server that does one thing at a time, 1 ms each, and stands still for the whole second second.
        var free = TimeSpan.Zero;
        var begin = _clock.Now;
        var result = Run(new Inject(100, Second, Second * 3), async _ =>
        {
            var stalled = _clock.Now >= begin + Second && _clock.Now < begin + (Second * 2);
            var served = new[] { free, stalled ? begin + (Second * 2) : _clock.Now }.Max() + TimeSpan.FromMilliseconds(1);
            free = served;
            await _clock.WaitUntilAsync(served, CancellationToken.None);
        });
        Assert.Equal(300, result.Whole.Ok);
        Assert.InRange(result.Whole.Latency.Most, 1_000_000, 1_002_000);

        // A third of the starts lie in the stall and wait half a second in the mean; counted from when they could be sent, one would.
        Assert.InRange(result.Whole.Latency.P75, 100_000, 400_000);
        Assert.True(result.Whole.Latency.Mean > 150_000);
        Assert.True(result.Generator.Valid);
    }

    [Fact]
    public void Latency_counts_from_the_intended_start_also_when_the_generator_is_late()
    {
        _clock.PostDelay = TimeSpan.FromMilliseconds(4);
        var result = Run(new Inject(100, Second, Second), async _ => await _clock.Delay(TimeSpan.FromMilliseconds(6)));
        Assert.Equal(10_000, result.Whole.Latency.Least, tolerance: 50);
        Assert.Equal(10_000, result.Whole.Latency.Most, tolerance: 50);
        Assert.Equal(4_000, result.Generator.LagP50, tolerance: 50);
        Assert.True(result.Generator.Valid);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_generator_that_falls_behind_makes_the_run_invalid(bool open)
    {
        _clock.PostDelay = GeneratorResult.MostLag + TimeSpan.FromMilliseconds(1);
        var result = Run(open ? new Inject(100, Second, Second) : new KeepConstant(1, Second), _ => _clock.Delay(TimeSpan.FromMilliseconds(5)));
        Assert.False(result.Generator.Valid);
        Assert.Contains("fell behind", Assert.Single(result.Generator.Faults), StringComparison.Ordinal);
    }

    [Fact]
    public void Starts_that_are_left_out_make_the_run_invalid()
    {
        var never = new TaskCompletionSource();
        var result = Run(new Inject(200_000, Second, Second), _ => never.Task);
        Assert.InRange(result.Generator.Dropped, 99_000, 100_000);
        Assert.False(result.Generator.Valid);
        Assert.Equal(result.Whole.Failed, result.Whole.Failures["unfinished"]);
        Assert.Equal(200_000, result.Whole.Failed + result.Generator.Dropped);
    }

    [Fact]
    public void So_many_copies_run_at_once_as_the_load_says()
    {
        var (running, most, atHalf) = (0, 0, 0);
        var begin = _clock.Now;
        var result = Run([new RampingConstant(4, Second * 5), new KeepConstant(4, Second), new RampingConstant(1, Second * 4), new Pause(Second), new KeepConstant(2, Second)], async _ =>
        {
            most = Math.Max(most, ++running);
            atHalf = _clock.Now < begin + (Second * 2.5) ? Math.Max(atHalf, running) : atHalf;
            Assert.True(running <= 2 || _clock.Now < begin + (Second * 10.1));
            await _clock.Delay(TimeSpan.FromMilliseconds(100));
            running--;
        });
        Assert.Equal((0, 4, 2), (running, most, atHalf));

        // Up 1 + 2 + 3 + 4 for a second each, 4 for a second, down 4 + 3 + 2 + 1, 2 for a second: 26, each with ten iterations a
        // second; and what is running when a copy is to go is finished.
        Assert.InRange(result.Whole.Ok, 260, 270);
        Assert.Equal(0, result.Whole.Failed);
    }

    [Fact]
    public void Answers_behind_the_end_are_in_the_latencies_and_not_in_the_rate()
    {
        var result = Run(new Inject(10, Second, Second * 2), _ => _clock.Delay(Second));
        Assert.Equal(20, result.Whole.Ok);
        Assert.Equal(10 / 2.0, result.Whole.PerSecond, tolerance: 0.6);
        Assert.Equal(2, result.Whole.Series.Count);
    }

    [Fact]
    public void What_an_iteration_throws_is_a_failure_with_a_name_and_the_run_goes_on()
    {
        var result = Run(new Inject(10, Second, Second), iteration => iteration.Number % 5 == 0 ? throw new TimeoutException() : Task.CompletedTask);
        Assert.Equal((8, 2), (result.Whole.Ok, result.Whole.Failed));
        Assert.Equal(0.2, result.Whole.FailedShare);
        Assert.Equal(2, result.Whole.Failures[nameof(TimeoutException)]);
    }

    [Fact]
    public void The_first_step_begins_at_the_intended_start_and_the_next_where_it_ended()
    {
        _clock.PostDelay = TimeSpan.FromMilliseconds(3);
        var result = Run(new Inject(10, Second, Second), async iteration =>
        {
            await iteration.StepAsync("first", () => Work(10), n => n);
            await iteration.StepAsync("second", () => Work(20));
        });
        Assert.Equal(13_000, result.Step("first").Latency.P50, tolerance: 60);
        Assert.Equal(20_000, result.Step("second").Latency.P50, tolerance: 90);
        Assert.Equal(33_000, result.Whole.Latency.P50, tolerance: 140);
        Assert.Equal(100, result.Step("first").Bytes);

        async Task<int> Work(int milliseconds)
        {
            await _clock.Delay(TimeSpan.FromMilliseconds(milliseconds));
            return milliseconds;
        }
    }

    [Fact]
    public void A_step_that_fails_fails_its_iteration()
    {
        var result = Run(new Inject(4, Second, Second), iteration => iteration.StepAsync<int>("step", () => throw new TimeoutException()));
        Assert.Equal((4, 4), (result.Step("step").Failed, result.Whole.Failed));
    }

    [Fact]
    public void The_warm_up_runs_before_and_is_not_in_the_figures()
    {
        var iterations = 0;
        var order = new List<string>();
        var scenario = Of([new Inject(10, Second, Second)], _ =>
        {
            iterations++;
            return Task.CompletedTask;
        }) with
        {
            WarmUp = Second * 3,
            Init = () => Note("init"),
            Beside = (_, _) => Note("beside"),
            Check = recording =>
            {
                recording.Found("missing", 0);
                return Note("check");
            },
            Clean = () => new ValueTask(Note("clean")),
            Thresholds = [Threshold.None("missing"), Threshold.SomethingDone],
        };
        var result = _clock.Run(() => new ScenarioRunner(_clock).RunAsync(scenario));
        Assert.Equal((40, 10), (iterations, result.Whole.Ok));
        Assert.Equal(["init", "beside", "check", "clean"], order);
        Assert.True(result.Passed);

        Task Note(string what)
        {
            order.Add(what);
            return Task.CompletedTask;
        }
    }

    [Fact]
    public void Thresholds_are_held_against_the_result()
    {
        var scenario = Of([new Inject(10, Second, Second)], iteration => iteration.Number == 3 ? throw new TimeoutException() : _clock.Delay(TimeSpan.FromMilliseconds(20))) with
        {
            Thresholds = [Threshold.FailedShare(0.1), Threshold.FailedShare(0.09), Threshold.P99("iteration", TimeSpan.FromMilliseconds(19)), Threshold.P99("iteration", TimeSpan.FromMilliseconds(21)), Threshold.None("missing")],
        };
        var result = _clock.Run(() => new ScenarioRunner(_clock).RunAsync(scenario));
        Assert.Equal([true, false, false, true, false], result.Thresholds.Select(t => t.Passed));
        Assert.False(result.Passed);
    }

    [Fact]
    public void A_cancelled_run_cleans_up()
    {
        using var stop = new CancellationTokenSource();
        var cleaned = false;
        var scenario = Of([new Inject(10, Second, Second * 10)], iteration => iteration.Number == 5 ? stop.CancelAsync() : Task.CompletedTask) with
        {
            Clean = () =>
            {
                cleaned = true;
                return default;
            },
        };
        Assert.ThrowsAny<OperationCanceledException>(() => _clock.Run(() => new ScenarioRunner(_clock).RunAsync(scenario, stop.Token)));
        Assert.True(cleaned);
    }

    [Fact]
    public void What_fails_beside_the_iterations_fails_the_run()
    {
        var scenario = Of([new Inject(10, Second, Second)], _ => Task.CompletedTask) with
        {
            Beside = async (_, _) =>
            {
                await _clock.Delay(Second / 2);
                throw new InvalidDataException("out of order");
            },
            Check = async _ => await _clock.Delay(Second * 3600),
        };
        Assert.Throws<InvalidDataException>(() => _clock.Run(() => new ScenarioRunner(_clock).RunAsync(scenario)));
        Assert.True(_clock.Now < TimeSpan.FromHours(1) + (Second * 60));
    }

    private ScenarioResult Run(Load load, Func<Iteration, Task> run) => Run([load], run);

    private ScenarioResult Run(IReadOnlyList<Load> loads, Func<Iteration, Task> run) => _clock.Run(() => new ScenarioRunner(_clock).RunAsync(Of(loads, run)));

    private static Scenario Of(IReadOnlyList<Load> loads, Func<Iteration, Task> run) => new() { Name = "test", Description = "A test.", Loads = loads, Run = run };
}
