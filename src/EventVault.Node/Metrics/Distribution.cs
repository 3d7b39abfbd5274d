// How often values came up, by size: two bounds to each power of two, so that a bound is at most 1.5 times the one before it. No locks: whoever
// records adds to the row of the processor that it runs on. Readers sum the rows; what is being recorded meanwhile shows in the next look.
using System.Numerics;

namespace EventVault.Node.Metrics;

/// <summary>A distribution of values that only grows, for every thread. Recording takes some nanoseconds and allocates nothing.</summary>
/// <param name="unit">The first bound, and what all others are multiples of, in whatever is recorded. At least 1.</param>
internal sealed class Distribution(long unit)
{
    /// <summary>Bounds. The largest is 2^21 units: 33 s, where a unit is 16 µs.</summary>
    public const int Bounds = 42;

    /// <summary>The first bound of durations in nanoseconds: nothing that waits for a disk takes less.</summary>
    public const long DurationUnit = 16_000;

    /// <summary>Rows at the most: on larger machines some processors share one.</summary>
    private const int MostRows = 16;

    /// <summary>Numbers in a row: one for each bound, one for what is larger than all, the sum, and room up to a multiple of two cache lines.</summary>
    private const int RowLength = 48;

    private const int Larger = Bounds;
    private const int Sum = Bounds + 1;

    private static readonly int Rows = Math.Min(MostRows, (int)BitOperations.RoundUpToPowerOf2((uint)Environment.ProcessorCount));

    private readonly long[] _counts = new long[Rows * RowLength];

    /// <summary>Records a value, as often as it came up.</summary>
    /// <param name="value">Below 0 counts as 0.</param>
    /// <param name="times">How often.</param>
    public void Record(long value, long times = 1)
    {
        value = Math.Max(value, 0);
        var row = (Thread.GetCurrentProcessorId() & (Rows - 1)) * RowLength;
        Interlocked.Add(ref _counts[row + PlaceOf(value)], times);
        Interlocked.Add(ref _counts[row + Sum], value * times);
    }

    /// <summary>The upper bound of a place, inclusive, in whatever is recorded.</summary>
    /// <param name="place">0 to <see cref="Bounds"/> - 1.</param>
    public long BoundOf(int place) => unit * (place switch
    {
        0 => 1,
        1 => 2,
        _ => place % 2 == 0 ? 3L << ((place / 2) - 1) : 4L << ((place / 2) - 1),
    });

    /// <summary>What was recorded so far: how many values up to each bound and above the one before it, then those above all; and their sum.</summary>
    public (long[] Counts, long Sum) Read()
    {
        var counts = new long[Bounds + 1];
        var sum = 0L;
        for (var row = 0; row < Rows; row++)
        {
            for (var place = 0; place <= Bounds; place++)
            {
                counts[place] += Volatile.Read(ref _counts[(row * RowLength) + place]);
            }

            sum += Volatile.Read(ref _counts[(row * RowLength) + Sum]);
        }

        return (counts, sum);
    }

    // Bounds are inclusive, and multiples of the unit: so a value is rounded up to units first.
    private int PlaceOf(long value)
    {
        var above = value == 0 ? 0 : (ulong)(value - 1) / (ulong)unit;
        if (above < 2)
        {
            return (int)above;
        }

        var log = BitOperations.Log2(above);
        return Math.Min((2 * log) + (int)((above >> (log - 1)) & 1), Larger);
    }
}
