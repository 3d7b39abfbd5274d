using System.Runtime.CompilerServices;
using System.Text;
using EventVault.Storage.Log;
using EventVault.Storage.Queries;
using EventVault.Storage.Tests.Log;

namespace EventVault.Storage.Tests.Queries;

/// <summary>A filter as a test draws it, and the plain way to say whether an event matches.</summary>
internal sealed record ModelFilter(string Category, string Prefix, (string[] Types, string[] Tags)[] Items, string CorrelationId, UInt128? EventId)
{
    private static readonly ConditionalWeakTable<byte[], LabelledEvent> Labels = [];

    public static ModelFilter Random(Random random, IReadOnlyList<ModelEvent> events)
    {
        // One part nearly always, several now and then; a condition has items alone.
        var filter = new ModelFilter("", "", [], "", null);
        for (var parts = random.Next(4) == 0 ? 2 : 1; parts > 0; parts--)
        {
            var known = events.Count > 0 && random.Next(8) > 0 ? events[random.Next(events.Count)] : null;
            filter = random.Next(10) switch
            {
                0 => filter with { Category = known?.Stream.Split('-')[0] ?? "nothing" },
                1 => filter with { Prefix = known is null ? "nothing-" : known.Stream[..random.Next(1, known.Stream.Length + 1)] },
                2 => filter with { CorrelationId = $"c{random.Next(9)}" },
                3 => filter with { EventId = known is null ? (UInt128)random.NextInt64() : LabelsOf(known).Id },
                _ => filter with { Items = RandomItems(random) },
            };
        }

        return filter;
    }

    public static (string[] Types, string[] Tags)[] RandomItems(Random random) => [.. Enumerable.Range(0, random.Next(5) == 0 ? random.Next(1, 6) : 1).Select(_ =>
    {
        var shape = random.Next(4);
        var types = shape == 0 ? [] : Some(random, [.. LabelledEvent.Types, "never"], shape == 3 ? 3 : 1);
        return (types, shape == 1 ? [] : Some(random, [.. LabelledEvent.AllTags, "never"], random.Next(3) == 0 ? 3 : 1));
    })];

    public EventFilter For(VaultStorage storage) => EventFilter.Create(
        storage, Bytes(Category), Bytes(Prefix), QueryItems, Bytes(CorrelationId), EventId);

    public bool Matches(ModelEvent e)
    {
        var labels = LabelsOf(e);
        return (Category == "" || e.Stream.Split('-')[0] == Category)
            && e.Stream.StartsWith(Prefix, StringComparison.Ordinal)
            && (CorrelationId == "" || labels.CorrelationId == CorrelationId)
            && (EventId is null || labels.Id == EventId)
            && (Items.Length == 0 || (e.Stream[0] != '$' && Items.Any(i => (i.Types.Length == 0 || i.Types.Contains(labels.Type)) && i.Tags.All(labels.Tags.Contains))));
    }

    /// <summary>The query of it, as conditions have it.</summary>
    public IReadOnlyList<QueryItem> QueryItems => [.. Items.Select(i => new QueryItem([.. i.Types.Select(Bytes)], [.. i.Tags.Select(Bytes)]))];

    public static LabelledEvent LabelsOf(ModelEvent e) => Labels.GetValue(e.Bytes, LabelledEvent.Of);

    private static string[] Some(Random random, string[] of, int most) => [.. Enumerable.Range(0, random.Next(1, most + 1)).Select(_ => of[random.Next(of.Length)]).Distinct()];

    private static ReadOnlyMemory<byte> Bytes(string text) => Encoding.UTF8.GetBytes(text);

    public override string ToString() =>
        $"category '{Category}', prefix '{Prefix}', items [{string.Join("; ", Items.Select(i => $"{string.Join(" or ", i.Types)}: {string.Join(" and ", i.Tags)}"))}], correlation '{CorrelationId}', id {EventId}";
}

/// <summary>Compares reads, counts and conditions by filters with what a plain list says.</summary>
internal static class QueryModel
{
    /// <summary>Checks so many random filters.</summary>
    /// <param name="storage">The vault.</param>
    /// <param name="model">All committed events.</param>
    /// <param name="filters">How many.</param>
    /// <param name="random">Draws them, bounds and pages.</param>
    public static void Check(VaultStorage storage, VaultModel model, int filters, Random random)
    {
        for (var i = 0; i < filters; i++)
        {
            var filter = ModelFilter.Random(random, model.Events);
            CheckReads(storage, model, filter, RandomBound(random, model.Count), RandomBound(random, model.Count), random);
            var after = RandomBound(random, model.Count);
            var last = storage.Reader.LastMatch(filter.For(storage), new Position(after), out var through);
            Assert.Equal(storage.Head, through);
            CheckMatch(model, filter, after, last);
        }
    }

