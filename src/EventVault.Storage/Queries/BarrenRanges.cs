// Where a look for the newest match has read many events for nothing: they are hidden, or none has all of the keys. The next look
// steps over them. Without, an append with a condition on what was deleted would read past all of it each time.
//
// An entry is true for ever, so there is nothing to invalidate: committed events keep their ordinals, and what a committed change
// has hidden is never shown again. Only looks at what is committed may add or use entries: an uncommitted end can be cut off.
using System.Collections.Concurrent;

namespace EventVault.Storage.Queries;

/// <summary>Ordinals of a segment, both inclusive.</summary>
internal readonly record struct BarrenRange(uint Oldest, uint Newest)
{
    /// <summary>Both as one, if they touch; otherwise the longer one.</summary>
    public BarrenRange Join(BarrenRange other) =>
        Oldest <= (long)other.Newest + 1 && other.Oldest <= (long)Newest + 1
            ? new BarrenRange(Math.Min(Oldest, other.Oldest), Math.Max(Newest, other.Newest))
            : Newest - Oldest >= other.Newest - other.Oldest ? this : other;
}

/// <summary>Stretches of segments that hold nothing for a filter's ways. Safe for concurrent use.</summary>
internal sealed class BarrenRanges
{
    /// <summary>Ordinals looked at for nothing that make an entry: some microseconds of work, more than it takes to find the entry.</summary>
    public const int WorthKnowing = 32;

    /// <summary>Entries, of some 100 B. One more and all are forgotten: those that are asked for come back.</summary>
    private const int Most = 16 * 1024;

    private readonly ConcurrentDictionary<(UInt128 Ways, Position Segment), BarrenRange> _ranges = new();

    /// <summary>How many are known.</summary>
    public int Count => _ranges.Count;

    /// <summary>What is known of a segment.</summary>
    /// <param name="ways">Digest of the filter's ways.</param>
    /// <param name="segment">The segment's first position.</param>
    /// <param name="range">The ordinals without a match.</param>
    public bool TryFind(UInt128 ways, Position segment, out BarrenRange range) => _ranges.TryGetValue((ways, segment), out range);

    /// <summary>Notes that no event of these ordinals matches, or ever will.</summary>
    public void Add(UInt128 ways, Position segment, BarrenRange range)
    {
        if (_ranges.Count >= Most)
        {
            _ranges.Clear();
        }

        _ranges.AddOrUpdate((ways, segment), static (_, added) => added, static (_, known, added) => known.Join(added), range);
    }
}
