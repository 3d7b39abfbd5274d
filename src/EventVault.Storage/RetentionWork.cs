// Finds the events that are due by the retention rules: the leader's work, a bounded step at a time. It changes nothing; what it
// finds becomes truncations, which are sequenced as those of clients are, and refused there if they are wrong by then.
//
// Which streams are looked at, in each pass:
//   - those that have a rule of their own, and those that had one and lost it;
//   - of a category with a rule that is new here, all, page by page and over several passes if need be;
//   - then only those that got events since the last pass (maximum number or bytes), or whose events have become too old
//     since (maximum age): both are ranges of positions, read by the category's key. An event is met so once or twice in its life.
//
// All progress is in memory and bounded: some numbers for each rule and some 50 bytes for each stream that is remembered. Whoever
// begins to lead begins at the start.
using System.Buffers.Binary;
using EventVault.Storage.Index;
using EventVault.Storage.Log;
using EventVault.Storage.Queries;

namespace EventVault.Storage;

/// <summary>Events of a stream that are due.</summary>
/// <param name="Stream">Name, UTF-8.</param>
/// <param name="Before">First version that is kept.</param>
/// <param name="Rule">Position of the event that set the rule by which they are due.</param>
/// <param name="OperationId">Follows from stream and version: nobody truncates twice, whoever leads.</param>
public sealed record DueEvents(byte[] Stream, StreamVersion Before, Position Rule, UInt128 OperationId);

/// <summary>Finds events that are due. One thread.</summary>
public sealed class RetentionWork
{
    /// <summary>Streams that a step looks at: some 0.5 ms of work, if what they need is in memory.</summary>
    private const int StepStreams = 64;

    /// <summary>
    /// A stream is truncated by number or bytes once it is over by this part of the limit, down to the limit: each truncation is an event
    /// that is kept, and so there are no more of them than ten for each time that a stream is filled to its limit.
    /// </summary>
    internal const int SlackPart = 10;

    /// <summary>
    /// By age a stream is truncated once its oldest event is over the age by the same part of it, but by no more than this: whoever
    /// has to take events away in time needs a bound to reckon with. So a stream is truncated for its age 24 times a day at most,
    /// or ten times for each time that its age goes by.
    /// </summary>
    internal static readonly TimeSpan MostAgeSlack = TimeSpan.FromHours(1);

    /// <summary>Pages of names or of matching events that a step reads: some 1 ms of work.</summary>
    private const int StepPages = 8;

    /// <summary>Events that a step sums up, for rules by bytes: some 1 ms of work.</summary>
    private const int StepEvents = 2048;

    /// <summary>Streams of a page of a category's listing: it takes a look into each segment, so not too few.</summary>
    private const int ListPage = 256;

    /// <summary>Names that such a page looks at, deleted streams' included.</summary>
    private const int MostListed = 1024;

    /// <summary>Names that a pass lists, of categories that are new: other rules must not wait for long.</summary>
    private const int MostListedInPass = 8192;

    /// <summary>Streams of which is known that this pass looked at them, at some 50 bytes each; with more, some are looked at again.</summary>
    private const int MostLooked = 65_536;

    private readonly VaultStorage _storage;
    private readonly EventReader _reader;
    private readonly RetentionBytes _bytes;
    private readonly Dictionary<Position, CategoryWork> _categories = []; // By the event that set the rule.
    private readonly List<CategoryWork> _order = [];
    private readonly Queue<(byte[] Name, bool IsLost)> _streams = new(); // Lost: nothing else will lead to it.
    private readonly HashSet<UInt128> _looked = [];
    private readonly Dictionary<long, Position> _cuts = []; // By the age in ticks.
    private readonly List<byte[]> _again = []; // To be looked at in the next pass: nothing else will lead to them.
    private RetentionRules _rules = new();
    private Position _head = Position.None;
    private long? _now;
    private int _at;
    private int _events; // That this step may still sum up.
    private int _listed;
    private bool _isOver; // There was too much to look at again: the next pass begins with nothing.

    /// <param name="storage">Whose rules and events.</param>
    public RetentionWork(VaultStorage storage)
    {
        _storage = storage;
        _reader = storage.Reader;
        _bytes = new RetentionBytes(storage.Reader);
    }

    /// <summary>Whether a category is not listed to its end yet: the next pass should follow at once.</summary>
    public bool HasMore => Damage is null && _order.Exists(c => !c.IsListed && CanList(c));

