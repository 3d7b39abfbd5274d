using EventVault.LoadTest.Running;

namespace EventVault.LoadTest.Tests;

/// <summary>
/// Time that stands still while work runs and jumps to the next thing that waits for it. Everything happens on the thread
/// that calls <see cref="Run"/>, in one order, however busy the machine is.
/// </summary>
internal sealed class VirtualClock : LoadClock
{
    private readonly PriorityQueue<Action, (TimeSpan At, long Order)> _waiting = new();
    private TimeSpan _now = TimeSpan.FromHours(1);
    private long _order;

    public override TimeSpan Now => _now;

    /// <summary>How late posted work begins: a generator that is too slow.</summary>
    public TimeSpan PostDelay { get; set; }

    public override ValueTask WaitUntilAsync(TimeSpan at, CancellationToken cancellation)
    {
        cancellation.ThrowIfCancellationRequested();
        if (at <= _now)
        {
            return ValueTask.CompletedTask;
        }

        var reached = new TaskCompletionSource();
        At(at, reached.SetResult);
        return new ValueTask(reached.Task);
    }

    public Task Delay(TimeSpan time) => WaitUntilAsync(_now + time, CancellationToken.None).AsTask();

    public override void Post(Action work) => At(_now + PostDelay, work);

    public override Task PaceAsync(Func<Task> pacing) => pacing();

    public override async Task<bool> CompletesAsync(Task task, TimeSpan patience) =>
        await Task.WhenAny(task, Delay(patience)).ConfigureAwait(false) == task;

    /// <summary>Runs until a task is done.</summary>
    public T Run<T>(Func<Task<T>> start)
    {
        // Without a context, what awaits a moment goes on right where the moment is reached.
        var context = SynchronizationContext.Current;
        SynchronizationContext.SetSynchronizationContext(null);
        try
        {
            var task = start();
            while (!task.IsCompleted)
            {
                Assert.True(_waiting.TryDequeue(out var next, out var when), "Nothing waits for time any more, and the task is not done.");
                _now = when.At > _now ? when.At : _now;
                next();
            }

            return task.GetAwaiter().GetResult();
        }
        finally
        {
            SynchronizationContext.SetSynchronizationContext(context);
        }
    }

    private void At(TimeSpan at, Action action) => _waiting.Enqueue(action, (at, _order++));
}
