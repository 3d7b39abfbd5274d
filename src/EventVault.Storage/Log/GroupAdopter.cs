// Takes a group that was made elsewhere (recovered from the disk, received from the leader, or kept when the groups behind
// it were truncated) into the in-memory index, as LogTail.Add does with one that is made here: the streams' tails and the
// operations at once, because later appends are checked against them; the events only when it commits.
using System.Runtime.CompilerServices;
using EventVault.Storage.Index;

namespace EventVault.Storage.Log;

/// <summary>Takes whole groups into an index. One thread.</summary>
/// <param name="meta">The vault.</param>
/// <param name="lives">Gets the changes that the group's events make.</param>
/// <param name="lastVersion">
/// Last version of a stream that the group's own index does not have yet; with what it must be by the stream's next event, or
/// must be at least by what was done to the stream.
/// </param>
internal sealed class GroupAdopter(VaultMeta meta, StreamLives lives, Func<UInt128, StreamVersion, StreamVersion> lastVersion)
{
    private readonly ulong[] _keys = new ulong[EventKeys.MostPerEvent];
    private readonly byte[] _lastName = new byte[RecordFormat.MaxNameBytes];
    private int _lastNameLength;
    private int _lastStream;
    private ActiveIndex? _lastIndex;

    /// <summary>Takes what the header says, and the body, into the buffer and its index. The bytes are not copied.</summary>
    /// <param name="group">Empty, but for its target.</param>
    /// <param name="header">Its header, intact.</param>
    /// <param name="checksum">The group's checksum.</param>
    /// <param name="body">Its body, intact.</param>
    public void Adopt(GroupBuffer group, in GroupHeader header, uint checksum, ReadOnlySpan<byte> body)
    {
        Invariant.Check(group.Target is { } target && target.Segment == header.Place.Segment);
        Invariant.Check(group.Events == 0 && header.Place.Offset >= Blocks.Size);
        group.Index = header.Index;
        group.Term = header.Term;
        group.FirstPosition = header.FirstPosition;
        group.Time = header.Time;
        group.Place = header.Place;
        group.Length = header.TotalLength;
        group.Checksum = checksum;
        group.Appends = header.Appends;
        if (header.IsSystem)
        {
            Invariant.Check(SystemRecord.TryDecode(body, meta.ChecksumSeed, out var kind, out _));
            group.Kind = kind;
            return;
        }

        group.Kind = GroupKind.Appends;
        AdoptAppends(group, body);
        Invariant.Check(group.Events == header.Events);
    }

    /// <summary>Takes a group once more, into another index.</summary>
    public void AdoptAgain(GroupBuffer group, ActiveIndex target)
    {
        group.Target = target;
        group.ClearEvents();
        if (group.Kind == GroupKind.Appends)
        {
            AdoptAppends(group, group.Group[GroupHeader.Length..group.Length]);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)] // As KeyTable says.
    private void AdoptAppends(GroupBuffer group, ReadOnlySpan<byte> body)
    {
        var index = group.Target!;
        var length = body.Length;
        var appends = 0;
        for (; !body.IsEmpty; appends++)
        {
            // The group's checksum held, so anything odd in it was written so: our own fault.
            Invariant.Check(RecordFormat.TryDecodeAppend(body, out var append));
            index.AddOperation(append.OperationId, group.Place.Offset);
            var records = append.Records;
            var offset = GroupHeader.Length + length - body.Length + append.Length - records.Length;
            while (!records.IsEmpty)
            {
                Invariant.Check(RecordFormat.TryDecodeEvent(records, out var view));
                Invariant.Check(view.Position == group.FirstPosition + group.Events && view.AppendOrdinal == appends && view.RecordedAt == group.Time + appends);
                var stream = StreamOf(index, view.Stream, view.Version);
                ref var tail = ref index.Tail(stream);
                Invariant.Check(view.Version.Value == tail + 1);
                tail++;
                index.AddKeys(_keys.AsSpan(0, EventKeys.Of(view, meta.SipKey, _keys)), (uint)(view.Position.Value - index.FirstPosition.Value));

                if (view.IsSystem && !lives.Retention.Add(group, view) && lives.Add(group, view, out var change))
                {
                    Invariant.Check(change.Life.FirstVisible <= LastVersion(index, change.Stream, change.Life.FirstVisible + -1) + 1, "No stream is truncated behind its end.");
                }

                group.AddEvent(stream, offset);
                offset += view.RecordLength;
                records = records[view.RecordLength..];
            }

            body = body[append.Length..];
        }

        Invariant.Check(appends == group.Appends);
    }

    /// <summary>Forgets which index it looked into last, or a sealed segment's would stay in memory for as long as nothing is adopted.</summary>
    public void Forget() => _lastIndex = null;

    private StreamVersion LastVersion(ActiveIndex index, UInt128 key, StreamVersion expected)
    {
        var stream = index.FindStream(key);
        return stream >= 0 ? new StreamVersion(index.Tail(stream)) : lastVersion(key, expected);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)] // As KeyTable says.
    private int StreamOf(ActiveIndex index, ReadOnlySpan<byte> name, StreamVersion version)
    {
        if (ReferenceEquals(index, _lastIndex) && name.SequenceEqual(_lastName.AsSpan(0, _lastNameLength)))
        {
            return _lastStream;
        }

        var key = StreamKey.Compute(name, meta.SipKey);
        var stream = index.FindStream(key);
        _lastStream = stream >= 0 ? stream : index.AddStream(key, lastVersion(key, version + -1));
        _lastIndex = index;
        _lastNameLength = name.Length;
        name.CopyTo(_lastName);
        return _lastStream;
    }
}
