// What the generated parsers let pass, and the contract does not: fields that this server does not know, a singular
// field or a oneof that stands twice, text that is not UTF-8. Driven by the descriptors, so a new field of a request
// needs nothing here.
using System.Buffers;
using System.Globalization;
using System.Text.Unicode;
using EventVault.Storage.Log;
using Google.Protobuf;
using Google.Protobuf.Reflection;

namespace EventVault.Node.Services;

/// <summary>Checks encoded requests against their descriptors.</summary>
internal static class RequestFields
{
    /// <summary>Our deepest request has four levels (a filter's types); beyond this it is garbage.</summary>
    private const int MostLevels = 16;

    /// <summary>
    /// Entries of all lists, also of those within others, so that a message of nothing but empty ones does not become millions of objects. Every list
    /// has a smaller limit of its own, which is checked, and named, once the request is decoded.
    /// </summary>
    private const int MostEntries = 4_000;

    /// <summary>Checks and decodes a request.</summary>
    /// <exception cref="Rpc.RpcException">INVALID_ARGUMENT with the path of the field concerned.</exception>
    public static T Parse<T>(MessageParser<T> parser, in ReadOnlySequence<byte> bytes)
        where T : class, IMessage<T>, new()
    {
        var request = new T();
        var encoded = bytes.IsSingleSegment ? bytes.FirstSpan : bytes.ToArray();
        if (Find(request.Descriptor, encoded) is { } refusal)
        {
            throw refusal.ToException();
        }

        return parser.ParseFrom(encoded);
    }

    /// <summary>Checks and decodes a request of which only the descriptor is known.</summary>
    /// <exception cref="Rpc.RpcException">INVALID_ARGUMENT with the path of the field concerned.</exception>
    public static IMessage Parse(MessageDescriptor message, in ReadOnlySequence<byte> bytes)
    {
        var encoded = bytes.IsSingleSegment ? bytes.FirstSpan : bytes.ToArray();
        return Find(message, encoded) is { } refusal ? throw refusal.ToException() : message.Parser.ParseFrom(encoded.ToArray());
    }

    /// <summary>Why a request is refused; null if it may be parsed.</summary>
    public static Refusal? Find(MessageDescriptor message, ReadOnlySpan<byte> bytes)
    {
        var entries = 0;
        return Find(message, bytes, string.Empty, 0, ref entries);
    }

    private static Refusal? Find(MessageDescriptor message, ReadOnlySpan<byte> bytes, string path, int level, ref int entries)
    {
        var seen = new HashSet<string>();
        var reader = new WireReader(bytes);
        while (reader.Next())
        {
            var field = message.FindFieldByNumber(reader.Field);
            if (field is null)
            {
                return Errors.UnknownField(path + reader.Field.ToString(CultureInfo.InvariantCulture));
            }

            var name = path + field.Name;
            if (!field.IsRepeated && !seen.Add(field.RealContainingOneof?.Name ?? field.Name))
            {
                return field.RealContainingOneof is { } oneof
                    ? Errors.InvalidRequest(path + oneof.Name, "says more than one thing")
                    : Errors.InvalidRequest(name, "stands twice");
            }

            if (field.IsRepeated && ++entries > MostEntries)
            {
                return Errors.InvalidRequest(name, "is far too long a list");
            }

            if (!HasWireType(field, reader.WireType))
            {
                return Errors.InvalidRequest(name, "has the wrong wire type");
            }

            if (field.FieldType == FieldType.String && !Utf8.IsValid(reader.Bytes))
            {
                return Errors.InvalidRequest(name, "is not valid UTF-8");
            }

            if (field.FieldType == FieldType.Enum && field.EnumType.FindValueByNumber((int)reader.Number) is null)
            {
                return Errors.InvalidRequest(name, $"has the unknown value {reader.Number.ToString(CultureInfo.InvariantCulture)}");
            }

            if (field.FieldType == FieldType.UInt32 && reader.Number > uint.MaxValue)
            {
                return Errors.InvalidRequest(name, "does not fit 32 bits");
            }

            if (field.FieldType == FieldType.Message)
            {
                if (level == MostLevels)
                {
                    return Errors.InvalidRequest(name, "is nested too deep");
                }

                if (Find(field.MessageType, reader.Bytes, name + ".", level + 1, ref entries) is { } inner)
                {
                    return inner;
                }
            }
        }

        return reader.Malformed ? Errors.InvalidRequest(path.TrimEnd('.'), $"is not an encoded {message.Name} message") : null;
    }

    private static bool HasWireType(FieldDescriptor field, int wireType) => field.FieldType switch
    {
        FieldType.String or FieldType.Bytes or FieldType.Message => wireType == WireReader.Delimited,
        FieldType.Fixed64 or FieldType.SFixed64 or FieldType.Double => wireType == WireReader.Fixed64,
        FieldType.Fixed32 or FieldType.SFixed32 or FieldType.Float => wireType == WireReader.Fixed32,
        // Packed repeated numbers, of which no request has any, would be delimited.
        _ => wireType == WireReader.Varint,
    };
}
