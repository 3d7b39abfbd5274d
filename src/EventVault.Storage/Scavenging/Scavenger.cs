// Gives the space of hidden events back. The newest event `$scavenge-started` says at which point of the log: what is hidden
// there, and not held, goes from every sealed segment that lies wholly before, oldest first, by a function of segment and
// point (SegmentPlan, SegmentRewrite), so that all nodes come to the same. What is done shows in the segments' headers: a
// restart goes over the segments once more, by their indexes, and goes on with the first one that is not done.
//
// Threads: Step is one background thread's. It shares nothing with sealing but the view, which is replaced under a lock:
// sealing changes the catalog, heads, operations and state, scavenging none of them.
using System.Diagnostics;
using EventVault.Storage.Index;
using EventVault.Storage.Io;
using EventVault.Storage.Log;

namespace EventVault.Storage.Scavenging;

/// <summary>Writes sealed segments anew without what is hidden. One background thread calls <see cref="Step"/>.</summary>
public sealed class Scavenger : IDisposable
{
    /// <summary>Most segments that <see cref="Explain"/> tells of at once.</summary>
    public const int MostExplained = 1000;

    /// <summary>How often collections are asked for at first while replaced files are mapped, and at last.</summary>
    private static readonly TimeSpan CollectOften = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan CollectSeldom = TimeSpan.FromMinutes(5);

    private readonly VaultStorage _storage;
    private readonly List<WeakReference> _retired = []; // What keeps the space of replaced files.
    private TimeSpan _collectEvery = CollectOften;
    private long _collected;
    private ScavengeMark _mark = ScavengeMark.None;
    private ScavengeRules? _rules;
    private SegmentRewrite? _rewrite;
    private int _next; // The first sealed segment that was not looked at.
    private (int Count, string? First) _skipped; // Damaged segments: only a restart, or another scavenge, looks again.
    private bool _isStuck; // The stream `$streams` can't be read: likewise.
    private Status _status = new(0, IsDone: false, Why: null, default);

    internal Scavenger(VaultStorage storage) => _storage = storage;

    /// <summary>How far it is. For every thread.</summary>
    public ScavengeProgress Progress
    {
        get
        {
            var mark = _storage.Lives.Scavenge;
            var status = Volatile.Read(ref _status);
            var view = _storage.View;
            var freed = 0L;
            var (total, rewritten) = (0, 0);
            foreach (var segment in view.Sealed)
            {
                freed += _storage.SegmentSizeBytes - segment.FileLength;
                total += IsBefore(segment, mark.Point) ? 1 : 0;
                rewritten += segment.Scavenged is { } header && header.Point == mark.Point ? 1 : 0;
            }

            total += mark.Exists ? NotSealed(view, mark.Point) : 0;
            var isOf = status.Point == mark.Point;
            var state = !mark.Exists ? ScavengeState.Never
                : mark is { IsStopped: true, IsByHold: false } ? ScavengeState.Stopped // Also one that was done: none starts by itself.
                : isOf && status.IsDone ? ScavengeState.Done
                : mark.IsStopped ? ScavengeState.Stopped
                : isOf && status.Why is not null ? ScavengeState.Waiting : ScavengeState.Running;
            var looked = !isOf ? 0 : state == ScavengeState.Done ? total : Math.Min(status.Looked, total);
            var skipped = isOf ? status.Skipped : default;
            var isByHold = state == ScavengeState.Stopped && mark.IsByHold;
            string?[] why =
            [
                state == ScavengeState.Waiting ? status.Why : isByHold ? "a legal hold was set since it began: start another one, which keeps what is held" : null,
                skipped.Count > 0 ? $"{skipped.Count} damaged segments were passed over, the first because {skipped.First}" : null,
            ];
            var told = string.Join("; ", why.Where(w => w is not null));
            return new ScavengeProgress(
                state, mark.Point, mark.StartedAt, Math.Max(looked - skipped.Count, 0), total, rewritten, freed, told.Length > 0 ? told : null)
            {
                IsStoppedByHold = isByHold,
            };
        }
    }

    /// <summary>Collections that it asked for; for tests.</summary>
    internal int CollectionsAsked { get; private set; }

    /// <summary>Asks for collections at each step, for tests.</summary>
    internal void CollectAtOnce() => _collectEvery = TimeSpan.Zero;