    /// <summary>Whether a rule of those that are set now asks for the time.</summary>
    public bool NeedsClock => _storage.Retention.InOrder().Any(e => e.Rule.MaxAgeSeconds is not null);

    /// <summary>Damage that the last pass met: what it hides is not found due.</summary>
    public Exception? Damage { get; private set; }

    /// <summary>Forgets all progress: another node leads, or may have led meanwhile.</summary>
    public void Reset()
    {
        _categories.Clear();
        _order.Clear();
        _streams.Clear();
        _again.Clear();
        _bytes.Clear();
        _rules = new RetentionRules();
        _isOver = false;
    }

    /// <summary>
    /// What was found was refused, because of a hold, another rule or damage. Each may be gone before anybody looks again, and the pass
    /// has gone on: the next one looks at the stream once more.
    /// </summary>
    public void Refused(DueEvents due) => LookAgain(due.Stream);

    /// <summary>Begins a pass.</summary>
    /// <param name="now">The clock, 100 ns ticks since 1970; null: it can't be trusted now, and no event is found too old.</param>
    public void Begin(long? now)
    {
        if (_isOver)
        {
            Reset();
        }

        _head = _storage.Head;
        var before = _rules;
        _rules = _storage.Retention; // Behind the head: at least what it covers.
        _now = now;
        Damage = null;
        _cuts.Clear();
        _looked.Clear();
        _streams.Clear();
        _at = 0;
        _listed = 0;
        foreach (var name in _again)
        {
            Enqueue(StreamKey.Compute(name, _storage.Meta.SipKey), name, isLost: true);
        }

        _again.Clear();
        if (_rules.LastChange != before.LastChange)
        {
            // A stream that lost its own rule falls back to its category's, which may have gone past it long ago.
            foreach (var lost in before.InOrder().Where(e => e.Scope == RetentionScope.Stream && _rules.Find(e.Scope, e.Name) is null))
            {
                Enqueue(StreamKey.Compute(lost.Name, _storage.Meta.SipKey), lost.Name, isLost: true);
            }

            TakeCategories();
        }

        foreach (var own in _rules.InOrder().Where(e => e.Scope == RetentionScope.Stream && e.Rule.HasLimits))
        {
            Enqueue(StreamKey.Compute(own.Name, _storage.Meta.SipKey), own.Name);
        }

        foreach (var category in _order.Where(c => c.Age is not null && c.CutTo is null && now is not null))
        {
            category.IsListed = false; // Listed while there was no time to go by.
            category.ListedTo = null;
        }
    }

    /// <summary>Goes on with the pass.</summary>
    /// <param name="due">Gets what this step found, at most some 64.</param>
    /// <returns>False: the pass is done.</returns>
    public bool Step(List<DueEvents> due)
    {
        _events = StepEvents;
        for (var (streams, pages) = (0, 0); streams < StepStreams && pages < StepPages;)
        {
            if (_streams.TryPeek(out var stream))
            {
                if (!TryLook(stream.Name, stream.IsLost, due))
                {
                    return true; // The step ends in the middle of the stream.
                }

                _streams.Dequeue();
                streams++;
            }
            else if (_at < _order.Count)
            {
                pages++;
                if (!TryFindStreams(_order[_at]))
                {
                    _at++;
                }
            }
            else
            {
                return false;
            }
        }

        return true;
    }

    private void TakeCategories()
    {
        _order.Clear();
        foreach (var entry in _rules.InOrder().Where(e => e.Scope == RetentionScope.Category && e.Rule is { HasLimits: true, LegalHold: false }))
        {
            if (!_categories.TryGetValue(entry.SetAt, out var category))
            {
                category = new CategoryWork(entry, EventFilter.Create(_storage, entry.Name, default, [], default, null));
            }

            _order.Add(category);
        }

        _categories.Clear();
        _order.ForEach(c => _categories.Add(c.Entry.SetAt, c));
        Invariant.Check(_order.Count <= RetentionRules.MostRules);
    }

    private bool TryLook(byte[] name, bool isLost, List<DueEvents> due)
    {
        try
        {
            if (isLost && _now is null && _rules.Rule(name) is { Rule.MaxAgeSeconds: not null })
            {
                LookAgain(name); // Its category's age may have gone past it long ago, and can't be told now.
            }

            return Look(name, due);
        }
        catch (Exception e) when (e is DamageException or IndexDamageException)
        {
            Damage ??= e;
            LookAgain(name);
            return true;
        }
    }

