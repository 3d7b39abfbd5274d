// What the log's sealed segments say about the lives of streams. Kept as a value of the state table, so that start need
// not look for it; everything in it follows from the events of the stream `$streams`.
//
//   streams   position of the newest change i64, −1 if there is none; then for each stream that is not whole, ascending by key:
//             key u128, first visible version i64, flags u32 (1 = tombstoned), zero u32. 32 bytes a stream
//
// The value is there even if no stream was ever changed: a table without it was written by a version that knew of none of
// this, and says nothing.
using System.Buffers.Binary;
using EventVault.Storage.Index;
using EventVault.Storage.Scavenging;

namespace EventVault.Storage.Log;

/// <summary>Gathers it segment by segment. One thread.</summary>
internal sealed class LifeHistory
{
    private const string ValueName = "streams";
    private const int HeaderLength = 8;

    /// <summary>Bytes that a stream takes in the value.</summary>
    public const int EntryLength = 32;

    private const uint FlagTombstoned = 1;

    private readonly Dictionary<UInt128, StreamLife> _lives = [];
    private Position _last = Position.None;

    /// <summary>The newest scavenge: a value of its own (ScavengeMark).</summary>
    public ScavengeMark Scavenge { get; private set; } = ScavengeMark.None;

    /// <summary>The retention rules: they are events of the same stream, and another value of the table (RetentionValue).</summary>
    public RetentionRules Retention { get; init; } = new();

    /// <summary>Begins with what the state table holds.</summary>
    /// <returns>Null if it does not hold this: the table is as good as lost.</returns>
    public static LifeHistory? From(StateTable state) => RetentionValue.Read(state) is { } rules ? From(state, rules) : null;

    private static LifeHistory? From(StateTable state, RetentionRules rules)
    {
        var history = new LifeHistory { Retention = rules };
        if (state.AppliedThrough < 0)
        {
            return history;
        }

        if (!state.Values.TryGetValue(ValueName, out var value) || value.Length < HeaderLength || (value.Length - HeaderLength) % EntryLength != 0)
        {
            return null;
        }

        if (ScavengeMark.From(state) is not { } scavenge)
        {
            return null;
        }

        history.Scavenge = scavenge;
        history._last = new Position(BinaryPrimitives.ReadInt64LittleEndian(value));
        UInt128 before = 0;
        for (var at = HeaderLength; at < value.Length; at += EntryLength)
        {
            var entry = value.AsSpan(at, EntryLength);
            var stream = BinaryPrimitives.ReadUInt128LittleEndian(entry);
            var first = BinaryPrimitives.ReadInt64LittleEndian(entry[16..]);
            var flags = BinaryPrimitives.ReadUInt32LittleEndian(entry[24..]);
            if ((at > HeaderLength && stream <= before) || first is < 0 or > StreamChange.MostBefore || flags > FlagTombstoned)
            {
                return null;
            }

            before = stream;
            history._lives.Add(stream, new StreamLife(new StreamVersion(first), (flags & FlagTombstoned) != 0));
        }

        return history._lives.Count == 0 ? (history._last == Position.None ? history : null) : history._last > Position.None ? history : null;
    }

    /// <summary>Takes an event of <c>$streams</c>, the next one in the log.</summary>
    public void Add(in EventView e, in SipKey key)
    {
        if (StreamLifeEvent.TryRead(e, key, out var change))
        {
            Invariant.Check(change.At > _last, "Changes come in the order of the log.");
            _lives[change.Stream] = _lives.GetValueOrDefault(change.Stream).Join(change.Life);
            _last = change.At;
        }
        else if (ScavengeEvent.TryRead(e, out var scavenge))
        {
            Scavenge = Scavenge.Join(scavenge);
        }
        else if (RetentionEvent.TryRead(e, out var rule))
        {
            Retention.Apply(rule!);
            if (rule!.Rule is { LegalHold: true })
            {
                Scavenge = Scavenge.Join(ScavengeMark.Hold(rule.At));
            }
        }
    }

    /// <summary>A stream's life, by what was taken.</summary>
    public StreamLife Of(UInt128 stream) => _lives.GetValueOrDefault(stream);

    /// <summary>Streams that are not whole, by what was taken, in no order.</summary>
    public IReadOnlyCollection<UInt128> Streams => _lives.Keys;

    /// <summary>Takes the next group's body, if its segment has no index.</summary>
    public void Add(ReadOnlySpan<byte> body, in SipKey key)
    {
        while (!body.IsEmpty)
        {
            Invariant.Check(RecordFormat.TryDecodeAppend(body, out var append));
            for (var records = append.Records; !records.IsEmpty;)
            {
                Invariant.Check(RecordFormat.TryDecodeEvent(records, out var e));
                Add(e, key);
                records = records[e.RecordLength..];
            }

            body = body[append.Length..];
        }
    }

    /// <summary>Takes the next sealed segment, by its index.</summary>
    public void Add(SealedSegment segment, in SipKey key)
    {
        var index = segment.Index;
        var entry = index.Find(StreamKey.Compute(StreamLifeEvent.Stream, key));
        if (entry < 0)
        {
            return;
        }

        using var lease = new SegmentSource(segment).Lease();
        var run = index.Run(entry);
        for (var i = 0; i < run.Count; i++)
        {
            var ordinal = index.OrdinalOf(run, i); // The vault's own events are never removed.
            Add(lease.Reader.Read(index.OffsetOf(ordinal), segment.FirstPosition + ordinal), key);
        }
    }

    /// <summary>Takes the next segment, all of which is committed, before it is sealed.</summary>
    public void Add(UnsealedSegment segment, in SipKey key)
    {
        var index = segment.OwnIndex;
        var stream = index.FindStream(StreamKey.Compute(StreamLifeEvent.Stream, key));
        if (stream < 0)
        {
            return;
        }

        var (_, count) = index.Run(stream, index.EventCount, out var newest);
        var ordinals = new uint[count];
        index.CopyOrdinals(newest, 0, ordinals);
        foreach (var ordinal in ordinals)
        {
            Add(segment.Reader.Read(index.OffsetOf((int)ordinal), index.FirstPosition + ordinal), key);
        }
    }

    /// <summary>The value of the state table.</summary>
    public KeyValuePair<string, byte[]> Value()
    {
        Invariant.Check(_lives.Count == 0 == (_last == Position.None));
        var value = new byte[HeaderLength + (_lives.Count * EntryLength)];
        BinaryPrimitives.WriteInt64LittleEndian(value, _last.Value);
        var at = HeaderLength;
        foreach (var (stream, life) in _lives.OrderBy(l => l.Key))
        {
            var entry = value.AsSpan(at, EntryLength);
            BinaryPrimitives.WriteUInt128LittleEndian(entry, stream);
            BinaryPrimitives.WriteInt64LittleEndian(entry[16..], life.FirstVisible.Value);
            BinaryPrimitives.WriteUInt32LittleEndian(entry[24..], life.IsTombstoned ? FlagTombstoned : 0);
            at += EntryLength;
        }

        return new(ValueName, value);
    }

    /// <summary>Puts it into the table in memory, which is empty.</summary>
    public void CopyTo(StreamLives lives)
    {
        Invariant.Check(lives.IsEmpty);
        foreach (var (stream, life) in _lives)
        {
            lives.Set(new LifeChange(stream, life, _last));
        }

        lives.SetScavenge(Scavenge);
        lives.Retention.Open(Retention);
    }
}
