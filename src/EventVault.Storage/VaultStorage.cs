// One vault's data directory: opens and recovers it, and joins its parts.
//
//   meta            who the vault is                                          truth
//   vote            the node's term and vote                                  truth
//   log/*.seg       the events                                                truth
//   index/          everything that finds events                             rebuildable, all of it
//   lock            keeps a second node out
//
// Threads: the sequencer's thread owns Tail and calls Commit; LogWriter's thread owns Log; one background thread calls
// StepBackground; Reader is for everyone.
using EventVault.Storage.Index;
using EventVault.Storage.Io;
using EventVault.Storage.Log;

namespace EventVault.Storage;

/// <summary>The storage of one vault.</summary>
public sealed class VaultStorage : IDisposable
{
    /// <summary>The active segment, one being sealed, one waiting for it; then appends wait too.</summary>
    public const int MaxUnsealedSegments = 3;

    internal const string LogFolder = "log";
    internal const string IndexFolder = "index";
    internal const string LockName = "lock";

    private readonly Lock _viewChange = new();
    private readonly IDisposable _lock;
    private readonly Sealer _sealer;
    private LogView _view;
    private long _head;
    private long _commitIndex;
    private bool _disposed;

    internal VaultStorage(IFileSystem files, string directory, StorageOptions options, VaultMeta meta, VoteFile vote, IDisposable @lock)
    {
        Files = files;
        Directory = directory;
        Options = options;
        Meta = meta;
        Vote = vote;
        _lock = @lock;
        Spares = new SpareSegments(files, LogDirectory, meta.SegmentSizeBytes);
        Spares.Clean();
        Reader = new EventReader(this);
        Streams = new StreamLister(this);
        var opened = StorageOpening.Run(this);
        _view = opened.View;
        Operations = opened.Operations;
        _sealer = opened.Sealer;
        _head = opened.Last.LastPosition.Value;
        _commitIndex = (long)opened.Last.LastIndex.Value;
        var active = _view.Unsealed[^1].Index;
        Tail = new LogTail(this, active, opened.Last);
        Log = new SegmentedLog(files, LogDirectory, meta, opened.ActiveFile, active.Segment, opened.Last);
        CutBytes = opened.Last.CutBytes;
    }

    /// <summary>UUID of the vault.</summary>
    public Guid VaultId => Meta.VaultId;

    /// <summary>Whether this disk joined a vault that was there; false: the vault began on it.</summary>
    public bool IsJoined => Meta.IsJoined;

    /// <summary>The node's term and vote.</summary>
    public VoteFile Vote { get; }

    /// <summary>Counts the starts of this data directory.</summary>
    public uint StartNumber => Meta.StartNumber;

    /// <summary>Size of a segment file.</summary>
    public uint SegmentSizeBytes => Meta.SegmentSizeBytes;

    /// <summary>What it was opened with.</summary>
    public StorageOptions Options { get; }

    /// <summary>The sequencer's side. Its thread only.</summary>
    public LogTail Tail { get; }

    /// <summary>The writer's side. Its thread only.</summary>
    public SegmentedLog Log { get; }

    /// <summary>The readers' side.</summary>
    public EventReader Reader { get; }

    /// <summary>Lists streams by name.</summary>
    public StreamLister Streams { get; }

    /// <summary>Torn bytes that recovery cut off the log's end; 0 after a clean stop.</summary>
    public uint CutBytes { get; }

    /// <summary>Position of the last committed event.</summary>
    public Position Head => new(Volatile.Read(ref _head));

    /// <summary>Index of the last committed group.</summary>
    public LogIndex CommitIndex => new((ulong)Volatile.Read(ref _commitIndex));

    /// <summary>Segments that are sealed, and those that are not.</summary>
    public (int Sealed, int Unsealed) SegmentCounts => (View.Sealed.Length, View.Unsealed.Length);

    /// <summary>Whether the disk is too full to prepare a segment or to seal one; appends go on while there is room.</summary>
    public bool DiskIsFull => Spares.State == SpareState.Full || SealingIsBlocked;

    /// <summary>Largest append that fits, in bytes of the log.</summary>
    public int MaxAppendBytes => Math.Min(Options.Limits.AppendBytes, (int)Meta.SegmentSizeBytes - (2 * Blocks.Size) - GroupHeader.Length - CommitMark.Length);

    /// <summary>Bytes that can still be written to the disk.</summary>
    public long FreeBytes => Files.FreeBytes(Directory);

