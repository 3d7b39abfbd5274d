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
    private readonly AppendChecksReader _checks = new(limits);

    /// <summary>Reads and checks a request; most of the work of a small append happens here, on the caller's thread.</summary>
    /// <param name="bytes">Has the request; kept by the content until the append has completed.</param>
    /// <param name="offset">Where the request begins.</param>
    /// <param name="length">How long it is.</param>
    /// <param name="content">Filled; of no use if there is a refusal.</param>
    /// <returns>Why it is refused; null if it may be queued.</returns>
    public Refusal? Read(byte[] bytes, int offset, int length, AppendContent content)
    {
        content.Reset(bytes);
        var (seenId, seenAttempt, keys) = (false, false, 0);
        var reader = new WireReader(bytes.AsSpan(offset, length));
        while (reader.Next())
        {
            var refusal = reader.Field switch
            {
                1 => ReadOperationId(reader, content, ref seenId),
                2 => ReadStream(reader, bytes, offset, content),
                3 => _checks.ReadRequirement(reader, bytes, offset, content),
                4 => _checks.ReadCondition(reader, bytes, offset, content, ref keys),
                5 => Errors.UnknownField("checkpoint", "is not served yet"),
                6 => AppendChecksReader.ReadAttempt(reader, content, ref seenAttempt),
                _ => Errors.UnknownField(AppendFields.Number(reader.Field)),
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
            return Errors.InvalidRequest("operation_id", $"must be {OperationIdBytes} bytes, has {AppendFields.Number(reader.Length)}");
        }

        content.OperationId = BinaryPrimitives.ReadUInt128BigEndian(reader.Bytes);
        return null;
    }

    private Refusal? ReadStream(in WireReader request, byte[] bytes, int requestOffset, AppendContent content)
    {
        var path = new FieldPath("streams", content.StreamCount);
        if (request.WireType != WireReader.Delimited)
        {
            return Errors.InvalidRequest($"{path}", "has the wrong wire type");
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
                    if (AppendFields.ReadExpected(reader.Bytes, path, out expected, out version) is { } refusal)
                    {
                        return refusal;
                    }

                    break;
                case 3:
                    events++;
                    break;
                default:
                    return Errors.UnknownField($"{path}.{AppendFields.Number(reader.Field)}");
            }
        }

        if (reader.Malformed)
        {
            return Errors.InvalidRequest($"{path}", "is not an encoded StreamAppend message");
        }

        if (AppendFields.CheckName(bytes.AsSpan(nameStart, Math.Max(nameLength, 0)), path, limits) is { } badName)
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

    private Refusal? CheckContent(ExpectedKind expected, int events, int eventsBefore, FieldPath path)
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

    private Refusal? CheckEvents(AppendContent content)
    {
        var problem = content.Check(out var stream, out var index);
        if (problem.Kind == EventProblemKind.None)
        {
            return null;
        }

        var path = $"streams[{AppendFields.Number(stream)}].events[{AppendFields.Number(index)}]";
        return Errors.Event(problem, path, Errors.Name(content.Name(content.Streams[stream])), index, limits);
    }

    // Neither among the streams that are written nor among those that are required, nor in both lists.
    private static Refusal? FindDoubled(AppendContent content)
    {
        var count = content.StreamCount + content.RequireCount;
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
                    if (NameAt(content, i).SequenceEqual(NameAt(content, k)))
                    {
                        return Doubled(content, i);
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

            places.Sort((a, b) => NameAt(content, a).SequenceCompareTo(NameAt(content, b)));
            for (var i = 1; i < count; i++)
            {
                if (NameAt(content, places[i]).SequenceEqual(NameAt(content, places[i - 1])))
                {
                    return Doubled(content, Math.Max(places[i], places[i - 1]));
                }
            }

            return null;
        }
        finally
        {
            ArrayPool<int>.Shared.Return(order);
        }
    }

    private static ReadOnlySpan<byte> NameAt(AppendContent content, int i) =>
        i < content.StreamCount ? content.Name(content.Streams[i]) : content.Name(content.Requires[i - content.StreamCount]);

    private static Refusal Doubled(AppendContent content, int i) => i < content.StreamCount
        ? Errors.InvalidRequest($"streams[{AppendFields.Number(i)}].stream", "names a stream that stands before it: give each stream once, with all its events")
        : Errors.InvalidRequest(
            $"requires[{AppendFields.Number(i - content.StreamCount)}].stream", "names a stream that is written or required already: give each stream once");

    private static string StreamField(int field) => field switch { 1 => "stream", 2 => "expected", _ => "events" };
}