    /// <summary>
    /// What a scavenge that started now would go by: as long as it is equal, one would find what it found before. Null: nothing was
    /// ever hidden, and one would find nothing. For every thread; costs nothing.
    /// </summary>
    public ScavengeBasis? Basis => _storage.Lives.IsEmpty ? null : new ScavengeBasis(_storage.Lives.LastChange, _storage.View.Sealed.Length, _storage.Retention);

    /// <summary>
    /// Does a bounded piece of work: reads or writes some 1 MiB (an index or key file is written at once). The caller sleeps in
    /// between as it sees fit. One background thread, which need not be the one that seals.
    /// </summary>
    /// <param name="heldByAll">
    /// Only segments whose groups every member of the vault has, up to this index, are touched: the groups of a scavenged
    /// segment can't be sent any more. <see cref="VaultStorage.CommitIndex"/> in a vault of one node.
    /// </param>
    /// <returns>False: there is nothing to do now. It is done or stopped, never began, or waits.</returns>
    /// <exception cref="DiskException">A failure other than a full disk: the node must stop.</exception>
    public bool Step(LogIndex heldByAll)
    {
        AskForCollection();
        var mark = _storage.Lives.Scavenge;
        if (mark != _mark)
        {
            Abandon();
            if (mark.Point != _mark.Point)
            {
                (_rules, _next, _isStuck, _skipped) = (null, 0, false, default);
                Tell(mark, isDone: false, why: null);
            }

            _mark = mark;
        }

        if (!mark.Exists || mark.IsStopped || _isStuck || Volatile.Read(ref _status) is { IsDone: true })
        {
            return false;
        }

        try
        {
            _rules ??= new ScavengeRules(_storage, mark.Point);
            if (!_rules.IsComplete)
            {
                _rules.ReadPiece();
                return true;
            }

            if (_rewrite is null)
            {
                return TakeNext(heldByAll);
            }

            lock (_storage.RoomLock)
            {
                return GoOn();
            }
        }
        catch (DiskException e) when (e.IsFull && _rewrite?.IsOwn(e.Path) != false)
        {
            Abandon();
            return Wait($"the disk was full when segment {_next} was written anew");
        }
        catch (Exception e) when (e is DamageException or IndexDamageException)
        {
            // Reads go on, and tell of it when they come there; nothing was changed. Whatever is read again would be damaged again.
            Abandon();
            if (_rules is not { IsComplete: true })
            {
                _isStuck = true;
                return Wait(e.Message);
            }

            _skipped = (_skipped.Count + 1, _skipped.First ?? e.Message);
            return Advance();
        }
        catch
        {
            Abandon(); // One that has thrown must not pass for one that ended.
            throw;
        }
    }

    /// <summary>
    /// What a scavenge that started now would do. For every thread. Looks at whole indexes, some milliseconds for each segment:
    /// not for a thread that others wait for.
    /// </summary>
    /// <param name="from">First segment.</param>
    /// <param name="max">At most so many, 1 to <see cref="MostExplained"/>.</param>
    /// <param name="cancellation">Looked at before each segment.</param>
    /// <param name="next">Where the next page begins; null: there are no more.</param>
    /// <exception cref="OperationCanceledException">It was cancelled.</exception>
    public IReadOnlyList<SegmentExplanation> Explain(uint from, int max, CancellationToken cancellation, out uint? next)
    {
        Invariant.Check(max is > 0 and <= MostExplained);
        var explanation = new ScavengeExplanation(_storage);
        var page = new List<SegmentExplanation>();
        var count = explanation.SegmentCount;
        for (var segment = from; segment < count && page.Count < max; segment++)
        {
            cancellation.ThrowIfCancellationRequested();
            page.Add(explanation.Of(segment));
        }

        var end = from + (uint)page.Count;
        next = end < count && page.Count > 0 ? end : null;
        return page;
    }

    /// <summary>Lets go of what is under way; it begins anew after the next start. Storage calls it, when nobody steps any more.</summary>
    void IDisposable.Dispose() => Abandon();

    /// <summary>Whether all of a segment lies before a point of the log.</summary>
    internal static bool IsBefore(SealedSegment segment, Position point) => segment.Record.LastPosition < point;