    internal IFileSystem Files { get; }

    internal string Directory { get; }

    internal VaultMeta Meta { get; }

    internal SpareSegments Spares { get; }

    internal OperationsFiles Operations { get; }

    internal LogView View => Volatile.Read(ref _view);

    internal int UnsealedSegments => View.Unsealed.Length;

    internal bool SealingIsBlocked => _sealer.IsBlocked;

    internal string LogDirectory => Path.Combine(Directory, LogFolder);

    internal string IndexDirectory => Path.Combine(Directory, IndexFolder);

    /// <summary>Opens a data directory, creating the vault if there is none, and recovers its log.</summary>
    /// <param name="files">Where it stands.</param>
    /// <param name="directory">The data directory.</param>
    /// <param name="options">How.</param>
    /// <param name="now">The clock, 100 ns ticks since 1970.</param>
    /// <exception cref="DirectoryInUseException">Another node has it.</exception>
    /// <exception cref="ForeignDirectoryException">It is another node's or another vault's.</exception>
    /// <exception cref="DamageException">Durable bytes are damaged. Nothing was changed.</exception>
    /// <exception cref="DiskException">The disk failed.</exception>
    public static VaultStorage Open(IFileSystem files, string directory, StorageOptions options, long now)
    {
        files.CreateDirectory(directory);
        var @lock = files.LockFile(Path.Combine(directory, LockName));
        try
        {
            var (meta, vote) = StorageOpening.OpenMeta(files, directory, options, now);
            return new VaultStorage(files, directory, options, meta, vote, @lock);
        }
        catch
        {
            @lock.Dispose();
            throw;
        }
    }

    /// <summary>Makes a durable group visible. The sequencer's thread only, group by group.</summary>
    public void Commit(GroupBuffer group)
    {
        var index = group.Target;
        Invariant.Check(index is not null && group.Index.Value == CommitIndex.Value + 1);
        Invariant.Check(group.FirstPosition == Head + 1);
        index.AddGroup(group.Index, group.Time, group.Place.Offset);
        foreach (var (stream, offset) in group.EventPlaces)
        {
            index.AddEvent(stream, group.Place.Offset + (uint)offset);
        }

        Volatile.Write(ref _commitIndex, (long)group.Index.Value);
        Volatile.Write(ref _head, _head + group.Events);
    }

    /// <summary>
    /// Seals what can be sealed and prepares the next segment, one step at a time; false if there was nothing to do.
    /// One background thread.
    /// </summary>
    /// <exception cref="DiskException">A failure other than a full disk: the node must stop.</exception>
    public bool StepBackground() => _sealer.Step() || Spares.Step();

    /// <summary>Closes all files. Everything else has stopped.</summary>
    public void Dispose()
    {
        if (_disposed)
        {
            return;
        }

        _disposed = true;
        Log.Close();
        Spares.Close();
        foreach (var segment in _view.Sealed)
        {
            segment.Close();
        }

        _view.Sealing?.Close();
        foreach (var segment in _view.Unsealed)
        {
            if (segment.Index.Segment != _view.Sealing?.Record.Segment)
            {
                segment.Reader.Close();
            }
        }

        _view.Heads.Dispose();
        Operations.Dispose();
        _sealer.Dispose();
        _lock.Dispose();
    }

    internal void AddUnsealed(UnsealedSegment segment)
    {
        lock (_viewChange)
        {
            Volatile.Write(ref _view, _view with { Unsealed = [.. _view.Unsealed, segment] });
        }
    }

    /// <summary>The oldest unsealed segment has its index file: from now on the heads may lead to it.</summary>
    internal void BeginMove(SealedSegment segment)
    {
        lock (_viewChange)
        {
            Invariant.Check(_view.Sealing is null && _view.Unsealed[0].Index.Segment == segment.Record.Segment);
            Volatile.Write(ref _view, _view with { Sealing = segment });
        }
    }

    /// <summary>Heads, operations and state know the segment: the memory of its index is given back.</summary>
    internal void MoveToSealed(SealedSegment segment)
    {
        lock (_viewChange)
        {
            Invariant.Check(_view.Unsealed.Length > 1 && ReferenceEquals(_view.Sealing, segment));
            Volatile.Write(ref _view, _view with { Sealed = [.. _view.Sealed, segment], Unsealed = _view.Unsealed[1..], Sealing = null });
        }
    }
}
