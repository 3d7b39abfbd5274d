// The parts of an AppendRequest that check rather than write: requirements, conditions, and what a retry says of its first
// attempt. Field numbers as in streams.proto.
using EventVault.Storage;
using EventVault.Storage.Log;
using EventVault.Storage.Queries;

namespace EventVault.Node.Services;

/// <summary>Reads them into an <see cref="AppendContent"/>. Thread-safe; the contents it fills are the caller's.</summary>
internal sealed class AppendChecksReader(NodeLimits limits)
{
    private readonly QueryReader _queries = new(limits);

    /// <summary>Reads a <c>StreamRequirement</c>.</summary>
    public Refusal? ReadRequirement(in WireReader request, byte[] bytes, int requestOffset, AppendContent content)
    {
        var path = new FieldPath("requires", content.RequireCount);
        if (Begin(request, path, NodeLimits.AppendRequires) is { } wrong)
        {
            return wrong;
        }

        var start = requestOffset + request.Start;
        var (nameStart, nameLength, expected, version) = (0, -1, default(ExpectedKind), 0L);
        var reader = new WireReader(request.Bytes);
        while (reader.Next())
        {
            if (reader.Field is not (1 or 2))
            {
                return Errors.UnknownField($"{path}.{AppendFields.Number(reader.Field)}");
            }

            if (reader.WireType != WireReader.Delimited)
            {
                return Errors.InvalidRequest(FieldOf(path, reader), "has the wrong wire type");
            }

            if (reader.Field == 1 ? nameLength >= 0 : expected != default)
            {
                return Errors.InvalidRequest(FieldOf(path, reader), "stands twice");
            }

            if (reader.Field == 1)
            {
                (nameStart, nameLength) = (start + reader.Start, reader.Length);
            }
            else if (AppendFields.ReadExpected(reader.Bytes, path, out expected, out version) is { } refusal)
            {
                return refusal;
            }
        }

        if (reader.Malformed)
        {
            return Errors.InvalidRequest($"{path}", "is not an encoded StreamRequirement message");
        }

        if (AppendFields.CheckName(bytes.AsSpan(nameStart, Math.Max(nameLength, 0)), path, limits) is { } badName)
        {
            return badName;
        }

        if (expected == default)
        {
            return Errors.InvalidRequest($"{path}.expected", "is missing: say any, no_stream, exists or a version");
        }

        content.AddRequirement(nameStart, nameLength, expected, new StreamVersion(version));
        return null;
    }

    /// <summary>Reads an <c>AppendCondition</c>.</summary>
    /// <param name="request">Stands on it.</param>
    /// <param name="bytes">Has the request.</param>
    /// <param name="requestOffset">Where the request begins.</param>
    /// <param name="content">Gets it.</param>
    /// <param name="keys">Keys of the append's conditions so far; this one's are added.</param>
    public Refusal? ReadCondition(in WireReader request, byte[] bytes, int requestOffset, AppendContent content, ref int keys)
    {
        var path = new FieldPath("conditions", content.ConditionCount);
        if (Begin(request, path, NodeLimits.AppendConditions) is { } wrong)
        {
            return wrong;
        }

        List<QueryItem>? items = null;
        var (after, seenAfter) = (Position.None, false);
        var reader = new WireReader(request.Bytes);
        while (reader.Next())
        {
            switch (reader.Field)
            {
                case 1 when reader.WireType != WireReader.Delimited:
                    return Errors.InvalidRequest($"{path}.query", "has the wrong wire type");
                case 1 when items is not null:
                    return Errors.InvalidRequest($"{path}.query", "stands twice");
                case 1:
                    items = [];
                    if (_queries.Read(bytes.AsMemory(requestOffset + request.Start + reader.Start, reader.Length), $"{path}.query", items, ref keys) is { } badQuery)
                    {
                        return badQuery;
                    }

                    break;
                case 2 when seenAfter:
                    return Errors.InvalidRequest($"{path}.after", "stands twice");
                case 2:
                    seenAfter = true;
                    if (AppendFields.ReadPosition(reader, $"{path}.after", out after) is { } badPosition)
                    {
                        return badPosition;
                    }

                    break;
                default:
                    return Errors.UnknownField($"{path}.{AppendFields.Number(reader.Field)}");
            }
        }

        if (reader.Malformed)
        {
            return Errors.InvalidRequest($"{path}", "is not an encoded AppendCondition message");
        }

        if (items is null)
        {
            return Errors.InvalidRequest($"{path}.query", "is missing: a condition says which events must not be there");
        }

        content.AddCondition(items, after);
        return null;
    }

    /// <summary>Reads the <c>SeenHead</c> of a retry.</summary>
    public static Refusal? ReadAttempt(in WireReader request, AppendContent content, ref bool seen)
    {
        const string Path = "attempted_after";
        if (seen || request.WireType != WireReader.Delimited)
        {
            return Errors.InvalidRequest(Path, seen ? "stands twice" : "has the wrong wire type");
        }

        seen = true;
        var (position, seenPosition) = (Position.None, false);
        var reader = new WireReader(request.Bytes);
        while (reader.Next())
        {
            if (reader.Field != 1)
            {
                return Errors.UnknownField($"{Path}.{AppendFields.Number(reader.Field)}");
            }

            if (seenPosition)
            {
                return Errors.InvalidRequest($"{Path}.position", "stands twice");
            }

            seenPosition = true;
            if (AppendFields.ReadPosition(reader, $"{Path}.position", out position) is { } refusal)
            {
                return refusal;
            }
        }

        content.AttemptedAfter = position;
        return reader.Malformed ? Errors.InvalidRequest(Path, "is not an encoded SeenHead message") : null;
    }

    // Before there is a row for it: a message has room for millions of empty ones.
    private Refusal? Begin(in WireReader request, FieldPath path, string limit) =>
        request.WireType != WireReader.Delimited ? Errors.InvalidRequest($"{path}", "has the wrong wire type")
        : path.Index == limits[limit].Allowed ? Errors.LimitExceeded(limits[limit], path.Index + 1L, path.List)
        : null;

    private static string FieldOf(FieldPath path, in WireReader reader) => $"{path}.{(reader.Field == 1 ? "stream" : "expected")}";
}
