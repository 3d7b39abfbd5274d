namespace EventVault.Storage.Index;

/// <summary>
/// The generations that lookups see. A lookup holds a lease while it reads, so that a generation which falls out
/// of the horizon is unmapped only when nobody is in it.
/// </summary>
/// <remarks>
/// The owner holds one lease until it publishes the next view, and each view holds one on its successor: views end
/// in order, so none unmaps a file that an older one still shows.
/// </remarks>
internal sealed class OperationsView(OperationsGeneration[] generations)
{
    private int _leases = 1;
    private OperationsView? _next;

    /// <summary>Oldest first.</summary>
    public OperationsGeneration[] Generations { get; } = generations;

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
