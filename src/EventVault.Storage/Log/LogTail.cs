// The log's end as the sequencer sees it, groups included that are not durable or not committed yet (pending). Owned by the
// sequencer's thread. On a leader it decides against what an append is checked, which versions, positions and times it
// gets, and where segments end; on a follower it takes groups exactly as the leader made them, and takes them back.
using EventVault.Storage.Index;
using EventVault.Storage.Queries;
using EventVault.Storage.Scavenging;

namespace EventVault.Storage.Log;

/// <summary>What checking an append against the log's tail gave.</summary>
public enum AppendCheck
{
    /// <summary>It may be added.</summary>
    Ok,

    /// <summary>
    /// An expected version, a requirement or a condition does not hold, a stream is tombstoned, or a stream can't be changed as
    /// wanted; the streams' rows, <see cref="AppendCondition.Match"/>, <see cref="StreamChange.Problem"/> and
    /// <see cref="RetentionSetting.IsOverLimit"/> tell which.
    /// </summary>
    Conflict,

    /// <summary>Its operation id is in the log already, or on its way there.</summary>
    Known,

    /// <summary>Its operation id would be forgotten by now, but its very events stand where it expected to write them.</summary>
    Proven,

    /// <summary>Its first attempt is so old that its operation id would be forgotten: nobody can say whether it was written.</summary>
    TooOld,

    /// <summary>
    /// It speaks of a position that does not exist yet (<see cref="AppendContent.Ahead"/>), so it does not rest on what was read.
    /// </summary>
    Ahead,

    /// <summary>
    /// What matched a condition when the caller's thread looked was deleted since. Whether anything else does, the caller has to
    /// find out: to search all of the log, where everybody waits, has no bound.
    /// </summary>
    LookAgain,
}

/// <summary>Whether a group can be begun.</summary>
public enum RoomCheck
{
    /// <summary>There is room.</summary>
    Ok,

    /// <summary>Soon: a segment is being sealed or the next one prepared.</summary>
    Wait,

    /// <summary>The disk is full: appends are refused until space returns.</summary>
    Full,
}

/// <summary>The log's end as the sequencer sees it. One thread only.</summary>
public sealed class LogTail
{
    /// <summary>Room for the no-ops of some 30 starts on a full disk, in bytes.</summary>
    private const int SystemReserveBytes = 4096;

    /// <summary>
    /// Room on a full disk for what gives space back, in bytes: some 300 deletions and truncations, and the start of a scavenge.
    /// Of smaller segments no more than a sixteenth.
    /// </summary>
    private const int FreeingReserveBytes = 64 * 1024;

    /// <summary>Keys, and their numbers, of an append whose slots are read ahead; of larger ones the first would be out of the caches again.</summary>
    private const int MostTouchedKeys = 64;

    private readonly VaultStorage _storage;
    private readonly uint _seed;
    private readonly GroupAdopter _adopter;
    private ActiveIndex _active;
    private LogEnd _end;
    private GroupBuffer? _begun;

    internal LogTail(VaultStorage storage, ActiveIndex active, in LogEnd end)
    {
        Invariant.Check(active.Segment == end.Place.Segment);
        _storage = storage;
        _seed = storage.Meta.ChecksumSeed;
        _adopter = new GroupAdopter(storage.Meta, storage.Lives, (key, _) => LastVersion(key));
        _active = active;
        _end = end;
    }

    /// <summary>The node's Raft term: that of groups made here. Set it before groups of that term are made or truncated for.</summary>
    public Term Term { get; set; } = new(1);

    /// <summary>Position of the last event, pending ones included.</summary>
    public Position Last => _end.Position;

    /// <summary>Index of the last group, pending ones included.</summary>
    public LogIndex LastIndex => _end.Index;

    /// <summary>When the last group was recorded, pending ones included, 100 ns ticks since 1970; 0 if there is none. Later ones come later.</summary>
    public long LastTime => _end.Time;

    /// <summary>Term of the last group, pending ones included; 0 if there is none.</summary>
    public Term LastTerm => _end.Term;

