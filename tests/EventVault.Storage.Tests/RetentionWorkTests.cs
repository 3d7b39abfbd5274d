using System.Text;
using EventVault.Storage.Log;
using EventVault.Storage.Tests.Log;

namespace EventVault.Storage.Tests;

/// <summary>What the leader finds due, against a plain list of all events.</summary>
public sealed class RetentionWorkTests
{
    private const long Second = TimeSpan.TicksPerSecond;

    // Rules come and go, streams grow, are deleted and truncated, segments are sealed, nodes start again: after each pass
    // every stream begins exactly where a plain list says, and nothing else was written.
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    public void After_each_pass_every_stream_begins_where_a_plain_list_says(int seed)
    {
        var random = new Random(seed);
        var vault = new SmallVault(segmentSizeBytes: 256 * 1024, seed: seed);
        var work = new RetentionWork(vault.Storage);
        var (first, rules) = (new Dictionary<string, long>(), new Dictionary<(RetentionScope, string), RetentionRule>());
        var found = 0;
        for (var round = 0; round < 120; round++)
        {
            for (var i = random.Next(40); i > 0; i--)
            {
                Change(vault, random, first, rules);
            }

            vault.Flush();
            if (random.Next(15) == 0)
            {
                vault.Stop();
                vault.Reopen();
                work = new RetentionWork(vault.Storage);
            }
            else if (random.Next(15) == 0)
            {
                work.Reset();
            }

            vault.Storage.StepBackground();
            vault.Clock += random.Next(3) == 0 ? random.NextInt64(20 * Second) : 0;
            foreach (var stream in vault.Model.Versions.Keys.Where(s => s[0] != '$'))
            {
                first[stream] = FirstKept(vault, stream, first.GetValueOrDefault(stream), rules);
            }

            found += RunPass(vault, work, vault.Clock);
            Assert.Equal(0, RunPass(vault, work, vault.Clock)); // Once is enough.
            foreach (var (stream, version) in first)
            {
                Assert.True(version == FirstVisible(vault, stream), $"Round {round}: {stream} begins at {FirstVisible(vault, stream)} and should at {version}.");
            }
        }

        Assert.True(found > 100 && vault.Storage.SegmentCounts.Sealed > 1, $"{found} truncations, {vault.Storage.SegmentCounts.Sealed} sealed segments");
        vault.Model.Check(vault.Storage, random);
    }

    [Theory]
    [InlineData(3, 0, 0, 7)]
    [InlineData(10, 0, 0, 0)]
    [InlineData(11, 0, 0, 0)]
    [InlineData(1, 0, 0, 9)]
    [InlineData(0, 1, 0, 9)]
    [InlineData(0, 140, 0, 9)]
    [InlineData(0, 200, 0, 8)]
    [InlineData(0, 1_000_000, 0, 0)]
    [InlineData(0, 0, 4, 6)]
    [InlineData(0, 0, 1, 9)]
    [InlineData(0, 0, 100, 0)]
    [InlineData(5, 200, 4, 8)]
    [InlineData(5, 1_000_000, 3, 7)]
    [InlineData(2, 1_000_000, 3, 8)]
    public void The_strictest_limit_of_a_rule_counts(long events, long bytes, long age, long before)
    {
        var vault = new SmallVault();
        for (var i = 0; i < 10; i++)
        {
            // One a second, of some 100 bytes each; the last one now.
            vault.Clock = (1000 + i) * Second;
            vault.Append("order-1", 60);
        }

        var work = new RetentionWork(vault.Storage);
        var rule = new RetentionRule { MaxEvents = events > 0 ? events : null, MaxBytes = bytes > 0 ? bytes : null, MaxAgeSeconds = age > 0 ? age : null };
        vault.Write(vault.Retain(RetentionScope.Category, "order", rule));
        vault.Flush();
        Assert.Equal(before > 0 ? 1 : 0, RunPass(vault, work, vault.Model.Events[9].RecordedAt));
        Assert.Equal(before, FirstVisible(vault, "order-1"));
    }

