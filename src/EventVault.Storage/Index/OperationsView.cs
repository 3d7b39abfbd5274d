namespace EventVault.Storage.Index;

/// <summary>
/// The generations that lookups see, and the filter over them. A lookup holds a lease while it reads, so that a generation which
/// falls out of the horizon, or a filter that was replaced, is unmapped only when nobody is in it.
/// </summary>
/// <remarks>
/// The owner holds one lease until it publishes the next view, and each view holds one on its successor: views end
/// in order, so none unmaps a file that an older one still shows.
/// </remarks>
internal sealed class OperationsView(OperationsGeneration[] generations, OperationsFilter? filter)
{
    private readonly int[] _lanes = [.. generations.Select(g => filter?.LaneOf(g) ?? -1)];
    private int _leases = 1;
    private OperationsView? _next;

    /// <summary>Oldest first.</summary>
    public OperationsGeneration[] Generations { get; } = generations;

    /// <summary>Says which of them may hold an id; null: there is none, and any of them may.</summary>
    public OperationsFilter? Filter { get; } = filter;

    /// <summary>Whether the filter knows a generation.</summary>
    public bool IsCovered(int generation) => _lanes[generation] >= 0;

    /// <summary>Whether a generation may hold an id.</summary>
    /// <param name="generation">Its place among the generations.</param>
    /// <param name="words">What the filter says for the id; empty: nothing.</param>
    /// <param name="bits">The id's.</param>
    public bool MayHold(int generation, ReadOnlySpan<byte> words, ulong bits) =>
        words.IsEmpty || !IsCovered(generation) || OperationsFilter.MayHold(words, _lanes[generation], bits);

    /// <summary>Whether there is a full generation that the filter lacks. For the thread that applies segments.</summary>
    /// <param name="range">The generations that it should have next: those that it has, and behind them the one that it lacks.</param>
    public bool TryPlanFilter(out Range range)
    {
        // The newest one may still change, if it is full, too: a segment without appends moves its header on.
        int end = Array.FindIndex(Generations, g => !g.Header.IsFull);
        end = Math.Max(0, end < 0 ? Generations.Length - 1 : end);
        int first = Math.Max(0, end - OperationsFilter.MostLanes);
        int next = first;
        while (next < end && Filter is { IsDamaged: false } && IsCovered(next))
        {
            next++;
        }

        range = first..Math.Min(next + 1, end);
        return next < end;
    }

    /// <summary>Takes a lease on the view that is current.</summary>
    public static OperationsView Lease(ref OperationsView current)
    {
        while (true)
        {
            OperationsView view = Volatile.Read(ref current);
            Interlocked.Increment(ref view._leases);
            if (Volatile.Read(ref current) == view)
            {
                return view;
            }

            // It was replaced in between and may have ended before the lease was taken.
            view.Release();
        }
    }

    /// <summary>Gives a lease back.</summary>
    public void Release()
    {
        if (Interlocked.Decrement(ref _leases) == 0 && Interlocked.Exchange(ref _next, null) is { } next)
        {
            foreach (OperationsGeneration generation in Generations)
            {
                if (!next.Generations.Contains(generation))
                {
                    generation.Dispose();
                }
            }

            if (Filter != next.Filter)
            {
                Filter?.Dispose();
            }

            next.Release();
        }
    }

    /// <summary>The owner's: <paramref name="next"/> was published in its place.</summary>
    public void Retire(OperationsView next)
    {
        Interlocked.Increment(ref next._leases);
        _next = next;
        Release();
    }
}