    /// <summary>Encoded length of a system group's body, for <see cref="CheckRoom(int, bool)"/>.</summary>
    /// <param name="contentLength">Bytes of its content.</param>
    public static int SystemLength(int contentLength) => SystemRecord.Length(contentLength);

    /// <summary>
    /// Whether a group that begins with an append can be begun now. On a full disk there is some room for those that change what can be
    /// read, and behind it for those that start a scavenge: without either it would stay full.
    /// </summary>
    public RoomCheck CheckRoom(AppendContent append) => CheckRoom(append.EncodedLength, isSystem: false, ReserveFor(append));

    /// <summary>Whether a group that begins with an append of this length, by a client who wants to write events, can be begun now.</summary>
    /// <param name="encodedLength">Length of the append, or as <see cref="SystemLength"/> says.</param>
    /// <param name="isSystem">
    /// For a system group, which may open one segment more: a new leader commits what earlier terms left only with an entry
    /// of its own, so its no-op must not wait until they are committed and sealed.
    /// </param>
    public RoomCheck CheckRoom(int encodedLength, bool isSystem = false) => CheckRoom(encodedLength, isSystem, ReserveFor(null));

    /// <summary>
    /// Whether a fence can be begun now: a no-op that somebody asked for. It leaves the room that appends have on a full disk, so that it
    /// never makes one fail.
    /// </summary>
    public RoomCheck CheckFenceRoom() => CheckRoom(SystemLength(0), isSystem: false, ReserveFor(null) + FreeingReserve);

    private RoomCheck CheckRoom(int encodedLength, bool isSystem, int reserve)
    {
        var unsealed = _storage.UnsealedSegments;
        if (!isSystem && unsealed > VaultStorage.MaxUnsealedSegments)
        {
            return _storage.SealingIsBlocked ? RoomCheck.Full : RoomCheck.Wait;
        }

        if (FitsSegment(GroupHeader.Length + encodedLength) && (isSystem || (HasRoomForKeys && Leaves(reserve, GroupHeader.Length + encodedLength))))
        {
            return RoomCheck.Ok;
        }

        var most = VaultStorage.MaxUnsealedSegments + (isSystem ? VaultStorage.ReservedSegments : 0);
        return _storage.Spares.State switch
        {
            SpareState.Full => RoomCheck.Full,
            _ when unsealed >= most => _storage.SealingIsBlocked ? RoomCheck.Full : RoomCheck.Wait,
            SpareState.Ready => RoomCheck.Ok,
            _ => RoomCheck.Wait,
        };
    }

    /// <summary>
    /// Whether a received group may open a segment once all behind <paramref name="last"/> is cut off, and so many other
    /// segments were opened: one at a time, as there is one spare.
    /// </summary>
    public bool CanOpenSegment(LogIndex last, int opened)
    {
        var kept = _storage.View.Unsealed.Count(segment => segment.FirstIndex <= last);
        return opened == 0 && _storage.Spares.State == SpareState.Ready && kept < VaultStorage.MaxUnsealedSegments + VaultStorage.ReservedSegments;
    }

    /// <summary>Whether the group that holds an operation is not committed yet.</summary>
    public bool IsPending(OperationPlace place) => place.Place.CompareTo(_storage.CommittedEnd.Place) >= 0;

    /// <summary>Begins a group whose first append has this length. <see cref="CheckRoom(AppendContent)"/> has just said Ok.</summary>
    /// <param name="group">An empty buffer.</param>
    /// <param name="encodedLength">Length of the first append.</param>
    /// <param name="now">The clock, 100 ns ticks since 1970.</param>
    public void Begin(GroupBuffer group, int encodedLength, long now) => Begin(group, GroupKind.Appends, encodedLength, now);

    /// <summary>
    /// Makes a system group, to be closed by <see cref="Finish"/>. <see cref="CheckRoom(int, bool)"/> has just said Ok.
    /// </summary>
    /// <param name="group">An empty buffer.</param>
    /// <param name="kind">NoOp or Membership.</param>
    /// <param name="content">Of a membership: its bytes.</param>
    /// <param name="now">The clock, 100 ns ticks since 1970.</param>
    public void BeginSystem(GroupBuffer group, GroupKind kind, ReadOnlySpan<byte> content, long now)
    {
        var length = SystemLength(content.Length);
        Begin(group, kind, length, now);
        group.Reserve(GroupHeader.Length + length);
        group.Length += SystemRecord.Encode(group.Group[GroupHeader.Length..], kind, content, _seed);
    }

