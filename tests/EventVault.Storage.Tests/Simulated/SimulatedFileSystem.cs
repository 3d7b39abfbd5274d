using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;
using EventVault.Storage.Io;

namespace EventVault.Storage.Tests.Simulated;

/// <summary>
/// A disk in memory whose power can be cut. Deterministic: the same calls and the same random sources give the same
/// bytes. A flush of a file makes its content and length durable, a flush of a folder its entries, as on ext4 with
/// nothing promised beyond POSIX; everything else a <see cref="Crash"/> may keep, lose, tear and reorder.
/// Safe for concurrent use, though only calls from one thread come in one order.
/// </summary>
/// <param name="tracksLosses">False: plain memory for speed, on which nothing can be crashed.</param>
public sealed class SimulatedFileSystem(bool tracksLosses = true) : IFileSystem
{
    internal const int NoEntry = 2;
    internal const int InputOutput = 5;
    internal const int BadDescriptor = 9;
    internal const int Exists = 17;
    internal const int NotADirectory = 20;
    internal const int IsADirectory = 21;
    internal const int NoSpace = 28;

    private readonly HashSet<SimulatedContent> _locked = [];
    private SimulatedDirectory _root = new();
    private List<EntryChange> _unflushedEntries = [];
    private SimulatedCrashException? _crash;
    private long _operations;

    /// <summary>EIO from reads, of both kinds.</summary>
    public FaultSwitch FailingRead { get; } = new();

    /// <summary>EIO, or another error, from Write and WriteZeros; with a random source part of the bytes were written.</summary>
    public FaultSwitch FailingWrite { get; } = new();

    /// <summary>What <see cref="FailingWrite"/> says, as errno.</summary>
    public int FailingWriteError { get; set; } = InputOutput;

    /// <summary>
    /// EIO from a file's Flush. As on Linux what was not flushed is then lost (with a random source: part of it),
    /// still reads as if it were there, and the next flush succeeds.
    /// </summary>
    public FaultSwitch FailingFlush { get; } = new();

    /// <summary>What <see cref="FailingFlush"/> and <see cref="FailingDirectoryFlush"/> say, as errno.</summary>
    public int FailingFlushError { get; set; } = InputOutput;

    /// <summary>EIO from FlushDirectory; the entries stay unflushed.</summary>
    public FaultSwitch FailingDirectoryFlush { get; } = new();

    /// <summary>Flushes of files and folders that report success and make nothing durable.</summary>
    public FaultSwitch LyingFlush { get; } = new();

    /// <summary>
    /// Writes that report success and land in another block of the file. Those after it go
    /// where they belong.
    /// </summary>
    public FaultSwitch MisdirectedWrite { get; } = new();

    /// <summary>Of which files writes may be misdirected, by path; null: of all.</summary>
    public Func<string, bool>? MisdirectableWrites { get; set; }

    /// <summary>What a lock says about its holder. A simulation gives a number of its own: the same in every run.</summary>
    public int ProcessId { get; init; } = Environment.ProcessId;

    /// <summary>Bytes that all file lengths together may reach; null: no bound.</summary>
    public long? CapacityBytes { get; set; }

    /// <summary>
    /// Called before each changing or flushing operation, outside all locks: may count, wait, or throw to make the
    /// operation fail. A <see cref="SimulatedCrashException"/> cuts the power for all later calls, too.
    /// </summary>
    public Action<DiskOperation>? OnOperation { get; set; }

    /// <summary>Called on the opening thread before a file is opened; it may wait.</summary>
    public Action<string>? OnOpening { get; set; }

    /// <summary>The power goes out before the operation with this number takes effect.</summary>
    public long CrashAtOperation { get; set; } = long.MaxValue;

    /// <summary>Changing and flushing operations so far.</summary>
    public long Operations => Interlocked.Read(ref _operations);

    internal object Gate { get; } = new();

    public bool FileExists(string path)
    {
        BeginRead(path);
        lock (Gate)
        {
            return Find(path) is SimulatedContent;
        }
    }

