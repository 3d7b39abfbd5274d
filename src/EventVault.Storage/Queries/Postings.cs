using System.Runtime.CompilerServices;
using EventVault.Storage.Index;

namespace EventVault.Storage.Queries;

/// <summary>The ordinals of the events of one segment that have a key, whatever the segment's kind.</summary>
internal readonly struct Postings
{
    private readonly bool _isSealed;
    private readonly ActivePostings _active;
    private readonly KeyPostings _sealed;

    public Postings(ActivePostings active) => _active = active;

    public Postings(KeyPostings @sealed) => (_isSealed, _sealed) = (true, @sealed);

    /// <summary>How many there are.</summary>
    public int Count => _isSealed ? _sealed.Count : _active.Count;

    /// <summary>The newest one; there must be one.</summary>
    public uint Last => _isSealed ? _sealed.LastOrdinal : _active.Last;

    /// <summary>How many are before this ordinal.</summary>
    public int CountBefore(uint ordinal) => _isSealed ? _sealed.CountBelow(ordinal) : _active.CountBefore(ordinal);

    /// <summary>The first ones from an ordinal on, in the given direction.</summary>
    /// <returns>How many; less than the span holds: that is all.</returns>
    public int CopyFrom(uint ordinal, bool backwards, Span<uint> into)
    {
        if (_isSealed)
        {
            return backwards ? _sealed.Descending(ordinal, into) : _sealed.Ascending(ordinal, into);
        }

        var first = _active.CountBefore(backwards ? ordinal + 1 : ordinal);
        var count = Math.Min(into.Length, backwards ? first : _active.Count - first);
        _active.Copy(backwards ? first - count : first, into[..count]);
        if (backwards)
        {
            into[..count].Reverse();
        }

        return count;
    }
}

/// <summary>The postings of all keys of a way.</summary>
[InlineArray(EventFilter.MostTags + 3)]
internal struct PostingsOfWay
{
    private Postings _first;
}