    /// <summary>Whether an append still belongs into the begun group.</summary>
    public bool Fits(GroupBuffer group, AppendContent append) => Fits(group, append.EncodedLength, ReserveFor(append));

    private bool Fits(GroupBuffer group, int encodedLength, int reserve) =>
        group.Length + encodedLength <= VaultLimits.GroupBytes
        && group.Appends < ushort.MaxValue
        && FitsSegment(group.Length + encodedLength)
        && Leaves(reserve, group.Length + encodedLength);

    /// <summary>
    /// Reads where an append's operation id and keys will be looked up. For several appends in a row, before the first of them is checked: the
    /// processor then waits for all of these places together, not for one after the other, which is a third of what sequencing costs.
    /// </summary>
    /// <returns>Of no meaning; to be kept, or the reads would be left out.</returns>
    public uint Touch(AppendContent append)
    {
        var touched = 0u;
        foreach (var unsealed in _storage.View.Unsealed)
        {
            touched ^= (uint)unsealed.OwnIndex.TouchOperation(append.OperationId);
        }

        // The numbers of keys stand between them; they are read like keys, which does no harm.
        return append.Keys.Length > MostTouchedKeys ? touched : touched ^ _active.Keys.Touch(append.Keys);
    }

    /// <summary>
    /// Checks operation id, expected versions, requirements and conditions against the log, pending appends included. What
    /// fails is found out whole, so that it can be told together. Its work is bounded by what came since the caller looked.
    /// </summary>
    /// <param name="append">Gets the actual version of each stream and a match of each failed condition.</param>
    /// <param name="known">With <see cref="AppendCheck.Known"/>: where the operation stands.</param>
    /// <exception cref="DamageException">An event that may match a condition can't be read.</exception>
    public AppendCheck Check(AppendContent append, out OperationPlace known)
    {
        var view = _storage.View;
        if (FindOperation(view, append, out known) && !Canary.Is(Canary.DuplicateNotChecked))
        {
            return AppendCheck.Known;
        }

        // The floor behind the look-ups: it rises before anything is forgotten, so what they may have missed lies under it.
        if (append.AttemptedAfter is { } seen && seen < _storage.OperationFloor)
        {
            return append.Proof is null ? AppendCheck.TooOld : AppendCheck.Proven;
        }

        if (append.IsAhead(LastOfAll))
        {
            return AppendCheck.Ahead;
        }

        var conflict = false;
        var open = false;
        foreach (ref var stream in append.Streams)
        {
            LookUp(view, append, ref stream);
            conflict |= stream.IsTombstoned
                || !(Canary.Is(Canary.OverlayIgnored) ? Holds(stream with { Actual = _storage.Reader.LastVersion(stream.Key, _storage.Head) }) : Holds(stream));
        }

        foreach (ref var required in append.Requires)
        {
            LookUp(view, append, ref required);
            conflict |= !Holds(required);
        }

        foreach (ref var condition in append.Conditions)
        {
            condition.Match = Match(condition, out var isOpen);
            conflict |= condition.Match > Position.None;
            open |= isOpen;
        }

        conflict |= append.Change is { } change && !CheckChange(append, change);
        conflict |= append.Retention is { } setting && !CheckRetention(setting);
        if (append.Scavenge is not null && !conflict && !open)
        {
            append.SetScavengeEvent(_storage.OperationFloor);
        }

        return open ? AppendCheck.LookAgain : conflict ? AppendCheck.Conflict : AppendCheck.Ok;
    }

    /// <summary>
    /// Whether a stream's expectation holds for its <see cref="AppendStream.Actual"/> version and for what of it can be read.
    /// An exact version is compared with the last one even if that can't be read any more: versions go on.
    /// </summary>
    public static bool Holds(in AppendStream stream) => stream.Expected switch
    {
        ExpectedKind.Any => true,
        ExpectedKind.NoStream => !stream.HasEvents,
        ExpectedKind.Exists => stream.HasEvents,
        ExpectedKind.Exact => stream.Actual == stream.ExpectedVersion,
        _ => throw new InvariantException($"Unknown expectation {stream.Expected}."),
    };

