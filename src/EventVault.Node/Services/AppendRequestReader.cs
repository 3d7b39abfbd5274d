// Turns the bytes of an AppendRequest into an AppendContent without building message objects: events stay where they
// are. As strict as the contract: whatever it does not know, or finds twice, is refused with its path. Field numbers as
// in streams.proto.
using System.Buffers;
using System.Buffers.Binary;
using EventVault.Storage;
using EventVault.Storage.Log;

namespace EventVault.Node.Services;

/// <summary>Reads append requests. Thread-safe; the contents it fills are the caller's.</summary>
internal sealed class AppendRequestReader(VaultStorage storage, NodeLimits limits)
{
    private const int OperationIdBytes = 16;

    /// <summary>From so many streams on, doubled names are found by sorting instead of comparing each with each.</summary>
    private const int ComparedStreams = 8;

    private readonly int _mostEvents = storage.Options.Limits.AppendEvents;

    /// <summary>Reads and checks a request; most of the work of a small append happens here, on the caller's thread.</summary>
    /// <param name="bytes">Has the request; kept by the content until the append has completed.</param>
    /// <param name="offset">Where the request begins.</param>
    /// <param name="length">How long it is.</param>
    /// <param name="content">Filled; of no use if there is a refusal.</param>
    /// <returns>Why it is refused; null if it may be queued.</returns>
    public Refusal? Read(byte[] bytes, int offset, int length, AppendContent content)
    {
        content.Reset(bytes);
        var seenId = false;
        var reader = new WireReader(bytes.AsSpan(offset, length));
        while (reader.Next())
        {
            var refusal = reader.Field switch
            {
                1 => ReadOperationId(reader, content, ref seenId),
                2 => ReadStream(reader, bytes, offset, content),
                3 or 4 or 5 or 6 => Errors.UnknownField(NotServed(reader.Field), "is not served yet"),
                _ => Errors.UnknownField(Number(reader.Field)),
            };
            if (refusal is not null)
            {
                return refusal;
            }
        }

        return reader.Malformed ? Errors.InvalidRequest(string.Empty, "is not an encoded AppendRequest message")
            : !seenId ? Errors.InvalidRequest("operation_id", "is missing: every append needs an id of 16 bytes")
            : content.StreamCount == 0 ? Errors.InvalidRequest("streams", "is empty: an append names at least one stream")
            : FindDoubled(content) ?? CheckEvents(content);
    }

    private static Refusal? ReadOperationId(in WireReader reader, AppendContent content, ref bool seen)
    {
        if (seen)
        {
            return Errors.InvalidRequest("operation_id", "stands twice");
        }

        seen = true;
        if (reader.WireType != WireReader.Delimited)
        {
            return Errors.InvalidRequest("operation_id", "has the wrong wire type");
        }

        if (reader.Length != OperationIdBytes)
        {
            return Errors.InvalidRequest("operation_id", $"must be {OperationIdBytes} bytes, has {Number(reader.Length)}");
        }

        content.OperationId = BinaryPrimitives.ReadUInt128BigEndian(reader.Bytes);
        return null;
    }

    private Refusal? ReadStream(in WireReader request, byte[] bytes, int requestOffset, AppendContent content)
    {
        var path = $"streams[{Number(content.StreamCount)}]";
        if (request.WireType != WireReader.Delimited)
        {
            return Errors.InvalidRequest(path, "has the wrong wire type");
        }

        if (content.StreamCount == _mostEvents)
        {
            // Each stream has at least one event, so this many streams are over the limit of events too.
            return Errors.LimitExceeded(limits[NodeLimits.AppendEvents], _mostEvents + 1L, "streams");
        }

        var start = requestOffset + request.Start;
        var (nameStart, nameLength, expected, version, events) = (0, -1, default(ExpectedKind), 0L, 0);
        var reader = new WireReader(request.Bytes);
        while (reader.Next())
        {
            if (reader.Field is 1 or 2 or 3 && reader.WireType != WireReader.Delimited)
            {
                return Errors.InvalidRequest($"{path}.{StreamField(reader.Field)}", "has the wrong wire type");
            }

            switch (reader.Field)
            {
                case 1 when nameLength >= 0:
                case 2 when expected != default:
                    return Errors.InvalidRequest($"{path}.{StreamField(reader.Field)}", "stands twice");
                case 1:
                    (nameStart, nameLength) = (start + reader.Start, reader.Length);
                    break;
                case 2:
                    if (ReadExpected(reader.Bytes, path, out expected, out version) is { } refusal)
                    {
                        return refusal;
                    }

                    break;
                case 3:
                    events++;
                    break;
                default:
                    return Errors.UnknownField($"{path}.{Number(reader.Field)}");
            }
        }

        if (reader.Malformed)
        {
            return Errors.InvalidRequest(path, "is not an encoded StreamAppend message");
        }

        if (CheckName(bytes.AsSpan(nameStart, Math.Max(nameLength, 0)), path, content.StreamCount) is { } badName)
        {
            return badName;
        }

        if (CheckContent(expected, events, content.EventCount, path) is { } wrong)
        {
            return wrong;
        }

        content.AddStream(nameStart, nameLength, expected, new StreamVersion(version));
        AddEvents(request.Bytes, start, content);
        return null;
    }