    private void LookAgain(byte[] name)
    {
        if (_again.Count > 0 && ReferenceEquals(_again[^1], name))
        {
            return; // The step before ended in the middle of the stream.
        }

        if (_again.Count == MostLooked)
        {
            _isOver = true; // Sooner all of it again than a stream forgotten.
            return;
        }

        _again.Add(name);
    }

    private bool TryFindStreams(CategoryWork category)
    {
        try
        {
            return FindStreams(category);
        }
        catch (Exception e) when (e is DamageException or IndexDamageException)
        {
            Damage ??= e;
            category.StepPastDamage();
            return true;
        }
    }

    // False: there was more to read than a step may.
    private bool Look(byte[] name, List<DueEvents> due)
    {
        if (_rules.Rule(name) is not { Rule: { HasLimits: true } rule } entry || _rules.IsHeld(name))
        {
            return true;
        }

        var stream = _reader.Reference(name);
        var last = _reader.LastVersion(stream);
        var first = _reader.FirstVisible(stream);
        if (last < first)
        {
            return true;
        }

        var kept = first;
        if (rule.MaxEvents is { } events && last.Value - events + 1 - kept.Value >= Math.Max(1, events / SlackPart))
        {
            kept = new StreamVersion(last.Value - events + 1);
        }

        if (rule.MaxAgeSeconds is { } age && _now is not null && _reader.PositionOf(stream, kept) < CutOf(Bearable(age)))
        {
            kept = FirstAtOrAfter(stream, kept, last, CutOf(age * TimeSpan.TicksPerSecond));
        }

        if (rule.MaxBytes is { } bytes && kept <= last && !_bytes.TryFindFirstKept(stream, first, kept, last, bytes, ref _events, out kept))
        {
            return false;
        }

        Invariant.Check(kept >= first && kept <= last + 1, "Nothing is due twice, and nothing that is not there.");
        if (kept > first)
        {
            due.Add(new DueEvents(name, kept, entry.SetAt, OperationId(name, kept)));
        }

        return true;
    }

    // Only among versions that can be read: what can't may have been scavenged.
    private StreamVersion FirstAtOrAfter(in StreamReference stream, StreamVersion from, StreamVersion last, Position position)
    {
        if (_reader.PositionOf(stream, from) >= position)
        {
            return from;
        }

        long low = from.Value + 1, high = last.Value + 1;
        while (low < high)
        {
            var middle = low + ((high - low) / 2);
            (low, high) = _reader.PositionOf(stream, new StreamVersion(middle)) >= position ? (low, middle) : (middle + 1, high);
        }

        return new StreamVersion(low);
    }

    // The age at which an event is no longer left alone: from then on a stream loses all that is older than its age.
    private static long Bearable(long ageSeconds)
    {
        var age = ageSeconds * TimeSpan.TicksPerSecond;
        return age + Math.Min(age / SlackPart, MostAgeSlack.Ticks);
    }

    // The first position that is younger than so many ticks. No further than behind the head of this pass: what is newer, the next one sees.
    private Position CutOf(long age)
    {
        if (!_cuts.TryGetValue(age, out var cut))
        {
            try
            {
                cut = _reader.FirstAtOrAfter(_now!.Value - age + 1);
            }
            catch (Exception e) when (e is DamageException or IndexDamageException)
            {
                Damage ??= e;
                cut = new Position(0); // Nothing is too old for this pass; the next one looks at other places, as the log has grown.
            }

            cut = cut > _head ? _head + 1 : cut;
            _cuts.Add(age, cut);
        }

        return cut;
    }

    // False: there is nothing more to find for this pass.
    private bool FindStreams(CategoryWork category)
    {
        if (!category.IsListed)
        {
            return CanList(category) && _listed < MostListedInPass && List(category);
        }

        if (category.CountsEvents && category.SeenTo < _head)
        {
            category.SeenTo = Match(category, category.SeenTo + 1, _head) + -1;
            return true;
        }

        if (category.Age is { } age && _now is not null && category.CutTo is { } from)
        {
            var cut = CutOf(Bearable(age));
            if (from < cut)
            {
                category.CutTo = Match(category, from, cut + -1);
                return true;
            }

            // If the clock was set back, streams may be looked at too early now: they are led to once more when it is right.
            category.CutTo = Damage is null ? cut : from;
        }

        return false;
    }

