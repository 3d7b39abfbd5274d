using System.Text;
using EventVault.Storage.Log;
using EventVault.Storage.Tests.Log;

namespace EventVault.Storage.Tests.Models;

/// <summary>
/// The leader's retention work: what it finds must be what a plain list says, every time, whatever it has seen and missed before. What
/// it finds becomes truncations, as the node's loop makes them.
/// </summary>
internal sealed class RetentionChecks(ModelVault vault, AppendChecks appends, Action<Step[]> run)
{
    private const long Second = TimeSpan.TicksPerSecond;

    private VaultStorage? _storage;
    private RetentionWork? _work;
    private ulong _term;

    private VaultModel Model => vault.Committed;

    public void Pass(PassStep step)
    {
        MoveClock(step);
        long? now = step.Time switch { PassTime.Unknown => null, PassTime.SetBack => vault.Clock - (step.Which * Second / 10), _ => vault.Clock };
        Pass(step, now);
        if (step.IsTwice)
        {
            Pass(step with { HoldsFirst = false, Between = [] }, now);
        }
    }

    private void Pass(PassStep step, long? now)
    {
        vault.Count("passes");
        var isAlone = step.Between.Length == 0 && !step.HoldsFirst;
        if (isAlone)
        {
            CommitAll();
        }

        var work = Work();
        var most = step.Most;
        do
        {
            var expected = Due(now);
            var found = new List<DueEvents>();
            work.Begin(now);
            for (var more = true; more;)
            {
                var due = new List<DueEvents>();
                more = work.Step(due);
                found.AddRange(due);
                if (isAlone)
                {
                    Assert.Equal(0, Truncate(work, due, ref most));
                }
            }

            Assert.Null(work.Damage);
            var told = found.Select(d => (Stream: Encoding.UTF8.GetString(d.Stream), d.Before.Value, d.Rule.Value)).OrderBy(d => d.Stream, StringComparer.Ordinal);
            Assert.True(expected.SequenceEqual(told), $"Found due {string.Join(' ', told)} instead of {string.Join(' ', expected)}, at {now}, head {Model.Count - 1}.");
            expected.ForEach(d => vault.Count(vault.IsScavenged ? "due, segments scavenged" : "due"));
            if (!isAlone)
            {
                run(step.Between);
                HoldFirst(step, found, new RetentionRule { LegalHold = true });
                Truncate(work, found, ref most);
                HoldFirst(step, found, rule: null);
            }
        }
        while (most > 0 && work.HasMore);

        if (most <= 0)
        {
            work.Reset();
            vault.Count("passes cut short");
        }
        else if (isAlone)
        {
            Assert.Empty(Due(now));
        }
    }

    private void HoldFirst(PassStep step, List<DueEvents> found, RetentionRule? rule)
    {
        if (step.HoldsFirst && found.Count > 0)
        {
            appends.Retain(new RetainStep(RetentionScope.Stream, Encoding.UTF8.GetString(found[0].Stream), rule, []));
        }
    }

    // As the node's loop does: it goes on when all are decided, so what they rest on is committed, and they are.
    // Returns how many were refused.
    private int Truncate(RetentionWork work, List<DueEvents> due, ref int most)
    {
        var refused = 0;
        foreach (var d in due)
        {
            if (most-- > 0 && appends.TruncateDue(d))
            {
                refused++;
                work.Refused(d);
            }
        }

        if (due.Count > 0)
        {
            CommitAll();
        }

        return refused;
    }

    private void CommitAll()
    {
        vault.Flush();
        vault.Commit(int.MaxValue);
    }

    // Whoever leads anew begins at the start.
    private RetentionWork Work()
    {
        var storage = vault.Storage;
        if (!ReferenceEquals(storage, _storage))
        {
            (_storage, _work) = (storage, new RetentionWork(storage));
        }
        else if (_term != storage.Vote.Term.Value)
        {
            _work!.Reset();
        }

        _term = storage.Vote.Term.Value;
        return _work!;
    }

    private void MoveClock(PassStep step)
    {
        if (step.Time is not (PassTime.AtTheAge or PassTime.JustBefore))
        {
            return;
        }

        var times = Model.Events.Where(e => Model.IsVisible(e)).Select(e => e.RecordedAt + Bearable(Model.RuleOf(e.Stream)?.Rule.MaxAgeSeconds))
            .Where(t => t > vault.Clock).Order().Select(t => t!.Value).ToList();
        if (times.Count > 0)
        {
            vault.Clock = times[step.Which * times.Count / 1000] - (step.Time == PassTime.JustBefore ? 1 : 0);
            vault.Count("to the age");
        }
    }

    // The promise, as plainly as it can be said: by stream, the first version that is kept, and whose rule says so.
    private List<(string Stream, long Before, long SetAt)> Due(long? now)
    {
        var due = new List<(string Stream, long Before, long SetAt)>();
        foreach (var (stream, last) in Model.Versions.Where(v => v.Key[0] != '$').OrderBy(v => v.Key, StringComparer.Ordinal))
        {
            var events = Model.Events.Where(e => e.Stream == stream && Model.IsVisible(e)).ToList();
            if (events.Count > 0 && !Model.IsHeld(stream) && Model.RuleOf(stream) is { } set && KeptOf(events, set.Rule, now) is var kept && kept < events.Count)
            {
                due.Add((stream, last + 1 - kept, set.SetAt));
            }
        }

        return due;
    }

    private static int KeptOf(List<ModelEvent> events, RetentionRule rule, long? now)
    {
        if (rule.MaxEvents is { } most && events.Count > most && events.Count - most >= most / 10)
        {
            events = events[^(int)most..];
        }

        if (rule.MaxAgeSeconds is { } age && events[0].RecordedAt + Bearable(age) <= now)
        {
            events = events.FindAll(e => e.RecordedAt + (age * Second) > now);
        }

        if (rule.MaxBytes is { } bytes && Bytes(events) > bytes + (bytes / 10))
        {
            while (events.Count > 1 && Bytes(events) > bytes)
            {
                events = events[1..];
            }
        }

        return events.Count;
    }

    private static long? Bearable(long? age) => (age * Second) + Math.Min(age * Second / 10 ?? 0, 3_600 * Second);

    private static long Bytes(List<ModelEvent> events) => events.Sum(e => (long)e.Bytes.Length);
}
