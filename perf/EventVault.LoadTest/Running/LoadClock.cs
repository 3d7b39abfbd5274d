using System.Diagnostics;
using System.Runtime.InteropServices;

namespace EventVault.LoadTest.Running;

/// <summary>
/// What time it is for a run, how it waits, and where its work runs. Real here; the tests have one whose time stands still
/// while work runs, so that what they see does not depend on the machine.
/// </summary>
internal abstract class LoadClock
{
    /// <summary>Since some moment before the run.</summary>
    public abstract TimeSpan Now { get; }

    /// <summary>Completes at a moment, or at once if it has passed. Only the run's own pacing waits here.</summary>
    public abstract ValueTask WaitUntilAsync(TimeSpan at, CancellationToken cancellation);

    /// <summary>Has work done beside what is running.</summary>
    public abstract void Post(Action work);

    /// <summary>Does the pacing of a run: on a thread of its own where its waits block.</summary>
    public abstract Task PaceAsync(Func<Task> pacing);

    /// <summary>Completes with a task, or later than a patience after its call without it.</summary>
    /// <returns>Whether the task completed.</returns>
    public abstract Task<bool> CompletesAsync(Task task, TimeSpan patience);
}

/// <summary>
/// The machine's clock. Waits sleep on the pacing thread until an absolute moment: timers of the runtime are up to a millisecond late,
/// which would be most of the latency of an append.
/// </summary>
internal sealed class MachineClock : LoadClock
{
    private const int Monotonic = 1;
    private const int AbsoluteTime = 1;

    // Between looks at the cancellation.
    private static readonly TimeSpan LongestSleep = TimeSpan.FromMilliseconds(100);
    private readonly long _origin = Stopwatch.GetTimestamp();

    public override TimeSpan Now => Stopwatch.GetElapsedTime(_origin);

    public override ValueTask WaitUntilAsync(TimeSpan at, CancellationToken cancellation)
    {
        for (var left = at - Now; left > TimeSpan.Zero; left = at - Now)
        {
            cancellation.ThrowIfCancellationRequested();
            Sleep(left < LongestSleep ? left : LongestSleep);
        }

        cancellation.ThrowIfCancellationRequested();
        return ValueTask.CompletedTask;
    }

    public override void Post(Action work) => ThreadPool.UnsafeQueueUserWorkItem(static w => w(), work, preferLocal: false);

    public override Task PaceAsync(Func<Task> pacing) =>
        Task.Factory.StartNew(pacing, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default).Unwrap();

    public override async Task<bool> CompletesAsync(Task task, TimeSpan patience) =>
        await Task.WhenAny(task, Task.Delay(patience)).ConfigureAwait(false) == task;

    private static void Sleep(TimeSpan time)
    {
        // Stopwatch counts the nanoseconds of CLOCK_MONOTONIC on Linux; elsewhere the runtime's sleep has to do.
        if (!OperatingSystem.IsLinux())
        {
            Thread.Sleep(Math.Max(1, (int)time.TotalMilliseconds));
            return;
        }

        var nanoseconds = Stopwatch.GetTimestamp() + (time.Ticks * TimeSpan.NanosecondsPerTick);
        var until = new TimeSpec { Seconds = (nint)(nanoseconds / 1_000_000_000), Nanoseconds = (nint)(nanoseconds % 1_000_000_000) };
        _ = SleepUntil(Monotonic, AbsoluteTime, in until, 0); // Interrupted: the caller looks at the clock again.
    }

    [DllImport("libc", EntryPoint = "clock_nanosleep")]
    private static extern int SleepUntil(int clock, int flags, in TimeSpec until, nint remaining);

    [StructLayout(LayoutKind.Sequential)]
    private struct TimeSpec
    {
        public nint Seconds;
        public nint Nanoseconds;
    }
}
