// The log's end as the sequencer sees it, appends included that are not durable yet. Owned by the sequencer's thread.
// It decides against what an append is checked, which versions, positions and times it gets, and where segments end.
using EventVault.Storage.Index;

namespace EventVault.Storage.Log;

/// <summary>What checking an append against the log's tail gave.</summary>
public enum AppendCheck
{
    /// <summary>It may be added.</summary>
    Ok,

    /// <summary>An expected version does not hold; <see cref="AppendStream.Actual"/> tells what stands there.</summary>
    Conflict,

    /// <summary>Its operation id is in the log already, or on its way there.</summary>
    Known,
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
    private readonly VaultStorage _storage;
    private readonly uint _seed;
    private ActiveIndex _active;
    private uint _end;
    private uint _lastGroup;
    private long _lastTime;
    private LogIndex _lastIndex;
    private Position _last;

    internal LogTail(VaultStorage storage, ActiveIndex active, RecoveredSegment recovered)
    {
        _storage = storage;
        _seed = storage.Meta.ChecksumSeed;
        _active = active;
        _end = recovered.End;
        _lastGroup = recovered.LastGroup;
        _lastTime = recovered.LastTime;
        _lastIndex = recovered.LastIndex;
        _last = recovered.LastPosition;
    }

    /// <summary>Raft term of the groups made here.</summary>
    public Term Term { get; set; } = new(1);

    /// <summary>Position of the last event, pending ones included.</summary>
    public Position Last => _last;

    /// <summary>Index of the last group, pending ones included.</summary>
    public LogIndex LastIndex => _lastIndex;

    /// <summary>Whether a group that begins with an append of this length can be begun now.</summary>
    public RoomCheck CheckRoom(int encodedLength)
    {
        if (FitsSegment(GroupHeader.Length + encodedLength))
        {
            return RoomCheck.Ok;
        }

        return _storage.Spares.State switch
        {
            SpareState.Full => RoomCheck.Full,
            _ when _storage.UnsealedSegments >= VaultStorage.MaxUnsealedSegments => _storage.SealingIsBlocked ? RoomCheck.Full : RoomCheck.Wait,
            SpareState.Ready => RoomCheck.Ok,
            _ => RoomCheck.Wait,
        };
    }

    /// <summary>Begins a group whose first append has this length. <see cref="CheckRoom"/> has just said Ok.</summary>
    /// <param name="group">An empty buffer.</param>
    /// <param name="encodedLength">Length of the first append.</param>
    /// <param name="now">The clock, 100 ns ticks since 1970.</param>
    public void Begin(GroupBuffer group, int encodedLength, long now)
    {
        Invariant.Check(group.IsEmpty && group.Spare is null);
        group.Time = Math.Max(now, _lastTime + 1);
        if (!FitsSegment(GroupHeader.Length + encodedLength))
        {
            group.Spare = _storage.Spares.Take();
            group.NewSegment = new SegmentHeader(
                _storage.Meta.VaultId, _active.Segment + 1, _storage.Meta.SegmentSizeBytes,
                new LogIndex(_lastIndex.Value + 1), _last + 1, _lastTime + 1, _lastGroup);
            _active = new ActiveIndex(_active.Segment + 1, _last + 1, new LogIndex(_lastIndex.Value + 1));
            _end = Blocks.Size;
            _storage.AddUnsealed(new UnsealedSegment(_active, new SegmentReader(_active.Segment, group.Spare.Mapping, _seed)));
        }

        group.Target = _active;
        group.Place = new Place(_active.Segment, _end);
        group.Index = new LogIndex(_lastIndex.Value + 1);
        group.FirstPosition = _last + 1;
        group.Length = GroupHeader.Length;
    }

    /// <summary>Whether an append of this length still belongs into the begun group.</summary>
    public bool Fits(GroupBuffer group, int encodedLength) =>
        group.Length + encodedLength <= VaultLimits.GroupBytes
        && group.Appends < ushort.MaxValue
        && FitsSegment(group.Length + encodedLength);

    /// <summary>Checks operation id and expected versions against the log, pending appends included.</summary>
    /// <param name="append">Gets the actual version of each stream.</param>
    /// <param name="known">With <see cref="AppendCheck.Known"/>: where the operation stands.</param>
    public AppendCheck Check(AppendContent append, out OperationPlace known)
    {
        var view = _storage.View;
        if (FindOperation(view, append, out known))
        {
            return AppendCheck.Known;
        }

        var conflict = false;
        foreach (ref var stream in append.Streams)
        {
            stream.Actual = TailOf(view, append, stream);
            conflict |= !Holds(stream);
        }

        return conflict ? AppendCheck.Conflict : AppendCheck.Ok;
    }

    /// <summary>Whether a stream's expectation holds for its <see cref="AppendStream.Actual"/> version.</summary>
    public static bool Holds(in AppendStream stream) => stream.Expected switch
    {
        ExpectedKind.Any => true,
        ExpectedKind.NoStream => stream.Actual == StreamVersion.None,
        ExpectedKind.Exists => stream.Actual > StreamVersion.None,
        ExpectedKind.Exact => stream.Actual == stream.ExpectedVersion,
        _ => throw new InvariantException($"Unknown expectation {stream.Expected}."),
    };

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
                group.AddEvent(number, offset);
                offset += length;
            }
        }

        Invariant.Check(offset == start + append.EncodedLength);
        _active.AddOperation(append.OperationId, group.Place.Offset);
        group.Length = offset;
        group.Appends++;
        return (first, recordedAt);
    }

    /// <summary>Closes the group: header, checksums, and the tail moves behind it.</summary>
    public void Finish(GroupBuffer group)
    {
        var bytes = group.Group[..group.Length];
        var body = bytes[GroupHeader.Length..];
        group.Checksum = new GroupHeader(
            body.Length, Storage.Checksum.Compute(body, _seed), group.Place, Term, group.Index, group.FirstPosition, group.Time,
            _storage.CommitIndex, group.Appends, group.Events, _lastGroup).EncodeShared(bytes, _seed);
        _lastGroup = group.Checksum;
        _end += (uint)group.Length;
        _lastIndex = group.Index;
        _last = group.FirstPosition + (group.Events - 1);
        _lastTime = group.Time + group.Appends - 1;
    }

    // Room for a commit mark is left, so that the log's end can always be vouched for.
    private bool FitsSegment(int groupLength) => _end + (long)groupLength <= _storage.Meta.SegmentSizeBytes - Blocks.Size - CommitMark.Length;

    private static StreamVersion TailOf(LogView view, AppendContent append, in AppendStream stream)
    {
        for (var i = view.Unsealed.Length - 1; i >= 0; i--)
        {
            var number = view.Unsealed[i].Index.FindStream(stream.Key);
            if (number >= 0)
            {
                return new StreamVersion(view.Unsealed[i].Index.Tail(number));
            }
        }

        // A segment was sealed since the caller looked: its streams left the memory, so look again.
        return append.SealedSegments == view.Sealed.Length ? stream.SealedVersion : view.SealedVersion(stream.Key);
    }

    private bool FindOperation(LogView view, AppendContent append, out OperationPlace known)
    {
        for (var i = view.Unsealed.Length - 1; i >= 0; i--)
        {
            var offset = view.Unsealed[i].Index.FindOperation(append.OperationId);
            if (offset != 0)
            {
                known = new OperationPlace(view.Unsealed[i].Index.Segment, offset);
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
