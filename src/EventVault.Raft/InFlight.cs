namespace EventVault.Raft;

/// <summary>Append messages on their way to one follower: the last index and the bytes of each, oldest first. A fixed ring.</summary>
internal sealed class InFlight(int mostMessages, long mostBytes)
{
    private readonly (LogIndex Last, long Bytes)[] _ring = new (LogIndex, long)[mostMessages];
    private int _first;

    public int Count { get; private set; }

    public long Bytes { get; private set; }

    public bool IsFull => Count == _ring.Length || Bytes >= mostBytes;

    public void Add(LogIndex last, long bytes)
    {
        Invariant.Check(!IsFull);
        Invariant.Check(Count == 0 || _ring[(_first + Count - 1) % _ring.Length].Last < last);
        _ring[(_first + Count) % _ring.Length] = (last, bytes);
        Count++;
        Bytes += bytes;
    }

    /// <summary>The follower has all up to here.</summary>
    public void Free(LogIndex upTo)
    {
        while (Count > 0 && _ring[_first].Last <= upTo)
        {
            Bytes -= _ring[_first].Bytes;
            _first = (_first + 1) % _ring.Length;
            Count--;
        }

        Invariant.Check(Bytes >= 0 && (Count > 0 || Bytes == 0));
    }

    public void Clear() => (_first, Count, Bytes) = (0, 0, 0);
}