    // To the tick, of a tenth over the age.
    [Fact]
    public void Age_is_counted_from_when_an_event_was_recorded_and_may_take_all_of_a_stream()
    {
        var vault = new SmallVault();
        vault.Clock = 1000 * Second;
        vault.Append("a", 10);
        vault.Clock += 10 * Second; // Apart by more than the tenth.
        vault.Append("a", 10);
        vault.Write(vault.Retain(RetentionScope.Stream, "a", new RetentionRule { MaxAgeSeconds = 60 }));
        vault.Flush();
        var (old, young) = (vault.Model.Events[0].RecordedAt, vault.Model.Events[1].RecordedAt);
        var work = new RetentionWork(vault.Storage);
        Assert.Equal(0, RunPass(vault, work, null));
        Assert.Equal(0, RunPass(vault, work, old + (66 * Second) - 1));
        Assert.Equal(1, RunPass(vault, work, old + (66 * Second)));
        Assert.Equal(1, FirstVisible(vault, "a"));
        Assert.Equal(0, RunPass(vault, work, young + (66 * Second) - 1));
        Assert.Equal(1, RunPass(vault, work, young + (66 * Second)));
        Assert.Equal(2, FirstVisible(vault, "a"));
        Assert.Null(vault.Storage.Streams.Find("a"u8));
        vault.Append("a", 10);
        Assert.Equal(2, vault.Storage.Streams.Find("a"u8)!.LastVersion.Value);
    }

    [Fact]
    public void A_stream_that_loses_its_own_rule_falls_back_to_its_categorys()
    {
        var vault = new SmallVault();
        var work = new RetentionWork(vault.Storage);
        foreach (var stream in (string[])["order-1", "order-2", "order-3", "order"])
        {
            vault.Append(stream, 10);
            vault.Append(stream, 10);
            vault.Append(stream, 10);
        }

        vault.Write(
            vault.Retain(RetentionScope.Stream, "order-1", new RetentionRule { Forever = true }), vault.Retain(RetentionScope.Stream, "order-2", new RetentionRule { LegalHold = true }),
            vault.Retain(RetentionScope.Stream, "order-3", new RetentionRule { MaxEvents = 2 }), vault.Retain(RetentionScope.Category, "order", new RetentionRule { MaxEvents = 1 }));
        vault.Flush();
        Assert.Equal(2, RunPass(vault, work, 0));
        Assert.Equal([0, 0, 1, 2], First());
        vault.Write(vault.Retain(RetentionScope.Stream, "order-1", rule: null), vault.Retain(RetentionScope.Stream, "order-2", rule: null), vault.Retain(RetentionScope.Stream, "order-3", rule: null));
        vault.Flush();
        Assert.Equal(3, RunPass(vault, work, 0));
        Assert.Equal([2, 2, 2, 2], First());

        long[] First() => [.. ((string[])["order-1", "order-2", "order-3", "order"]).Select(s => FirstVisible(vault, s))];
    }

    [Fact]
    public void A_hold_of_the_category_stops_it_and_what_became_due_meanwhile_goes_when_the_hold_ends()
    {
        var vault = new SmallVault();
        var work = new RetentionWork(vault.Storage);
        Retain(new RetentionRule { MaxEvents = 1 });
        vault.Append("order-1", 10);
        vault.Append("order-1", 10);
        Assert.Equal(1, RunPass(vault, work, 0));
        Retain(new RetentionRule { MaxEvents = 1, LegalHold = true });
        vault.Append("order-1", 10);
        Assert.Equal(0, RunPass(vault, work, 0));
        Retain(new RetentionRule { MaxEvents = 1 });
        Assert.Equal(1, RunPass(vault, work, 0));
        Assert.Equal(2, FirstVisible(vault, "order-1"));
        Retain(rule: null);
        vault.Append("order-1", 10);
        Assert.Equal(0, RunPass(vault, work, 0));

        void Retain(RetentionRule? rule)
        {
            vault.Write(vault.Retain(RetentionScope.Category, "order", rule));
            vault.Flush();
        }
    }

    // While the clock can't be trusted nothing is too old; what was passed over then is found when it can.
    [Fact]
    public void Without_a_time_other_limits_go_on_and_age_is_made_up_for_later()
    {
        var vault = new SmallVault();
        vault.Clock = 1000 * Second;
        foreach (var stream in (string[])["order-1", "order-2"])
        {
            vault.Append(stream, 10);
            vault.Append(stream, 10);
        }

        vault.Write(vault.Retain(RetentionScope.Category, "order", new RetentionRule { MaxEvents = 1, MaxAgeSeconds = 10 }));
        vault.Flush();
        var work = new RetentionWork(vault.Storage);
        Assert.Equal(2, RunPass(vault, work, null));
        Assert.Equal((1, 1), (FirstVisible(vault, "order-1"), FirstVisible(vault, "order-2")));
        Assert.Equal(2, RunPass(vault, work, 2000 * Second));
        Assert.Equal((2, 2), (FirstVisible(vault, "order-1"), FirstVisible(vault, "order-2")));
    }

