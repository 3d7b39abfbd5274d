using EventVault.Node.Services;
using EventVault.Node.Tests.Support;

namespace EventVault.Node.Tests;

public sealed class SessionSignalTests
{
    [Fact]
    public async Task A_signal_that_meets_one_being_used_up_is_not_lost()
    {
        // Two quick signals leave one standing; the waiter uses it up just when the next value comes.
        const int Values = 2_000_000;
        var signal = new SessionSignal();
        var made = 0;
        var seen = 0;
        var waiter = Task.Run(async () =>
        {
            while (Volatile.Read(ref seen) < Values)
            {
                Volatile.Write(ref seen, Volatile.Read(ref made));
                if (Volatile.Read(ref seen) < Values)
                {
                    await signal.WaitAsync();
                }
            }
        });
        var maker = Task.Run(() =>
        {
            for (var i = 1; i <= Values && !waiter.IsFaulted; i++)
            {
                Volatile.Write(ref made, i);
                signal.Set();
                if ((i & 1) == 0 && !SpinWait.SpinUntil(() => Volatile.Read(ref seen) >= i, Wait.Limit))
                {
                    throw new TimeoutException($"The waiter sleeps at {seen}, {made} was signalled.");
                }
            }
        });
        await Task.WhenAll(maker, waiter).WaitAsync(4 * Wait.Limit);
        Assert.Equal(Values, seen);
    }
}
