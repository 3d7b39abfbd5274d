using System.Text;
using EventVault.Storage.Index;
using EventVault.Storage.Log;

namespace EventVault.Storage.Tests.Log;

/// <summary>The events about retention, and what is made of them.</summary>
public sealed class RetentionRulesTests
{
    private static readonly RetentionRule Aged = new() { MaxAgeSeconds = 60 };
    private static readonly RetentionRule Held = new() { LegalHold = true };
    private long _position;

    [Theory]
    [InlineData(RetentionScope.Stream, "a")]
    [InlineData(RetentionScope.Stream, "\"quoted\\\"-1")]
    [InlineData(RetentionScope.Category, "\u00e9\u4e16\u754c\U0001F600")]
    public void An_event_says_again_what_was_written(RetentionScope scope, string text)
    {
        var name = Encoding.UTF8.GetBytes(text);
        foreach (var rule in (RetentionRule?[])
            [
                null, Aged, Held, new() { Forever = true }, new() { MaxEvents = long.MaxValue }, new() { MaxBytes = 1, LegalHold = true },
                new() { MaxAgeSeconds = RetentionRule.MostAgeSeconds, MaxEvents = 1, MaxBytes = long.MaxValue },
            ])
        {
            var bytes = RetentionEvent.Encode(7, scope, name, rule);
            Assert.True(RetentionEvent.TryRead(View("$streams", bytes), out var change));
            Assert.Equal((scope, rule, new Position(5)), (change!.Scope, change.Rule, change.At));
            Assert.Equal(name, change.Name);
            Assert.True(EventFields.TryReadId(bytes, out var id) && id == 7);
            var digest = new SipHash128(new SipKey(1, 2));
            Assert.Equal(EventProblem.None, EventFields.Check(bytes, new VaultLimits(), ref digest));
        }
    }

    [Fact]
    public void Events_of_other_streams_and_types_do_nothing_and_what_they_add_is_ignored()
    {
        var set = RetentionEvent.Encode(7, RetentionScope.Stream, "a"u8, Aged);
        Assert.False(RetentionEvent.TryRead(View("$settings", set), out _));
        Assert.False(RetentionEvent.TryRead(View("streams", set), out _));
        Assert.False(RetentionEvent.TryRead(View("$streams", StreamLifeEvent.Encode(7, StreamChangeKind.Delete, "a"u8, new StreamVersion(1))), out _));
        var more = EventFields.Encode(7, "$retention-set"u8, "{\"why\":{\"maxEvents\":9},\"legalHold\":false,\"maxEvents\":3,\"category\":\"a\",\"list\":[1]}"u8, 1);
        Assert.True(RetentionEvent.TryRead(View("$streams", more), out var change));
        Assert.Equal((RetentionScope.Category, new RetentionRule { MaxEvents = 3 }), (change!.Scope, change.Rule));
    }

    // To overlook it could delete what is under a legal hold.
    [Fact]
    public void What_a_later_version_means_by_it_is_refused_and_what_nobody_writes_is_our_own_fault()
    {
        var later = EventFields.Encode(7, "$retention-set"u8, "{\"stream\":\"a\",\"maxEvents\":3}"u8, 2);
        Assert.Contains("schema version 2", Assert.Throws<UnsupportedFormatException>(() => RetentionEvent.TryRead(View("$streams", later), out _)).Message, StringComparison.Ordinal);
        foreach (var data in (string[])
            [
                "", "[]", "{", "{\"stream\":\"a\"}", "{\"maxEvents\":1}", "{\"stream\":\"\",\"maxEvents\":1}", "{\"stream\":\"$a\",\"maxEvents\":1}",
                "{\"category\":\"a-b\",\"maxEvents\":1}", "{\"stream\":\"a\",\"category\":\"a\",\"maxEvents\":1}", "{\"stream\":\"a\",\"maxEvents\":0}",
                "{\"stream\":\"a\",\"maxEvents\":1.5}", "{\"stream\":\"a\",\"maxEvents\":\"1\"}", "{\"stream\":\"a\",\"forever\":1}",
                "{\"stream\":\"a\",\"forever\":true,\"maxBytes\":1}", "{\"stream\":\"a\",\"maxAgeSeconds\":3155760001}", "{\"stream\":\"a\",\"legalHold\":false}",
            ])
        {
            var bytes = EventFields.Encode(7, "$retention-set"u8, Encoding.UTF8.GetBytes(data), 1);
            Assert.Throws<InvariantException>(() => RetentionEvent.TryRead(View("$streams", bytes), out _));
        }
    }

