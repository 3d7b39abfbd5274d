using System.Security.Cryptography;
using System.Text;
using EventVault.Storage.Io;

namespace EventVault.Temporal;

/// <summary>When a state is kept on the way.</summary>
/// <param name="Events">After so many events at least; 1,024 keep a fold behind a state snapshot under a millisecond.</param>
/// <param name="StateFactor">And after so many times the state's own bytes of events: 4 bound what is kept to a quarter of the log.</param>
public sealed record StateSnapshotRule(int Events = 1024, int StateFactor = 4)
{
    /// <summary>Whether a state is kept here. Depends on versions and bytes alone, so all nodes keep equal ones.</summary>
    internal bool IsDue(long events, long eventBytes, long stateBytes) => events >= Events && eventBytes >= StateFactor * stateBytes;
}

/// <summary>Whether there is room for another state.</summary>
internal enum KeptRoom
{
    /// <summary>There is none.</summary>
    None,

    /// <summary>There is.</summary>
    Enough,

    /// <summary>There is if the file is begun anew: it alone has grown too large.</summary>
    WithoutTheOld,
}

/// <summary>
/// The states kept on the way, of all reducers and of clients' folds, a file each; all of them together bounded. Safe for
/// concurrent use.
/// </summary>
/// <param name="files">Where they are kept.</param>
/// <param name="directory">A folder of their own; all in it can be deleted while the node is stopped.</param>
/// <param name="vault">The id of the vault whose states they are: those of another one are no use.</param>
/// <param name="rule">When states are kept.</param>
/// <param name="mostBytes">
/// What all files may take, at least 1 MiB. The file whose last use is longest ago goes first; one that alone takes half is begun anew.
/// </param>
/// <param name="leavesRoom">Whether the disk has so many bytes beside what others need; null: always. Asked before each state that is kept.</param>
public sealed class StateSnapshots(
    IFileSystem files, string directory, Guid vault, StateSnapshotRule rule, long mostBytes = StateSnapshots.DefaultMostBytes, Func<long, bool>? leavesRoom = null) : IDisposable
{
    /// <summary>1 GiB: with a state of 1 KiB each 1,024 events, a billion events.</summary>
    public const long DefaultMostBytes = 1L << 30;

    private const string Extension = ".states";

    /// <summary>Files held open: definitions are many only where every call brings its own, and those need none for long.</summary>
    private const int MostOpen = 64;

    /// <summary>A file counts as so many bytes at least, so that their number is bounded, too.</summary>
    private const long LeastFileBytes = 64 * 1024;

    /// <summary>Room for a few files whatever is set.</summary>
    private const long LeastMostBytes = 1024 * 1024;

    private readonly Lock _lock = new();
    private readonly Dictionary<string, OpenLog> _open = new(StringComparer.Ordinal);

    // All files, open or not; null until they are looked up.
    private Dictionary<string, KeptFile>? _known;
    private long _uses;

    /// <summary>When states are kept.</summary>
    public StateSnapshotRule Rule { get; } = rule;

    /// <summary>Bytes of all files.</summary>
    public long Bytes
    {
        get
        {
            lock (_lock)
            {
                return TryListFiles() ? _known!.Values.Sum(f => f.Bytes) : 0;
            }
        }
    }

    /// <summary>What names the states of a fold of clients.</summary>
    internal static byte[] HashOfFold(string fold) => SHA256.HashData([.. "client fold\0"u8, .. Encoding.UTF8.GetBytes(fold)]);

    /// <summary>The states kept under a hash, to be returned; null if the disk, or the number of open files, lets none be kept.</summary>
    internal StateSnapshotLog? Rent(byte[] hash)
    {
        var name = NameOf(hash);
        OpenLog? open;
        lock (_lock)
        {
            if (!TryListFiles())
            {
                return null;
            }

            if (!_open.TryGetValue(name, out open))
            {
                if (_open.Count == MostOpen && !CloseOne())
                {
                    return null;
                }

                _open[name] = open = new OpenLog(() => StateSnapshotLog.Open(files, PathOf(name), hash, vault, bytes => TakeRoom(name, bytes)));
            }

            open.Rented++;
            open.Used = ++_uses;
            if (_known!.TryGetValue(name, out var file))
            {
                file.Used = _uses;
            }
        }

        // A large file takes long to open, and the others go on meanwhile.
        if (open.TryOpen() is { } log)
        {
            return log;
        }

        lock (_lock)
        {
            if (--open.Rented == 0 && _open.GetValueOrDefault(name) == open)
            {
                _open.Remove(name);
            }
        }

        return null;
    }

    /// <summary>Ends the use of what was rented.</summary>
    internal void Return(byte[] hash)
    {
        lock (_lock)
        {
            _open[NameOf(hash)].Rented--;
        }
    }

    /// <summary>Drops all files that no fold uses, to give their space back: whatever is in them can be folded again.</summary>
    public void DropUnused()
    {
        lock (_lock)
        {
            while (TryListFiles() && DropOne())
            {
                // One after the other.
            }
        }
    }

    /// <summary>Closes the files, but for those of folds that run: a call that was cut short may not have noticed yet.</summary>
    public void Dispose()
    {
        lock (_lock)
        {
            while (CloseOne())
            {
                // One after the other.
            }
        }
    }

    private static string NameOf(byte[] hash) => Convert.ToHexStringLower(hash.AsSpan(0, 16));

    private string PathOf(string name) => Path.Combine(directory, name + Extension);

    // A record is about to be written to a file that is rented, so it is not dropped here itself.
    private KeptRoom TakeRoom(string name, long bytes)
    {
        try
        {
            if (leavesRoom?.Invoke(bytes) == false)
            {
                return KeptRoom.None;
            }
        }
        catch (DiskException)
        {
            return KeptRoom.None;
        }

        lock (_lock)
        {
            var most = Math.Max(mostBytes, LeastMostBytes);
            var file = _known!.TryGetValue(name, out var known) ? known : _known[name] = new KeptFile { Used = _uses };
            var isTooLarge = file.Bytes + bytes > most / 2;
            var becomes = isTooLarge ? bytes : file.Bytes + bytes;
            while (Counted(becomes) - Counted(file.Bytes) + _known.Values.Sum(f => Counted(f.Bytes)) > most)
            {
                if (!DropOne())
                {
                    return KeptRoom.None;
                }
            }

            file.Bytes = becomes;
            return isTooLarge ? KeptRoom.WithoutTheOld : KeptRoom.Enough;
        }
    }

    private static long Counted(long bytes) => Math.Max(bytes, LeastFileBytes);

    private bool DropOne()
    {
        var name = _known!.OrderBy(f => f.Value.Used).Select(f => f.Key).FirstOrDefault(n => !_open.TryGetValue(n, out var open) || open.Rented == 0);
        if (name is null)
        {
            return false;
        }

        if (_open.Remove(name, out var closed))
        {
            closed.Dispose();
        }

        try
        {
            files.DeleteFile(PathOf(name));
        }
        catch (DiskException)
        {
            return false;
        }

        return _known!.Remove(name);
    }

    // Files of before count as used longest ago.
    private bool TryListFiles()
    {
        if (_known is not null)
        {
            return true;
        }

        try
        {
            files.CreateDirectory(directory);
            var known = new Dictionary<string, KeptFile>(StringComparer.Ordinal);
            foreach (var name in files.ListFiles(directory).Where(n => n.EndsWith(Extension, StringComparison.Ordinal)))
            {
                using var file = files.OpenFile(Path.Combine(directory, name), FileOpening.ReadExisting);
                known[name[..^Extension.Length]] = new KeptFile { Bytes = file.Length };
            }

            _known = known;
            return true;
        }
        catch (DiskException)
        {
            return false;
        }
    }

    // The one whose last use is longest ago; never one in use, as two must not write one file.
    private bool CloseOne()
    {
        var (name, oldest) = _open.Where(l => l.Value.Rented == 0).OrderBy(l => l.Value.Used).FirstOrDefault();
        if (oldest is null)
        {
            return false;
        }

        oldest.Dispose();
        return _open.Remove(name);
    }

    private sealed class OpenLog(Func<StateSnapshotLog> open) : IDisposable
    {
        private readonly Lazy<StateSnapshotLog?> _log = new(() =>
        {
            try
            {
                return open();
            }
            catch (DiskException)
            {
                // Answers need no state snapshots, only their speed does.
                return null;
            }
        });

        public int Rented { get; set; }

        public long Used { get; set; }

        /// <summary>Opens it if nobody has; null: the disk does not let it be. Without the lock.</summary>
        public StateSnapshotLog? TryOpen() => _log.Value;

        /// <summary>Nobody rents it, so nobody opens it.</summary>
        public void Dispose()
        {
            if (_log.IsValueCreated)
            {
                _log.Value?.Dispose();
            }
        }
    }

    private sealed class KeptFile
    {
        public long Bytes { get; set; }

        public long Used { get; set; }
    }
}
