using System.Globalization;
using System.Text;
using System.Text.Json.Nodes;
using EventVault.Temporal.Reducers;

namespace EventVault.Temporal.Tests;

/// <summary>Aggregates, filters, keys.</summary>
public sealed class SlotsTests
{
    private static readonly SomeEvent[] Lines =
    [
        new("""{"sku":"b","qty":2,"price":1.5}""", "Received"),
        new("""{"sku":"a","qty":5,"price":0.25,"note":"first"}""", "Received", 1),
        new("""{"sku":"b","qty":-1}""", "Shipped", 2),
        new("""{"sku":"a","qty":"x"}""", "Shipped", 3),
        new("""{"qty":7}""", "Received", 4),
    ];

    [Theory]
    [InlineData("n = COUNT(*)", """{"n":5}""")]
    [InlineData("n = COUNT(sku)", """{"n":4}""")]
    [InlineData("s = SUM(qty)", """{"s":13}""")]
    [InlineData("s = SUM(qty * price)", """{"s":4.25}""")]
    [InlineData("s = SUM(none)", """{"s":null}""")]
    [InlineData("lo = MIN(qty), hi = MAX(qty)", """{"hi":7,"lo":-1}""")]
    [InlineData("lo = MIN(sku), hi = MAX(sku)", """{"hi":"b","lo":"a"}""")]
    [InlineData("m = AVG(qty)", """{"m":3.25}""")]
    [InlineData("m = AVG(qty / 3)", """{"m":1.0833333333}""")]
    [InlineData("f = FIRST(note), l = LAST(sku)", """{"f":"first","l":"a"}""")]
    [InlineData("all = SET_ADD(sku)", """{"all":["a","b"]}""")]
    [InlineData("in_ = SUM(qty) FILTER (WHERE $type = 'Received'), out_ = SUM(-qty) FILTER (WHERE $type = 'Shipped')", """{"in_":14,"out_":1}""")]
    [InlineData("stock = SUM(qty) BY sku", """{"a":{"stock":5},"b":{"stock":1}}""")]
    [InlineData("n = COUNT(*) BY $version >= 3", """{"false":{"n":3},"true":{"n":2}}""")]
    public void Slots_fold(string definition, string json) => Assert.Equal(json, Some.Fold(SlotsReducer.Parse(definition), Lines).Json());

    [Fact]
    public void Events_without_a_key_and_values_of_another_kind_are_counted()
    {
        Assert.Equal(new FoldCounts(5, Skipped: 1, Mismatches: 1, Errors: 0), Some.Fold(SlotsReducer.Parse("s = SUM(qty) BY sku"), Lines).Counts);
        var mixed = Some.Fold(SlotsReducer.Parse("lo = MIN(qty)"), Lines);
        Assert.Equal(("""{"lo":-1}""", 1), (mixed.Json(), mixed.Counts.Mismatches));
    }

    [Fact]
    public void Data_that_nobody_looks_at_need_not_be_JSON()
    {
        SomeEvent[] events = [new("raw bytes", IsJson: false), new("""{"a":1}"""), new("{\"a\":")];
        var all = Some.Fold(SlotsReducer.Parse("n = COUNT(*)"), events);
        Assert.Equal(("""{"n":3}""", 0), (all.Json(), all.Counts.Skipped));
        var some = Some.Fold(SlotsReducer.Parse("n = COUNT(*), a = LAST(a)"), events);
        Assert.Equal(("""{"a":1,"n":1}""", 2), (some.Json(), some.Counts.Skipped));
    }

    [Fact]
    public void Sums_do_not_depend_on_the_order()
    {
        var values = Enumerable.Range(0, 10_000).Select(i => ((i * 7919) % 1000 / 100m) + 0.001m).ToArray();
        var events = values.Select(v => new SomeEvent($$"""{"v":{{v.ToString(CultureInfo.InvariantCulture)}}}""")).ToArray();
        var reducer = SlotsReducer.Parse("s = SUM(v), m = AVG(v)");
        Assert.Equal(Some.Fold(reducer, events).Json(), Some.Fold(reducer, events.Reverse()).Json());
        Assert.Equal(values.Sum(), JsonNode.Parse(Some.Fold(reducer, events).Json())!["s"]!.GetValue<decimal>());
    }

    [Fact]
    public void Equal_definitions_are_one_reducer_and_others_are_not()
    {
        var one = SlotsReducer.Parse("a=sum( data.qty ) filter (where $TYPE = 'x' and qty>1)");
        Assert.Equal(one.Hash, SlotsReducer.Parse("\"a\" = SUM(qty)\n FILTER (WHERE $type = 'x' AND (qty > 1.0))").Hash);
        string[] others = ["b = SUM(qty)", "a = SUM(qty)", "a = SUM(qty) BY x", "a = SUM(-qty)", "a = AVG(qty)", "a = SUM(\"q\".\"ty\")", "a = SUM(\"q.ty\")"];
        Assert.Equal(others.Length + 2, others.Select(o => Convert.ToHexString(SlotsReducer.Parse(o).Hash)).Append(Convert.ToHexString(one.Hash)).Append(Convert.ToHexString(MergePatchReducer.Instance.Hash)).Distinct().Count());
    }

