// State snapshots of one reducer: states on the way, so that a state as of any moment costs a short fold. Rebuildable, and only
// a cache: the file just grows, is never flushed, and what a crash leaves torn is dropped; all that is lost is time.
//
//  Header, 64 bytes
//       0    8       magic "EVSTATE\n"
//       8    4 u32   version, 1
//      12    4       zero
//      16   32       hash of the reducer, which names definition and engine
//      48   16       first half of SHA-256 over the 48 bytes before
//
//  Record, a multiple of 8 bytes
//       0    4 u32   length, with header and padding
//       4    4 u32   bytes of the saved state
//       8   16       stream: first half of SHA-256 over its name
//      24    8 i64   first version folded
//      32    8 i64   last version folded
//      40   32       state hash: SHA-256 over the state's canonical JSON
//      72   16       first half of SHA-256 over the 72 bytes before
//      88   16       first half of SHA-256 over the saved state
//     104            saved state (Reducer.Restore), padded with zeros
using System.Buffers;
using System.Buffers.Binary;
using System.Security.Cryptography;
using EventVault.Storage.Io;
using EventVault.Temporal.Reducers;

namespace EventVault.Temporal;

/// <summary>Where a state snapshot stands.</summary>
/// <param name="FirstVersion">First version that was folded.</param>
/// <param name="Version">Last version that was folded.</param>
/// <param name="Offset">Of its record.</param>
internal readonly record struct StateSnapshotPlace(long FirstVersion, long Version, long Offset);

/// <summary>The state snapshots of one reducer. Safe for concurrent use.</summary>
internal sealed class StateSnapshotLog : IDisposable
{
    private const int FileHeaderBytes = 64;
    private const int HeaderBytes = 104;
    private const int CheckBytes = 16;
    private const uint FormatVersion = 1;

    /// <summary>No state is larger when it is saved: a length beyond it is damage.</summary>
    private const int MostSavedBytes = 256 * 1024 * 1024;

    private readonly Lock _lock = new();
    private readonly IFile _file;
    private readonly Reducer _reducer;

    // Ascending by version within a stream.
    private readonly Dictionary<UInt128, List<StateSnapshotPlace>> _places = [];
    private long _end;
    private bool _failed;

    private StateSnapshotLog(IFile file, Reducer reducer) => (_file, _reducer) = (file, reducer);

    private static ReadOnlySpan<byte> Magic => "EVSTATE\n"u8;

    /// <summary>Bytes of the file.</summary>
    public long Bytes
    {
        get
        {
            lock (_lock)
            {
                return _end;
            }
        }
    }

    /// <summary>State snapshots in it.</summary>
    public int Count
    {
        get
        {
            lock (_lock)
            {
                return _places.Values.Sum(p => p.Count);
            }
        }
    }

    /// <summary>Opens the file, or makes it; what is not readable in it is cut off.</summary>
    /// <exception cref="DiskException">The disk failed.</exception>
    public static StateSnapshotLog Open(IFileSystem files, string path, Reducer reducer)
    {
        var log = new StateSnapshotLog(files.OpenFile(path, FileOpening.ExistingOrNew), reducer);
        try
        {
            log.ReadPlaces();
            return log;
        }
        catch
        {
            log.Dispose();
            throw;
        }
    }

    /// <summary>The name of a stream's state snapshots.</summary>
    public static UInt128 KeyOf(ReadOnlySpan<byte> stream)
    {
        Span<byte> hash = stackalloc byte[SHA256.HashSizeInBytes];
        SHA256.HashData(stream, hash);
        return BinaryPrimitives.ReadUInt128LittleEndian(hash);
    }

    /// <summary>The newest readable state of a stream up to a version; null if there is none.</summary>
    /// <param name="first">The version at which the fold must have begun.</param>
    public FoldState? Find(UInt128 stream, long first, long version, FoldLimits limits, out long at)
    {
        while (true)
        {
            StateSnapshotPlace place;
            lock (_lock)
            {
                place = _places.TryGetValue(stream, out var places) ? Newest(places, first, version) : default;
            }

            at = place.Version;
            if (place.Offset == 0)
            {
                return null;
            }

            if (TryRead(place, limits, out var state))
            {
                return state;
            }

            lock (_lock)
            {
                _places[stream].Remove(place); // Damaged: an older one, or none, and it can be written again.
            }
        }
    }

    /// <summary>Keeps a state, unless it is there or the file failed before.</summary>
    public void Add(UInt128 stream, long first, long version, FoldState state)
    {
        lock (_lock)
        {
            var places = _places.TryGetValue(stream, out var found) ? found : [];
            if (_failed || places.Any(p => p.FirstVersion == first && p.Version == version))
            {
                return;
            }

            var record = Encode(stream, first, version, state);
            try
            {
                _file.Write(_end, record);
            }
            catch (DiskException)
            {
                // Answers need no state snapshots, only their speed does. The next start tries again.
                _failed = true;
                return;
            }

            var at = places.FindLastIndex(p => p.Version <= version) + 1;
            places.Insert(at, new StateSnapshotPlace(first, version, _end));
            _places[stream] = places;
            _end += record.Length;
        }
    }

