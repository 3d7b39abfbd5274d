// Streams in the order of their names. Each segment lists, sorted by name, the streams whose first event stands in it;
// a page merges those lists, so listing needs no memory per stream and no index that grows with the vault.
using EventVault.Storage.Index;
using EventVault.Storage.Log;

namespace EventVault.Storage;

/// <summary>A stream and its last committed event.</summary>
/// <param name="Name">UTF-8.</param>
/// <param name="FirstVersion">First version that can be read; at most the last one.</param>
/// <param name="LastVersion">Version of the last event.</param>
/// <param name="LastPosition">Its position.</param>
/// <param name="LastRecordedAt">When it was recorded, 100 ns ticks since 1970.</param>
public sealed record StreamDetails(byte[] Name, StreamVersion FirstVersion, StreamVersion LastVersion, Position LastPosition, long LastRecordedAt);

/// <summary>Lists streams. Safe for concurrent use.</summary>
public sealed class StreamLister
{
    private readonly VaultStorage _storage;
    private readonly Lock _sorting = new();

    internal StreamLister(VaultStorage storage) => _storage = storage;

    /// <summary>A stream's last committed event; null if it has none that can be read.</summary>
    public StreamDetails? Find(ReadOnlySpan<byte> name)
    {
        var stream = _storage.Reader.Reference(name);
        var last = _storage.Reader.LastVersion(stream);
        var first = _storage.Reader.FirstVisible(stream);
        if (last < first)
        {
            return null;
        }

        var position = _storage.Reader.PositionOf(stream, last);
        return new StreamDetails(stream.Name, first, last, position, _storage.Reader.RecordedAt(position));
    }

    /// <summary>A page of the streams of a category, in the order of their names.</summary>
    /// <param name="category">UTF-8, without a <c>-</c>, not empty.</param>
    /// <param name="after">Only names behind this one; empty: from the start.</param>
    /// <param name="most">At most this many.</param>
    /// <param name="mostLooks">As in <see cref="List(ReadOnlySpan{byte}, ReadOnlySpan{byte}, int, int, out byte[])"/>.</param>
    /// <param name="lookedUntil">Likewise.</param>
    public IReadOnlyList<StreamDetails> ListCategory(
        ReadOnlySpan<byte> category, ReadOnlySpan<byte> after, int most, int mostLooks, out byte[]? lookedUntil)
    {
        return ListCategory(category, after, most, mostLooks, name => Find(name), out lookedUntil);
    }

    /// <summary>
    /// A page of the names of the streams of a category as of a position: those whose first event stands at or before it, in the order of their
    /// names, also those that were deleted, truncated or tombstoned, before or since. A stream whose first event was truncated, or
    /// deleted and scavenged, is named at every position: where it stood is known only as long as no scavenge removed it.
    /// </summary>
    /// <param name="category">UTF-8, without a <c>-</c>, not empty.</param>
    /// <param name="cut">The position.</param>
    /// <param name="after">Only names behind this one; empty: from the start.</param>
    /// <param name="most">At most this many.</param>
    /// <param name="mostLooks">As in <see cref="List(ReadOnlySpan{byte}, ReadOnlySpan{byte}, int, int, out byte[])"/>.</param>
    /// <param name="lookedUntil">Likewise.</param>
    public IReadOnlyList<byte[]> ListCategoryAsOf(
        ReadOnlySpan<byte> category, Position cut, ReadOnlySpan<byte> after, int most, int mostLooks, out byte[]? lookedUntil) =>
        ListCategory(category, after, most, mostLooks, name => ExistsAt(name, cut), out lookedUntil);

    /// <summary>The same of the streams whose names begin with a prefix, as in <see cref="List(ReadOnlySpan{byte}, ReadOnlySpan{byte}, int)"/>.</summary>
    public IReadOnlyList<byte[]> ListAsOf(
        ReadOnlySpan<byte> prefix, Position cut, ReadOnlySpan<byte> after, int most, int mostLooks, out byte[]? lookedUntil) =>
        List(prefix, after, most, mostLooks, name => ExistsAt(name, cut), out lookedUntil);

