// The only reader, in Storage, of the bytes of eventvault.v1.EventData. The field numbers are part of FORMAT.md.
//
// | field | wire type | meaning                                              |
// |     1 | 2         | id, 16 bytes, required                               |
// |     2 | 2         | type, UTF-8, 1 to 256 bytes, required                |
// |     3 | 2         | data                                                 |
// |     4 | 2         | content type, UTF-8, up to 256 bytes                 |
// |     5 | 0         | schema version, 32 bits                              |
// |     6 | 2         | tag, UTF-8, 1 to 128 bytes, up to 16 without repeats |
// |     7 | 2         | metadata entry: 1 key, 2 value, both UTF-8           |
// |     8 | 1         | occurred at, 100 ns ticks since 1970, signed         |
using System.Buffers;
using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text.Unicode;
using EventVault.Storage.Index;

namespace EventVault.Storage.Log;

/// <summary>Checks and digests events as they come, so that no reader is ever poisoned by what was stored.</summary>
internal static class EventFields
{
    private const int Id = 1;
    private const int Type = 2;
    private const int Data = 3;
    private const int ContentType = 4;
    private const int SchemaVersion = 5;
    private const int Tag = 6;
    private const int Metadata = 7;
    private const int OccurredAt = 8;

    /// <summary>Id, and the tags and lengths of the fields.</summary>
    private const int EncodedOverhead = 48;

    // The metadata entry that ties events of one cause together; also in PROTOCOL.md.
    private static ReadOnlySpan<byte> CorrelationKey => "correlationId"u8;

    private static readonly string[] Names = ["", "id", "type", "data", "content_type", "schema_version", "tags", "metadata", "occurred_at"];

    /// <summary>Id of an event that was checked before.</summary>
    public static bool TryReadId(ReadOnlySpan<byte> eventData, out UInt128 id)
    {
        var reader = new WireReader(eventData);
        while (reader.Next())
        {
            if (reader.Field == Id && reader.WireType == WireReader.Delimited && reader.Length == 16)
            {
                id = BinaryPrimitives.ReadUInt128BigEndian(reader.Bytes);
                return true;
            }
        }

        id = default;
        return false;
    }

    /// <summary>The value of a metadata entry, of an event that was checked before.</summary>
    public static bool TryReadMetadata(ReadOnlySpan<byte> eventData, ReadOnlySpan<byte> key, out ReadOnlySpan<byte> value)
    {
        var reader = new WireReader(eventData);
        while (reader.Next())
        {
            if (reader.Field == Metadata && reader.WireType == WireReader.Delimited && TryReadEntry(reader.Bytes, reader.Start, out var entry)
                && eventData[entry.Key].SequenceEqual(key))
            {
                value = eventData[entry.Value];
                return true;
            }
        }

        value = default;
        return false;
    }

    /// <summary>
    /// What an event that was checked before can be found by. Of one that never was, as far as it can be read.
    /// </summary>
    /// <param name="eventData">The event.</param>
    /// <param name="tags">Takes where its tags stand: at least <see cref="VaultLimits.Tags"/>.</param>
    public static EventLabels ReadLabels(ReadOnlySpan<byte> eventData, Span<Range> tags)
    {
        Invariant.Check(tags.Length >= VaultLimits.Tags);
        var labels = default(EventLabels);
        var reader = new WireReader(eventData);
        while (reader.Next())
        {
            if (reader.WireType != WireReader.Delimited)
            {
                continue;
            }

            switch (reader.Field)
            {
                case Id when reader.Length == 16:
                    labels.Id = reader.Bytes;
                    break;
                case Type:
                    labels.Type = reader.Bytes;
                    break;
                case Tag when labels.TagCount < VaultLimits.Tags:
                    tags[labels.TagCount++] = reader.Start..(reader.Start + reader.Length);
                    break;
                case Metadata when TryReadEntry(reader.Bytes, reader.Start, out var entry) && eventData[entry.Key].SequenceEqual(CorrelationKey):
                    labels.CorrelationId = eventData[entry.Value];
                    break;
            }
        }

        return labels;
    }