    /// <summary>
    /// The newest event behind <paramref name="after"/> that matches a filter, pending ones and those of the begun group
    /// included; <see cref="Position.None"/> if there is none.
    /// </summary>
    /// <exception cref="DamageException">Bytes on the way are damaged.</exception>
    public Position LastMatch(EventFilter filter, Position after) => _storage.Reader.LastMatch(filter, after, LastOfAll, this);

    /// <summary>A pending event, or one of the begun group. Valid until the group is used again.</summary>
    internal EventView ReadPending(Position position)
    {
        var group = _begun is { } begun && begun.FirstPosition <= position ? begun : _storage.Pending.Find(position);
        var i = position.Value - group.FirstPosition.Value;
        Invariant.Check(i >= 0 && i < group.Events);
        Invariant.Check(RecordFormat.TryDecodeEvent(group.Group[group.EventPlaces[(int)i].Offset..], out var view) && view.Position == position);
        return view;
    }

    /// <summary>Adds a checked append to the begun group.</summary>
    /// <returns>Its first position and the time it is recorded at.</returns>
    public (Position First, long RecordedAt) Add(GroupBuffer group, AppendContent append)
    {
        var recordedAt = group.Time + group.Appends;
        var first = group.FirstPosition + group.Events;
        group.Reserve(group.Length + append.EncodedLength);
        var start = group.Length;
        RecordFormat.EncodeAppend(group.Group[start..], append.EncodedLength, append.Digest, append.OperationId, append.IdOfFirstEvent);
        var offset = start + RecordFormat.AppendHeaderBytes(append.IdOfFirstEvent);
        var keys = append.Keys;
        foreach (ref var stream in append.Streams)
        {
            var number = NumberOf(stream);
            var name = append.Name(stream);
            ref var tail = ref _active.Tail(number);
            Invariant.Check(tail == stream.Actual.Value);
            for (var i = 0; i < stream.EventCount; i++)
            {
                var length = RecordFormat.EncodeEvent(
                    group.Group[offset..], group.Appends, name, append.Event(stream.FirstEvent + i),
                    group.FirstPosition + group.Events, new StreamVersion(++tail), recordedAt, _seed);
                var last = 1 + (int)keys[0];
                _active.AddKeys(keys[1..last], (uint)(group.FirstPosition.Value + group.Events - _active.FirstPosition.Value));
                keys = keys[last..];

                if ((append.Change is not null && stream.FirstEvent == 0) || append.Retention is not null)
                {
                    Invariant.Check(RecordFormat.TryDecodeEvent(group.Group.Slice(offset, length), out var view));
                    var isUnderstood = append.Change is not null ? _storage.Lives.Add(group, view, out _) : _storage.Lives.Retention.Add(group, view);
                    Invariant.Check(isUnderstood, "What we write about a stream, we understand.");
                }
                else if (append.Scavenge is not null)
                {
                    Invariant.Check(RecordFormat.TryDecodeEvent(group.Group.Slice(offset, length), out var view));
                    Invariant.Check(ScavengeEvent.TryRead(view, out var mark), "What we write about scavenging, we understand.");
                    group.AddScavenge(mark);
                }

                group.AddEvent(number, offset);
                offset += length;
            }
        }

        Invariant.Check(keys.IsEmpty);
        Invariant.Check(offset == start + append.EncodedLength);
        _active.AddOperation(append.OperationId, group.Place.Offset);
        group.Length = offset;
        group.Appends++;
        return (first, recordedAt);
    }

    /// <summary>Closes the group: header, checksums, and the tail moves behind it. It is pending until it is committed.</summary>
    public void Finish(GroupBuffer group)
    {
        Invariant.Check(!group.IsEmpty && group.Term == Term && Term >= _end.Term);
        var bytes = group.Group[..group.Length];
        var body = bytes[GroupHeader.Length..];
        group.Checksum = new GroupHeader(
            body.Length, Storage.Checksum.Compute(body, _seed), group.Place, Term, group.Index, group.FirstPosition, group.Time,
            _storage.CommitIndex, group.Appends, group.Events, _end.Checksum).EncodeShared(bytes, _seed);
        _end = group.End;
        _begun = null;
        _storage.Pending.Add(group);
    }

