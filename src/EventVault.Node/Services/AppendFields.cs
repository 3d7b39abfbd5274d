using EventVault.Storage;
using EventVault.Storage.Log;

namespace EventVault.Node.Services;

/// <summary>What stands in several messages of an append: names, expectations, positions. Paths as in the contract.</summary>
internal static class AppendFields
{
    /// <summary>A number in a path or a message.</summary>
    public static string Number(long number) => number.ToString(System.Globalization.CultureInfo.InvariantCulture);

    /// <summary>Why a stream's name is refused in an append.</summary>
    public static Refusal? CheckName(ReadOnlySpan<byte> name, string path, int index, NodeLimits limits)
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

    /// <summary>Reads an encoded <c>ExpectedVersion</c>.</summary>
    public static Refusal? ReadExpected(ReadOnlySpan<byte> bytes, string path, out ExpectedKind kind, out long version)
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

    private static string ExpectedField(int field) => field switch { 1 => "any", 2 => "no_stream", 3 => "exists", _ => "version" };
}