    /// <summary>
    /// Walks an event in full and adds its decoded content to the digest: equal content gives an equal digest
    /// however the client's encoder ordered fields and metadata.
    /// </summary>
    public static EventProblem Check(ReadOnlySpan<byte> eventData, VaultLimits limits, ref SipHash128 digest)
    {
        if (eventData.Length > limits.EventBytes)
        {
            return OverLimit("", "event_bytes", eventData.Length, limits.EventBytes);
        }

        var fields = default(Fields);
        Span<Range> tags = stackalloc Range[VaultLimits.Tags];
        var problem = Walk(eventData, ref fields, tags);
        if (problem.Kind != EventProblemKind.None)
        {
            return problem;
        }

        Append(ref digest, eventData[fields.Id]);
        Append(ref digest, eventData[fields.Type]);
        Append(ref digest, eventData[fields.Data]);
        Append(ref digest, eventData[fields.ContentType]);
        Span<byte> numbers = stackalloc byte[24];
        numbers.Clear();
        BinaryPrimitives.WriteUInt32LittleEndian(numbers, fields.SchemaVersion);
        numbers[4] = fields.HasOccurredAt ? (byte)1 : (byte)0;
        BinaryPrimitives.WriteInt32LittleEndian(numbers[8..], fields.TagCount);
        BinaryPrimitives.WriteInt32LittleEndian(numbers[12..], fields.MetadataCount);
        BinaryPrimitives.WriteUInt64LittleEndian(numbers[16..], fields.OccurredAt);
        digest.Append(numbers);
        for (var i = 0; i < fields.TagCount; i++)
        {
            Append(ref digest, eventData[tags[i]]);
        }

        return fields.MetadataCount == 0 ? EventProblem.None : DigestMetadata(eventData, fields.MetadataCount, ref digest);
    }

    /// <summary>What an event of the vault's own says. It was checked before.</summary>
    public static void Read(ReadOnlySpan<byte> eventData, out ReadOnlySpan<byte> type, out ReadOnlySpan<byte> data, out uint schemaVersion)
    {
        type = data = default;
        schemaVersion = 0;
        var reader = new WireReader(eventData);
        while (reader.Next())
        {
            switch (reader.Field)
            {
                case Type:
                    type = reader.Bytes;
                    break;
                case Data:
                    data = reader.Bytes;
                    break;
                case SchemaVersion:
                    schemaVersion = (uint)reader.Number;
                    break;
                default:
                    break;
            }
        }
    }

    /// <summary>Encodes an event of the vault's own, its data JSON.</summary>
    public static byte[] Encode(UInt128 id, ReadOnlySpan<byte> type, ReadOnlySpan<byte> data, uint schemaVersion)
    {
        Invariant.Check(type.Length is > 0 and <= VaultLimits.TypeBytes && schemaVersion > 0);
        var bytes = new ArrayBufferWriter<byte>(type.Length + data.Length + EncodedOverhead);
        Span<byte> idBytes = stackalloc byte[16];
        BinaryPrimitives.WriteUInt128BigEndian(idBytes, id);
        WriteDelimited(bytes, Id, idBytes);
        WriteDelimited(bytes, Type, type);
        WriteDelimited(bytes, Data, data);
        WriteVarint(bytes, (SchemaVersion << 3) | WireReader.Varint);
        WriteVarint(bytes, schemaVersion);
        return bytes.WrittenSpan.ToArray();
    }

    private static void WriteDelimited(ArrayBufferWriter<byte> bytes, int field, ReadOnlySpan<byte> value)
    {
        WriteVarint(bytes, (uint)((field << 3) | WireReader.Delimited));
        WriteVarint(bytes, (uint)value.Length);
        bytes.Write(value);
    }

    private static void WriteVarint(ArrayBufferWriter<byte> bytes, uint value)
    {
        var span = bytes.GetSpan(5); // 32 bits in pieces of 7.
        var length = 0;
        for (; value >= 0x80; value >>= 7)
        {
            span[length++] = (byte)(value | 0x80);
        }

        span[length++] = (byte)value;
        bytes.Advance(length);
    }

