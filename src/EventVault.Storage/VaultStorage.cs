// One vault's data directory: opens and recovers it, and joins its parts.
//
//   meta            who the vault is                                          truth
//   vote            the node's term and vote                                  truth
//   log/*.seg       the events; scavenged segments under the same names       truth
//   index/          everything that finds events                             rebuildable, all of it
//   ship/           segments that come from other nodes, until a start installs them
//   damaged/        what was moved aside when a damaged disk began anew
//   lock            keeps a second node out
//
// Threads: the sequencer's thread owns Tail and what is pending, calls Commit and reads groups; LogWriter's thread owns Log;
// one background thread calls StepBackground; another one may call Scavenger.Step; Reader is for everyone.
using EventVault.Storage.Backups;
using EventVault.Storage.Index;
using EventVault.Storage.Io;
using EventVault.Storage.Log;
using EventVault.Storage.Scavenging;
using EventVault.Storage.Shipping;

namespace EventVault.Storage;

/// <summary>The storage of one vault.</summary>
public sealed class VaultStorage : IDisposable
{
    /// <summary>The active segment, one being sealed, one waiting for it; then appends wait too.</summary>
    public const int MaxUnsealedSegments = 3;

    /// <summary>Unsealed segments beyond that: for system groups, and for what a leader made of its own.</summary>
    internal const int ReservedSegments = 1;

    internal const string LogFolder = "log";
    internal const string IndexFolder = "index";
    internal const string LockName = "lock";

    private readonly Lock _viewChange = new();
    private readonly IDisposable _lock;
    private readonly Sealer _sealer;
    private readonly GroupReader _groups;
    private LogView _view;
    private long _head;
    private long _promisedBytes;
    private long _commitIndex;
    private long _closedTime;
    private bool _disposed;

    internal VaultStorage(IFileSystem files, string directory, StorageOptions options, VaultMeta meta, VoteFile vote, ShipReport shipped, IDisposable @lock)
    {
        Files = files;
        Directory = directory;
        Options = options;
        Meta = meta;
        Vote = vote;
        Shipped = shipped;
        _lock = @lock;
        Spares = new SpareSegments(files, LogDirectory, meta.SegmentSizeBytes);
        Spares.Clean();
        Reader = new EventReader(this);
        Streams = new StreamLister(this);
        Scavenger = new Scavenger(this);
        RetiredIndexes = new RetiredIndexes(ViewLeases);
        Source = new ShipSource(this);
        Backups = new BackupSource(this);
        var opened = StorageOpening.Run(this);
        _view = opened.View;
        Operations = opened.Operations;
        Lives = opened.Lives;
        _sealer = opened.Sealer;
        Pending = opened.Log.Pending;
        CommittedEnd = opened.Log.Committed;
        _head = CommittedEnd.Position.Value;
        WholeFrom = Canary.Is(Canary.ShownBeforeWhole) ? Position.None : HighestScavenge(_view);
        _commitIndex = (long)CommittedEnd.Index.Value;
        _closedTime = CommittedEnd.Time;
        Raft = opened.Log.Raft();
        _groups = new GroupReader(this);
        Tail = new LogTail(this, _view.Unsealed[^1].OwnIndex, opened.Log.End);
        Log = new SegmentedLog(files, directory, opened.Meta, opened.ActiveFile, opened.Log.End, opened.IsMarked);
        CutBytes = opened.CutBytes;
        StoppedInOrder = opened.StoppedInOrder;
        HadSavedIndex = opened.HadSavedIndex;
    }

    /// <summary>UUID of the vault.</summary>
    public Guid VaultId => Meta.VaultId;

    /// <summary>The node's number in its vault.</summary>
    public uint NodeId => Meta.NodeId;

    /// <summary>Of this disk.</summary>
    public Guid Incarnation => Meta.Incarnation;

    /// <summary>What another node needs to join the vault.</summary>
    public VaultIdentity Identity => Meta.Identity;

    /// <summary>What the log said about consensus when it was opened.</summary>
    public StoredRaft Raft { get; }

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

