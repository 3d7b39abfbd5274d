// The bytes of a segment for whoever goes over them from front to back. Past the page cache (SegmentScanner says why), where
// the system reads nothing ahead: so the next piece is read while the last one is gone over.
using System.Runtime.InteropServices;
using EventVault.Storage.Io;

namespace EventVault.Storage.Log;

/// <summary>A part of a segment's file in memory that moves along. One thread.</summary>
/// <param name="file">The file.</param>
/// <param name="limit">Where what is read ends: the footer's offset.</param>
/// <param name="isCached">Whether it reads through the page cache.</param>
internal sealed class SegmentWindow(IFile file, long limit, bool isCached)
{
    /// <summary>Bytes read at once.</summary>
    internal const int PieceBytes = 1024 * 1024;

    // What was begun at the end of a piece stands before the next one: any group but that of an append that is larger than groups are.
    private const int MostCarried = VaultLimits.GroupBytes + Blocks.Size;

    private byte[] _bytes = [];
    private int _begin; // Of the window in the bytes.
    private long _offset; // Of the window in the file.
    private int _length;
    private bool _goesOn; // Past the page cache, piece by piece.
    private DiskRead? _next; // Of what stands behind the window, into the other buffer.
    private byte[] _other = [];

    /// <summary>Bytes in front of the limit; false if the file is shorter.</summary>
    /// <param name="offset">Where they begin.</param>
    /// <param name="length">How many.</param>
    /// <param name="bytes">The bytes, valid until the next call.</param>
    public bool TryBytes(long offset, int length, out ReadOnlySpan<byte> bytes)
    {
        bytes = default;
        if (length < 0 || offset + length > limit)
        {
            return false;
        }

        if (offset < _offset || offset + length > _offset + _length)
        {
            Move(offset, length);
            if (offset + length > _offset + _length)
            {
                return false;
            }
        }
        else if (_goesOn && _next is null)
        {
            // Only now: who reads a header, or a group that is larger than a piece, wants something else next.
            BeginNext();
        }

        bytes = _bytes.AsSpan(_begin + (int)(offset - _offset), length);
        return true;
    }

    /// <summary>What is in memory from here on.</summary>
    public ReadOnlySpan<byte> Rest(long offset) => _bytes.AsSpan(_begin + (int)(offset - _offset), _length - (int)(offset - _offset));

    /// <summary>When it returns nothing is read ahead. It can go on.</summary>
    public void EndReads()
    {
        _next?.Drop();
        _next = null;
        _goesOn = false;
    }

    private void Move(long offset, int length)
    {
        var end = _offset + _length;
        var goesOn = !isCached && _length > 0 && offset >= _offset && offset <= end;
        if (goesOn && _next is { } next && end - offset <= MostCarried && offset + length <= end + next.Length)
        {
            TakeNext(next, offset, (int)(end - offset));
        }
        else
        {
            EndReads();
            Fill(Blocks.Floor(offset), (int)(offset - Blocks.Floor(offset)) + length);
        }

        _goesOn = goesOn;
    }

    private void Fill(long offset, int needed)
    {
        var wanted = (int)Math.Min(Math.Max(PieceBytes, Blocks.Ceiling(needed)), limit - offset);
        if (_bytes.Length < wanted + Blocks.Size)
        {
            _bytes = NewBuffer(wanted);
        }

        _begin = FirstBlock(_bytes);
        _offset = offset;
        _length = 0; // Nothing, if the read fails.
        var window = _bytes.AsSpan(_begin, wanted);
        _length = isCached ? file.Read(offset, window) : file.ReadFromDisk(offset, window);
    }

    private void BeginNext()
    {
        var offset = _offset + _length;
        var wanted = (int)Math.Min(PieceBytes, limit - offset);
        if (wanted <= 0)
        {
            return;
        }

        var room = (int)Blocks.Ceiling(MostCarried) + PieceBytes;
        if (_other.Length < room + Blocks.Size || _other.Length > 2 * room)
        {
            // One that was made for a large append, and came here by turns, is not kept: both buffers would grow so.
            _other = NewBuffer(room);
        }

        _next = new DiskRead(file, offset, _other.AsMemory(PieceIn(_other), wanted));
        file.BeginReadFromDisk(_next);
    }

    private void TakeNext(DiskRead next, long offset, int carried)
    {
        _next = null;
        var count = next.Take();
        var begin = PieceIn(_other) - carried;
        Invariant.Check(begin >= 0);
        Rest(offset).CopyTo(_other.AsSpan(begin));
        (_bytes, _other) = (_other, _bytes);
        (_begin, _offset, _length) = (begin, offset, carried + count);
    }

    // Behind what is carried, at a block, as direct transfers need it.
    private static int PieceIn(byte[] buffer) => FirstBlock(buffer) + (int)Blocks.Ceiling(MostCarried);

    private static int FirstBlock(byte[] buffer) => (int)(-Marshal.UnsafeAddrOfPinnedArrayElement(buffer, 0) & (Blocks.Size - 1));

    private static byte[] NewBuffer(int length) => GC.AllocateUninitializedArray<byte>(length + Blocks.Size, pinned: true);
}