    /// <summary>Checks so many random conditions against all that is in the log, pending events included.</summary>
    public static void CheckConditions(VaultStorage storage, VaultModel all, int conditions, Random random)
    {
        for (var i = 0; i < conditions; i++)
        {
            var filter = random.Next(4) == 0 ? ModelFilter.Random(random, all.Events) : new ModelFilter("", "", ModelFilter.RandomItems(random), "", null);
            var after = random.Next(2) == 0 ? storage.Head.Value : RandomBound(random, all.Count);
            CheckMatch(all, filter, after, storage.Tail.LastMatch(filter.For(storage), new Position(after)));
        }
    }

    /// <summary>Reads what matches between two positions, in both directions and by random pages, and counts it.</summary>
    public static void CheckReads(VaultStorage storage, VaultModel vault, ModelFilter model, long low, long high, Random random)
    {
        var events = vault.Events;
        var filter = model.For(storage);
        var expected = events.Where(e => e.Position >= low && e.Position <= high && vault.IsVisible(e) && model.Matches(e)).ToList();
        Assert.True(expected.Count(e => e.Stream[0] != '$') == storage.Reader.CountMatching(filter, new Position(low), new Position(high)), $"{model}, {low} to {high}: {expected.Count} expected.");
        foreach (var backwards in (bool[])[false, true])
        {
            var page = random.Next(3) == 0 ? random.Next(1, 4) : int.MaxValue;
            var read = new List<ModelEvent>();
            var next = new Position(backwards ? high : low);
            var end = new Position(backwards ? low : high);
            for (var calls = 0; backwards ? next >= end && next.Value >= 0 : next <= end && next <= storage.Head; calls++)
            {
                var sink = new PageSink(events, model, read, page);
                var before = (next, read.Count);
                var count = storage.Reader.ReadMatching(filter, next, end, backwards, ref sink, out next);
                Assert.Equal(read.Count - before.Count, count);
                Assert.True(backwards ? next < before.next : next > before.next, "A page moves on.");
            }

            if (backwards)
            {
                read.Reverse();
            }

            Assert.True(expected.SequenceEqual(read), $"{model}, {low} to {high}, backwards {backwards}: {string.Join(',', read.Select(e => e.Position))} instead of {string.Join(',', expected.Select(e => e.Position))}.");
        }
    }

    /// <summary>Checks a match that was found behind a position, or that there is none.</summary>
    /// <param name="model">All events that count.</param>
    /// <param name="filter">What was looked for.</param>
    /// <param name="after">Only events behind it.</param>
    /// <param name="match">What was found.</param>
    /// <param name="isNewest">Whether with one way to match it must be the newest match.</param>
    public static void CheckMatch(VaultModel model, ModelFilter filter, long after, Position match, bool isNewest = true)
    {
        var matches = model.Events.Skip((int)after + 1).Where(e => model.IsVisible(e) && filter.Matches(e)).Select(e => e.Position).ToList();
        Assert.True(matches.Count == 0 ? match == Position.None : matches.Contains(match.Value), $"{filter} after {after}: {match} of {string.Join(',', matches)}.");
        Assert.True(!isNewest || filter.Items.Length != 1 || filter.Items[0].Types.Length > 1 || matches.Count == 0 || match.Value == matches[^1], "With one way to match it is the newest match.");
    }

    private static long RandomBound(Random random, int events) => random.Next(4) switch
    {
        0 => -1,
        1 => events + random.Next(3),
        _ => random.Next(-1, events + 1),
    };

    private struct PageSink(IReadOnlyList<ModelEvent> events, ModelFilter filter, List<ModelEvent> read, int most) : IEventSink
    {
        private int _count;

        public bool Accept(in EventView e)
        {
            var model = events[(int)e.Position.Value];
            Assert.True(filter.Matches(model), $"{filter}: event {e.Position} does not match.");
            Assert.True(e.EventData.SequenceEqual(model.Bytes) && e.Stream.SequenceEqual(model.Name));
            read.Add(model);
            return ++_count < most;
        }
    }
}