    private byte[]? ExistsAt(byte[] name, Position cut)
    {
        var reader = _storage.Reader;
        var stream = reader.Reference(name);
        var first = new StreamVersion(0);
        return reader.LastVersion(stream) >= first && reader.PositionOf(stream, first) is var position
            && (position <= cut || reader.LifeAt(stream, position) is { IsScavenged: true } or { FirstKept.Value: > 0 }) ? name : null;
    }

    // The stream that is called like the category stands before all others of it, though not right before them.
    private List<T> ListCategory<T>(
        ReadOnlySpan<byte> category, ReadOnlySpan<byte> after, int most, int mostLooks, Func<byte[], T?> look, out byte[]? lookedUntil)
        where T : class
    {
        var page = new List<T>();
        if (after.SequenceCompareTo(category) < 0 && most > 0 && look(category.ToArray()) is { } itself)
        {
            page.Add(itself);
        }

        Span<byte> prefix = stackalloc byte[VaultLimits.StreamNameBytes + 1];
        category.CopyTo(prefix);
        prefix[category.Length] = (byte)'-';
        page.AddRange(List(prefix[..(category.Length + 1)], after, most - page.Count, mostLooks, look, out lookedUntil));
        return page;
    }

    /// <summary>A page of the streams whose names begin with a prefix.</summary>
    /// <param name="prefix">UTF-8, may be empty. System streams (<c>$…</c>) are listed only by a prefix with <c>$</c>.</param>
    /// <param name="after">Only names behind this one; empty: from the start.</param>
    /// <param name="most">At most this many.</param>
    public IReadOnlyList<StreamDetails> List(ReadOnlySpan<byte> prefix, ReadOnlySpan<byte> after, int most) =>
        List(prefix, after, most, int.MaxValue, out _);

    /// <summary>
    /// The same as a bounded piece of work: deleted streams stand in the indexes, too, and a page may find nothing else.
    /// </summary>
    /// <param name="prefix">UTF-8, may be empty. System streams (<c>$…</c>) are listed only by a prefix with <c>$</c>.</param>
    /// <param name="after">Only names behind this one; empty: from the start.</param>
    /// <param name="most">At most this many.</param>
    /// <param name="mostLooks">At most so many names are looked at.</param>
    /// <param name="lookedUntil">The last name that was looked at, if the page ends there for that reason; else null.</param>
    public IReadOnlyList<StreamDetails> List(ReadOnlySpan<byte> prefix, ReadOnlySpan<byte> after, int most, int mostLooks, out byte[]? lookedUntil) =>
        List(prefix, after, most, mostLooks, name => Find(name), out lookedUntil);

    // The streams of which `look` makes something.
    private List<T> List<T>(
        ReadOnlySpan<byte> prefix, ReadOnlySpan<byte> after, int most, int mostLooks, Func<byte[], T?> look, out byte[]? lookedUntil)
        where T : class
    {
        var withSystem = !prefix.IsEmpty && prefix[0] == (byte)'$';
        var lists = new PriorityQueue<NameList, byte[]>(Comparer<byte[]>.Create(static (a, b) => a.AsSpan().SequenceCompareTo(b)));
        foreach (var list in Lists())
        {
            list.SkipTo(prefix, after);
            if (list.Current is { } name)
            {
                lists.Enqueue(list, name);
            }
        }

        lookedUntil = null;
        var looks = 0;
        var page = new List<T>();
        while (page.Count < most && lists.TryDequeue(out var list, out var name) && name.AsSpan().StartsWith(prefix))
        {
            if (++looks == mostLooks)
            {
                lookedUntil = name;
            }

            if ((withSystem || name[0] != (byte)'$') && look(name) is { } found)
            {
                page.Add(found);
            }

            list.Step();
            if (looks == mostLooks)
            {
                break;
            }

            if (list.Current is { } next)
            {
                lists.Enqueue(list, next);
            }
        }

        return page;
    }