    // What was found by one rule and not done, because another one came, must not stick.
    [Fact]
    public void What_is_remembered_of_a_stream_under_one_rule_finds_nothing_due_by_another()
    {
        var vault = new SmallVault();
        for (var i = 0; i < 10; i++)
        {
            vault.Clock = (1000 + i) * Second;
            vault.Append("a", 60);
        }

        var work = new RetentionWork(vault.Storage);
        var bytes = 5L * vault.Model.Events[0].Bytes.Length;
        foreach (var (age, before) in (ValueTuple<int, int>[])[(3, 7), (8, 5), (1, 9), (100, 5)])
        {
            vault.Write(vault.Retain(RetentionScope.Stream, "a", new RetentionRule { MaxAgeSeconds = age, MaxBytes = bytes }));
            vault.Flush();
            Assert.Equal(before, Assert.Single(Find(work, vault.Model.Events[9].RecordedAt)).Before.Value);
        }

        vault.Write(vault.Retain(RetentionScope.Stream, "a", new RetentionRule { MaxBytes = 2 * bytes }));
        vault.Flush();
        Assert.Empty(Find(work, null));
    }

    // A hold that comes and goes between two passes is not seen by either; what it refused must not be forgotten.
    [Fact]
    public void What_was_refused_is_found_again()
    {
        var vault = new SmallVault();
        vault.Append("order-1", 10);
        vault.Append("order-1", 10);
        vault.Write(vault.Retain(RetentionScope.Category, "order", new RetentionRule { MaxEvents = 1 }));
        vault.Flush();
        var work = new RetentionWork(vault.Storage);
        var found = Assert.Single(Find(work, 0));
        Assert.Empty(Find(work, 0)); // The pass has gone on.
        work.Refused(found);
        Assert.Equal(found.OperationId, Assert.Single(Find(work, 0)).OperationId);
        Assert.Empty(Find(work, 0));
        work.Reset();
        Assert.Single(Find(work, 0));
    }

    // Found by a model run: of 12 events 10 were to be kept, that was refused, and then somebody truncated one: 11 are bearable.
    [Fact]
    public void What_is_remembered_of_a_stream_does_not_find_due_what_a_truncation_made_bearable()
    {
        var vault = new SmallVault();
        for (var i = 0; i < 12; i++)
        {
            vault.Append("a", 60);
        }

        var bytes = vault.Model.Events[0].Bytes.Length;
        Assert.All(vault.Model.Events.Take(12), e => Assert.Equal(bytes, e.Bytes.Length));
        vault.Write(vault.Retain(RetentionScope.Stream, "a", new RetentionRule { MaxBytes = 10L * bytes }));
        vault.Flush();
        var work = new RetentionWork(vault.Storage);
        Assert.Equal(2, Assert.Single(Find(work, null)).Before.Value);
        vault.Write(vault.Change(StreamChangeKind.Truncate, "a", before: 1));
        vault.Flush();
        Assert.Empty(Find(work, null));
        vault.Append("a", 60);
        vault.Flush();
        Assert.Equal(3, Assert.Single(Find(work, null)).Before.Value);
    }

    [Fact]
    public void A_stream_that_loses_its_own_rule_while_the_time_is_unknown_is_too_old_once_it_is_known()
    {
        var vault = new SmallVault();
        vault.Clock = 1000 * Second;
        vault.Append("order-1", 10);
        vault.Append("order-2", 10);
        vault.Write(
            vault.Retain(RetentionScope.Category, "order", new RetentionRule { MaxAgeSeconds = 10 }), vault.Retain(RetentionScope.Stream, "order-1", new RetentionRule { Forever = true }));
        vault.Flush();
        var work = new RetentionWork(vault.Storage);
        Assert.Equal(1, RunPass(vault, work, 2000 * Second)); // The category's age has gone past both.
        vault.Write(vault.Retain(RetentionScope.Stream, "order-1", rule: null));
        vault.Flush();
        Assert.Equal(0, RunPass(vault, work, null));
        Assert.Equal(0, RunPass(vault, work, null));
        Assert.Equal(1, RunPass(vault, work, 2000 * Second));
        Assert.Equal(1, FirstVisible(vault, "order-1"));
    }

