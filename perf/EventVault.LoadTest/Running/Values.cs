namespace EventVault.LoadTest.Running;

/// <summary>Test data, handed out one by one to all iterations of a scenario. Thread-safe.</summary>
internal sealed class Values<T>
{
    private readonly IReadOnlyList<T> _items;
    private readonly Random? _random;
    private readonly Lock _lock = new();
    private long _next = -1;

    private Values(IReadOnlyList<T> items, Random? random)
    {
        ArgumentOutOfRangeException.ThrowIfZero(items.Count);
        _items = items;
        _random = random;
    }

    /// <summary>One after the other, from the first again behind the last. A single one is a constant.</summary>
    public static Values<T> InTurn(IReadOnlyList<T> items) => new(items, random: null);

    /// <summary>Drawn, with repeats; the same ones for the same seed.</summary>
    public static Values<T> AtRandom(IReadOnlyList<T> items, int seed = 1) => new(items, new Random(seed));

    public T Next()
    {
        if (_random is null)
        {
            return _items[(int)(Interlocked.Increment(ref _next) % _items.Count)];
        }

        lock (_lock)
        {
            return _items[_random.Next(_items.Count)];
        }
    }
}
