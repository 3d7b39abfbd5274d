namespace EventVault.Raft;

/// <summary>Lengths of the entries that are not committed yet, oldest first, and their sum. A ring that grows, never shrinks.</summary>
internal sealed class EntrySizes
{
    private int[] _ring = new int[64];
    private int _first;

    public int Count { get; private set; }

    /// <summary>Bytes of all of them.</summary>
    public long Total { get; private set; }

    public void Add(int bytes)
    {
        Invariant.Check(bytes >= 0);
        if (Count == _ring.Length)
        {
            Grow();
        }

        _ring[(_first + Count) & (_ring.Length - 1)] = bytes;
        Count++;
        Total += bytes;
    }

    /// <summary>The oldest ones are committed.</summary>
    public void DropFirst(ulong count)
    {
        Invariant.Check(count <= (ulong)Count);
        for (var i = (int)count; i > 0; i--)
        {
            Total -= _ring[_first];
            _first = (_first + 1) & (_ring.Length - 1);
            Count--;
        }

        Invariant.Check(Total >= 0 && (Count > 0 || Total == 0));
    }

    /// <summary>The newest ones are truncated.</summary>
    public void DropLast(ulong count)
    {
        Invariant.Check(count <= (ulong)Count);
        for (var i = (int)count; i > 0; i--)
        {
            Count--;
            Total -= _ring[(_first + Count) & (_ring.Length - 1)];
        }

        Invariant.Check(Total >= 0 && (Count > 0 || Total == 0));
    }

    private void Grow()
    {
        var grown = new int[_ring.Length * 2];
        for (var i = 0; i < Count; i++)
        {
            grown[i] = _ring[(_first + i) & (_ring.Length - 1)];
        }

        _ring = grown;
        _first = 0;
    }
}
