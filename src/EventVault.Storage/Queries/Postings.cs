using System.Runtime.CompilerServices;
using EventVault.Storage.Index;

namespace EventVault.Storage.Queries;

/// <summary>The ordinals of the events of one segment that have a key, whatever the segment's kind.</summary>
internal readonly struct Postings(ActivePostings active)
{
    private readonly ActivePostings _active = active;

    /// <summary>How many there are.</summary>
    public int Count => _active.Count;

    /// <summary>The newest one.</summary>
    public uint Last => _active.Last;

    /// <summary>How many are before this ordinal.</summary>
    public int CountBefore(uint ordinal) => _active.CountBefore(ordinal);

    /// <summary>The first ones from an ordinal on, in the given direction.</summary>
    /// <returns>How many; less than the span holds: that is all.</returns>
    public int CopyFrom(uint ordinal, bool backwards, Span<uint> into)
    {
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