    /// <summary>Gives the space of hidden events back.</summary>
    public Scavenger Scavenger { get; }

    /// <summary>Its segments, for other nodes.</summary>
    public ShipSource Source { get; }

    /// <summary>All of its log that is committed, for backups.</summary>
    public BackupSource Backups { get; }

    /// <summary>Not null: this start found the log's end damaged, and the disk is another incarnation from now on.</summary>
    public Reincarnation? Reincarnated { get; private init; }

    /// <summary>What this start did with segments that came from other nodes.</summary>
    public ShipReport Shipped { get; }

    /// <summary>Torn bytes that recovery cut off the log's end; 0 after a clean stop.</summary>
    public uint CutBytes { get; }

    /// <summary>Whether the run before ended in order, and said where its log ends: then nothing was looked for behind that.</summary>
    public bool StoppedInOrder { get; }

    /// <summary>Whether it left the index of the unsealed segment, too: then that was not walked.</summary>
    public bool HadSavedIndex { get; }

    /// <summary>Position of the last committed event.</summary>
    public Position Head => new(Volatile.Read(ref _head));

    /// <summary>
    /// From this head on what can be read is a state that the vault was in. Before, events may be missing that are hidden by changes which are not committed here yet:
    /// segments were scavenged at a later point, and came from other nodes, or the log does not prove after a start how far it was
    /// committed. Nothing should be shown until <see cref="Head"/> is there. <see cref="Position.None"/>: nothing was scavenged. For every thread.
    /// </summary>
    public Position WholeFrom { get; }

    /// <summary>Whether the head is as far as <see cref="WholeFrom"/>. For every thread.</summary>
    public bool IsWhole => Head >= WholeFrom;

    /// <summary>
    /// When the last committed group was recorded, system groups included, 100 ns ticks since 1970; 0 if there is none. Nothing will ever
    /// be recorded at or before it. For every thread.
    /// </summary>
    public long ClosedTime => Volatile.Read(ref _closedTime);

    /// <summary>
    /// Index of the last committed group. At opening: as far as the log proves it, by what is sealed and by the commit index
    /// that leaders noted in their groups; what stands behind it is durable, and pending until it is committed.
    /// </summary>
    public LogIndex CommitIndex => new((ulong)Volatile.Read(ref _commitIndex));

    /// <summary>
    /// The first group that can be read, and so be sent: those in scavenged segments, and before, can't. For every thread.
    /// </summary>
    public LogIndex FirstGroup
    {
        get
        {
            var view = View;
            for (var i = view.Sealed.Length - 1; i >= 0; i--)
            {
                if (view.Sealed[i].Scavenged is not null)
                {
                    return new LogIndex(view.Sealed[i].Record.LastLogIndex.Value + 1);
                }
            }

            return new LogIndex(1);
        }
    }

    /// <summary>Segments that are sealed, and those that are not.</summary>
    public (int Sealed, int Unsealed) SegmentCounts => (View.Sealed.Length, View.Unsealed.Length);

    /// <summary>Whether the next segment is prepared. For every thread.</summary>
    public bool HasSpareSegment => Spares.State == SpareState.Ready;

    /// <summary>Whether the disk is too full to prepare a segment or to seal one; appends go on while there is room.</summary>
    public bool DiskIsFull => Spares.State == SpareState.Full || SealingIsBlocked;

    /// <summary>Whether a seal waits for room, perhaps half done. For every thread.</summary>
    public bool SealingIsBlocked => _sealer.IsBlocked;

    /// <summary>
    /// Operation ids of appends at or before this position are no longer kept; <see cref="Position.None"/>: all are.
    /// </summary>
    public Position OperationFloor => _sealer.Floor.Position > Lives.Scavenge.Floor ? _sealer.Floor.Position : Lives.Scavenge.Floor;

    /// <summary>Largest append that fits, in bytes of the log.</summary>
    public int MaxAppendBytes => Math.Min(Options.Limits.AppendBytes, (int)Meta.SegmentSizeBytes - (2 * Blocks.Size) - GroupHeader.Length - CommitMark.Length);