    private bool TakeNext(LogIndex heldByAll)
    {
        var view = _storage.View;
        if (_next >= view.Sealed.Length || !IsBefore(view.Sealed[_next], _mark.Point))
        {
            var unsealed = NotSealed(view, _mark.Point);
            if (unsealed > 0)
            {
                return Wait($"{unsealed} segments before its point are not sealed yet");
            }

            _rules = null;
            Tell(_mark, isDone: true, why: null);
            return false;
        }

        var segment = view.Sealed[_next];
        if (segment.Record.LastLogIndex > heldByAll)
        {
            return Wait($"not all nodes have the groups of segment {_next}, and behind them they could not get them any more");
        }

        if (segment.Scavenged is { } header && header.Point >= _mark.Point)
        {
            return Advance();
        }

        if (segment.Record.EventCount == 0 || Plan(segment) is not { Why: null } plan)
        {
            return Advance();
        }

        if (NoRoom(SegmentRewrite.NeededBytes(plan)) is { } why)
        {
            return Wait(why);
        }

        _rewrite = new SegmentRewrite(_storage, plan, _mark.Point, Footer(segment), Header(segment));
        Tell(_mark, isDone: false, why: null);
        return true;
    }

    private bool GoOn()
    {
        // Others may have taken the room meanwhile. Once all is written, the switch gives room back.
        if (_rewrite!.RemainingBytes is > 0 and var remaining && NoRoom(remaining) is { } why)
        {
            Abandon();
            return Wait(why);
        }

        if (_rewrite.Step())
        {
            return true;
        }

        if (_rewrite.Replaced is { } replaced)
        {
            _retired.AddRange(replaced.Mappings());
            _collectEvery = _collectEvery > CollectOften ? CollectOften : _collectEvery;
        }

        Abandon();
        return Advance();
    }

    // What is left to others, so that it is not the scavenge which makes the disk full. On one that is full nothing is left: no
    // segment can begin there, and what helps is this.
    private string? NoRoom(long needed)
    {
        var free = _storage.FreeBytes;
        var reserved = _storage.DiskIsFull ? 0 : _storage.ReservedBytes;
        return free >= needed + reserved ? null
            : $"the disk has {free} bytes left, and segment {_next} needs {needed} until its old files go, beside {reserved} that the node keeps for itself";
    }

    // Replaced files' space comes back when nothing leads to their mappings any more, which only a collection finds out: asked
    // for until it has found all of them, less and less often while a reader holds one. It runs beside all else.
    private void AskForCollection()
    {
        if (_retired.Count == 0 || Stopwatch.GetElapsedTime(_collected) < _collectEvery)
        {
            return;
        }

        _retired.RemoveAll(mapping => !mapping.IsAlive);
        if (_retired.Count > 0)
        {
            GC.Collect(GC.MaxGeneration, GCCollectionMode.Forced, blocking: false);
            CollectionsAsked++;
            _collected = Stopwatch.GetTimestamp();
            _collectEvery = _collectEvery * 2 < CollectSeldom ? _collectEvery * 2 : CollectSeldom;
        }
    }

    private SegmentPlan Plan(SealedSegment segment) => SegmentPlan.Make(segment, _rules!, Footer(segment).Appends, _rules!.Floor);

    private SegmentFooter Footer(SealedSegment segment) => Sealer.ReadFooter(_storage, segment.Record.Segment)
        ?? throw new DamageException(SegmentHeader.FileName(segment.Record.Segment), segment.FileLength - Blocks.Size, "the segment's footer should stand here.", LogRecovery.NextStep);

    private SegmentHeader Header(SealedSegment segment)
    {
        using var file = _storage.Files.OpenFile(Sealer.LogPath(_storage, segment.Record.Segment), FileOpening.ReadExisting);
        return SegmentScanner.Open(file, segment.Record.Segment, _storage.Meta).Header;
    }

    private bool Advance()
    {
        _next++;
        Tell(_mark, isDone: false, why: null);
        return true;
    }

    private bool Wait(string why)
    {
        Tell(_mark, isDone: false, why);
        return false;
    }

    private void Abandon()
    {
        var rewrite = _rewrite;
        _rewrite = null;
        rewrite?.Dispose();
    }

    private void Tell(ScavengeMark mark, bool isDone, string? why) =>
        Volatile.Write(ref _status, new Status(_next, isDone, why, _skipped) { Point = mark.Point });

    // Full segments that wait to be sealed: those behind which another one begins before the point.
    private static int NotSealed(LogView view, Position point)
    {
        var count = 0;
        for (var i = 0; i + 1 < view.Unsealed.Length; i++)
        {
            count += view.Unsealed[i + 1].FirstPosition <= point ? 1 : 0;
        }

        return count;
    }

    private sealed record Status(int Looked, bool IsDone, string? Why, (int Count, string? First) Skipped)
    {
        public Position Point { get; init; } = Position.None;
    }
}
