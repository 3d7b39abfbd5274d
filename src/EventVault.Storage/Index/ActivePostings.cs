namespace EventVault.Storage.Index;

/// <summary>
/// The ordinals of the events that have a key in an unsealed segment, ascending, as they were when it was asked for.
/// </summary>
/// <param name="keys">The index they stand in.</param>
/// <param name="tail">The only ordinal, or the newest piece.</param>
/// <param name="count">How many there are.</param>
internal readonly struct ActivePostings(ActiveKeys keys, uint tail, int count)
{
    private const int HeaderWords = 2;
    private readonly bool _isSingle = count == 1;

    private ActivePostings(ActiveKeys keys, uint tail, int count, bool isSingle)
        : this(keys, tail, count) => _isSingle = isSingle;

    /// <summary>How many there are.</summary>
    public int Count => count;

    /// <summary>The newest one; there must be one.</summary>
    public uint Last
    {
        get
        {
            if (_isSingle)
            {
                return tail;
            }

            var piece = Newest(out var before);
            return piece[count - before - 1];
        }
    }

    /// <summary>How many are before this ordinal.</summary>
    public int CountBefore(uint ordinal) => Before(ordinal).Count;

    /// <summary>Those before an ordinal.</summary>
    public ActivePostings Before(uint ordinal)
    {
        if (count == 0 || _isSingle)
        {
            return count == 1 && tail < ordinal ? this : default;
        }

        var at = tail;
        var end = count;
        while (true)
        {
            var header = keys.Piece(at, 0);
            var before = (int)header[1];
            var ordinals = keys.Piece(at, end - before)[HeaderWords..];
            if (ordinals[0] < ordinal)
            {
                var found = ordinals.BinarySearch(ordinal);
                return new ActivePostings(keys, at, before + (found < 0 ? ~found : found), isSingle: false);
            }

            if (before == 0)
            {
                return default;
            }

            (at, end) = (header[0], before);
        }
    }

    /// <summary>Copies the ordinals from a place in the list on; the span is filled whole.</summary>
    public void Copy(int first, Span<uint> into)
    {
        Invariant.Check(first >= 0 && into.Length <= count - first);
        if (_isSingle)
        {
            into.Fill(tail); // One, or none.
            return;
        }

        var at = tail;
        for (var (end, wanted) = (count, first + into.Length); wanted > first;)
        {
            var header = keys.Piece(at, 0);
            var before = (int)header[1];
            if (before < wanted)
            {
                var from = Math.Max(before, first);
                keys.Piece(at, end - before)[(HeaderWords + from - before)..(HeaderWords + wanted - before)].CopyTo(into[(from - first)..]);
                wanted = from;
            }

            (at, end) = (header[0], before);
        }
    }

    /// <summary>As a row of the index holds it; in a copy of the index, too.</summary>
    public ulong ToRow() => count switch
    {
        0 => 0,
        1 => Last | (1UL << 32), // Rows know single ones by their number: what is left of a piece must not look like a piece.
        _ => tail | ((ulong)count << 32),
    };

    private ReadOnlySpan<uint> Newest(out int before)
    {
        before = (int)keys.Piece(tail, 0)[1];
        return keys.Piece(tail, count - before)[HeaderWords..];
    }
}