    /// <summary>Bytes that can still be written to the disk, beside what is promised.</summary>
    public long FreeBytes => Files.FreeBytes(Directory) - PromisedBytes;

    /// <summary>
    /// Whether so many bytes may be written that nobody needs: a segment beyond what sealing, scavenging and the node's own files need is left,
    /// so that none of them ever finds that room taken behind a look at it. For every thread.
    /// </summary>
    public bool CanSpare(long bytes) => FreeBytes - bytes >= ReservedBytes + SegmentSizeBytes;

    /// <summary>
    /// What a file that is being written without <see cref="RoomLock"/> takes in the end. Bytes. Set by the thread that repairs key
    /// files, to more than 0 with the lock held.
    /// </summary>
    internal long PromisedBytes
    {
        get => Volatile.Read(ref _promisedBytes);
        set => Volatile.Write(ref _promisedBytes, value);
    }

    /// <summary>
    /// Held from a look at the free bytes until what was found there is used: by sealing for a segment, by scavenging for a piece of
    /// work. So neither takes what the other one has counted on.
    /// </summary>
    internal Lock RoomLock { get; } = new();

    /// <summary>
    /// What whoever writes something that can wait leaves free while appends go on: what is kept for the node's own files, and what sealing the next
    /// segment takes, which must not find the disk full behind the point at which it looked. Bytes. For every thread.
    /// </summary>
    internal long ReservedBytes
    {
        get
        {
            var last = View.Sealed is [.., var newest] ? Sealer.UsualRoom(newest.Record) : 0;
            return SpareSegments.Reserve(SegmentSizeBytes) + Math.Max(_sealer.Room, last);
        }
    }

    /// <summary>The retention rules that are committed now, so at least those that any head covers that was read before. They never change: ask again.</summary>
    public RetentionRules Retention => Lives.Retention.Committed;

    internal IFileSystem Files { get; }

    internal string Directory { get; }

    internal VaultMeta Meta { get; }

    internal SpareSegments Spares { get; }

    internal OperationsFiles Operations { get; }

    /// <summary>Which streams were deleted or truncated.</summary>
    internal StreamLives Lives { get; }

    /// <summary>Groups behind the commit index. The sequencer's thread only, as is <see cref="CommittedEnd"/>.</summary>
    internal PendingGroups Pending { get; }

    /// <summary>Where the log ends as far as it is committed.</summary>
    internal LogEnd CommittedEnd { get; private set; }

    /// <summary>The newest view. Whoever looks into the index of an unsealed segment needs <see cref="LeaseView"/>.</summary>
    internal LogView View => Volatile.Read(ref _view);

    /// <summary>Indexes of sealed segments, whose memory serves other ones.</summary>
    internal RetiredIndexes RetiredIndexes { get; }

    internal ViewLeases ViewLeases { get; } = new();

    /// <summary>The newest view, and until it is disposed of all that it and newer ones lead to. Behind the head. For every thread.</summary>
    internal ViewLease LeaseView() => new(this);

    internal int UnsealedSegments => View.Unsealed.Length;


    internal string LogDirectory => Path.Combine(Directory, LogFolder);

    internal string IndexDirectory => Path.Combine(Directory, IndexFolder);

