using EventVault.LoadTest.Figures;

namespace EventVault.LoadTest.Tests;

public sealed class LatencyHistogramTests
{
    private static readonly double[] Percents = [0.001, 1, 10, 25, 50, 75, 90, 95, 99, 99.9, 99.99, 100];

    public static TheoryData<string, int> Distributions() => new()
    {
        { "even", 1 }, { "even", 7 }, { "even", 10_000 }, { "exponential", 50_000 }, { "two humps", 20_000 }, { "all the same", 1_000 }, { "powers of two", 5_000 }, { "wide", 50_000 },
    };

    [Theory]
    [MemberData(nameof(Distributions))]
    public void Percentiles_are_those_of_the_sorted_array_within_the_stated_error(string distribution, int count)
    {
        var random = new Random(17);
        var values = Enumerable.Range(0, count).Select(i => new TimeSpan(distribution switch
        {
            "even" => random.NextInt64(0, 5_000_000),
            "exponential" => (long)(-Math.Log(1 - random.NextDouble()) * 3_000),
            "two humps" => random.Next(100) < 98 ? random.NextInt64(800, 1_200) : random.NextInt64(2_000_000, 9_000_000),
            "all the same" => 123_457,
            "powers of two" => (1L << random.Next(0, 38)) + random.Next(-1, 2),
            _ => (long)Math.Pow(10, random.NextDouble() * 11),
        })).Select(t => t < TimeSpan.Zero ? TimeSpan.Zero : t).ToArray();
        var histogram = new LatencyHistogram();
        foreach (var value in values)
        {
            histogram.Add(value);
        }

        Array.Sort(values);
        foreach (var percent in Percents)
        {
            var exact = values[Math.Max(0, (int)Math.Ceiling(count * percent / 100) - 1)];
            var error = Math.Abs((histogram.Percentile(percent) - exact).Ticks);
            Assert.True(error <= exact.Ticks * LatencyHistogram.RelativeError, $"p{percent} is {histogram.Percentile(percent).Ticks}, exactly {exact.Ticks}");
        }

        Assert.Equal(count, histogram.Count);
        Assert.Equal(values[0], histogram.Least);
        Assert.Equal(values[^1], histogram.Most);
        Assert.Equal(values.Sum(v => v.Ticks) / count, histogram.Mean.Ticks);
    }

    [Fact]
    public void Every_value_up_to_the_first_wide_bucket_is_exact()
    {
        for (var ticks = 0L; ticks < 256; ticks++)
        {
            var histogram = new LatencyHistogram();
            histogram.Add(TimeSpan.Zero);
            histogram.Add(new TimeSpan(ticks));
            histogram.Add(TimeSpan.FromDays(2));
            Assert.Equal(ticks, histogram.Percentile(60).Ticks);
        }
    }

    [Fact]
    public void Buckets_join_without_gap_or_overlap_at_every_power_of_two()
    {
        for (var power = 6; power < 40; power++)
        {
            foreach (var ticks in new[] { (1L << power) - 1, 1L << power, (1L << power) + 1 })
            {
                var histogram = new LatencyHistogram();
                histogram.Add(TimeSpan.Zero);
                histogram.Add(new TimeSpan(ticks));
                histogram.Add(TimeSpan.FromDays(2));
                Assert.InRange(histogram.Percentile(60).Ticks, ticks * (1 - LatencyHistogram.RelativeError), ticks * (1 + LatencyHistogram.RelativeError));
            }
        }
    }

    [Fact]
    public void Adding_two_together_is_the_same_as_one_of_all_values()
    {
        var random = new Random(3);
        var (all, one, two) = (new LatencyHistogram(), new LatencyHistogram(), new LatencyHistogram());
        for (var i = 0; i < 10_000; i++)
        {
            var value = new TimeSpan(random.NextInt64(1, 1L << random.Next(1, 40)));
            all.Add(value);
            (i % 3 == 0 ? one : two).Add(value);
        }

        one.Add(two);
        Assert.Equal(all.Count, one.Count);
        Assert.Equal((all.Least, all.Most, all.Mean), (one.Least, one.Most, one.Mean));
        Assert.All(Percents, p => Assert.Equal(all.Percentile(p), one.Percentile(p)));
    }

    [Fact]
    public void What_is_longer_than_the_range_keeps_its_exact_maximum_and_below_zero_is_zero()
    {
        var histogram = new LatencyHistogram();
        histogram.Add(TimeSpan.FromDays(400));
        Assert.Equal(TimeSpan.FromDays(400), histogram.Most);
        histogram.Add(TimeSpan.FromSeconds(-1));
        Assert.Equal(TimeSpan.Zero, histogram.Least);
        Assert.Equal(2, histogram.Count);
    }

    [Fact]
    public void Adding_from_many_threads_loses_nothing()
    {
        var histogram = new LatencyHistogram();
        Parallel.For(0, 8, n =>
        {
            for (var i = 1; i <= 20_000; i++)
            {
                histogram.Add(new TimeSpan(i + n));
            }
        });
        Assert.Equal(160_000, histogram.Count);
        Assert.Equal((1, 20_007), (histogram.Least.Ticks, histogram.Most.Ticks));
    }

    [Fact]
    public void An_empty_one_says_zero() => Assert.Equal((0L, TimeSpan.Zero, TimeSpan.Zero, TimeSpan.Zero), (new LatencyHistogram().Count, new LatencyHistogram().Percentile(50), new LatencyHistogram().Least, new LatencyHistogram().Most));
}
