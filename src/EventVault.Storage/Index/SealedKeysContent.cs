using System.Runtime.InteropServices;

namespace EventVault.Storage.Index;

/// <summary>
/// Collects the keys of a segment's events, 12 bytes each, and sorts them. One thread; used once.
/// </summary>
/// <remarks>
/// Keys are hashes and so evenly spread: they are dealt out by their top byte as they come, so that each share can be
/// sorted by itself, in the processor's cache, and there is never a second copy of all of them. A segment that has just become
/// full has all that in memory: then only its keys are sorted, and their ordinals laid out as they are asked for.
/// </remarks>
internal sealed class SealedKeysContent
{
    private const int Shares = 256;
    private const int FirstPiece = 16; // a share begins small, as most segments in tests have few events
    private const int LargestPiece = 2048; // 24 KiB: stays off the large object heap

    private readonly List<Posting[]>?[] _pieces = new List<Posting[]>?[Shares];
    private readonly int[] _counts = new int[Shares];
    private readonly int[] _free = new int[Shares]; // in the last piece
    private readonly Posting[][] _sorted = new Posting[Shares][];
    private readonly ActiveKeys? _active;
    private Posting[] _laidOut = []; // The share asked for last; of _active.
    private uint[] _ordinals = []; // The list laid out last.
    private readonly (ulong[] Keys, ulong[] Lists)[] _rows = [];
    private bool _isSorted;

    public SealedKeysContent()
    {
    }

    /// <summary>What a segment's index in memory has, all of it committed: nothing is left to add or to sort.</summary>
    public SealedKeysContent(ActiveKeys active)
    {
        Invariant.Check(Shares == ActiveKeys.Tables, "Both deal keys out by their top byte.");
        _active = active;
        _rows = new (ulong[], ulong[])[Shares];
        _isSorted = true;
        for (int share = 0; share < Shares; share++)
        {
            _rows[share] = active.Sorted(share);
            _counts[share] = checked((int)_rows[share].Lists.Sum(list => (long)(list >> 32)));
        }
    }

    /// <summary>Shares to go over with <see cref="Share"/>.</summary>
    public static int ShareCount => Shares;

    /// <summary>Adds the keys of an event; events come in their order.</summary>
    public void Add(uint ordinal, ReadOnlySpan<ulong> keys)
    {
        Invariant.Check(!_isSorted);
        foreach (ulong key in keys)
        {
            int share = (int)(key >> 56);
            if (_free[share] == 0)
            {
                int length = Math.Clamp(_counts[share], FirstPiece, LargestPiece);
                (_pieces[share] ??= []).Add(new Posting[length]);
                _free[share] = length;
            }

            Posting[] piece = _pieces[share]![^1];
            piece[piece.Length - _free[share]--] = new Posting(key, ordinal);
            _counts[share]++;
        }
    }

    /// <summary>Sorts what was added. Nothing can be added afterwards.</summary>
    public void Sort()
    {
        Invariant.Check(!_isSorted);
        _isSorted = true;
        for (int share = 0; share < Shares; share++)
        {
            var all = new Posting[_counts[share]];
            int filled = 0;
            foreach (Posting[] piece in _pieces[share] ?? [])
            {
                int used = Math.Min(piece.Length, all.Length - filled);
                piece.AsSpan(0, used).CopyTo(all.AsSpan(filled));
                filled += used;
            }

            Invariant.Check(filled == all.Length);
            _pieces[share] = null;
            all.AsSpan().Sort();
            _sorted[share] = all;
            _counts[share] = WithoutRepeats(all);
        }
    }

    /// <summary>
    /// One share of the postings, ascending by key and ordinal; each share's keys are above those of the one before. Valid until
    /// the next call.
    /// </summary>
    public ReadOnlySpan<Posting> Share(int share)
    {
        Invariant.Check(_isSorted);
        return _active is null ? _sorted[share].AsSpan(0, _counts[share]) : LayOut(_active, share);
    }

    /// <summary>How many of the first postings have the first one's key.</summary>
    public static int RunLength(ReadOnlySpan<Posting> postings)
    {
        int length = 1;
        while (length < postings.Length && postings[length].Key == postings[0].Key)
        {
            length++;
        }

        return length;
    }

    private ReadOnlySpan<Posting> LayOut(ActiveKeys active, int share)
    {
        if (_laidOut.Length < _counts[share])
        {
            _laidOut = new Posting[Math.Max(_counts[share], 2 * _laidOut.Length)];
        }

        (ulong[] keys, ulong[] lists) = _rows[share];
        int filled = 0;
        for (int i = 0; i < keys.Length; i++)
        {
            ActivePostings list = active.PostingsOf(lists[i]);
            if (_ordinals.Length < list.Count)
            {
                _ordinals = new uint[Math.Max(list.Count, 2 * _ordinals.Length)];
            }

            // In one go: a list is walked from its end.
            Span<uint> ordinals = _ordinals.AsSpan(0, list.Count);
            list.Copy(0, ordinals);
            foreach (uint ordinal in ordinals)
            {
                _laidOut[filled++] = new Posting(keys[i], ordinal);
            }
        }

        Invariant.Check(filled == _counts[share]);
        return _laidOut.AsSpan(0, filled);
    }

    // Two keys of one event can be equal, if only by chance.
    private static int WithoutRepeats(Posting[] postings)
    {
        int kept = 0;
        for (int i = 0; i < postings.Length; i++)
        {
            if (i == 0 || postings[i].CompareTo(postings[i - 1]) != 0)
            {
                postings[kept++] = postings[i];
            }
        }

        return kept;
    }

    /// <summary>An event has a key. 12 bytes: a segment has millions.</summary>
    [StructLayout(LayoutKind.Sequential, Pack = 4)]
    internal readonly record struct Posting(ulong Key, uint Ordinal) : IComparable<Posting>
    {
        public int CompareTo(Posting other)
        {
            int byKey = Key.CompareTo(other.Key);
            return byKey != 0 ? byKey : Ordinal.CompareTo(other.Ordinal);
        }
    }
}