    public bool DirectoryExists(string path)
    {
        BeginRead(path);
        lock (Gate)
        {
            return Find(path) is SimulatedDirectory;
        }
    }

    public void CreateDirectory(string path)
    {
        var names = Names(path);
        for (var depth = 1; depth <= names.Length; depth++)
        {
            var part = "/" + string.Join('/', names[..depth]);
            if (DirectoryExists(part))
            {
                continue;
            }

            Begin(DiskOperationKind.CreateDirectory, part, 0, 0);
            lock (Gate)
            {
                var (parent, name) = Parent("mkdir", part);
                if (parent.Entries.ContainsKey(name))
                {
                    throw Failure("mkdir", part, Exists);
                }

                Change(new EntryChange([(parent, name, new SimulatedDirectory())]));
            }
        }
    }

    public IReadOnlyList<string> ListFiles(string directory)
    {
        BeginRead(directory);
        lock (Gate)
        {
            return [.. FindDirectory("open", directory).Entries.Where(entry => entry.Value is SimulatedContent).Select(entry => entry.Key)];
        }
    }

    public IFile OpenFile(string path, FileOpening opening)
    {
        BeginRead(path);
        OnOpening?.Invoke(path);
        lock (Gate)
        {
            if (TryOpen(path, opening) is { } found)
            {
                return found;
            }
        }

        if (opening is FileOpening.ReadExisting or FileOpening.Existing)
        {
            throw Failure("open", path, NoEntry);
        }

        Begin(DiskOperationKind.CreateFile, path, 0, 0);
        lock (Gate)
        {
            // Again, because another thread may have been faster while the operation was announced.
            if (TryOpen(path, opening) is { } found)
            {
                return found;
            }

            var (parent, name) = Parent("open", path);
            var content = new SimulatedContent(tracksLosses);
            Change(new EntryChange([(parent, name, content)]));
            return new SimulatedFile(this, content, path, writable: true);
        }
    }

    public void MoveFile(string from, string to)
    {
        Begin(DiskOperationKind.Move, from, 0, 0);
        lock (Gate)
        {
            var (source, oldName) = Parent("rename", from);
            var (target, newName) = Parent("rename", to);
            if (!source.Entries.TryGetValue(oldName, out var node))
            {
                throw Failure("rename", from, NoEntry);
            }

            if (node is SimulatedDirectory || target.Entries.GetValueOrDefault(newName) is SimulatedDirectory)
            {
                throw Failure("rename", from, IsADirectory);
            }

            if (source != target || oldName != newName)
            {
                Change(new EntryChange([(source, oldName, null), (target, newName, node)]));
            }
        }
    }

    public void DeleteFile(string path)
    {
        Begin(DiskOperationKind.Delete, path, 0, 0);
        lock (Gate)
        {
            switch (Find(path))
            {
                case SimulatedDirectory:
                    throw Failure("unlink", path, IsADirectory);
                case SimulatedContent:
                    var (parent, name) = Parent("unlink", path);
                    Change(new EntryChange([(parent, name, null)]));
                    break;
            }
        }
    }

    public void FlushDirectory(string directory)
    {
        Begin(DiskOperationKind.FlushDirectory, directory, 0, 0);
        lock (Gate)
        {
            var node = FindDirectory("open", directory);
            if (FailingDirectoryFlush.DoesStrike())
            {
                throw Failure("fsync", directory, FailingFlushError);
            }

            if (!LyingFlush.DoesStrike())
            {
                (var flushed, _unflushedEntries) = EntryChange.SplitForFlush(_unflushedEntries, node);
                flushed.ForEach(change => change.ApplyToFlushed());
            }
        }
    }

    public long FreeBytes(string directory)
    {
        BeginRead(directory);
        lock (Gate)
        {
            FindDirectory("statvfs", directory);
            return Math.Max(0, (CapacityBytes ?? 1L << 50) - UsedBytes(_root));
        }
    }

