using EventVault.Storage;
using EventVault.Storage.Log;

namespace EventVault.Node.Services;

/// <summary>Where in a request something stands, as in the contract. Becomes text only for a refusal: a usual append makes no strings.</summary>
/// <param name="List">The repeated field of the request.</param>
/// <param name="Index">Which of them.</param>
internal readonly record struct FieldPath(string List, int Index)
{
    public override string ToString() => $"{List}[{AppendFields.Number(Index)}]";
}

/// <summary>What stands in several messages of an append: names, expectations, positions. Paths as in the contract.</summary>
internal static class AppendFields
{
    /// <summary>A number in a path or a message.</summary>
    public static string Number(long number) => number.ToString(System.Globalization.CultureInfo.InvariantCulture);

    /// <summary>Why a stream's name is refused in an append.</summary>
    public static Refusal? CheckName(ReadOnlySpan<byte> name, FieldPath path, NodeLimits limits)
    {
        if (name.Length > VaultLimits.StreamNameBytes)
        {
            return Errors.LimitExceeded(limits[NodeLimits.StreamNameBytes], name.Length, $"{path}.stream");
        }

        if (StreamName.Problem(name) is { } why)
        {
            return Errors.InvalidName($"{path}.stream", path.Index, why);
        }

        return name[0] == (byte)'$' ? Errors.ReservedName($"{path}.stream", Errors.Name(name)) : null;
    }

    /// <summary>Reads an encoded <c>ExpectedVersion</c>.</summary>
    public static Refusal? ReadExpected(ReadOnlySpan<byte> bytes, FieldPath path, out ExpectedKind kind, out long version)
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

            if (kind != default)
            {
                return Errors.InvalidRequest($"{path}.expected", "says more than one thing");
            }

            kind = (ExpectedKind)reader.Field;
            if (reader.WireType != (kind == ExpectedKind.Exact ? WireReader.Varint : WireReader.Delimited))
            {
                return Errors.InvalidRequest(FieldOf(path, reader), "has the wrong wire type");
            }

            if (kind == ExpectedKind.Exact)
            {
                if (reader.Number > long.MaxValue)
                {
                    return Errors.InvalidRequest(FieldOf(path, reader), $"is larger than any version can be, which is {Number(long.MaxValue)}");
                }

                version = (long)reader.Number;
            }
            else if (reader.Length > 0)
            {
                var inner = new WireReader(reader.Bytes);
                return inner.Next()
                    ? Errors.UnknownField($"{FieldOf(path, reader)}.{Number(inner.Field)}")
                    : Errors.InvalidRequest(FieldOf(path, reader), "is not an encoded Empty message");
            }
        }

        return reader.Malformed ? Errors.InvalidRequest($"{path}.expected", "is not an encoded ExpectedVersion message")
            : kind == default ? Errors.InvalidRequest($"{path}.expected", "says nothing: one of any, no_stream, exists and version must be set")
            : null;
    }

    /// <summary>Reads a position; the reader stands on it.</summary>
    public static Refusal? ReadPosition(in WireReader reader, string path, out Position position)
    {
        position = Position.None;
        if (reader.WireType != WireReader.Varint)
        {
            return Errors.InvalidRequest(path, "has the wrong wire type");
        }

        if (reader.Number > long.MaxValue)
        {
            return Errors.InvalidRequest(path, $"is larger than any position can be, which is {Number(long.MaxValue)}");
        }

        position = new Position((long)reader.Number);
        return null;
    }

    private static string FieldOf(FieldPath path, in WireReader reader) =>
        $"{path}.expected.{reader.Field switch { 1 => "any", 2 => "no_stream", 3 => "exists", _ => "version" }}";
}