    [Fact]
    public void A_stream_that_loses_its_own_rule_while_the_clock_is_set_back_is_too_old_once_it_is_right()
    {
        var vault = new SmallVault();
        vault.Clock = 1000 * Second;
        vault.Append("order-1", 10);
        vault.Append("order-2", 10);
        vault.Write(
            vault.Retain(RetentionScope.Category, "order", new RetentionRule { MaxAgeSeconds = 10 }), vault.Retain(RetentionScope.Stream, "order-1", new RetentionRule { Forever = true }));
        vault.Flush();
        var work = new RetentionWork(vault.Storage);
        Assert.Equal(1, RunPass(vault, work, 2000 * Second)); // The category's age has gone past both.
        vault.Write(vault.Retain(RetentionScope.Stream, "order-1", rule: null));
        vault.Flush();
        Assert.Equal(0, RunPass(vault, work, 1005 * Second));
        Assert.Equal(1, RunPass(vault, work, 2001 * Second));
    }

    // Each truncation is an event for ever: there must not be one for each append.
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_stream_is_truncated_once_it_is_over_by_a_tenth_and_then_to_the_limit(bool byBytes)
    {
        var vault = new SmallVault();
        vault.Append("order-1", 60);
        var limit = byBytes ? 100L * vault.Model.Events[0].Bytes.Length : 100;
        vault.Write(vault.Retain(RetentionScope.Category, "order", byBytes ? new RetentionRule { MaxBytes = limit } : new RetentionRule { MaxEvents = limit }));
        var work = new RetentionWork(vault.Storage);
        var (truncations, most) = (0, byBytes ? 110 : 109);
        for (var i = 1; i < 400; i++)
        {
            vault.Append("order-1", 60);
            var found = RunPass(vault, work, null);
            truncations += found;
            var visible = vault.Model.Versions["order-1"] + 1 - FirstVisible(vault, "order-1");
            Assert.Equal(i + 1 - (FirstVisible(vault, "order-1")), visible);
            Assert.True(found > 0 ? visible == 100 : visible <= most, $"{visible} events behind {i}");
        }

        Assert.Equal(byBytes ? 300 / 11 : 300 / 10, truncations);
    }

    // Whoever has to take events away in time reckons with the bound; a truncation is an event for ever, so there must not be one
    // for each pass.
    [Theory]
    [InlineData(600, 6, 60, false)]
    [InlineData(600, 6, 60, true)]
    [InlineData(360_000, 600, 3_600, false)] // A tenth would be ten hours.
    [InlineData(360_000, 600, 3_600, true)]
    public void By_age_a_stream_is_truncated_a_tenth_of_it_too_late_at_most_and_never_more_than_an_hour(long age, long every, long slack, bool isOwn)
    {
        var vault = new SmallVault(segmentSizeBytes: 1024 * 1024);
        vault.Clock = 1000 * Second;
        var rule = new RetentionRule { MaxAgeSeconds = age };
        vault.Write(isOwn ? vault.Retain(RetentionScope.Stream, "order-1", rule) : vault.Retain(RetentionScope.Category, "order", rule));
        var work = new RetentionWork(vault.Storage);
        var (truncations, began) = (0, vault.Clock);
        while (vault.Clock < began + (2 * age * Second))
        {
            vault.Clock += every * Second;
            vault.Append("order-1", 10);
            var found = RunPass(vault, work, vault.Clock);
            truncations += found;
            var oldest = vault.Model.Events.First(e => e.Stream == "order-1" && vault.Model.IsVisible(e));
            Assert.True(vault.Clock - oldest.RecordedAt < (found > 0 ? age : age + slack) * Second, $"Behind {found} truncations the oldest event has {vault.Clock - oldest.RecordedAt} ticks.");
        }

        Assert.InRange(truncations, (age / slack) / 2, age / slack);
    }

