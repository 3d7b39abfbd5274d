namespace EventVault.Simulation.Scheduling;

/// <summary>
/// xoshiro256** from a seed and names: the same numbers on every machine and runtime, and streams that do not shift when
/// another one is drawn from more or less often. Only so can one class of faults be switched off and the rest stay.
/// </summary>
internal sealed class SeededRandom : Random
{
    private ulong _s0;
    private ulong _s1;
    private ulong _s2;
    private ulong _s3;

    public SeededRandom(ulong seed)
    {
        _s0 = SplitMix(ref seed);
        _s1 = SplitMix(ref seed);
        _s2 = SplitMix(ref seed);
        _s3 = SplitMix(ref seed);
    }

    /// <summary>The stream of one subsystem, of one node if it has a stream for each.</summary>
    public static SeededRandom For(ulong seed, string subsystem, int node)
    {
        var mixed = SplitMix(ref seed);
        foreach (var letter in subsystem)
        {
            mixed = (mixed ^ letter) * 0x100000001b3;
            mixed ^= mixed >> 29;
        }

        return new SeededRandom(mixed ^ ((ulong)(uint)node * 0x9e3779b97f4a7c15));
    }

    public ulong NextUInt64()
    {
        var result = ulong.RotateLeft(_s1 * 5, 7) * 9;
        var t = _s1 << 17;
        _s2 ^= _s0;
        _s3 ^= _s1;
        _s1 ^= _s2;
        _s0 ^= _s3;
        _s2 ^= t;
        _s3 = ulong.RotateLeft(_s3, 45);
        return result;
    }

    public override int Next() => (int)Below(int.MaxValue);

    public override int Next(int maxValue)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(maxValue);
        return maxValue == 0 ? 0 : (int)Below((ulong)maxValue);
    }

    public override int Next(int minValue, int maxValue) => (int)NextInt64(minValue, maxValue);

    public override long NextInt64() => (long)Below(long.MaxValue);

    public override long NextInt64(long maxValue)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(maxValue);
        return maxValue == 0 ? 0 : (long)Below((ulong)maxValue);
    }

    public override long NextInt64(long minValue, long maxValue)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(minValue, maxValue);
        var range = (ulong)(maxValue - minValue);
        return range == 0 ? minValue : minValue + (long)Below(range);
    }

    public override double NextDouble() => (NextUInt64() >> 11) * (1.0 / (1UL << 53));

    public override float NextSingle() => (NextUInt64() >> 40) * (1.0f / (1 << 24));

    public override void NextBytes(byte[] buffer) => NextBytes(buffer.AsSpan());

    public override void NextBytes(Span<byte> buffer)
    {
        while (buffer.Length >= sizeof(ulong))
        {
            BitConverter.TryWriteBytes(buffer, NextUInt64());
            buffer = buffer[sizeof(ulong)..];
        }

        for (var rest = NextUInt64(); !buffer.IsEmpty; rest >>= 8)
        {
            buffer[0] = (byte)rest;
            buffer = buffer[1..];
        }
    }

    protected override double Sample() => NextDouble();

    // Multiplying instead of dividing; its bias is below 2^-32 for any range that is asked for here.
    private ulong Below(ulong range) => Math.BigMul(NextUInt64(), range, out _);

    private static ulong SplitMix(ref ulong state)
    {
        state += 0x9e3779b97f4a7c15;
        var z = state;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
        z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
        return z ^ (z >> 31);
    }
}

/// <summary>Draws that the fault classes share.</summary>
internal static class RandomDraws
{
    public static bool Chance(this Random random, double probability) => probability > 0 && random.NextDouble() < probability;

    /// <summary>Exponential with this mean, in ticks; at most ten times the mean, so that a bound in time holds.</summary>
    public static long Exponential(this Random random, long mean) =>
        mean <= 0 ? 0 : (long)Math.Min(mean * 10.0, -Math.Log(1 - random.NextDouble()) * mean);

    /// <summary>Between both, on a logarithmic scale: small values come up as often as large ones.</summary>
    public static double Logarithmic(this Random random, double least, double most) => least * Math.Pow(most / least, random.NextDouble());

    public static long Ticks(this Random random, TimeSpan least, TimeSpan most) => random.NextInt64(least.Ticks, most.Ticks + 1);

    public static T Pick<T>(this Random random, IReadOnlyList<T> items) => items[random.Next(items.Count)];
}