    private static EventProblem Walk(ReadOnlySpan<byte> eventData, ref Fields fields, Span<Range> tags)
    {
        var reader = new WireReader(eventData);
        while (reader.Next())
        {
            var field = reader.Field;
            if (field is < Id or > OccurredAt)
            {
                return new EventProblem(EventProblemKind.UnknownField, field.ToString(System.Globalization.CultureInfo.InvariantCulture), "not a field of EventData that this version knows");
            }

            if (reader.WireType != (field switch { SchemaVersion => WireReader.Varint, OccurredAt => WireReader.Fixed64, _ => WireReader.Delimited }))
            {
                return Invalid(Names[field], "has the wrong wire type");
            }

            if (field is not (Tag or Metadata) && !fields.MarkSeen(field))
            {
                return Invalid(Names[field], "stands twice");
            }

            var problem = Take(eventData, reader, ref fields, tags);
            if (problem.Kind != EventProblemKind.None)
            {
                return problem;
            }
        }

        return reader.Malformed ? Invalid("", $"is not an encoded EventData message (breaks off at byte {reader.Offset})")
            : !fields.Seen(Id) ? Invalid("id", "is missing: every event needs a UUID of 16 bytes")
            : !fields.Seen(Type) ? Invalid("type", "is missing")
            : EventProblem.None;
    }

    // Checks the field that the reader stands at, and notes where it is.
    private static EventProblem Take(ReadOnlySpan<byte> eventData, scoped in WireReader reader, ref Fields fields, Span<Range> tags)
    {
        var range = reader.Start..(reader.Start + reader.Length);
        switch (reader.Field)
        {
            case Id:
                fields.Id = range;
                return reader.Length == 16 ? default : Invalid("id", $"must be 16 bytes, has {reader.Length}");
            case Type:
                fields.Type = range;
                return CheckText(eventData[range], "type", "type_bytes", VaultLimits.TypeBytes, mayBeEmpty: false);
            case Data:
                fields.Data = range;
                return default;
            case ContentType:
                fields.ContentType = range;
                return CheckText(eventData[range], "content_type", "content_type_bytes", VaultLimits.ContentTypeBytes, mayBeEmpty: true);
            case SchemaVersion:
                fields.SchemaVersion = (uint)reader.Number;
                return reader.Number <= uint.MaxValue ? default : Invalid("schema_version", "does not fit 32 bits");
            case Tag:
                var problem = CheckTag(eventData, eventData[range], tags, fields.TagCount);
                if (problem.Kind == EventProblemKind.None)
                {
                    tags[fields.TagCount++] = range;
                }

                return problem;
            case Metadata:
                fields.MetadataCount++;
                return fields.MetadataCount > VaultLimits.MetadataEntries
                    ? OverLimit("metadata", "metadata_entries", fields.MetadataCount, VaultLimits.MetadataEntries)
                    : default;
            default:
                fields.OccurredAt = reader.Number;
                fields.HasOccurredAt = true;
                return default;
        }
    }

    private static EventProblem CheckTag(ReadOnlySpan<byte> eventData, ReadOnlySpan<byte> tag, ReadOnlySpan<Range> tags, int count)
    {
        if (count == VaultLimits.Tags)
        {
            return OverLimit("tags", "event_tags", count + 1, VaultLimits.Tags);
        }

        foreach (var other in tags[..count])
        {
            if (eventData[other].SequenceEqual(tag))
            {
                return Invalid($"tags[{count}]", "repeats an earlier tag");
            }
        }

        var problem = CheckText(tag, "tags", "tag_bytes", VaultLimits.TagBytes, mayBeEmpty: false);
        return problem.Kind == EventProblemKind.None ? problem : problem with { Field = $"tags[{count}]" };
    }

    private static EventProblem CheckText(ReadOnlySpan<byte> text, string field, string limit, int allowed, bool mayBeEmpty) =>
        text.Length > allowed ? OverLimit(field, limit, text.Length, allowed)
        : text.IsEmpty && !mayBeEmpty ? Invalid(field, "is empty")
        : !Utf8.IsValid(text) ? Invalid(field, "is not valid UTF-8")
        : EventProblem.None;

