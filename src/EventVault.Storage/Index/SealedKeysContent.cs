using System.Buffers;
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
internal sealed class SealedKeysContent : IDisposable
{
    private const int Shares = 256;
    private const int FirstPiece = 16; // a share begins small, as most segments in tests have few events
    private const int LargestPiece = 2048; // 24 KiB: stays off the large object heap

    private readonly List<Posting[]>?[] _pieces = new List<Posting[]>?[Shares];
    private readonly int[] _counts = new int[Shares];
    private readonly int[] _free = new int[Shares]; // in the last piece
    private readonly Posting[][] _sorted = new Posting[Shares][];
    private readonly ActiveKeys? _active;
    private readonly ulong[] _keys = []; // Of _active, share after share, with their lists; rented, as the next two are.
    private readonly ulong[] _lists = [];
    private Posting[] _laidOut = []; // The share asked for last; of _active.
    private uint[] _ordinals = []; // The list laid out last.
    private readonly int[] _ends = new int[Shares]; // Of the shares' keys.
    private bool _isSorted;

    public SealedKeysContent()
    {
    }

    /// <summary>What a segment's index in memory has, all of it committed: nothing is left to add or to sort.</summary>
    public SealedKeysContent(ActiveKeys active)
    {
        Invariant.Check(Shares == ActiveKeys.Tables, "Both deal keys out by their top byte.");
        _active = active;
        _isSorted = true;
        int most = 0;
        for (int share = 0; share < Shares; share++)
        {
            most += active.MostSorted(share);
        }

        _keys = ArrayPool<ulong>.Shared.Rent(most);
        _lists = ArrayPool<ulong>.Shared.Rent(most);
        int end = 0;
        for (int share = 0; share < Shares; share++)
        {
            int count = active.Sort(share, _keys.AsSpan(end), _lists.AsSpan(end));
            long postings = 0;
            foreach (ulong list in _lists.AsSpan(end, count))
            {
                postings += (long)(list >> 32);
            }

            _counts[share] = checked((int)postings);
            _ends[share] = end += count;
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

    /// <summary>Gives back what it rented; nothing that it handed out may be used any more.</summary>
    public void Dispose()
    {
        if (_active is not null)
        {
            ArrayPool<ulong>.Shared.Return(_keys);
            ArrayPool<ulong>.Shared.Return(_lists);
            ArrayPool<Posting>.Shared.Return(_laidOut);
            ArrayPool<uint>.Shared.Return(_ordinals);
        }
    }

    private static void Enlarge<T>(ref T[] rented, int length)
    {
        if (rented.Length < length)
        {
            T[] larger = ArrayPool<T>.Shared.Rent(length);
            ArrayPool<T>.Shared.Return(rented);
            rented = larger;
        }
    }

    private ReadOnlySpan<Posting> LayOut(ActiveKeys active, int share)
    {
        Enlarge(ref _laidOut, _counts[share]);
        int filled = 0;
        for (int i = share == 0 ? 0 : _ends[share - 1]; i < _ends[share]; i++)
        {
            ActivePostings list = active.PostingsOf(_lists[i]);
            Enlarge(ref _ordinals, list.Count);

            // In one go: a list is walked from its end.
            Span<uint> ordinals = _ordinals.AsSpan(0, list.Count);
            list.Copy(0, ordinals);
            foreach (uint ordinal in ordinals)
            {
                _laidOut[filled++] = new Posting(_keys[i], ordinal);
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