    // What was begun by the time can't go on without it.
    private bool CanList(CategoryWork category) => category.CutTo is null || _now is not null;

    private bool List(CategoryWork category)
    {
        if (category.ListedTo is null)
        {
            category.ListedTo = [];
            category.SeenTo = _head;
            category.CutTo = category.Age is { } age && _now is not null ? CutOf(Bearable(age)) : null;
        }

        var page = _storage.Streams.ListCategory(category.Entry.Name, category.ListedTo, ListPage, MostListed, out var lookedUntil);
        foreach (var details in page)
        {
            Enqueue(StreamKey.Compute(details.Name, _storage.Meta.SipKey), details.Name);
        }

        _listed += lookedUntil is null ? page.Count : MostListed;
        category.IsListed = page.Count < ListPage && lookedUntil is null;
        category.ListedTo = lookedUntil ?? (page.Count > 0 ? page[^1].Name : category.ListedTo);
        return true;
    }

    private Position Match(CategoryWork category, Position from, Position until)
    {
        if (category.Reach == 0)
        {
            category.Reach = 1;
            return from + 1; // Damaged: whoever it leads to, others may, too.
        }

        var sink = new NameSink(this);
        until = until.Value - from.Value < category.Reach ? until : from + (category.Reach - 1);
        _reader.ReadMatching(category.Filter, from, until, backwards: false, ref sink, out var next);
        Invariant.Check(next > from && next <= until + 1, "Each page moves on.");
        category.Reach = Math.Min(2 * category.Reach, CategoryWork.MostReach);
        return next;
    }

    private void Enqueue(UInt128 key, ReadOnlySpan<byte> name, bool isLost = false)
    {
        if (_looked.Count == MostLooked)
        {
            _looked.Clear();
        }

        if (_looked.Add(key))
        {
            _streams.Enqueue((name.ToArray(), isLost));
        }
    }

    private UInt128 OperationId(byte[] stream, StreamVersion before)
    {
        Span<byte> bytes = stackalloc byte[sizeof(long)];
        BinaryPrimitives.WriteInt64LittleEndian(bytes, before.Value);
        var hash = new SipHash128(_storage.Meta.SipKey);
        hash.Append("retention"u8);
        hash.Append(bytes);
        hash.Append(stream);
        return hash.Finish();
    }

    private sealed class CategoryWork(RetentionEntry entry, EventFilter filter)
    {
        /// <summary>Positions that a page goes over: as good as all.</summary>
        public const long MostReach = long.MaxValue / 4;

        /// <summary>Damage is searched from here on, by halves.</summary>
        private const long FirstReach = 1024;

        public RetentionEntry Entry => entry;

        /// <summary>Positions that the next page goes over at most; 0: its first one is damaged.</summary>
        public long Reach { get; set; } = MostReach;

        public EventFilter Filter => filter;

        public long? Age => entry.Rule.MaxAgeSeconds;

        public bool CountsEvents => entry.Rule.MaxEvents is not null || entry.Rule.MaxBytes is not null;

        /// <summary>Whether all streams were looked at that were there when this began.</summary>
        public bool IsListed { get; set; }

        /// <summary>Names up to this one are; null: it did not begin.</summary>
        public byte[]? ListedTo { get; set; }

        /// <summary>Streams that got events up to here were looked at since; from when the listing began.</summary>
        public Position SeenTo { get; set; }

        /// <summary>Streams with events before this position were looked at since; null: there was no time to go by.</summary>
        public Position? CutTo { get; set; }

        /// <summary>Finds a way around damage: a list by events if not by names, and events page by page, each half as long as before.</summary>
        public void StepPastDamage()
        {
            if (IsListed)
            {
                Reach = Math.Min(Reach / 2, FirstReach);
                return;
            }

            (IsListed, SeenTo) = (true, Position.None);
            CutTo = Age is null ? null : new Position(0);
        }
    }

    private readonly struct NameSink(RetentionWork work) : IEventSink
    {
        public bool Accept(in EventView e)
        {
            work.Enqueue(StreamKey.Compute(e.Stream, work._storage.Meta.SipKey), e.Stream);
            return true;
        }
    }
}