    [Fact]
    public void A_streams_own_rule_counts_in_place_of_its_categorys()
    {
        var rules = new RetentionRules();
        Assert.Null(rules.Rule("order-1"u8));
        Add(rules, RetentionScope.Category, "order", Aged);
        Add(rules, RetentionScope.Stream, "order-1", new RetentionRule { MaxEvents = 3 });
        Add(rules, RetentionScope.Stream, "order-2", new RetentionRule { Forever = true });
        Assert.Equal((RetentionScope.Stream, new RetentionRule { MaxEvents = 3 }), Of(rules, "order-1"));
        Assert.Equal((RetentionScope.Stream, new RetentionRule { Forever = true }), Of(rules, "order-2"));
        foreach (var stream in (string[])["order-3", "order-", "order-1-2", "order"])
        {
            Assert.Equal((RetentionScope.Category, Aged), Of(rules, stream));
        }

        foreach (var stream in (string[])["orders-1", "orde", "Order-1", "-order", "$order", "$streams"])
        {
            Assert.Null(rules.Rule(Encoding.UTF8.GetBytes(stream)));
        }

        Add(rules, RetentionScope.Stream, "order-1", rule: null);
        Add(rules, RetentionScope.Stream, "never", rule: null);
        Assert.Equal((RetentionScope.Category, Aged), Of(rules, "order-1"));
        Add(rules, RetentionScope.Category, "order", Held);
        Assert.Equal((RetentionScope.Category, Held), Of(rules, "order-1"));
        Assert.Equal((2, new Position(5)), (rules.Count, rules.LastChange));
    }

    // A hold is no part of the rule that replaces another: whoever loosens the one does not loosen the other by mistake.
    [Fact]
    public void A_stream_is_held_if_it_or_its_category_is()
    {
        var rules = new RetentionRules();
        Assert.False(rules.IsHeld("order-1"u8));
        Add(rules, RetentionScope.Category, "order", new RetentionRule { LegalHold = true, MaxEvents = 5 });
        Add(rules, RetentionScope.Stream, "order-1", Aged);
        Add(rules, RetentionScope.Stream, "invoice-1", Held);
        Assert.True(rules.IsHeld("order-1"u8) && rules.IsHeld("order-2"u8) && rules.IsHeld("order"u8) && rules.IsHeld("invoice-1"u8));
        Assert.False(rules.IsHeld("invoice-2"u8) || rules.IsHeld("invoice"u8) || rules.IsHeld("$streams"u8));
        Add(rules, RetentionScope.Category, "order", rule: null);
        Assert.False(rules.IsHeld("order-1"u8) || rules.IsHeld("order-2"u8));
        Assert.Equal((RetentionScope.Stream, Aged), Of(rules, "order-1"));
    }

    [Fact]
    public void They_are_listed_categories_first_in_the_order_of_their_bytes_and_a_copy_is_on_its_own()
    {
        var rules = new RetentionRules();
        foreach (var name in (string[])["b", "\u00e9", "a", "aa", "Z"])
        {
            Add(rules, RetentionScope.Stream, name, Aged);
            Add(rules, RetentionScope.Category, name, Held);
        }

        string[] sorted = ["Z", "a", "aa", "b", "\u00e9"];
        Assert.Equal([.. sorted, .. sorted], rules.InOrder().Select(e => Encoding.UTF8.GetString(e.Name)));
        Assert.Equal(Enumerable.Repeat(Held, 5).Concat(Enumerable.Repeat(Aged, 5)), rules.InOrder().Select(e => e.Rule));
        Assert.Equal(9, rules.Find(RetentionScope.Category, "Z"u8)!.SetAt.Value);
        var copy = rules.Copy();
        Add(copy, RetentionScope.Stream, "a", rule: null);
        Assert.Equal((10, 9), (rules.Count, copy.Count));
        Assert.Equal((new Position(9), new Position(10)), (rules.LastChange, copy.LastChange));
    }

    [Fact]
    public void Events_come_in_the_order_of_the_log()
    {
        var rules = new RetentionRules();
        var bytes = RetentionEvent.Encode(7, RetentionScope.Stream, "a"u8, Aged);
        Assert.True(rules.Add(View("$streams", bytes)));
        Assert.Throws<InvariantException>(() => rules.Add(View("$streams", bytes)));
    }

    private void Add(RetentionRules rules, RetentionScope scope, string name, RetentionRule? rule) =>
        Assert.True(rules.Add(View("$streams", RetentionEvent.Encode(1, scope, Encoding.UTF8.GetBytes(name), rule), _position++)));

    private static (RetentionScope Scope, RetentionRule Rule)? Of(RetentionRules rules, string stream) =>
        rules.Rule(Encoding.UTF8.GetBytes(stream)) is { } entry ? (entry.Scope, entry.Rule) : null;

    private static EventView View(string stream, byte[] eventData, long position = 5) =>
        new(Encoding.UTF8.GetBytes(stream), eventData, new Position(position), default, recordedAt: 0, appendOrdinal: 0, recordLength: 0);
}
