// State snapshots of one reducer, or of one fold of clients: states on the way, so that a state as of any moment costs a short
// fold. Rebuildable, and only a cache: the file just grows, is never flushed, and what a crash leaves torn is dropped; all that is
// lost is time.
//
//  Header, 80 bytes
//       0    8       magic "EVFOLDS\n"
//       8    4 u32   version, 2; others are begun anew
//      12    4       zero
//      16   32       hash of the reducer, which names definition and engine; of a fold of clients: SHA-256 over
//                    "client fold", a zero byte, and its name
//      48   16       the vault's id: states of another log would be folded on as if they were of this one
//      64   16       first half of SHA-256 over the 64 bytes before
//
//  Record, a multiple of 8 bytes
//       0    4 u32   length, with header and padding
//       4    4 u32   bytes of the saved state
//       8   16       stream: first half of SHA-256 over its name
//      24    8 i64   first version folded
//      32    8 i64   last version folded
//      40   32       state hash: SHA-256 over the state's canonical JSON; of a fold of clients over what it gave
//      72   16       first half of SHA-256 over the 72 bytes before
//      88   16       first half of SHA-256 over the saved state
//     104            saved state (Reducer.Restore; of a fold of clients what it gave), padded with zeros
using System.Buffers.Binary;
using System.Security.Cryptography;
using EventVault.Storage.Io;

namespace EventVault.Temporal;

/// <summary>Where a state snapshot stands.</summary>
/// <param name="FirstVersion">First version that was folded.</param>
/// <param name="Version">Last version that was folded.</param>
/// <param name="Offset">Of its record.</param>
internal readonly record struct StateSnapshotPlace(long FirstVersion, long Version, long Offset);

/// <summary>Makes a state of what was kept; null if it is not what it was when it was kept.</summary>
/// <param name="saved">What was kept.</param>
/// <param name="hash">The state's hash at that time.</param>
internal delegate T? RestoreKept<out T>(ReadOnlySpan<byte> saved, ReadOnlySpan<byte> hash)
    where T : class;

/// <summary>The state snapshots of one reducer, or of one fold of clients. Safe for concurrent use.</summary>
internal sealed class StateSnapshotLog : IDisposable
{
    private const int FileHeaderBytes = 80;
    private const int HeaderBytes = 104;
    private const int CheckBytes = 16;
    private const uint FormatVersion = 2;

    /// <summary>No state is larger when it is saved: a length beyond it is damage.</summary>
    private const int MostSavedBytes = 256 * 1024 * 1024;

    private readonly Lock _lock = new();
    private readonly IFileSystem _files;
    private readonly string _path;
    private readonly byte[] _hash;
    private readonly Guid _vault;
    private readonly Func<long, KeptRoom> _takeRoom;

    // Ascending by version within a stream.
    private readonly Dictionary<UInt128, List<StateSnapshotPlace>> _places = [];

    // None until something is kept: most definitions that calls bring along never need one.
    private IFile? _file;
    private long _end = FileHeaderBytes;
    private bool _failed;

    private StateSnapshotLog(IFileSystem files, string path, byte[] hash, Guid vault, Func<long, KeptRoom> takeRoom) =>
        (_files, _path, _hash, _vault, _takeRoom) = (files, path, hash, vault, takeRoom);

    private static ReadOnlySpan<byte> Magic => "EVFOLDS\n"u8;

