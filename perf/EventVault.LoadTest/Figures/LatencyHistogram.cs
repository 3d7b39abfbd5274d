// Counts times in buckets whose width grows with the value: 128 to each power of two. What a percentile says is within
// 1/256 (0.4 %) of the exact answer, whatever the spread, in memory that does not grow with the number of values.
//
// Value v, in ticks of 100 ns:    bucket
//   below 256                    v, exact
//   with its top bit at 7 + s    128 · s + (v >> s), each 2^s wide
//
// Sum, smallest and largest are kept exactly. Adding is two interlocked additions: a generator does it a million times a second.
using System.Numerics;

namespace EventVault.LoadTest.Figures;

/// <summary>A log-linear histogram of times. Thread-safe for adding; read it when nobody adds any more.</summary>
internal sealed class LatencyHistogram
{
    /// <summary>How far a percentile may be from the exact one, as a part of it.</summary>
    public const double RelativeError = 1.0 / 256;

    private const int BucketsPerPowerOfTwo = 128;

    // Ticks of 100 ns, 30 hours: longer than any wait of a run. What is longer counts as this, but for the exact maximum.
    private const long MostTicks = (1L << 40) - 1;

    private readonly long[] _counts = new long[BucketOf(MostTicks) + 1];
    private long _sum;
    private long _least = long.MaxValue;
    private long _most;

    /// <summary>Values added.</summary>
    public long Count => _counts.Sum();

    /// <summary>The smallest; zero if there are none.</summary>
    public TimeSpan Least => Count == 0 ? TimeSpan.Zero : new(Volatile.Read(ref _least));

    /// <summary>The largest; zero if there are none.</summary>
    public TimeSpan Most => new(Volatile.Read(ref _most));

    /// <summary>The mean; zero if there are none.</summary>
    public TimeSpan Mean => Count is > 0 and var count ? new(Volatile.Read(ref _sum) / count) : TimeSpan.Zero;

    /// <summary>Adds a time; one below zero counts as zero.</summary>
    public void Add(TimeSpan time)
    {
        var ticks = Math.Max(0, time.Ticks);
        Interlocked.Increment(ref _counts[BucketOf(Math.Min(ticks, MostTicks))]);
        Interlocked.Add(ref _sum, ticks);
        Lower(ref _least, ticks);
        Raise(ref _most, ticks);
    }

    /// <summary>Adds all that another one counted.</summary>
    public void Add(LatencyHistogram other)
    {
        for (var i = 0; i < _counts.Length; i++)
        {
            _counts[i] += other._counts[i];
        }

        _sum += other._sum;
        _least = Math.Min(_least, other._least);
        _most = Math.Max(_most, other._most);
    }

    /// <summary>
    /// The time that so many of a hundred values do not exceed: of n sorted values the one at rank ⌈n · percent / 100⌉.
    /// Zero if there are none.
    /// </summary>
    /// <param name="percent">Above 0, up to 100.</param>
    public TimeSpan Percentile(double percent)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(percent);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(percent, 100);
        var count = Count;
        if (count == 0)
        {
            return TimeSpan.Zero;
        }

        var rank = Math.Clamp((long)Math.Ceiling(count * percent / 100), 1, count);
        var passed = 0L;
        for (var i = 0; i < _counts.Length; i++)
        {
            passed += _counts[i];
            if (passed >= rank)
            {
                return new(Math.Clamp(Middle(i), _least, _most));
            }
        }

        return Most;
    }

    private static int BucketOf(long ticks)
    {
        var shift = Math.Max(0, BitOperations.Log2((ulong)ticks) - 7);
        return (BucketsPerPowerOfTwo * shift) + (int)(ticks >> shift);
    }

    private static long Middle(int bucket)
    {
        var shift = Math.Max(0, (bucket / BucketsPerPowerOfTwo) - 1);
        var first = (long)(bucket - (BucketsPerPowerOfTwo * shift)) << shift;
        return first + ((1L << shift) / 2);
    }

    private static void Lower(ref long place, long value)
    {
        for (var seen = Volatile.Read(ref place); value < seen;)
        {
            var before = Interlocked.CompareExchange(ref place, value, seen);
            if (before == seen)
            {
                return;
            }

            seen = before;
        }
    }

    private static void Raise(ref long place, long value)
    {
        for (var seen = Volatile.Read(ref place); value > seen;)
        {
            var before = Interlocked.CompareExchange(ref place, value, seen);
            if (before == seen)
            {
                return;
            }

            seen = before;
        }
    }
}
