// The retention rules of streams and categories as of some point of the log: what its events of `$streams` up to there
// leave. Pure: events go in, in the order of the log, and answers come out, so whoever needs the rules as of a position
// reads `$streams` up to it.
//
// A stream's own rule replaces its category's as a whole, but for the legal hold, which holds if either says so.
using EventVault.Storage.Index;

namespace EventVault.Storage.Log;

/// <summary>
/// Retention rules as of a point of the log. One thread changes it; once it is published nobody does, and it is for every thread.
/// </summary>
public sealed class RetentionRules
{
    /// <summary>
    /// Most rules, streams' and categories' together: they are kept in memory, and the leader looks at each of them at least
    /// once a minute. Whoever needs more wants rules for categories.
    /// </summary>
    public const int MostRules = 10_000;

    private readonly Dictionary<byte[], RetentionEntry> _streams;
    private readonly Dictionary<byte[], RetentionEntry> _categories;
    private readonly Dictionary<byte[], RetentionEntry>.AlternateLookup<ReadOnlySpan<byte>> _byStream;
    private readonly Dictionary<byte[], RetentionEntry>.AlternateLookup<ReadOnlySpan<byte>> _byCategory;

    /// <summary>No rules.</summary>
    public RetentionRules()
        : this(new(Utf8Comparer.Ordinal), new(Utf8Comparer.Ordinal), Position.None)
    {
    }

    private RetentionRules(Dictionary<byte[], RetentionEntry> streams, Dictionary<byte[], RetentionEntry> categories, Position asOf)
    {
        _streams = streams;
        _categories = categories;
        _byStream = streams.GetAlternateLookup<ReadOnlySpan<byte>>();
        _byCategory = categories.GetAlternateLookup<ReadOnlySpan<byte>>();
        LastChange = asOf;
    }

    /// <summary>How many rules there are.</summary>
    public int Count => _streams.Count + _categories.Count;

    /// <summary>Position of the last event that was taken and is about retention; <see cref="Position.None"/> if there was none.</summary>
    public Position LastChange { get; private set; }

    /// <summary>Whether nothing may be taken away from a stream: it or its category is under a legal hold.</summary>
    public bool IsHeld(ReadOnlySpan<byte> stream) =>
        Count > 0 && (Find(RetentionScope.Stream, stream) is { Rule.LegalHold: true } || OfCategory(stream) is { Rule.LegalHold: true });

    /// <summary>
    /// The rule whose limits count for a stream, its own or else its category's; null if there is neither. Whether the stream
    /// is held is another question (<see cref="IsHeld"/>).
    /// </summary>
    public RetentionEntry? Rule(ReadOnlySpan<byte> stream) =>
        Count == 0 || IsSystem(stream) ? null : Find(RetentionScope.Stream, stream) ?? OfCategory(stream);

    /// <summary>The rule that was set for a stream or for a category; null if there is none.</summary>
    public RetentionEntry? Find(RetentionScope scope, ReadOnlySpan<byte> name) =>
        (scope == RetentionScope.Stream ? _byStream : _byCategory).TryGetValue(name, out var entry) ? entry : null;

    /// <summary>The rule that was set for a stream's category; null if there is none.</summary>
    public RetentionEntry? OfCategory(ReadOnlySpan<byte> stream) => Find(RetentionScope.Category, EventKeys.CategoryOf(stream));

    /// <summary>All rules: categories first, then streams, each in the order of their names' bytes.</summary>
    public IEnumerable<RetentionEntry> InOrder() =>
        _categories.Values.OrderBy(e => e.Name, Utf8Comparer.Ordinal).Concat(_streams.Values.OrderBy(e => e.Name, Utf8Comparer.Ordinal));

    /// <summary>Rules that were written down.</summary>
    internal static RetentionRules Of(IEnumerable<RetentionEntry> entries, Position lastChange)
    {
        var rules = new RetentionRules { LastChange = lastChange };
        foreach (var entry in entries)
        {
            Invariant.Check(entry.SetAt <= lastChange && entry.Rule.IsValid);
            (entry.Scope == RetentionScope.Stream ? rules._streams : rules._categories).Add(entry.Name, entry);
        }

        return rules;
    }

    /// <summary>The same rules, to be changed apart from these.</summary>
    internal RetentionRules Copy() =>
        new(new(_streams, Utf8Comparer.Ordinal), new(_categories, Utf8Comparer.Ordinal), LastChange);

    /// <summary>Takes the next event of <c>$streams</c>; false if it is not about retention.</summary>
    /// <exception cref="UnsupportedFormatException">A later version wrote it.</exception>
    internal bool Add(in EventView e)
    {
        if (!RetentionEvent.TryRead(e, out var change))
        {
            return false;
        }

        Apply(change!);
        return true;
    }

    /// <summary>Takes the next change.</summary>
    internal void Apply(RetentionChange change)
    {
        Invariant.Check(change.At > LastChange, "Changes come in the order of the log.");
        Invariant.Check(RetentionEvent.IsName(change.Scope, change.Name));
        LastChange = change.At;
        var rules = change.Scope == RetentionScope.Stream ? _streams : _categories;
        if (change.Rule is null)
        {
            rules.Remove(change.Name);
            return;
        }

        rules[change.Name] = new RetentionEntry(change.Scope, change.Name, change.Rule, change.At);
        Invariant.Check(Count <= MostRules, "The sequencer refuses rules beyond the limit.");
    }

    private static bool IsSystem(ReadOnlySpan<byte> stream) => !stream.IsEmpty && stream[0] == (byte)'$';
}
