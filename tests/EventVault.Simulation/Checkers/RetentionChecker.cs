// Retention: a leader finds due what the rules say of the committed log, neither more nor less, whatever it saw before; and what
// was taken away for a rule was due by the rule that counted there, and not held.
namespace EventVault.Simulation.Checkers;

/// <summary>Checks the leaders' retention work.</summary>
internal sealed class RetentionChecker(Ledger ledger)
{
    private const long Second = TimeSpan.TicksPerSecond;

    /// <summary>Truncations that leaders found due.</summary>
    public int FoundDue { get; private set; }

    /// <summary>A leader looked at all that is committed up to a head, at a time.</summary>
    public void Found(int node, long head, long now, IEnumerable<(string Stream, long Before, long SetAt)> found)
    {
        var expected = Due(head, now);
        var told = found.OrderBy(d => d.Stream, StringComparer.Ordinal).ToList();
        FoundDue += told.Count;
        Require.That(Rules.DueFound, expected.SequenceEqual(told), $"node {node} found due {string.Join(' ', told)}, and {string.Join(' ', expected)} is, at head {head} and time {now}.");
    }

    /// <summary>A change of a stream's life is committed, and not yet in the ledger.</summary>
    public static void CheckChange(Ledger ledger, SentAppend sent, in StreamState state, string where)
    {
        var stream = sent.Change!.Target.Name;
        Require.That(Rules.HoldKept, !ledger.IsHeld(stream, long.MaxValue), $"{where}: {sent} was written although the stream is held.");
        if (sent.DueBy.Count == 0)
        {
            return;
        }

        var rule = ledger.RuleOf(stream, long.MaxValue);
        long now = 0;
        Require.That(Rules.TakenByRule, rule is { } counts && sent.DueBy.TryGetValue(counts.SetAt, out now), $"{where}: {sent} was written for rules {string.Join(' ', sent.DueBy)}, and {rule} counts.");
        var (before, limits) = (sent.Change.Before, rule!.Value.Rule);
        var isOver = state.Last + 1 - before >= limits.MaxEvents
            || ledger.Event(ledger.PositionOf(stream, before - 1)!.Value).RecordedAt + (limits.MaxAgeSeconds * Second) <= now;
        Require.That(Rules.TakenByRule, isOver && before > state.First, $"{where}: {sent} was written for {limits} at time {now}, when the stream was {state}.");
    }

    /// <summary>Whether a leader's truncation was to be done at a head: its rule counts, and there is something to do.</summary>
    public static bool IsDue(Ledger ledger, AppendAttempt attempt, long head)
    {
        var change = attempt.Append.Change!;
        return ledger.RuleOf(change.Target.Name, head)?.SetAt == attempt.DueBy && change.Before > ledger.StateOf(change.Target.Name, head).First;
    }

    private List<(string Stream, long Before, long SetAt)> Due(long head, long now)
    {
        var due = new List<(string Stream, long Before, long SetAt)>();
        foreach (var stream in ledger.Streams.Where(s => s[0] != '$').Order(StringComparer.Ordinal))
        {
            var state = ledger.StateOf(stream, head);
            if (state.HasEvents && !ledger.IsHeld(stream, head) && ledger.RuleOf(stream, head) is { } set && FirstKept(stream, state, set.Rule, now) is var kept && kept > state.First)
            {
                due.Add((stream, kept, set.SetAt));
            }
        }

        return due;
    }

    private long FirstKept(string stream, in StreamState state, SentRule rule, long now)
    {
        var kept = state.First;
        if (rule.MaxEvents is { } most && state.Last + 1 - kept - most >= Math.Max(1, most / 10))
        {
            kept = state.Last + 1 - most;
        }

        var age = rule.MaxAgeSeconds * Second;
        if (RecordedAt(kept) + age + Math.Min((age / 10) ?? 0, 3_600 * Second) <= now)
        {
            while (kept <= state.Last && RecordedAt(kept) + age <= now)
            {
                kept++;
            }
        }

        return kept;

        long RecordedAt(long version) => ledger.Event(ledger.PositionOf(stream, version)!.Value).RecordedAt;
    }
}