    private Refusal? CheckContent(ExpectedKind expected, int events, int eventsBefore, string path)
    {
        if (expected == default)
        {
            return Errors.InvalidRequest($"{path}.expected", "is missing: say any, no_stream, exists or a version");
        }

        if (events == 0)
        {
            return Errors.InvalidRequest($"{path}.events", "is empty: an append writes at least one event to each of its streams");
        }

        // Before there is a row for each of them: a message has room for millions of empty events.
        if (eventsBefore + events > _mostEvents)
        {
            return Errors.LimitExceeded(limits[NodeLimits.AppendEvents], eventsBefore + events, "streams");
        }

        return null;
    }

    private static void AddEvents(ReadOnlySpan<byte> stream, int start, AppendContent content)
    {
        var reader = new WireReader(stream);
        while (reader.Next())
        {
            if (reader.Field == 3)
            {
                content.AddEvent(start + reader.Start, reader.Length);
            }
        }
    }

    private Refusal? CheckName(ReadOnlySpan<byte> name, string path, int index)
    {
        var field = $"{path}.stream";
        if (name.Length > VaultLimits.StreamNameBytes)
        {
            return Errors.LimitExceeded(limits[NodeLimits.StreamNameBytes], name.Length, field);
        }

        if (StreamName.Problem(name) is { } why)
        {
            return Errors.InvalidName(field, index, why);
        }

        return name[0] == (byte)'$' ? Errors.ReservedName(field, Errors.Name(name)) : null;
    }

    private static Refusal? ReadExpected(ReadOnlySpan<byte> bytes, string path, out ExpectedKind kind, out long version)
    {
        kind = default;
        version = 0;
        var reader = new WireReader(bytes);
        while (reader.Next())
        {
            if (reader.Field is < 1 or > 4)
            {
                return Errors.UnknownField($"{path}.expected.{Number(reader.Field)}");
            }

            var field = $"{path}.expected.{ExpectedField(reader.Field)}";
            if (kind != default)
            {
                return Errors.InvalidRequest($"{path}.expected", "says more than one thing");
            }

            kind = (ExpectedKind)reader.Field;
            if (reader.WireType != (kind == ExpectedKind.Exact ? WireReader.Varint : WireReader.Delimited))
            {
                return Errors.InvalidRequest(field, "has the wrong wire type");
            }

            if (kind == ExpectedKind.Exact)
            {
                if (reader.Number > long.MaxValue)
                {
                    return Errors.InvalidRequest(field, $"is larger than any version can be, which is {Number(long.MaxValue)}");
                }

                version = (long)reader.Number;
            }
            else if (reader.Length > 0)
            {
                var inner = new WireReader(reader.Bytes);
                return inner.Next()
                    ? Errors.UnknownField($"{field}.{Number(inner.Field)}")
                    : Errors.InvalidRequest(field, "is not an encoded Empty message");
            }
        }

        return reader.Malformed ? Errors.InvalidRequest($"{path}.expected", "is not an encoded ExpectedVersion message")
            : kind == default ? Errors.InvalidRequest($"{path}.expected", "says nothing: one of any, no_stream, exists and version must be set")
            : null;
    }

    private Refusal? CheckEvents(AppendContent content)
    {
        var problem = content.Check(out var stream, out var index);
        if (problem.Kind == EventProblemKind.None)
        {
            return null;
        }

        var path = $"streams[{Number(stream)}].events[{Number(index)}]";
        return Errors.Event(problem, path, Errors.Name(content.Name(content.Streams[stream])), index, limits);
    }

    private static Refusal? FindDoubled(AppendContent content)
    {
        var count = content.StreamCount;
        if (count == 1)
        {
            return null;
        }

        if (count <= ComparedStreams)
        {
            for (var i = 1; i < count; i++)
            {
                for (var k = 0; k < i; k++)
                {
                    if (content.Name(content.Streams[i]).SequenceEqual(content.Name(content.Streams[k])))
                    {
                        return Doubled(i);
                    }
                }
            }

            return null;
        }

        var order = ArrayPool<int>.Shared.Rent(count);
        try
        {
            var places = order.AsSpan(0, count);
            for (var i = 0; i < count; i++)
            {
                places[i] = i;
            }

            places.Sort((a, b) => content.Name(content.Streams[a]).SequenceCompareTo(content.Name(content.Streams[b])));
            for (var i = 1; i < count; i++)
            {
                if (content.Name(content.Streams[places[i]]).SequenceEqual(content.Name(content.Streams[places[i - 1]])))
                {
                    return Doubled(Math.Max(places[i], places[i - 1]));
                }
            }

            return null;
        }
        finally
        {
            ArrayPool<int>.Shared.Return(order);
        }
    }

    private static Refusal Doubled(int stream) =>
        Errors.InvalidRequest($"streams[{Number(stream)}].stream", "names a stream that stands before it: give each stream once, with all its events");

    private static string StreamField(int field) => field switch { 1 => "stream", 2 => "expected", _ => "events" };

    private static string ExpectedField(int field) => field switch { 1 => "any", 2 => "no_stream", 3 => "exists", _ => "version" };

    private static string NotServed(int field) => field switch { 3 => "requires", 4 => "conditions", 5 => "checkpoint", _ => "attempted_after" };

    private static string Number(long number) => number.ToString(System.Globalization.CultureInfo.InvariantCulture);
}
