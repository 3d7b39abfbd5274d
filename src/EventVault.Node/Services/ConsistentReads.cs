// What a read must have seen before it fixes its head. A node that leads alone shows all that was acknowledged; any other asks
// the voters, by way of the sequencer's thread, and waits until it has applied what they name.
using EventVault.Node.Replication;
using EventVault.Protocol;
using EventVault.Rpc.Server;
using EventVault.Storage;

namespace EventVault.Node.Services;

/// <summary>Holds reads back until the node is as far as they ask for. Thread-safe.</summary>
internal sealed class ConsistentReads(VaultStorage storage, VaultLoop loop, CommitSignal committed)
{
    /// <summary>
    /// How long before the call's deadline a read that waits is answered: a tenth of its time and at most this long. At the
    /// deadline itself the client would end the call first, and never hear how far the node is.
    /// </summary>
    private static readonly TimeSpan MostReserve = TimeSpan.FromMilliseconds(500);

    /// <summary>Ends when the node's head shows what is asked for.</summary>
    /// <exception cref="Rpc.RpcException">
    /// INVALID_ARGUMENT: it asks for nothing. UNAVAILABLE: nobody can confirm the head, or the node drains. DEADLINE_EXCEEDED:
    /// the node has not got so far in time.
    /// </exception>
    public ValueTask WaitAsync(Consistency? consistency, RpcContext context)
    {
        switch (consistency?.LevelCase)
        {
            case null or Consistency.LevelOneofCase.Linearizable:
                return loop.HeadIsNewest ? ValueTask.CompletedTask : ConfirmAsync(context);
            case Consistency.LevelOneofCase.AtLeast:
                return HasReached(consistency.AtLeast) && IsWhole ? ValueTask.CompletedTask : ReachAsync(Math.Max(consistency.AtLeast, (ulong)Math.Max(storage.WholeFrom.Value, 0)), context);
            case Consistency.LevelOneofCase.Local:
                return WholeAsync(context);
            default:
                throw Errors.InvalidRequest("consistency", "says nothing: one of linearizable, at_least and local must be set").ToException();
        }
    }

    /// <summary>
    /// Ends when what the node shows is a state that the vault was in: at once, but behind a start that installed segments which were scavenged at a point
    /// that its log has not reached (<see cref="VaultStorage.WholeFrom"/>).
    /// </summary>
    /// <exception cref="Rpc.RpcException">UNAVAILABLE: the node drains. DEADLINE_EXCEEDED: the node has not got so far in time.</exception>
    public ValueTask WholeAsync(RpcContext context) => IsWhole ? ValueTask.CompletedTask : ReachAsync((ulong)storage.WholeFrom.Value, context);

    private bool IsWhole => storage.Head >= storage.WholeFrom;

    private async ValueTask ConfirmAsync(RpcContext context)
    {
        var waiter = new Waiter();
        loop.ReadIndex(waiter);
        if (!await waiter.Confirmed.WaitAsync(context.Cancellation))
        {
            throw (context.Draining.IsCancellationRequested ? Errors.Draining("the read was not taken") : Errors.NotConfirmed()).ToException();
        }
    }

    private async ValueTask ReachAsync(ulong position, RpcContext context)
    {
        if (!await ReachAsync(() => HasReached(position), context))
        {
            throw Errors.TimedOutBehind(storage.Head, position).ToException();
        }
    }

    /// <summary>Waits for something that a commit brings about.</summary>
    /// <param name="hasReached">Whether it is there; looked at again behind each commit.</param>
    /// <param name="context">The call that waits.</param>
    /// <param name="lookAgain">After how long to look in any case; null: not before the next commit.</param>
    /// <returns>False: the call's time is nearly up.</returns>
    /// <exception cref="Rpc.RpcException">UNAVAILABLE: the node drains.</exception>
    public async ValueTask<bool> ReachAsync(Func<bool> hasReached, RpcContext context, Func<TimeSpan>? lookAgain = null)
    {
        var reserve = Reserve(context);
        while (true)
        {
            var next = committed.Next;
            if (hasReached())
            {
                return true;
            }

            if (context.Draining.IsCancellationRequested)
            {
                throw Errors.Draining("the read was cut short").ToException();
            }

            // No longer than a day at once: a timer takes no more than some weeks.
            var patience = context.TimeLeft is { } left && left - reserve < TimeSpan.FromDays(1) ? left - reserve : TimeSpan.FromDays(1);
            if (lookAgain?.Invoke() is { } soon && soon < patience)
            {
                patience = soon;
            }

            try
            {
                await next.WaitAsync(patience > TimeSpan.Zero ? patience : TimeSpan.Zero, context.Cancellation);
            }
            catch (TimeoutException) when (context.TimeLeft <= reserve)
            {
                return false;
            }
            catch (TimeoutException)
            {
                // A timer may be a moment early, and a day is not the call's whole time.
            }
        }
    }

    /// <summary>How long before its deadline a call that waits is answered.</summary>
    public static TimeSpan Reserve(RpcContext context) =>
        context.TimeLeft is { } all ? TimeSpan.FromTicks(Math.Min(all.Ticks / 10, MostReserve.Ticks)) : TimeSpan.Zero;

    private bool HasReached(ulong position) => storage.Head is { Value: >= 0 } head && (ulong)head.Value >= position;

    private sealed class Waiter : IReadWaiter
    {
        private readonly TaskCompletionSource<bool> _confirmed = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public Task<bool> Confirmed => _confirmed.Task;

        // Whatever is committed when the answer comes may be shown; nothing else is needed.
        public Storage.LogIndex AtLeast => default;

        public void OnRead(bool ok) => _confirmed.TrySetResult(ok);

        public void GiveUp(long nowMs)
        {
            // Its caller stops waiting by itself, by the call's own time.
        }
    }
}