    /// <summary>
    /// Takes a group that a leader made, checked by <see cref="VaultStorage.TryInspect"/>, exactly as it is: the segment that
    /// it opens, too. It is the tail then, pending until it is committed, and to be written.
    /// </summary>
    /// <param name="group">An empty buffer.</param>
    /// <param name="bytes">The group; copied.</param>
    /// <exception cref="InvariantException">It follows the tail, and yet contradicts it: the logs of two nodes differ.</exception>
    public ReceiveCheck Receive(GroupBuffer group, ReadOnlySpan<byte> bytes)
    {
        Invariant.Check(group.IsEmpty && group.Spare is null);
        if (!GroupHeader.TryDecodeShared(bytes, _seed, out var header, out var checksum) || header.TotalLength != bytes.Length || !Follows(header, out var opens))
        {
            return ReceiveCheck.Mismatch;
        }

        if (opens && !CanOpenSegment(LastIndex, opened: 0))
        {
            return ReceiveCheck.NoRoom;
        }

        if (opens)
        {
            OpenSegment(group);
        }

        group.Reserve(bytes.Length);
        bytes.CopyTo(group.Group);
        group.Target = _active;
        _adopter.Adopt(group, header, checksum, bytes[GroupHeader.Length..]);
        _end = group.End;
        _storage.Pending.Add(group);
        return ReceiveCheck.Ok;
    }

    /// <summary>
    /// Takes back the pending groups behind <paramref name="last"/>, which a new leader's log does not have. Streams, operations,
    /// positions and segments are as if they had never been; the order does the same to the disk, once the writer gets to it.
    /// </summary>
    /// <param name="last">The last group that stays; committed or pending.</param>
    public TruncateOrder Truncate(LogIndex last)
    {
        var pending = _storage.Pending;
        var committed = _storage.CommittedEnd;
        Invariant.Check(last >= committed.Index, "What is committed is never truncated.");
        Invariant.Check(last < LastIndex, "There must be something to truncate.");
        var kept = last == committed.Index ? committed : pending.Find(last).End;
        var firstSegment = pending[0].Place.Segment;
        var oldEnd = kept.Place.Offset;
        while (pending.Count > 0 && pending[pending.Count - 1] is var dropped && dropped.Index > last)
        {
            Invariant.Check(dropped.Term < Term, "A leader never takes back a group of its own term.");
            oldEnd = dropped.Place.Segment == kept.Place.Segment ? Math.Max(oldEnd, dropped.End.Place.Offset) : oldEnd;
            pending.DropLast();
        }

        _storage.Lives.ForgetPending();
        _active = _storage.TruncateView(firstSegment, committed.Place, kept.Place.Segment);
        _end = kept;
        var view = _storage.View;
        for (var i = 0; i < pending.Count; i++)
        {
            var group = pending[i];
            _adopter.AdoptAgain(group, view.Unsealed[(int)group.Place.Segment - view.Sealed.Length].OwnIndex);
        }

        return new TruncateOrder(kept, oldEnd, Term);
    }

    private void Begin(GroupBuffer group, GroupKind kind, int encodedLength, long now)
    {
        Invariant.Check(group.IsEmpty && group.Spare is null && group.Appends == 0 && group.Events == 0);
        if (!FitsSegment(GroupHeader.Length + encodedLength) || (kind == GroupKind.Appends && !HasRoomForKeys))
        {
            OpenSegment(group);
        }

        group.Target = _active;
        group.Kind = kind;
        group.Term = Term;
        group.Time = Math.Max(now, _end.Time + 1);
        group.Place = _end.Place;
        group.Index = new LogIndex(_end.Index.Value + 1);
        group.FirstPosition = _end.Position + 1;
        group.Length = GroupHeader.Length;
        _begun = group;
    }

