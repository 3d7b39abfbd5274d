using EventVault.Node.Metrics;

namespace EventVault.Node.Tests.Metrics;

public sealed class DistributionTests
{
    [Fact]
    public void Every_value_counts_at_the_first_bound_that_is_not_below_it()
    {
        const long Unit = 16;
        var random = new Random(11);
        var distribution = new Distribution(Unit);
        long[] edges = [0, 1, 15, 16, 17, 31, 32, 33, 48, 49, 64, 65, 96, 97, distribution.BoundOf(41), distribution.BoundOf(41) + 1, long.MaxValue / 4];
        long[] values = [.. edges, .. Enumerable.Range(0, 5000).Select(_ => random.NextInt64(1L << random.Next(1, 30)))];
        foreach (var value in values)
        {
            distribution.Record(value);
        }

        var (counts, sum) = distribution.Read();

        var upTo = 0L;
        for (var place = 0; place < Distribution.Bounds; place++)
        {
            upTo += counts[place];
            Assert.Equal((place, values.LongCount(v => v <= distribution.BoundOf(place))), (place, upTo));
            Assert.True(place == 0 || distribution.BoundOf(place) <= 2 * distribution.BoundOf(place - 1));
        }

        Assert.Equal(values.LongLength - upTo, counts[^1]);
        Assert.Equal(values.Sum(), sum);
        distribution.Record(-5, times: 3);
        Assert.Equal(counts[0] + 3, distribution.Read().Counts[0]);
    }

    [Fact]
    public async Task Nothing_is_lost_when_many_threads_record()
    {
        const int Each = 20_000;
        var distribution = new Distribution(unit: 1);
        await Task.WhenAll(Enumerable.Range(1, 8).Select(value => Task.Run(() =>
        {
            for (var i = 0; i < Each; i++)
            {
                distribution.Record(value);
            }
        })));

        var (counts, sum) = distribution.Read();

        Assert.Equal(8L * Each, counts.Sum());
        Assert.Equal(36L * Each, sum);
    }
}
