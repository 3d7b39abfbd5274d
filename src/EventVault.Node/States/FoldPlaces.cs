// A fold of millions of events, or of few large ones, takes a core for seconds. Short ones run where they are called; long ones on threads of their own,
// as many at once as leave the vault half of the cores, and the others wait for a place.
using EventVault.Node.Services;
using EventVault.Temporal;

namespace EventVault.Node.States;

/// <summary>Where folds run. Safe for concurrent use.</summary>
internal sealed class FoldPlaces : IDisposable
{
    /// <summary>Folds of more events are long: some 10 ms.</summary>
    public const int LongEvents = 10_000;

    /// <summary>Folds of events that have more bytes are long, too: some 20 ms.</summary>
    public const int LongBytes = 8 * 1024 * 1024;

    /// <summary>Long folds that may wait for a place; more are refused.</summary>
    public const int MostWaiting = 256;

    private readonly SemaphoreSlim _places = new(Places);
    private int _waiting;

    /// <summary>Long folds at once: one for two cores.</summary>
    public static int Places { get; } = Math.Max(1, Environment.ProcessorCount / 2);

    /// <summary>Long folds that wait for a place.</summary>
    public int Waiting => Volatile.Read(ref _waiting);

    /// <summary>Runs a fold: at once if it is short, in turn if it is long.</summary>
    /// <param name="fold">Gets what it may fold; called again if that was too little.</param>
    /// <param name="budget">What the call may still fold without a place, and how many events in one fold.</param>
    /// <param name="cancellation">Ends it, waiting or folding.</param>
    /// <exception cref="FoldTooLongException">It takes more events than one fold may.</exception>
    /// <exception cref="Rpc.RpcException">OVERLOADED: too many wait already.</exception>
    public async ValueTask<T> RunAsync<T>(Func<FoldShare, T> fold, FoldBudget budget, CancellationToken cancellation)
    {
        if (budget.IsLeft)
        {
            try
            {
                return fold(new FoldShare(Math.Min(budget.WithoutPlace, budget.MostEvents), budget.BytesWithoutPlace));
            }
            catch (FoldTooLongException e) when (e.Events <= budget.MostEvents)
            {
                // It is long.
            }
            catch (FoldTooLargeException)
            {
                // It is, too. States that were kept on the way make it shorter when it is begun anew.
            }
        }

        using var place = await TakeAsync(cancellation);
        budget.Refill();
        return await Task.Factory.StartNew(() => fold(new FoldShare(budget.MostEvents, null)), cancellation, TaskCreationOptions.LongRunning, TaskScheduler.Default);
    }

    /// <summary>Waits for a place; dispose what is returned to give it back.</summary>
    /// <param name="cancellation">Ends the waiting.</param>
    /// <param name="isOurOwn">Whether it may wait in any case: truncations are few at once, and refusing one frees nothing.</param>
    /// <exception cref="Rpc.RpcException">OVERLOADED: too many wait already.</exception>
    public async ValueTask<IDisposable> TakeAsync(CancellationToken cancellation, bool isOurOwn = false)
    {
        if (_places.Wait(0, CancellationToken.None))
        {
            return new Place(_places);
        }

        try
        {
            if (Interlocked.Increment(ref _waiting) > MostWaiting && !isOurOwn)
            {
                throw Errors.FoldsWait().ToException();
            }

            await _places.WaitAsync(cancellation);
            return new Place(_places);
        }
        finally
        {
            Interlocked.Decrement(ref _waiting);
        }
    }

    public void Dispose() => _places.Dispose();

    private sealed class Place(SemaphoreSlim places) : IDisposable
    {
        public void Dispose() => places.Release();
    }
}

/// <summary>What one fold may take.</summary>
/// <param name="MostEvents">Events.</param>
/// <param name="MostBytes">Bytes of these events; null: any number.</param>
internal readonly record struct FoldShare(long MostEvents, long? MostBytes);

/// <summary>What the folds of one call may take.</summary>
/// <param name="mostEvents">Events of one fold.</param>
internal sealed class FoldBudget(long mostEvents)
{
    /// <summary>Events of one fold.</summary>
    public long MostEvents { get; } = mostEvents;

    /// <summary>Events that the call may still fold before it is a long one.</summary>
    public long WithoutPlace { get; private set; } = FoldPlaces.LongEvents;

    /// <summary>Bytes of events that the call may still fold before it is a long one.</summary>
    public long BytesWithoutPlace { get; private set; } = FoldPlaces.LongBytes;

    /// <summary>Whether it may still fold without a place.</summary>
    public bool IsLeft => WithoutPlace > 0 && BytesWithoutPlace > 0;

    /// <summary>It had its turn: a call of many short folds waits for the next one behind as many events again, not at each of them.</summary>
    public void Refill() => (WithoutPlace, BytesWithoutPlace) = (FoldPlaces.LongEvents, FoldPlaces.LongBytes);

    /// <summary>Counts what was folded.</summary>
    /// <param name="events">How many events.</param>
    /// <param name="bytes">Their bytes.</param>
    public void Spend(long events, long bytes = 0) =>
        (WithoutPlace, BytesWithoutPlace) = (Math.Max(0, WithoutPlace - events), Math.Max(0, BytesWithoutPlace - bytes));
}
