using EventVault.Storage.Index;

namespace EventVault.Storage.Log;

/// <summary>
/// Hands the memory of a sealed segment's index to the index of a segment that begins. Nobody who is not done with it in time is waited for:
/// then the garbage collector has it.
/// </summary>
/// <remarks>
/// For segments that are filled in seconds, of which the garbage would be some 100 bytes an event. What is not used within <see cref="KeptMs"/> of the seal is let go, or at the end of
/// the seal that is under way then: a vault that rests holds no more than its unsealed events need, but for slots of tables, which may be as many as the segment before needed, twice.
/// </remarks>
internal sealed class RetiredIndexes(ViewLeases leases)
{
    private volatile Retired? _retired;
    private volatile Drawing? _drawing;

    /// <summary>How long behind a seal memory is kept for the next index, and for it to grow. Milliseconds.</summary>
    public long KeptMs { get; set; } = 10_000;

    /// <summary>How many indexes got the memory of another one; for tests.</summary>
    public long Reused { get; private set; }

    /// <summary>A segment was sealed, and the view that is published does not have its index any more. The background thread.</summary>
    public void Add(ActiveIndex index)
    {
        // One that is still there was not needed, or not free.
        _retired = leases.TryEndTurn(out var turn) ? new Retired(index, turn, Environment.TickCount64) : null;
    }

    /// <summary>Gives an index that has no entries yet the memory of another one, if nobody has that in hand any more. The sequencer's thread.</summary>
    public void GiveTo(ActiveIndex fresh)
    {
        if (_drawing is { } drawing)
        {
            drawing.Index.LetGo(); // Little is still to come there, however long it waits to be sealed.
            Interlocked.CompareExchange(ref _drawing, null, drawing);
        }

        if (_retired is { } retired && leases.HasEnded(retired.Turn) && ReferenceEquals(Interlocked.CompareExchange(ref _retired, null, retired), retired))
        {
            fresh.TakeOver(retired.Index);
            _drawing = new Drawing(fresh, retired.Since);
            Reused++;
        }
    }

    /// <summary>Lets go of what was not used in time. The background thread, now and then.</summary>
    public void LetGo()
    {
        var now = Environment.TickCount64;
        if (_retired is { } retired && now - retired.Since >= KeptMs)
        {
            Interlocked.CompareExchange(ref _retired, null, retired);
        }

        if (_drawing is { } drawing && now - drawing.Since >= KeptMs)
        {
            drawing.Index.LetGo();
            Interlocked.CompareExchange(ref _drawing, null, drawing);
        }
    }

    /// <param name="Index">Nobody gets it any more.</param>
    /// <param name="Turn">Of the leases, in which somebody may have got it.</param>
    /// <param name="Since">When it was sealed, by the system's tick count, ms.</param>
    private sealed record Retired(ActiveIndex Index, long Turn, long Since);

    /// <param name="Index">Has memory of another one, and uses it as it grows.</param>
    /// <param name="Since">When that one was sealed, by the system's tick count, ms.</param>
    private sealed record Drawing(ActiveIndex Index, long Since);
}
