namespace EventVault.Node.Tests;

/// <summary>The order between clients, by itself.</summary>
public sealed class AppendTurnsTests
{
    private const int Large = 1024 * 1024;
    private readonly AppendTurns _turns = new();

    [Fact]
    public void Who_asks_for_little_comes_next_whether_the_others_come_now_or_have_queued_for_long()
    {
        var flood = Enumerable.Range(0, 200).Select(_ => new AppendClient()).ToList();
        foreach (var _ in Enumerable.Range(0, 5))
        {
            flood.ForEach(client => Add(client, Large));
        }

        var modest = new AppendClient();
        for (var i = 0; i < 900; i++)
        {
            if (i % 7 == 0)
            {
                var asked = Add(modest, 1000);
                Assert.Same(asked, _turns.Take());
            }

            Assert.NotSame(modest, _turns.Take().Client);
        }
    }

    [Fact]
    public void Who_asks_for_more_than_a_little_does_not_wait_for_the_sum_of_all_others()
    {
        var flood = Enumerable.Range(0, 100).Select(_ => new AppendClient()).ToList();
        flood.ForEach(client => Repeat(1000, () => Add(client, 1000)));
        Repeat(5000, () => _turns.Take());
        var asked = Add(new AppendClient(), Large);
        var before = 0L;
        for (var taken = _turns.Take(); taken != asked; taken = _turns.Take())
        {
            before += AppendTurns.CostOf(taken);
        }

        Assert.InRange(before, 0, flood.Count * (AppendTurns.MostCompared + AppendTurns.CostOf(new Asked(0, null))));
    }

    [Fact]
    public void Clients_that_ask_for_much_share_by_bytes_and_not_by_appends()
    {
        var (large, small) = (new AppendClient(), new AppendClient());
        Repeat(20, () => Add(large, Large));
        Repeat(20_000, () => Add(small, 1024));
        var (ofLarge, ofSmall) = (0L, 0L);
        for (var i = 0; i < 10_000; i++)
        {
            var taken = _turns.Take();
            (taken.Client == large ? ref ofLarge : ref ofSmall) += AppendTurns.CostOf(taken);
            Assert.InRange(ofLarge - ofSmall, -2 * Large, 2 * Large);
        }

        Assert.True(ofLarge > 4 * Large && ofSmall > 4 * Large);
    }

    [Fact]
    public void An_endless_row_of_newcomers_holds_nobody_up_for_ever()
    {
        var large = Add(new AppendClient(), 16 * Large);
        var newcomers = 0;
        do
        {
            Add(new AppendClient(), 0);
            Assert.True(++newcomers <= AppendTurns.MostCompared + 1, "More newcomers came before than are compared.");
        }
        while (_turns.Take() != large);

        Assert.True(newcomers > 1000, "Newcomers do come before: that is what they are meant to.");
    }

    [Fact]
    public void What_was_taken_while_nobody_waited_is_not_held_against_anybody()
    {
        var (busy, other) = (new AppendClient(), new AppendClient());
        Repeat(100, () => Add(busy, Large));
        Repeat(100, () => _turns.Take());
        Assert.True(_turns.IsEmpty);
        Add(busy, 1000);
        Add(other, 2000);
        Assert.Same(busy, _turns.Take().Client);
    }

    [Fact]
    public void Appends_without_a_client_are_one_client()
    {
        Repeat(100, () => Add(null, Large));
        Repeat(10, () => _turns.Take());
        var modest = Add(new AppendClient(), 1000);
        Assert.Same(modest, _turns.Take());
        Repeat(90, () => Assert.Null(_turns.Take().Client));
        Assert.True(_turns.IsEmpty);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    public void The_order_is_that_of_a_model_of_plain_lists(int seed)
    {
        var random = new Random(seed);
        var clients = Enumerable.Range(0, 30).Select(_ => new AppendClient()).ToList();
        var model = new Model();
        for (var i = 0; i < 20_000; i++)
        {
            if (random.Next(100) < (i / 2000 % 2 == 0 ? 60 : 40))
            {
                var append = new Asked(random.Next(4) switch { 0 => random.Next(Large), 1 => random.Next(100), _ => 1000 }, clients[Math.Min(random.Next(30), random.Next(30))]);
                model.Add(append);
                _turns.Add(append);
            }
            else if (model.IsEmpty)
            {
                Assert.True(_turns.IsEmpty);
            }
            else
            {
                var expected = model.Take();
                Assert.Same(expected, _turns.Next);
                Assert.Same(expected, _turns.Take());
            }
        }
    }

    private static void Repeat(int count, Action action)
    {
        for (var i = 0; i < count; i++)
        {
            action();
        }
    }

    private Asked Add(AppendClient? client, int bytes)
    {
        var append = new Asked(bytes, client);
        _turns.Add(append);
        return append;
    }

    /// <summary>The rule as the head of AppendTurns has it, with a list instead of a heap.</summary>
    private sealed class Model
    {
        private readonly List<(AppendClient Client, List<Asked> Appends, long Begins, int Arrival)> _waiting = [];
        private readonly Dictionary<AppendClient, long> _usedUntil = [];
        private long _now;
        private int _arrivals;

        public bool IsEmpty => _waiting.Count == 0;

        public void Add(Asked append)
        {
            var client = append.Client!;
            if (_waiting.Find(w => w.Client == client).Appends is { } appends)
            {
                appends.Add(append);
            }
            else
            {
                _waiting.Add((client, [append], Math.Max(_now, _usedUntil.GetValueOrDefault(client)), _arrivals++));
            }
        }

        public Asked Take()
        {
            var next = _waiting.MinBy(w => (w.Begins + Compared(w.Appends[0]), w.Arrival));
            var append = next.Appends[0];
            _waiting.Remove(next);
            _now = Math.Max(_now, next.Begins) + (Compared(append) / AppendTurns.Drift);
            var ends = _usedUntil[next.Client] = next.Begins + AppendTurns.CostOf(append);
            next.Appends.RemoveAt(0);
            if (next.Appends.Count > 0)
            {
                _waiting.Add((next.Client, next.Appends, ends, _arrivals++));
            }
            else if (_waiting.Count == 0)
            {
                _now = _usedUntil.Values.Max();
            }

            return append;
        }

        private static long Compared(Asked append) => Math.Min(AppendTurns.CostOf(append), AppendTurns.MostCompared);
    }

    private sealed class Asked : QueuedAppend
    {
        public Asked(int bytes, AppendClient? client)
            : base(null!)
        {
            (QueuedBytes, Client) = (bytes, client);
        }

        public override void Complete()
        {
        }
    }
}