    /// <summary>Opens the file, if there is one; what is not readable in it is cut off.</summary>
    /// <param name="files">Where it is.</param>
    /// <param name="path">The file.</param>
    /// <param name="hash">What its header names.</param>
    /// <param name="vault">And of which vault it is.</param>
    /// <param name="takeRoom">Asked with the bytes of each record before it is written; without locks held.</param>
    /// <exception cref="DiskException">The disk failed.</exception>
    public static StateSnapshotLog Open(IFileSystem files, string path, byte[] hash, Guid vault, Func<long, KeptRoom> takeRoom)
    {
        var log = new StateSnapshotLog(files, path, hash, vault, takeRoom);
        if (!files.FileExists(path))
        {
            return log;
        }

        try
        {
            log._file = files.OpenFile(path, FileOpening.Existing);
            log.ReadPlaces(log._file);
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

    /// <summary>The newest readable state of a stream between two versions; null if there is none.</summary>
    /// <param name="stream">The stream.</param>
    /// <param name="first">The version at which the fold must have begun.</param>
    /// <param name="least">No state before this version.</param>
    /// <param name="most">No state behind this one.</param>
    /// <param name="restore">Makes it a state again.</param>
    /// <param name="at">Its version.</param>
    public T? Find<T>(UInt128 stream, long first, long least, long most, RestoreKept<T> restore, out long at)
        where T : class
    {
        while (true)
        {
            StateSnapshotPlace place;
            lock (_lock)
            {
                place = _places.TryGetValue(stream, out var places) ? Newest(places, first, least, most) : default;
            }

            at = place.Version;
            if (place.Offset == 0)
            {
                return null;
            }

            if (TryRead(stream, place, restore, out var state))
            {
                return state;
            }

            lock (_lock)
            {
                // Damaged: an older one, or none, and it can be written again.
                if (_places.TryGetValue(stream, out var places))
                {
                    places.Remove(place);
                }
            }
        }
    }

    /// <summary>Keeps a state, unless it is there, or there is no room, or the file failed before.</summary>
    /// <returns>Whether it was kept.</returns>
    public bool Add(UInt128 stream, long first, long version, ReadOnlySpan<byte> saved, ReadOnlySpan<byte> hash)
    {
        lock (_lock)
        {
            if (_failed || Has(stream, first, version))
            {
                return false;
            }
        }

        var record = Encode(stream, first, version, saved, hash);
        var room = _takeRoom(record.Length);
        lock (_lock)
        {
            if (room == KeptRoom.None || _failed || Has(stream, first, version))
            {
                return false;
            }

            try
            {
                if (room == KeptRoom.WithoutTheOld && _file is not null)
                {
                    _places.Clear();
                    _file.SetLength(FileHeaderBytes);
                    _end = FileHeaderBytes;
                }

                (_file ??= Create()).Write(_end, record);
            }
            catch (DiskException)
            {
                // Answers need no state snapshots, only their speed does. The next start tries again.
                _failed = true;
                return false;
            }

            var places = _places.TryGetValue(stream, out var found) ? found : _places[stream] = [];
            places.Insert(places.FindLastIndex(p => p.Version <= version) + 1, new StateSnapshotPlace(first, version, _end));
            _end += record.Length;
            return true;
        }
    }

    public void Dispose() => _file?.Dispose();

    private bool Has(UInt128 stream, long first, long version) =>
        _places.TryGetValue(stream, out var places) && places.Any(p => p.FirstVersion == first && p.Version == version);

    private IFile Create()
    {
        var file = _files.OpenFile(_path, FileOpening.ExistingOrNew);
        Span<byte> header = stackalloc byte[FileHeaderBytes];
        WriteHeader(header);
        file.SetLength(0);
        file.Write(0, header);
        return file;
    }

    private void WriteHeader(Span<byte> header)
    {
        header.Clear();
        Magic.CopyTo(header);
        BinaryPrimitives.WriteUInt32LittleEndian(header[8..], FormatVersion);
        _hash.CopyTo(header[16..]);
        Invariant.Check(_vault.TryWriteBytes(header[48..], bigEndian: true, out _));
        Check(header[..64], header[64..]);
    }

    private static StateSnapshotPlace Newest(List<StateSnapshotPlace> places, long first, long least, long most)
    {
        int low = 0, high = places.Count;
        while (low < high)
        {
            var middle = (low + high) / 2;
            (low, high) = places[middle].Version <= most ? (middle + 1, high) : (low, middle);
        }

        for (var i = low - 1; i >= 0 && places[i].Version >= least; i--)
        {
            if (places[i].FirstVersion == first)
            {
                return places[i];
            }
        }

        return default;
    }

    private static byte[] Encode(UInt128 stream, long first, long version, ReadOnlySpan<byte> saved, ReadOnlySpan<byte> hash)
    {
        var record = new byte[(HeaderBytes + saved.Length + 7) / 8 * 8];
        BinaryPrimitives.WriteInt32LittleEndian(record, record.Length);
        BinaryPrimitives.WriteInt32LittleEndian(record.AsSpan(4), saved.Length);
        BinaryPrimitives.WriteUInt128LittleEndian(record.AsSpan(8), stream);
        BinaryPrimitives.WriteInt64LittleEndian(record.AsSpan(24), first);
        BinaryPrimitives.WriteInt64LittleEndian(record.AsSpan(32), version);
        hash.CopyTo(record.AsSpan(40, SHA256.HashSizeInBytes));
        Check(record.AsSpan(0, 72), record.AsSpan(72, CheckBytes));
        Check(saved, record.AsSpan(88, CheckBytes));
        saved.CopyTo(record.AsSpan(HeaderBytes));
        return record;
    }

    private void ReadPlaces(IFile file)
    {
        Span<byte> header = stackalloc byte[FileHeaderBytes];
        WriteHeader(header);
        Span<byte> found = stackalloc byte[FileHeaderBytes];
        if (file.Read(0, found) < FileHeaderBytes || !found.SequenceEqual(header))
        {
            file.SetLength(0);
            file.Write(0, header);
        }

        var length = file.Length;
        Span<byte> record = stackalloc byte[HeaderBytes];
        while (file.Read(_end, record) == HeaderBytes && TryDecode(record, length - _end, out var stream, out var place))
        {
            (_places.TryGetValue(stream, out var places) ? places : _places[stream] = []).Add(place with { Offset = _end });
            _end += BinaryPrimitives.ReadInt32LittleEndian(record);
        }

        if (_end < length)
        {
            file.SetLength(_end);
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

    // The file may have been begun anew since the place was looked up: what stands there now may be sound, and another state.
    private bool TryRead<T>(UInt128 stream, StateSnapshotPlace place, RestoreKept<T> restore, out T state)
        where T : class
    {
        state = null!;
        Span<byte> header = stackalloc byte[HeaderBytes];
        if (_file!.Read(place.Offset, header) < HeaderBytes || !TryDecode(header, long.MaxValue, out var key, out var found)
            || key != stream || found.FirstVersion != place.FirstVersion || found.Version != place.Version)
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
        return check.SequenceEqual(header.Slice(88, CheckBytes)) && (state = restore(saved, header.Slice(40, SHA256.HashSizeInBytes))!) is not null;
    }

    private static void Check(ReadOnlySpan<byte> bytes, Span<byte> check)
    {
        Span<byte> hash = stackalloc byte[SHA256.HashSizeInBytes];
        SHA256.HashData(bytes, hash);
        hash[..CheckBytes].CopyTo(check);
    }
}