    [Fact]
    public void What_stands_behind_damage_is_found_and_what_the_damage_hid_too_once_it_is_mended()
    {
        var vault = new SmallVault();
        vault.Write(vault.Retain(RetentionScope.Category, "order", new RetentionRule { MaxBytes = 1 }));
        vault.Flush();
        var work = new RetentionWork(vault.Storage);
        Assert.Equal(0, RunPass(vault, work, null)); // Its streams are listed: from here on events lead to them.
        for (var i = 0; i < 40; i++)
        {
            vault.Write(vault.Event($"order-{i / 4}", Encoding.UTF8.GetBytes($"event-{i:D3}-of-them")));
        }

        vault.Flush();
        var path = $"{SmallVault.Directory}/log/{SegmentHeader.FileName(0)}";
        var offset = vault.Files.ReadFlushed(path).AsSpan().IndexOf("event-006-of-them"u8); // The last event but one of order-1.
        vault.Files.FlipBit(path, offset, 3);
        var due = new List<DueEvents>();
        work.Begin(null);
        for (var steps = 0; work.Step(due); steps++)
        {
            Assert.True(steps < 1000, "It does not get past the damage.");
        }

        Assert.NotNull(work.Damage);
        Assert.Equal(["order-0", "order-2", "order-3", "order-4", "order-5", "order-6", "order-7", "order-8", "order-9"], due.Select(d => Encoding.UTF8.GetString(d.Stream)).Order());
        vault.Files.FlipBit(path, offset, 3);
        Assert.Equal("order-1", Encoding.UTF8.GetString(Assert.Single(Find(work, null)).Stream));
    }

    // Both work on the same log, and name what they do by what it is.
    [Fact]
    public void A_second_leader_finds_the_same_under_the_same_operation_ids()
    {
        var vault = new SmallVault();
        for (var i = 0; i < 10; i++)
        {
            vault.Append($"order-{i % 3}", 10);
        }

        vault.Write(vault.Retain(RetentionScope.Category, "order", new RetentionRule { MaxEvents = 1 }));
        vault.Flush();
        var (one, other) = (Find(new RetentionWork(vault.Storage), 0), Find(new RetentionWork(vault.Storage), 0));
        Assert.Equal(3, one.Select(d => d.OperationId).Distinct().Count());
        Assert.Equal(one.Select(d => (d.OperationId, d.Before, d.Rule)), other.Select(d => (d.OperationId, d.Before, d.Rule)));
    }

    [Fact]
    public void A_large_category_is_listed_over_several_passes_and_other_rules_need_not_wait_for_it()
    {
        var vault = new SmallVault(segmentSizeBytes: 16 * 1024 * 1024);
        const int Streams = 9_000;
        for (var i = 0; i < Streams; i += 100)
        {
            vault.Write([.. Enumerable.Range(i, 100).SelectMany(n => (ModelAppend[])[vault.Event($"order-{n:D5}", 5), vault.Event($"order-{n:D5}", 5)])]);
        }

        vault.Write(vault.Retain(RetentionScope.Category, "order", new RetentionRule { MaxEvents = 1 }), vault.Retain(RetentionScope.Stream, "a", new RetentionRule { MaxEvents = 1 }));
        vault.Flush();
        var work = new RetentionWork(vault.Storage);
        var first = RunOnePass(vault, work, 0);
        Assert.InRange(first, 8_192, Streams - 1);
        Assert.True(work.HasMore);
        vault.Append("a", 5);
        vault.Append("a", 5);
        Assert.Equal(Streams - first + 1, RunOnePass(vault, work, 0));
        Assert.False(work.HasMore);
        Assert.Equal(1, FirstVisible(vault, "a"));
    }

    // What a step does is bounded, however long a stream is.
    [Fact]
    public void A_long_stream_is_summed_up_over_several_steps()
    {
        var vault = new SmallVault(segmentSizeBytes: 16 * 1024 * 1024);
        for (var i = 0; i < 100; i++)
        {
            vault.Write([.. Enumerable.Range(0, 100).Select(_ => vault.Event("a", 5))]);
        }

        vault.Write(vault.Retain(RetentionScope.Stream, "a", new RetentionRule { MaxBytes = 9_000L * vault.Model.Events[0].Bytes.Length }));
        vault.Flush();
        var work = new RetentionWork(vault.Storage);
        var due = new List<DueEvents>();
        work.Begin(0);
        var steps = 1;
        for (; work.Step(due); steps++)
        {
        }

        Assert.InRange(steps, 5, 20);
        Assert.Equal(1_000, Assert.Single(due).Before.Value);
    }