    [Fact]
    public void Random_histories_agree_with_naive_aggregates_wherever_they_are_cut_and_saved()
    {
        var reducer = SlotsReducer.Parse(
            "n = COUNT(*), c = COUNT(v), s = SUM(v), lo = MIN(v), hi = MAX(v), m = AVG(v), f = FIRST(v), l = LAST(v), set = SET_ADD(v), odd = COUNT(*) FILTER (WHERE v % 2 = 1), o = LAST(o) BY k");
        for (var seed = 0; seed < 200; seed++)
        {
            var random = new Random(seed);
            var events = new List<(string Key, decimal? Value, string? Other)>();
            var state = reducer.Start(FoldLimits.Default);
            for (var i = 0; i < 60; i++)
            {
                var (key, value) = ("k" + random.Next(3), random.Next(4) == 0 ? (decimal?)null : random.Next(-20, 20) / 4m);
                var other = random.Next(2) == 0 ? null : RandomJson.Object(random, 2).ToJsonString();
                events.Add((key, value, other));
                new SomeEvent($$"""{"k":"{{key}}","v":{{value?.ToString(CultureInfo.InvariantCulture) ?? "null"}},"o":{{other ?? "null"}}}""").ApplyTo(state);
                if (random.Next(5) == 0)
                {
                    var restored = reducer.Restore(state.Saved(), FoldLimits.Default);
                    Assert.Equal((state.Counts, state.Bytes), (restored.Counts, restored.Bytes));
                    Assert.Equal(state.Saved(), restored.Saved());
                    state = restored;
                }

                Assert.Equal(Naive(events), state.Json());
            }
        }
    }

    [Fact]
    public void A_state_that_grows_too_large_is_refused()
    {
        var state = SlotsReducer.Parse("all = SET_ADD(v)").Start(new FoldLimits(2000));
        var e = Assert.Throws<StateTooLargeException>(() =>
        {
            for (var i = 0; i < 1000; i++)
            {
                new SomeEvent($$"""{"v":"value {{i}}"}""").ApplyTo(state);
            }
        });
        Assert.InRange(e.Bytes, 2001, 2100);
        Assert.Throws<StateTooLargeException>(() => Some.Fold(SlotsReducer.Parse("n = COUNT(*) BY v"), Enumerable.Range(0, 40_000).Select(i => new SomeEvent($$"""{"v":{{i}}}"""))));
    }

    [Fact]
    public void A_long_value_is_not_kept_once_for_each_slot_before_the_state_is_refused()
    {
        const int Bytes = 1024 * 1024;
        var state = SlotsReducer.Parse(string.Join(", ", Enumerable.Range(0, 200).Select(i => $"x{i} = LAST(v)"))).Start(FoldLimits.Default);
        new SomeEvent("""{"v":1}""").ApplyTo(state);
        var e = new SomeEvent($$"""{"v":"{{new string('a', Bytes)}}"}""");
        var before = GC.GetAllocatedBytesForCurrentThread();
        var refused = Assert.Throws<StateTooLargeException>(() => e.ApplyTo(state));
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 16 * Bytes);
        Assert.Equal(FoldLimits.Default.StateBytes, refused.Allowed);
        Assert.InRange(refused.Bytes, refused.Allowed + 1, 4 * refused.Allowed);
    }

    [Fact]
    public void A_state_may_be_larger_within_an_event_that_makes_it_small_again()
    {
        var state = SlotsReducer.Parse("a = LAST(a), b = LAST(b)").Start(new FoldLimits(2000));
        var (@long, @short) = (new string('l', 1800), "s");
        for (var i = 0; i < 4; i++)
        {
            new SomeEvent($$"""{"a":"{{(i % 2 == 0 ? @long : @short)}}","b":"{{(i % 2 == 0 ? @short : @long)}}"}""").ApplyTo(state);
            Assert.InRange(state.Bytes, 1801, 2000);
        }
    }

    [Fact]
    public void Damaged_saved_states_are_told()
    {
        var reducer = SlotsReducer.Parse("a = LAST(sku), b = SET_ADD(qty) BY sku");
        var saved = Some.Fold(reducer, Lines).Saved();
        for (var length = 0; length < saved.Length; length++)
        {
            Assert.Throws<InvalidDataException>(() => reducer.Restore(saved.AsSpan(0, length), FoldLimits.Default));
        }
    }

    private static string Naive(List<(string Key, decimal? Value, string? Other)> events)
    {
        var text = new StringBuilder("{");
        foreach (var group in events.GroupBy(e => e.Key).OrderBy(g => g.Key, StringComparer.Ordinal))
        {
            var values = group.Where(e => e.Value is not null).Select(e => e.Value!.Value).ToList();
            string Show(Func<decimal> of) => values.Count == 0 ? "null" : Json(of());
            var set = string.Join(',', values.Select(Json).Distinct().OrderBy(v => v, StringComparer.Ordinal));
            var other = group.Select(e => e.Other).LastOrDefault(o => o is not null) is { } last ? Some.Canonical(last) : "null";
            text.Append(CultureInfo.InvariantCulture, $"\"{group.Key}\":{{\"c\":{values.Count},\"f\":{Show(() => values[0])},\"hi\":{Show(values.Max)},\"l\":{Show(() => values[^1])},")
                .Append(CultureInfo.InvariantCulture, $"\"lo\":{Show(values.Min)},\"m\":{Show(() => decimal.Round(values.Sum() / values.Count, 10, MidpointRounding.ToEven))},\"n\":{group.Count()},")
                .Append(CultureInfo.InvariantCulture, $"\"o\":{other},\"odd\":{values.Count(v => v % 2 == 1)},\"s\":{Show(values.Sum)},\"set\":[{set}]}},");
        }

        text.Length--;
        return text.Append('}').ToString();
    }

    private static string Json(decimal value) => value.ToString("G29", CultureInfo.InvariantCulture);
}