    public IDisposable LockFile(string path)
    {
        using var file = OpenFile(path, FileOpening.ExistingOrNew);
        SimulatedContent content;
        lock (Gate)
        {
            content = ((SimulatedFile)file).Content;
            if (!_locked.Add(content))
            {
                throw new DirectoryInUseException(path, $" by process {ProcessId}");
            }
        }

        var held = new FileLock(this, content);
        try
        {
            var pid = Encoding.ASCII.GetBytes(ProcessId.ToString(CultureInfo.InvariantCulture) + "\n");
            file.Write(0, pid);
            file.SetLength(pid.Length);
            return held;
        }
        catch
        {
            held.Dispose();
            throw;
        }
    }

    /// <summary>The process that held locks ended, without closing anything.</summary>
    public void ReleaseLocks()
    {
        lock (Gate)
        {
            _locked.Clear();
        }
    }

    /// <summary>
    /// The process ended: its locks are released, and its mappings are no longer kept in step with the files. What it
    /// wrote stays as it is, flushed or not. All faults but those of the disk itself go with it.
    /// </summary>
    public void EndProcess()
    {
        lock (Gate)
        {
            _locked.Clear();
            _crash = null;
            CrashAtOperation = long.MaxValue;
            OnOperation = null;
            ForgetMappings(_root);
        }
    }

    /// <summary>
    /// The disk after a power loss now, with all faults off: what was flushed, and of the rest what chance kept. This
    /// instance stays as it is, so that one moment can be tried with many outcomes.
    /// </summary>
    public SimulatedFileSystem Crash(Random random)
    {
        if (!tracksLosses)
        {
            throw new InvalidOperationException("A simulated disk that tracks no losses cannot lose power; create it with tracksLosses: true.");
        }

        lock (Gate)
        {
            var kept = EntryChange.DrawKept(_unflushedEntries, random);
            return new SimulatedFileSystem { CapacityBytes = CapacityBytes, ProcessId = ProcessId, _root = EntryChange.Survivor(_root, kept, random) };
        }
    }

    /// <summary>Another disk with the same content, all of it flushed.</summary>
    public SimulatedFileSystem Copy()
    {
        lock (Gate)
        {
            return new SimulatedFileSystem(tracksLosses) { CapacityBytes = CapacityBytes, ProcessId = ProcessId, _root = Copy(_root) };
        }
    }

    /// <summary>Whether these bytes would be there after a power loss now, whatever chance did with what is not flushed.</summary>
    public bool IsFlushed(string path, long offset, ReadOnlySpan<byte> bytes)
    {
        lock (Gate)
        {
            return FindFlushed(path) is { } content && content.IsFlushed(offset, bytes);
        }
    }

    /// <summary>What a file holds on the disk without any unflushed change; null if it is not there for certain.</summary>
    public byte[]? ReadFlushed(string path)
    {
        lock (Gate)
        {
            return FindFlushed(path)?.ReadFlushed();
        }
    }

    /// <summary>Paths of all files, in ordinal order within each folder.</summary>
    public IReadOnlyList<string> AllFiles()
    {
        lock (Gate)
        {
            var paths = new List<string>();
            AddPaths(_root, "", paths);
            return paths;
        }
    }

    /// <summary>Damages a byte on the disk and in memory.</summary>
    /// <param name="path">The file.</param>
    /// <param name="offset">The byte, below the file's length.</param>
    /// <param name="bit">0–7; 0 is the lowest.</param>
    public void FlipBit(string path, long offset, int bit)
    {
        lock (Gate)
        {
            (Find(path) as SimulatedContent ?? throw Failure("open", path, NoEntry)).FlipBit(offset, bit);
        }
    }

    internal static DiskException Failure(string operation, string path, int error) =>
        new(operation, path, error, Marshal.GetPInvokeErrorMessage(error));

    internal void Begin(DiskOperationKind kind, string path, long offset, long length)
    {
        BeginRead(path);
        var operation = new DiskOperation(Interlocked.Increment(ref _operations), kind, path, offset, length);
        try
        {
            if (operation.Number >= CrashAtOperation)
            {
                throw new SimulatedCrashException(operation);
            }

            OnOperation?.Invoke(operation);
        }
        catch (SimulatedCrashException crash)
        {
            Interlocked.CompareExchange(ref _crash, crash, null);
            throw;
        }
    }