    /// <summary>Opens a data directory, creating the vault if there is none, and recovers its log.</summary>
    /// <param name="files">Where it stands.</param>
    /// <param name="directory">The data directory.</param>
    /// <param name="options">How.</param>
    /// <param name="now">The clock, 100 ns ticks since 1970.</param>
    /// <exception cref="DirectoryInUseException">Another node has it.</exception>
    /// <exception cref="ForeignDirectoryException">It is another node's or another vault's, or a backup.</exception>
    /// <exception cref="DamageException">Durable bytes are damaged. Nothing was changed.</exception>
    /// <exception cref="DiskException">The disk failed.</exception>
    /// <exception cref="OperationCanceledException">It was ended by <see cref="StorageOptions.Watch"/>; the next opening goes on.</exception>
    public static VaultStorage Open(IFileSystem files, string directory, StorageOptions options, long now)
    {
        files.CreateDirectory(directory);
        var @lock = files.LockFile(Path.Combine(directory, LockName));
        try
        {
            Reincarnation? reincarnated = null;
            while (true)
            {
                var (meta, vote) = MetaOpening.Open(files, directory, options, now);
                (meta, var shipped) = ShipInstall.Run(files, directory, meta, vote, options.Watch);
                try
                {
                    return new VaultStorage(files, directory, options, meta, vote, shipped, @lock) { Reincarnated = reincarnated };
                }
                catch (DamageException e) when (reincarnated is null && options.Reincarnate is not null)
                {
                    // Once: what is damaged behind that is something else.
                    reincarnated = Reincarnation.TryBegin(files, directory, meta, vote, e, options);
                    if (reincarnated is null)
                    {
                        throw;
                    }
                }
            }
        }
        catch
        {
            @lock.Dispose();
            throw;
        }
    }

    /// <summary>
    /// Makes an empty data directory a vault's, or a vault of its own, without opening it, and says whose it is; for one that is there it only
    /// says so. Both durable.
    /// </summary>
    /// <param name="files">Where it stands.</param>
    /// <param name="directory">The data directory.</param>
    /// <param name="options">As it will be opened with.</param>
    /// <param name="now">The clock, 100 ns ticks since 1970.</param>
    /// <exception cref="DirectoryInUseException">Another node has it.</exception>
    /// <exception cref="ForeignDirectoryException">It is another node's or another vault's, or a backup.</exception>
    /// <exception cref="DamageException">Durable bytes are damaged. Nothing was changed.</exception>
    /// <exception cref="DiskException">The disk failed.</exception>
    public static (Guid VaultId, Guid Incarnation) Found(IFileSystem files, string directory, StorageOptions options, long now)
    {
        files.CreateDirectory(directory);
        using var @lock = files.LockFile(Path.Combine(directory, LockName));
        var (meta, _) = MetaOpening.Open(files, directory, options, now);
        return (meta.VaultId, meta.Incarnation);
    }

    /// <summary>The node's number in a data directory; null: no vault was made in it, nor was one damaged.</summary>
    /// <exception cref="DamageException">There is a log, and nothing says whose.</exception>
    /// <exception cref="ForeignDirectoryException">It is a backup.</exception>
    /// <exception cref="DiskException">It can't be read.</exception>
    public static uint? NodeIdOf(IFileSystem files, string directory)
    {
        var meta = MetaOpening.Read(files, directory);
        if (meta is null)
        {
            MetaOpening.RequireNoBackup(files, directory);
        }

        return meta?.NodeId;
    }

    private static Position HighestScavenge(LogView view)
    {
        var highest = Position.None;
        foreach (var segment in view.Sealed)
        {
            highest = segment.Scavenged is { } header && header.Point > highest ? header.Point : highest;
        }

        return highest;
    }

    /// <summary>Makes pending groups visible, up to this one, which is durable here. The sequencer's thread only.</summary>
    public void Commit(LogIndex upTo)
    {
        Invariant.Check(upTo <= Tail.LastIndex, "Only what stands in the log can be committed.");
        while (CommittedEnd.Index < upTo)
        {
            var group = Pending.TakeFirst();
            Invariant.Check(group.Index.Value == CommitIndex.Value + 1 && group.FirstPosition == Head + 1);
            group.AddToIndex();
            Lives.Commit(group);
            CommittedEnd = group.End;
            Volatile.Write(ref _commitIndex, (long)group.Index.Value);
            Volatile.Write(ref _head, _head + group.Events);

            // Behind the head: whoever sees that a time is closed sees all that was recorded up to it.
            Invariant.Check(CommittedEnd.Time > _closedTime, "Times rise along the log.");
            Volatile.Write(ref _closedTime, CommittedEnd.Time);
        }
    }