    public void Dispose() => _file.Dispose();

    private static StateSnapshotPlace Newest(List<StateSnapshotPlace> places, long first, long version)
    {
        int low = 0, high = places.Count;
        while (low < high)
        {
            var middle = (low + high) / 2;
            (low, high) = places[middle].Version <= version ? (middle + 1, high) : (low, middle);
        }

        for (var i = low - 1; i >= 0; i--)
        {
            if (places[i].FirstVersion == first)
            {
                return places[i];
            }
        }

        return default;
    }

    private static byte[] Encode(UInt128 stream, long first, long version, FoldState state)
    {
        var saved = new ArrayBufferWriter<byte>();
        state.Save(saved);
        var record = new byte[(HeaderBytes + saved.WrittenCount + 7) / 8 * 8];
        BinaryPrimitives.WriteInt32LittleEndian(record, record.Length);
        BinaryPrimitives.WriteInt32LittleEndian(record.AsSpan(4), saved.WrittenCount);
        BinaryPrimitives.WriteUInt128LittleEndian(record.AsSpan(8), stream);
        BinaryPrimitives.WriteInt64LittleEndian(record.AsSpan(24), first);
        BinaryPrimitives.WriteInt64LittleEndian(record.AsSpan(32), version);
        state.JsonHash().CopyTo(record, 40);
        Check(record.AsSpan(0, 72), record.AsSpan(72, CheckBytes));
        Check(saved.WrittenSpan, record.AsSpan(88, CheckBytes));
        saved.WrittenSpan.CopyTo(record.AsSpan(HeaderBytes));
        return record;
    }

    private void ReadPlaces()
    {
        Span<byte> header = stackalloc byte[FileHeaderBytes];
        header.Clear();
        Magic.CopyTo(header);
        BinaryPrimitives.WriteUInt32LittleEndian(header[8..], FormatVersion);
        _reducer.Hash.CopyTo(header[16..]);
        Check(header[..48], header[48..]);
        Span<byte> found = stackalloc byte[FileHeaderBytes];
        if (_file.Read(0, found) < FileHeaderBytes || !found.SequenceEqual(header))
        {
            _file.SetLength(0);
            _file.Write(0, header);
        }

        _end = FileHeaderBytes;
        var length = _file.Length;
        Span<byte> record = stackalloc byte[HeaderBytes];
        while (_file.Read(_end, record) == HeaderBytes && TryDecode(record, length - _end, out var stream, out var place))
        {
            (_places.TryGetValue(stream, out var places) ? places : _places[stream] = []).Add(place with { Offset = _end });
            _end += BinaryPrimitives.ReadInt32LittleEndian(record);
        }

        if (_end < length)
        {
            _file.SetLength(_end);
        }

        foreach (var places in _places.Values)
        {
            places.Sort(static (a, b) => a.Version.CompareTo(b.Version));
        }
    }

    private static bool TryDecode(ReadOnlySpan<byte> header, long left, out UInt128 stream, out StateSnapshotPlace place)
    {
        Span<byte> check = stackalloc byte[CheckBytes];
        Check(header[..72], check);
        var length = BinaryPrimitives.ReadInt32LittleEndian(header);
        var saved = BinaryPrimitives.ReadInt32LittleEndian(header[4..]);
        stream = BinaryPrimitives.ReadUInt128LittleEndian(header[8..]);
        place = new StateSnapshotPlace(BinaryPrimitives.ReadInt64LittleEndian(header[24..]), BinaryPrimitives.ReadInt64LittleEndian(header[32..]), 0);
        return check.SequenceEqual(header.Slice(72, CheckBytes)) && saved is >= 0 and <= MostSavedBytes && length == (HeaderBytes + saved + 7) / 8 * 8 && length <= left
            && place.FirstVersion >= 0 && place.Version >= place.FirstVersion;
    }

    private bool TryRead(StateSnapshotPlace place, FoldLimits limits, out FoldState state)
    {
        state = null!;
        Span<byte> header = stackalloc byte[HeaderBytes];
        if (_file.Read(place.Offset, header) < HeaderBytes || !TryDecode(header, long.MaxValue, out _, out _))
        {
            return false;
        }

        var saved = new byte[BinaryPrimitives.ReadInt32LittleEndian(header[4..])];
        Span<byte> check = stackalloc byte[CheckBytes];
        if (_file.Read(place.Offset + HeaderBytes, saved) < saved.Length)
        {
            return false;
        }

        Check(saved, check);
        if (!check.SequenceEqual(header.Slice(88, CheckBytes)))
        {
            return false;
        }

        try
        {
            state = _reducer.Restore(saved, limits);
            return state.JsonHash().AsSpan().SequenceEqual(header.Slice(40, SHA256.HashSizeInBytes));
        }
        catch (InvalidDataException)
        {
            return false;
        }
    }

    private static void Check(ReadOnlySpan<byte> bytes, Span<byte> check)
    {
        Span<byte> hash = stackalloc byte[SHA256.HashSizeInBytes];
        SHA256.HashData(bytes, hash);
        hash[..CheckBytes].CopyTo(check);
    }
}