    // Nothing works any more once the power is out; threads that still run must not get an answer to act on.
    internal void BeginRead(string path)
    {
        if (Volatile.Read(ref _crash) is { } crash)
        {
            throw new SimulatedCrashException(crash.Operation with { Path = path });
        }
    }

    /// <summary>The length up to which this file can grow.</summary>
    internal long RoomFor(SimulatedContent content) =>
        CapacityBytes is { } capacity ? Math.Max(content.Length, content.Length + capacity - UsedBytes(_root)) : long.MaxValue;

    private static long UsedBytes(SimulatedDirectory directory) => directory.Entries.Values.Sum(node =>
        node is SimulatedContent content ? content.Length : UsedBytes((SimulatedDirectory)node));

    private static void ForgetMappings(SimulatedDirectory directory)
    {
        foreach (var node in directory.Entries.Values)
        {
            if (node is SimulatedContent content)
            {
                content.ForgetMappings();
            }
            else
            {
                ForgetMappings((SimulatedDirectory)node);
            }
        }
    }

    private static SimulatedDirectory Copy(SimulatedDirectory directory)
    {
        var copy = new SimulatedDirectory();
        foreach (var (name, node) in directory.Entries)
        {
            SimulatedInode copied = node is SimulatedContent content ? content.Copy() : Copy((SimulatedDirectory)node);
            copy.Entries.Add(name, copied);
            copy.FlushedEntries.Add(name, copied);
        }

        return copy;
    }

    private static void AddPaths(SimulatedDirectory directory, string parent, List<string> paths)
    {
        foreach (var (name, node) in directory.Entries)
        {
            if (node is SimulatedContent)
            {
                paths.Add($"{parent}/{name}");
            }
            else
            {
                AddPaths((SimulatedDirectory)node, $"{parent}/{name}", paths);
            }
        }
    }

    private static string[] Names(string path) => path.Split('/', StringSplitOptions.RemoveEmptyEntries);

    private SimulatedFile? TryOpen(string path, FileOpening opening)
    {
        var (parent, name) = Parent("open", path);
        return parent.Entries.GetValueOrDefault(name) switch
        {
            null => null,
            SimulatedContent when opening == FileOpening.New => throw Failure("open", path, Exists),
            SimulatedContent found => new SimulatedFile(this, found, path, writable: opening != FileOpening.ReadExisting),
            _ => throw Failure("open", path, IsADirectory),
        };
    }

    private void Change(EntryChange change)
    {
        change.Apply();
        if (tracksLosses)
        {
            _unflushedEntries.Add(change);
        }
    }

    private SimulatedInode? Find(string path)
    {
        SimulatedInode? node = _root;
        foreach (var name in Names(path))
        {
            node = (node as SimulatedDirectory)?.Entries.GetValueOrDefault(name);
        }

        return node;
    }

    // The file that stands there whatever a power loss does with the unflushed entries.
    private SimulatedContent? FindFlushed(string path)
    {
        SimulatedInode? node = _root;
        foreach (var name in Names(path))
        {
            if (node is not SimulatedDirectory directory || _unflushedEntries.Exists(change => change.TouchesName(directory, name)))
            {
                return null;
            }

            node = directory.FlushedEntries.GetValueOrDefault(name);
        }

        return node as SimulatedContent;
    }

    private SimulatedDirectory FindDirectory(string operation, string path) => Find(path) switch
    {
        SimulatedDirectory directory => directory,
        null => throw Failure(operation, path, NoEntry),
        _ => throw Failure(operation, path, NotADirectory),
    };

    private (SimulatedDirectory Parent, string Name) Parent(string operation, string path)
    {
        var names = Names(path);
        if (names.Length == 0)
        {
            throw Failure(operation, path, IsADirectory);
        }

        return (FindDirectory(operation, string.Join('/', names[..^1])), names[^1]);
    }

    private sealed class FileLock(SimulatedFileSystem system, SimulatedContent content) : IDisposable
    {
        public void Dispose()
        {
            lock (system.Gate)
            {
                system._locked.Remove(content);
            }
        }
    }
}
