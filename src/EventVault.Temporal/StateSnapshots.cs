using EventVault.Storage.Io;
using EventVault.Temporal.Reducers;

namespace EventVault.Temporal;

/// <summary>When a state is kept on the way.</summary>
/// <param name="Events">After so many events at least; 1,024 keep a fold behind a state snapshot under a millisecond.</param>
/// <param name="StateFactor">And after so many times the state's own bytes of events: 4 bound what is kept to a quarter of the log.</param>
public sealed record StateSnapshotRule(int Events = 1024, int StateFactor = 4)
{
    /// <summary>Whether a state is kept here. Depends on versions and bytes alone, so all nodes keep equal ones.</summary>
    internal bool IsDue(long events, long eventBytes, long stateBytes) => events >= Events && eventBytes >= StateFactor * stateBytes;
}

/// <summary>The state snapshots of all reducers of a vault, a file each. Safe for concurrent use.</summary>
/// <param name="files">Where they are kept.</param>
/// <param name="directory">A folder of their own; all in it can be deleted while the node is stopped.</param>
/// <param name="rule">When states are kept.</param>
public sealed class StateSnapshots(IFileSystem files, string directory, StateSnapshotRule rule) : IDisposable
{
    private const string Extension = ".states";

    /// <summary>Files held open: definitions are many only where every call brings its own, and those need none for long.</summary>
    private const int MostOpen = 64;

    private readonly Lock _lock = new();
    private readonly Dictionary<string, OpenLog> _logs = new(StringComparer.Ordinal);
    private long _uses;

    /// <summary>When states are kept.</summary>
    public StateSnapshotRule Rule { get; } = rule;

    /// <summary>Bytes of the files in use.</summary>
    public long Bytes
    {
        get
        {
            lock (_lock)
            {
                return _logs.Values.Sum(l => l.Log.Bytes);
            }
        }
    }

    /// <summary>A reducer's state snapshots, to be returned; null if the disk, or the number of open files, lets none be kept.</summary>
    internal StateSnapshotLog? Rent(Reducer reducer)
    {
        var name = NameOf(reducer);
        lock (_lock)
        {
            if (!_logs.TryGetValue(name, out var open))
            {
                if (_logs.Count == MostOpen && !CloseOne())
                {
                    return null;
                }

                try
                {
                    files.CreateDirectory(directory);
                    _logs[name] = open = new OpenLog(StateSnapshotLog.Open(files, Path.Combine(directory, name + Extension), reducer));
                }
                catch (DiskException)
                {
                    // Answers need no state snapshots, only their speed does.
                    return null;
                }
            }

            open.Rented++;
            open.Used = ++_uses;
            return open.Log;
        }
    }

    /// <summary>Ends the use of what was rented.</summary>
    internal void Return(Reducer reducer)
    {
        lock (_lock)
        {
            _logs[NameOf(reducer)].Rented--;
        }
    }

    /// <summary>Closes the files. No fold may be running.</summary>
    public void Dispose()
    {
        lock (_lock)
        {
            foreach (var open in _logs.Values)
            {
                Invariant.Check(open.Rented == 0);
                open.Log.Dispose();
            }

            _logs.Clear();
        }
    }

    private static string NameOf(Reducer reducer) => Convert.ToHexStringLower(reducer.Hash.AsSpan(0, 16));

    // The one whose last use is longest ago; never one in use, as two must not write one file.
    private bool CloseOne()
    {
        var (name, oldest) = _logs.Where(l => l.Value.Rented == 0).OrderBy(l => l.Value.Used).FirstOrDefault();
        if (oldest is null)
        {
            return false;
        }

        oldest.Log.Dispose();
        return _logs.Remove(name);
    }

    private sealed class OpenLog(StateSnapshotLog log)
    {
        public StateSnapshotLog Log { get; } = log;

        public int Rented { get; set; }

        public long Used { get; set; }
    }
}
