namespace EventVault.Client;

/// <summary>
/// The highest position that any answer to this client has shown: what read-your-writes asks for, and what a retry says
/// it was attempted after. Thread-safe; it only ever rises.
/// </summary>
/// <param name="readFrom">Where the client reads, which says what a read must have seen that doesn't say so itself.</param>
internal sealed class SeenPosition(ReadFrom readFrom)
{
    private const long Unknown = -1;

    // The first position that was not seen; 0: the vault was seen to be empty.
    private long _next = Unknown;

    /// <summary>Where the client reads.</summary>
    public ReadFrom ReadFrom { get; } = readFrom;

    /// <summary>The position; null: no event has been seen.</summary>
    public ulong? Position => Volatile.Read(ref _next) is var next and > 0 ? (ulong)next - 1 : null;

    /// <summary>The same as a head; null: nobody has said how long the vault is.</summary>
    public SeenHead? Head => HeadOf(Volatile.Read(ref _next));

    /// <summary>A head as one number, which threads can hand on without tearing it.</summary>
    /// <param name="next">What <see cref="NextOf(SeenHead?)"/> made of it.</param>
    public static SeenHead? HeadOf(long next) => next switch
    {
        Unknown => null,
        0 => new SeenHead(null),
        _ => new SeenHead((ulong)next - 1),
    };

    /// <summary>The reverse of <see cref="HeadOf"/>.</summary>
    /// <param name="head">The head; null: unknown.</param>
    public static long NextOf(SeenHead? head) => head is { } known ? NextOf(known.Position) : Unknown;

    /// <summary>An answer showed that the vault reaches this far.</summary>
    /// <param name="position">Its last position, or one before; null: it was empty.</param>
    public void Observe(ulong? position)
    {
        long next = NextOf(position);
        long before = Volatile.Read(ref _next);
        while (next > before)
        {
            long found = Interlocked.CompareExchange(ref _next, next, before);
            if (found == before)
            {
                return;
            }

            before = found;
        }
    }

    // No vault gets as far as the limit; a peer that says so must not make the counter wrap.
    private static long NextOf(ulong? position) => position is { } p ? (long)Math.Min(p, long.MaxValue - 1) + 1 : 0;
}