    private static EventProblem DigestMetadata(ReadOnlySpan<byte> eventData, int count, ref SipHash128 digest)
    {
        Span<MetadataEntry> entries = count <= 32 ? stackalloc MetadataEntry[count] : new MetadataEntry[count];
        var (found, size) = (0, 0);
        var reader = new WireReader(eventData);
        while (reader.Next())
        {
            if (reader.Field != Metadata)
            {
                continue;
            }

            ref var entry = ref entries[found++];
            if (!TryReadEntry(reader.Bytes, reader.Start, out entry))
            {
                return Invalid("metadata", "has an entry that is not a key and a value");
            }

            // Keys and values, not how they are encoded: that is what a caller can count.
            size += entry.Key.End.Value - entry.Key.Start.Value + entry.Value.End.Value - entry.Value.Start.Value;
        }

        if (size > VaultLimits.MetadataBytes)
        {
            return OverLimit("metadata", "metadata_bytes", size, VaultLimits.MetadataBytes);
        }

        SortByKey(entries, eventData);
        for (var i = 0; i < count; i++)
        {
            var key = eventData[entries[i].Key];
            var value = eventData[entries[i].Value];
            if (i > 0 && key.SequenceEqual(eventData[entries[i - 1].Key]))
            {
                return Invalid("metadata", "has a key twice");
            }

            if (!Utf8.IsValid(key) || !Utf8.IsValid(value))
            {
                return Invalid("metadata", "is not valid UTF-8");
            }

            Append(ref digest, key);
            Append(ref digest, value);
        }

        return EventProblem.None;
    }

    // Shell sort with Ciura's gaps: no comparer object, and for a handful of entries an insertion sort. 1,024 entries in
    // the worst order cost some 15,000 steps; a plain insertion sort's half a million, times the 2,700 such events of
    // one append, kept a core busy for seconds.
    private static void SortByKey(Span<MetadataEntry> entries, ReadOnlySpan<byte> eventData)
    {
        foreach (var gap in (ReadOnlySpan<int>)[701, 301, 132, 57, 23, 10, 4, 1])
        {
            for (var i = gap; i < entries.Length; i++)
            {
                var moved = entries[i];
                var at = i;
                while (at >= gap && eventData[entries[at - gap].Key].SequenceCompareTo(eventData[moved.Key]) > 0)
                {
                    entries[at] = entries[at - gap];
                    at -= gap;
                }

                entries[at] = moved;
            }
        }
    }

    private static bool TryReadEntry(ReadOnlySpan<byte> bytes, int start, out MetadataEntry entry)
    {
        entry = default;
        var seen = 0;
        var reader = new WireReader(bytes);
        while (reader.Next())
        {
            if (reader.WireType != WireReader.Delimited || reader.Field is not (1 or 2) || (seen & reader.Field) != 0)
            {
                return false;
            }

            seen |= reader.Field;
            var range = (start + reader.Start)..(start + reader.Start + reader.Length);
            entry = reader.Field == 1 ? entry with { Key = range } : entry with { Value = range };
        }

        // Encoders leave out an empty key or value.
        return !reader.Malformed;
    }

    // Length first, so that no two different lists of fields give the same bytes.
    private static void Append(ref SipHash128 digest, ReadOnlySpan<byte> bytes)
    {
        var length = bytes.Length;
        digest.Append(MemoryMarshal.AsBytes(new ReadOnlySpan<int>(in length)));
        digest.Append(bytes);
    }

    private static EventProblem Invalid(string field, string why) => new(EventProblemKind.Invalid, field, why);

    private static EventProblem OverLimit(string field, string limit, long value, long allowed) =>
        new(EventProblemKind.LimitExceeded, field, $"{value} is over the limit of {allowed}", limit, value, allowed);

    private record struct MetadataEntry(Range Key, Range Value);

    private struct Fields
    {
        private int _seen;
        public Range Id;
        public Range Type;
        public Range Data;
        public Range ContentType;
        public uint SchemaVersion;
        public ulong OccurredAt;
        public bool HasOccurredAt;
        public int TagCount;
        public int MetadataCount;

        public readonly bool Seen(int field) => (_seen & (1 << field)) != 0;

        public bool MarkSeen(int field)
        {
            var first = !Seen(field);
            _seen |= 1 << field;
            return first;
        }
    }
}

/// <summary>What an event can be found by. Spans into the event's bytes; empty: it has none.</summary>
internal ref struct EventLabels
{
    /// <summary>The id's 16 bytes.</summary>
    public ReadOnlySpan<byte> Id;

    /// <summary>Type, UTF-8.</summary>
    public ReadOnlySpan<byte> Type;

    /// <summary>Value of the metadata entry <c>correlationId</c>, UTF-8.</summary>
    public ReadOnlySpan<byte> CorrelationId;

    /// <summary>How many tags there are.</summary>
    public int TagCount;
}
