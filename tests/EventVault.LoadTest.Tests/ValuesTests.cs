using System.Text;
using System.Text.Json;
using EventVault.LoadTest.Running;
using EventVault.LoadTest.Scenarios;

namespace EventVault.LoadTest.Tests;

public sealed class ValuesTests
{
    [Fact]
    public void Values_come_in_turn_over_and_over_also_to_many_threads()
    {
        var values = Values<int>.InTurn([0, 1, 2]);
        Assert.Equal([0, 1, 2, 0, 1, 2, 0], Enumerable.Range(0, 7).Select(_ => values.Next()));
        var counts = new int[3];
        Parallel.For(0, 3_000, _ => Interlocked.Increment(ref counts[values.Next()]));
        Assert.Equal([1_000, 1_000, 1_000], counts);
    }

    [Fact]
    public void Drawn_values_are_the_same_for_the_same_seed()
    {
        var (one, two) = (Values<int>.AtRandom([.. Enumerable.Range(0, 100)], seed: 4), Values<int>.AtRandom([.. Enumerable.Range(0, 100)], seed: 4));
        var drawn = Enumerable.Range(0, 50).Select(_ => one.Next()).ToList();
        Assert.Equal(drawn, Enumerable.Range(0, 50).Select(_ => two.Next()));
        Assert.True(drawn.Distinct().Count() > 20);
        Assert.Throws<ArgumentOutOfRangeException>(() => Values<int>.InTurn([]));
    }

    [Theory]
    [InlineData(100)]
    [InlineData(256)]
    [InlineData(1024)]
    public void Payloads_are_json_of_their_size_and_carry_a_moment(int size)
    {
        var payload = EventBytes.Payloads(size).Next();
        var moment = new TimeSpan(0x123456789AB);
        var stamped = EventBytes.Stamped(payload, moment);
        Assert.Equal(size, stamped.Length);
        Assert.Equal(moment, EventBytes.Stamp(stamped));
        Assert.Equal(TimeSpan.Zero, EventBytes.Stamp(payload));
        Assert.Equal(5, JsonDocument.Parse(Encoding.ASCII.GetString(stamped)).RootElement.EnumerateObject().Count() + 1);
    }
}
