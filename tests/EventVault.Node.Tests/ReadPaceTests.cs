using EventVault.Node.Services;

namespace EventVault.Node.Tests;

public sealed class ReadPaceTests
{
    [Fact]
    public async Task A_read_that_waits_for_nothing_gives_its_thread_back_once_and_one_that_waits_has_done_so()
    {
        var before = SynchronizationContext.Current;
        var turns = new CountedTurns();
        SynchronizationContext.SetSynchronizationContext(turns);
        try
        {
            var getsOn = ReadPace.GiveWayAsync(ValueTask.CompletedTask);
            Assert.Equal((1, false), (turns.Waiting, getsOn.IsCompleted));
            turns.TakeOne();
            Assert.Equal((0, true), (turns.Waiting, getsOn.IsCompleted));

            var flush = new TaskCompletionSource();
            var waits = ReadPace.GiveWayAsync(new ValueTask(flush.Task));
            Assert.Equal((0, false), (turns.Waiting, waits.IsCompleted));
            flush.SetResult();
            while (turns.Waiting > 0)
            {
                turns.TakeOne();
            }

            Assert.True(waits.IsCompleted);
        }
        finally
        {
            SynchronizationContext.SetSynchronizationContext(before);
        }

        await Task.CompletedTask;
    }

    /// <summary>What gives way goes on when the test says so.</summary>
    private sealed class CountedTurns : SynchronizationContext
    {
        private readonly Queue<Action> _waiting = new();

        public int Waiting => _waiting.Count;

        public override void Post(SendOrPostCallback d, object? state) => _waiting.Enqueue(() => d(state));

        public void TakeOne() => _waiting.Dequeue()();
    }
}