    // New streams of each segment there is.
    private List<NameList> Lists()
    {
        var head = _storage.Head;
        using var lease = _storage.LeaseView();
        var lists = new List<NameList>();
        foreach (var segment in lease.View.Sealed)
        {
            lists.Add(NameList.Of(segment, _storage.Meta));
        }

        foreach (var segment in lease.View.Unsealed)
        {
            lists.Add(NameList.Of(NamesOf(segment, segment.Index(lease), head)));
        }

        return lists;
    }

    // New streams of an unsealed segment, sorted: kept with its index until that has more streams. With the index and not by
    // the segment's number: after a truncation the segment may have as many streams as before, and others.
    private byte[][] NamesOf(UnsealedSegment segment, ActiveIndex index, Position head)
    {
        lock (_sorting)
        {
            var streams = index.StreamCount;
            if (index.NamesInOrder is { } kept && kept.Streams == streams)
            {
                return kept.Names;
            }

            var committed = EventReader.CommittedIn(index, head);
            if (committed == 0)
            {
                return []; // And if it was truncated since the view was taken, it is closed.
            }

            using var lease = new SegmentSource(segment).Lease();
            var names = new List<byte[]>();
            var all = true;
            Span<uint> ordinal = stackalloc uint[1];
            for (var i = 0; i < streams; i++)
            {
                if (index.VersionBefore(i) != StreamVersion.None)
                {
                    continue;
                }

                var (_, count) = index.Run(i, committed, out var newest);
                if (count == 0)
                {
                    all = false; // Still pending: look again the next time.
                    continue;
                }

                index.CopyOrdinals(newest, 0, ordinal);
                names.Add(lease.Reader.Read(index.OffsetOf((int)ordinal[0]), index.FirstPosition + ordinal[0]).Stream.ToArray());
            }

            names.Sort(static (a, b) => a.AsSpan().SequenceCompareTo(b));
            var result = names.ToArray();
            if (all)
            {
                index.NamesInOrder = (streams, result);
            }

            return result;
        }
    }

    // A cursor over the sorted names of one segment's new streams.
    private sealed class NameList
    {
        private readonly SealedSegment? _segment;
        private readonly VaultMeta? _meta;
        private readonly byte[][] _names = [];
        private int _at;

        private NameList(SealedSegment segment, VaultMeta meta) => (_segment, _meta) = (segment, meta);

        private NameList(byte[][] names) => _names = names;

        public byte[]? Current { get; private set; }

        private int Count => _segment?.Index.NewStreamCount ?? _names.Length;

        public static NameList Of(SealedSegment segment, VaultMeta meta) => new(segment, meta);

        public static NameList Of(byte[][] names) => new(names);

        // To the first name that is not before the prefix and lies behind `after`.
        public void SkipTo(ReadOnlySpan<byte> prefix, ReadOnlySpan<byte> after)
        {
            int low = 0, high = Count;
            while (low < high)
            {
                var middle = (low + high) / 2;
                var name = NameAt(middle).AsSpan();
                var before = name.SequenceCompareTo(prefix) < 0 || (!after.IsEmpty && name.SequenceCompareTo(after) <= 0);
                (low, high) = before ? (middle + 1, high) : (low, middle);
            }

            _at = low;
            Current = _at < Count ? NameAt(_at) : null;
        }

        public void Step()
        {
            _at++;
            Current = _at < Count ? NameAt(_at) : null;
        }

        private byte[] NameAt(int i)
        {
            if (_segment is null)
            {
                return _names[i];
            }

            var entry = _segment.Index.NewStreamEntry(i);
            var run = _segment.Index.Run(entry);
            var source = new SegmentSource(_segment);
            using var lease = source.Lease();
            if (source.Scavenged(lease.Reader, _meta!) is { } scavenged)
            {
                return scavenged.Name(entry, run.Key).ToArray();
            }

            var ordinal = _segment.Index.OrdinalOf(run, 0);
            return lease.Reader.Read(_segment.Index.OffsetOf(ordinal), _segment.FirstPosition + ordinal).Stream.ToArray();
        }
    }
}