    private static void Change(SmallVault vault, Random random, Dictionary<string, long> first, Dictionary<(RetentionScope, string), RetentionRule> rules)
    {
        var stream = random.Next(12) switch { 0 => "a", 1 => "b", var n => $"{(char)('a' + (n % 3))}-{random.Next(5)}" };
        var last = vault.Model.Versions.GetValueOrDefault(stream, -1);
        var isWhole = last >= vault.Model.Lives.GetValueOrDefault(stream).First;
        switch (random.Next(40))
        {
            case 0 when isWhole && !IsHeld(rules, stream):
                vault.Write(vault.Change(StreamChangeKind.Delete, stream));
                first[stream] = last + 1;
                break;
            case 1 when isWhole && !IsHeld(rules, stream):
                var before = random.NextInt64(last + 2);
                vault.Write(vault.Change(StreamChangeKind.Truncate, stream, before));
                first[stream] = Math.Max(first.GetValueOrDefault(stream), before);
                break;
            case 2 or 3:
                var scope = random.Next(2) == 0 ? RetentionScope.Stream : RetentionScope.Category;
                var name = scope == RetentionScope.Stream ? stream : stream[..1];
                var rule = RandomRule(random);
                vault.Write(vault.Retain(scope, name, rule));
                rules.Remove((scope, name));
                if (rule is not null)
                {
                    rules.Add((scope, name), rule);
                }

                break;
            default:
                vault.Clock += random.NextInt64(Second);
                vault.Write(vault.Event(stream, random.Next(200)));
                break;
        }
    }

    private static RetentionRule? RandomRule(Random random) => random.Next(8) switch
    {
        0 => null,
        1 => new RetentionRule { Forever = true },
        2 => new RetentionRule { MaxEvents = random.Next(1, 6), LegalHold = true },
        var kinds => new RetentionRule
        {
            MaxAgeSeconds = (kinds & 1) != 0 ? random.Next(5, 100) : null,
            MaxEvents = (kinds & 2) != 0 ? random.Next(1, 30) : null,
            MaxBytes = (kinds & 4) != 0 ? random.Next(1, 3_000) : null,
        },
    };

    private static bool IsHeld(Dictionary<(RetentionScope, string), RetentionRule> rules, string stream) =>
        rules.GetValueOrDefault((RetentionScope.Stream, stream)) is { LegalHold: true } || rules.GetValueOrDefault((RetentionScope.Category, stream[..1])) is { LegalHold: true };

    // The promise, as plainly as it can be said.
    private static long FirstKept(SmallVault vault, string stream, long first, Dictionary<(RetentionScope, string), RetentionRule> rules)
    {
        var rule = rules.GetValueOrDefault((RetentionScope.Stream, stream)) ?? rules.GetValueOrDefault((RetentionScope.Category, stream[..1]));
        if (rule is null || IsHeld(rules, stream))
        {
            return first;
        }

        var events = vault.Model.Events.Where(e => e.Stream == stream && e.Version >= first).ToList();
        if (events.Count == 0)
        {
            return first;
        }

        var over = events.Count - (rule.MaxEvents ?? events.Count);
        events.RemoveRange(0, (int)(over >= Math.Max(1, (rule.MaxEvents ?? 0) / 10) ? over : 0));
        var age = rule.MaxAgeSeconds * Second;
        if (events[0].RecordedAt <= vault.Clock - age - Math.Min((age / 10) ?? 0, 3_600 * Second))
        {
            events.RemoveAll(e => e.RecordedAt <= vault.Clock - age);
        }

        if (rule.MaxBytes is { } bytes && Bytes() > bytes + (bytes / 10))
        {
            while (events.Count > 1 && Bytes() > bytes)
            {
                events.RemoveAt(0);
            }
        }

        return vault.Model.Versions[stream] + 1 - events.Count;

        long Bytes() => events.Sum(e => (long)e.Bytes.Length);
    }

    private static long FirstVisible(SmallVault vault, string stream) =>
        vault.Storage.Reader.FirstVisible(vault.Storage.Reader.Reference(Encoding.UTF8.GetBytes(stream))).Value;

    private static List<DueEvents> Find(RetentionWork work, long? now)
    {
        var due = new List<DueEvents>();
        work.Begin(now);
        while (work.Step(due))
        {
        }

        Assert.Null(work.Damage);
        return due;
    }

    private static int RunPass(SmallVault vault, RetentionWork work, long? now)
    {
        var found = 0;
        do
        {
            found += RunOnePass(vault, work, now);
        }
        while (work.HasMore);
        return found;
    }

    private static int RunOnePass(SmallVault vault, RetentionWork work, long? now)
    {
        var (found, more) = (0, true);
        work.Begin(now);
        while (more)
        {
            var due = new List<DueEvents>();
            more = work.Step(due);
            foreach (var d in due)
            {
                vault.Write(ModelAppend.Of(d.OperationId, new ModelChange(StreamChangeKind.Truncate, Encoding.UTF8.GetString(d.Stream), d.Before.Value, DueBy: d.Rule)));
            }

            vault.Flush();
            found += due.Count;
        }

        return found;
    }
}
