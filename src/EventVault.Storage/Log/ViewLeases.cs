// Tells when nobody can have the index of a sealed segment in hand any more, so that its memory can serve the next segment. Whoever looks into
// unsealed segments takes a lease on the view first. Leases are counted in two sets, by turns: when an index leaves the view the
// sets change places, and once the one before is empty, who came earlier has gone. (As sleepable RCU does: McKenney, "Sleepable Read-Copy
// Update", 2006.)
//
// A lease that is never given back costs memory, no more: its set is never empty, and indexes go to the garbage collector, as they
// would without all this.
namespace EventVault.Storage.Log;

/// <summary>Counts who looks into unsealed segments.</summary>
internal sealed class ViewLeases
{
    private const int Stripes = 8; // Readers on several processors must not all write one cache line.
    private const int StripeLength = 16; // Two cache lines of 64 bytes, which processors load together.
    private const int SetLength = Stripes * StripeLength;

    private readonly long[] _counts = new long[2 * SetLength];
    private long _turn;

    /// <summary>Begins a lease. What the view shows behind this call stays until <see cref="Exit"/>. For every thread.</summary>
    /// <returns>What to end it with.</returns>
    public int Enter()
    {
        while (true)
        {
            var turn = Volatile.Read(ref _turn);
            var at = ((int)(turn & 1) * SetLength) + ((Environment.CurrentManagedThreadId & (Stripes - 1)) * StripeLength);
            Interlocked.Increment(ref _counts[at]);

            // If the turn is still the same, whoever ends it finds this lease: both go through a full fence.
            if (Volatile.Read(ref _turn) == turn)
            {
                return at;
            }

            Interlocked.Decrement(ref _counts[at]);
        }
    }

    /// <summary>Ends a lease.</summary>
    public void Exit(int at) => Interlocked.Decrement(ref _counts[at]);

    /// <summary>Ends a turn, behind a change of the view: leases that begin from now on can't see what left it. One thread.</summary>
    /// <param name="ended">The turn in which somebody may still see it.</param>
    /// <returns>False: somebody from before the last turn is still there, so that nothing can be told.</returns>
    public bool TryEndTurn(out long ended)
    {
        ended = Volatile.Read(ref _turn);
        if (!IsEmpty(ended + 1))
        {
            return false; // The next turn's set is that of the one before this.
        }

        Interlocked.Increment(ref _turn);
        return true;
    }

    /// <summary>Whether all leases of the turn that ended last have ended. For every thread.</summary>
    public bool HasEnded(long turn) => Volatile.Read(ref _turn) == turn + 1 && IsEmpty(turn);

    // Who sees that the turn changed counts for a moment and goes: a count may be above what it should be, never below.
    private bool IsEmpty(long turn)
    {
        var set = (int)(turn & 1) * SetLength;
        for (var stripe = 0; stripe < Stripes; stripe++)
        {
            if (Volatile.Read(ref _counts[set + (stripe * StripeLength)]) != 0)
            {
                return false;
            }
        }

        return true;
    }
}

/// <summary>A view whose unsealed segments' indexes stay as they are, and as they grow, until it is disposed of. Once.</summary>
internal readonly ref struct ViewLease : IDisposable
{
    private readonly VaultStorage _storage;
    private readonly int _at;

    public ViewLease(VaultStorage storage)
    {
        _storage = storage;
        _at = storage.ViewLeases.Enter();
        View = storage.View; // Behind the beginning, not before it.
    }

    public LogView View { get; }

    public void Dispose() => _storage.ViewLeases.Exit(_at);
}