    // The group is the first one of a new segment.
    private void OpenSegment(GroupBuffer group)
    {
        Invariant.Check(_end.Place.Offset > Blocks.Size, "A segment without groups is not left behind.");
        group.Spare = _storage.Spares.Take();
        group.NewSegment = _end.Open(_storage.Meta, _active.Segment + 1);
        _active = new ActiveIndex(_active.Segment + 1, group.NewSegment.FirstPosition, group.NewSegment.FirstIndex);
        _storage.RetiredIndexes.GiveTo(_active);
        _adopter.Forget();
        _end = _end with { Place = new Place(_active.Segment, Blocks.Size) };
        _storage.AddUnsealed(new UnsealedSegment(_active, new SegmentReader(_active.Segment, group.Spare.Mapping, _seed)));
    }

    private bool Follows(in GroupHeader header, out bool opens)
    {
        opens = header.Place == new Place(_end.Place.Segment + 1, Blocks.Size) && _end.Place.Offset > Blocks.Size;
        return (opens || header.Place == _end.Place)
            && header.Index.Value == _end.Index.Value + 1
            && header.PreviousGroup == _end.Checksum
            && header.FirstPosition == _end.Position + 1
            && header.Time > _end.Time
            && header.Term >= _end.Term
            && header.Place.Offset + (long)header.TotalLength <= GroupsEnd;
    }

    // Where groups must end: a commit mark and the footer always fit behind them.
    private long GroupsEnd => _storage.Meta.SegmentSizeBytes - Blocks.Size - CommitMark.Length;

    // Without another segment ready appends leave room for no-ops: on a full disk a node could not even start without one.
    private bool Leaves(int reserve, int groupLength) =>
        _storage.Spares.State == SpareState.Ready || _end.Place.Offset + (long)groupLength + reserve <= GroupsEnd;

    // Deletions and truncations give nothing back without a scavenge, so they leave room to start one. Anchors may be large: one truncation
    // with some would take what is kept for hundreds without.
    private int ReserveFor(AppendContent? append)
    {
        return SystemReserveBytes + append switch
        {
            { Scavenge: not null } => 0,
            { Change.Anchors.Events.Count: > 0 } => FreeingReserve,
            { Change: not null } or { Retention: not null } => FreeingReserve / 4,
            _ => FreeingReserve,
        };
    }

    private int FreeingReserve => (int)Math.Min(FreeingReserveBytes, _storage.Meta.SegmentSizeBytes / 16);

    // A segment whose keys take too much memory is left for the next one, as one without room for a group is.
    private bool HasRoomForKeys => _active.Keys.Bytes < _storage.Options.SegmentKeyBytes;

    // Position of the last event, those of the begun group included.
    private Position LastOfAll => _begun is { } begun ? begun.FirstPosition + (begun.Events - 1) : Last;

    private bool FitsSegment(int groupLength) => _end.Place.Offset + (long)groupLength <= GroupsEnd;

    // A stream's last version, pending groups included, in segments or below.
    private StreamVersion LastVersion(UInt128 key)
    {
        var view = _storage.View;
        for (var i = view.Unsealed.Length - 1; i >= 0; i--)
        {
            var number = view.Unsealed[i].OwnIndex.FindStream(key);
            if (number >= 0)
            {
                return new StreamVersion(view.Unsealed[i].OwnIndex.Tail(number));
            }
        }

        return view.SealedVersion(key);
    }

    // What did not match when the caller looked never will. What matched then may be deleted by now; then it is open whether
    // something older matches, unless something newer does.
    private Position Match(in AppendCondition condition, out bool isOpen)
    {
        isOpen = false;
        if (condition.Found > Position.None)
        {
            var still = _storage.Reader.LastMatch(condition.Filter, condition.Found + -1, condition.Found, this);
            if (still > Position.None)
            {
                return still;
            }

            isOpen = true;
        }

        var newer = Canary.Is(Canary.ConditionOverlayIgnored) ? Position.None : LastMatch(condition.Filter, condition.LookedUntil);
        isOpen &= newer == Position.None;
        return newer;
    }