    /// <summary>
    /// Whether a committed event can be read: its stream was neither deleted behind it nor truncated past it. By all that is
    /// committed now, so at least by all that any head covers that was read before. For every thread.
    /// </summary>
    internal bool IsVisible(in EventView e) => Lives.IsVisible(e);

    /// <summary>Checks a group that came from a peer, header and body, but not whether it fits this log. For every thread.</summary>
    /// <param name="bytes">All of the group.</param>
    /// <param name="group">What it is.</param>
    /// <returns>False: the bytes are not a group of this vault, or damaged.</returns>
    /// <exception cref="UnsupportedFormatException">It is of a kind that this version does not know.</exception>
    public bool TryInspect(ReadOnlySpan<byte> bytes, out StoredGroup group)
    {
        group = default;
        if (!GroupHeader.TryDecodeShared(bytes, Meta.ChecksumSeed, out var header, out _) || header.TotalLength != bytes.Length
            || header.LeaderCommit >= header.Index)
        {
            return false;
        }

        var body = bytes[GroupHeader.Length..];
        if (Checksum.Compute(body, Meta.ChecksumSeed) != header.BodyChecksum && !Canary.Is(Canary.GroupChecksumSkipped))
        {
            return false;
        }

        if (!header.IsSystem)
        {
            group = StoredGroup.Of(header, GroupKind.Appends, []);
            return true;
        }

        var intact = SystemRecord.TryDecode(body, Meta.ChecksumSeed, out var kind, out var content);
        group = intact ? StoredGroup.Of(header, kind, content) : default;
        return intact;
    }

    /// <summary>
    /// Adds the groups from <paramref name="from"/> on, pending ones included, no further than <paramref name="until"/>, as
    /// long as both bounds hold; the first one always. The sequencer's thread only.
    /// </summary>
    /// <param name="from">Index of the first group; it stands in the log.</param>
    /// <param name="until">Index of the last group wanted.</param>
    /// <param name="most">Most groups.</param>
    /// <param name="mostBytes">Most bytes of groups, all together.</param>
    /// <param name="into">Where they are added.</param>
    /// <exception cref="DamageException">Bytes on the way are damaged.</exception>
    /// <exception cref="ScavengedGroupException">They begin before <see cref="FirstGroup"/>.</exception>
    public void ReadGroups(LogIndex from, LogIndex until, int most, long mostBytes, List<StoredGroup> into) =>
        _groups.Read(from, until, most, mostBytes, into);

    /// <summary>
    /// The whole bytes of a group that stands in the log, pending or not, as they are on every node: the node's own part of
    /// the header is zero. The sequencer's thread only.
    /// </summary>
    /// <exception cref="DamageException">They are damaged.</exception>
    public byte[] ReadGroup(LogIndex index) => _groups.Read(index);

    /// <summary>
    /// Seals what can be sealed, prepares the next segment, and when nobody can wait for either goes on with the filter over the operations files,
    /// one step at a time; false if there was nothing to do.
    /// One background thread.
    /// </summary>
    /// <exception cref="DiskException">A failure other than a full disk: the node must stop.</exception>
    public bool StepBackground()
    {
        RetiredIndexes.LetGo();
        return _sealer.Step() || Spares.Step() || _sealer.StepFilter();
    }

    /// <summary>
    /// The last call before the files are closed, when all threads that write have ended and nothing failed: marks the log's end, and notes for the next
    /// start where it is and what it would find in the unsealed segment.
    /// </summary>
    /// <exception cref="DiskException">The disk failed.</exception>
    public void Stop()
    {
        if (Log.Stop() is not { } stop)
        {
            return;
        }

        // Segments that wait for their sealing, and groups for their commit, are rare at a stop: then the next start walks.
        if (Pending.Count == 0 && View.Unsealed is [var unsealed] && CanSpare(unsealed.OwnIndex.SavedBytes))
        {
            Invariant.Check(CommittedEnd.Place == stop.End && CommittedEnd.Index == stop.Index && CommittedEnd.Checksum == stop.LastGroup);
            UnlessFull(() => ActiveIndexFile.Save(Files, Directory, Meta, CommittedEnd, unsealed.OwnIndex));
        }

        UnlessFull(() => stop.Save(Files, Directory, Meta));

        // Without either the next start takes longer.
        static void UnlessFull(Action save)
        {
            try
            {
                save();
            }
            catch (DiskException e) when (e.IsFull)
            {
            }
        }
    }

    /// <summary>Closes all files. Everything else has stopped.</summary>
    public void Dispose()
    {
        if (_disposed)
        {
            return;
        }

        _disposed = true;
        ((IDisposable)Scavenger).Dispose();
        Log.Close();
        Spares.Close();
        foreach (var segment in _view.Sealed)
        {
            segment.Close();
        }

        _view.Sealing?.Close();
        foreach (var segment in _view.Unsealed)
        {
            if (segment.Number != _view.Sealing?.Record.Segment)
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

    /// <summary>
    /// Takes pending groups out of the view: segments behind the last kept one go, the others get indexes that hold only
    /// what is committed. Readers with an older view miss nothing: they look no further than the head.
    /// </summary>
    /// <param name="first">Oldest segment with pending groups.</param>
    /// <param name="committed">Where the committed groups end.</param>
    /// <param name="last">Segment that is the last one from now on.</param>
    /// <returns>Its index.</returns>
    internal ActiveIndex TruncateView(uint first, Place committed, uint last)
    {
        // Segments with pending groups are never sealed, so nobody else changes these. Copying takes long: not in the lock.
        var cut = _view.Unsealed.Where(s => s.Number >= first && s.Number <= last).Select(s => new UnsealedSegment(
            s.OwnIndex.CopyCommitted(s.Number == committed.Segment ? committed.Offset : s.Number < committed.Segment ? uint.MaxValue : Blocks.Size), s.Reader)).ToList();
        UnsealedSegment[] before;
        lock (_viewChange)
        {
            before = _view.Unsealed;
            Volatile.Write(ref _view, _view with { Unsealed = [.. before.Where(s => s.Number < first && s.Number <= last), .. cut] });
        }

        foreach (var removed in before.Where(s => s.Number > last))
        {
            removed.Reader.Close();
        }

        var end = View.Unsealed[^1].OwnIndex;
        Invariant.Check(end.Segment == last);
        return end;
    }

    /// <summary>The oldest unsealed segment has its index file: from now on the heads may lead to it.</summary>
    internal void BeginMove(SealedSegment segment)
    {
        lock (_viewChange)
        {
            Invariant.Check(_view.Sealing is null && _view.Unsealed[0].Number == segment.Record.Segment);
            Volatile.Write(ref _view, _view with { Sealing = segment });
        }
    }

    /// <summary>A sealed segment was written anew: readers that come from now on read that; the others go on with the old one.</summary>
    internal void ReplaceSealed(SealedSegment old, SealedSegment scavenged)
    {
        lock (_viewChange)
        {
            var number = (int)old.Record.Segment;
            Invariant.Check(ReferenceEquals(_view.Sealed[number], old) && scavenged.Record == old.Record, "One thread scavenges, and a sealed segment stays what it is.");
            SealedSegment[] sealedNow = [.. _view.Sealed];
            sealedNow[number] = scavenged;
            Volatile.Write(ref _view, _view with { Sealed = sealedNow });
        }

        old.Retire();
    }

    /// <summary>Heads, operations and state know the segment: the memory of its index is given back.</summary>
    internal void MoveToSealed(SealedSegment segment)
    {
        UnsealedSegment done;
        lock (_viewChange)
        {
            Invariant.Check(_view.Unsealed.Length > 1 && ReferenceEquals(_view.Sealing, segment));
            done = _view.Unsealed[0];
            Volatile.Write(ref _view, _view with { Sealed = [.. _view.Sealed, segment], Unsealed = _view.Unsealed[1..], Sealing = null });
        }

        RetiredIndexes.Add(done.OwnIndex);
    }
}