    private void LookUp(LogView view, AppendContent append, ref AppendStream stream)
    {
        stream.Actual = TailOf(view, append, stream);
        var life = _storage.Lives.OfTail(stream.Key);
        stream.FirstVisible = life.FirstVisible;
        stream.IsTombstoned = life.IsTombstoned;
    }

    // A stream's change: what is expected of the stream, whether there is something to change, and which version stays first.
    // A legal hold that is only pending counts, too: it comes before this in the log.
    private bool CheckChange(AppendContent append, StreamChange change)
    {
        ref readonly var target = ref append.Requires[0];
        var end = target.Actual + 1;
        var rules = _storage.Lives.Retention.Tail;
        var name = append.Name(target);
        change.Problem = target switch
        {
            { IsTombstoned: true } => StreamChangeProblem.Tombstoned,
            { HasEvents: false } when change.Kind != StreamChangeKind.Tombstone || target.Actual == StreamVersion.None => StreamChangeProblem.NotFound,
            _ when rules.IsHeld(name) && !Canary.Is(Canary.HoldIgnored) => StreamChangeProblem.Held,
            _ when change.DueBy is { } rule && ((rules.Rule(name)?.SetAt != rule && !Canary.Is(Canary.RuleNotChecked)) || change.Before <= target.FirstVisible) => StreamChangeProblem.NotDue,
            _ when change.Kind == StreamChangeKind.Truncate && change.Before > end && Holds(target) => StreamChangeProblem.BehindEnd,
            _ when change.Anchors is { } anchors && Holds(target) && (anchors.FirstVisible != target.FirstVisible || anchors.Reducers != append.Requires[1].Actual) => StreamChangeProblem.LookAgain,
            _ when _storage.Lives.Count >= _storage.Options.ChangedStreams && _storage.Lives.OfTail(target.Key) == default => StreamChangeProblem.TooMany,
            _ => StreamChangeProblem.None,
        };
        if (change.Problem != StreamChangeProblem.None || !Holds(target))
        {
            return false;
        }

        // What is gone is gone: so the newest truncation of a life says how much of it is left, whatever was asked for.
        var kept = change.Before > target.FirstVisible ? change.Before : target.FirstVisible;
        append.SetChangeEvent(change.Kind == StreamChangeKind.Truncate ? kept : end);
        return true;
    }

    private bool CheckRetention(RetentionSetting setting)
    {
        var rules = _storage.Lives.Retention.Tail;
        setting.IsOverLimit = setting.Rule is not null && rules.Count >= RetentionRules.MostRules && rules.Find(setting.Scope, setting.Name) is null;
        return !setting.IsOverLimit;
    }

    private static StreamVersion TailOf(LogView view, AppendContent append, in AppendStream stream)
    {
        for (var i = view.Unsealed.Length - 1; i >= 0; i--)
        {
            var number = view.Unsealed[i].OwnIndex.FindStream(stream.Key);
            if (number >= 0)
            {
                return new StreamVersion(view.Unsealed[i].OwnIndex.Tail(number));
            }
        }

        // A segment was sealed since the caller looked: its streams left the memory, so look again.
        return append.SealedSegments == view.Sealed.Length ? stream.SealedVersion : view.SealedVersion(stream.Key);
    }

    private bool FindOperation(LogView view, AppendContent append, out OperationPlace known)
    {
        for (var i = view.Unsealed.Length - 1; i >= 0; i--)
        {
            var offset = view.Unsealed[i].OwnIndex.FindOperation(append.OperationId);
            if (offset != 0)
            {
                known = new OperationPlace(view.Unsealed[i].Number, offset);
                return true;
            }
        }

        known = default;
        return append.SealedSegments != view.Sealed.Length && _storage.Reader.TryFindSealedOperation(append.OperationId, out known);
    }

    private int NumberOf(in AppendStream stream)
    {
        var number = _active.FindStream(stream.Key);
        return number >= 0 ? number : _active.AddStream(stream.Key, stream.Actual);
    }
}

/// <summary>Where the group stands that holds an operation.</summary>
public readonly record struct OperationPlace
{
    internal OperationPlace(uint segment, uint offset) => Place = new Place(segment, offset);

    internal Place Place { get; }
}
