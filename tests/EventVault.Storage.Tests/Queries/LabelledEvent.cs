using System.Buffers.Binary;
using System.Text;
using EventVault.Storage.Tests.Log;

namespace EventVault.Storage.Tests.Queries;

/// <summary>What an event can be found by, read from its bytes by other code than the vault's; and events that have such.</summary>
internal sealed record LabelledEvent(string Type, string[] Tags, string CorrelationId, UInt128 Id)
{
    public static readonly string[] Types = ["T", "Placed", "Größe", "T2", "rare"];
    public static readonly string[] AllTags = ["x:0", "x:1", "x:2", "x:3", "y:0", "y:1", "ä", "rare"];

    /// <summary>An event whose type, tags and correlation id follow from its id, so that a run draws no more random numbers for them.</summary>
    public static byte[] Event(UInt128 id, ReadOnlySpan<byte> data)
    {
        var bits = (uint)(id >> 64) ^ (uint)id;
        var type = Types[bits % 64 == 0 ? 4 : bits % 4];
        var tags = AllTags.Where((_, i) => i == 7 ? (bits >> 6) % 64 == 0 : ((bits >> (12 + i)) & 3) == 0).ToArray();
        (string, string)[] metadata = (bits >> 28) switch
        {
            < 4 => [("k", "v")],
            < 6 => [("a", "b"), ("correlationId", $"c{(bits >> 8) % 8}")],
            6 => [("correlationId", "")],
            _ => [],
        };
        return Encoded.Event(id, type, data, tags, metadata);
    }

    public static LabelledEvent Of(byte[] bytes)
    {
        var (type, tags, correlation, id) = ("", new List<string>(), "", UInt128.Zero);
        foreach (var (field, value) in Fields(bytes))
        {
            switch (field)
            {
                case 1:
                    id = BinaryPrimitives.ReadUInt128BigEndian(value);
                    break;
                case 2:
                    type = Encoding.UTF8.GetString(value);
                    break;
                case 6:
                    tags.Add(Encoding.UTF8.GetString(value));
                    break;
                case 7:
                    var entry = Fields(value).ToDictionary(f => f.Field, f => Encoding.UTF8.GetString(f.Value));
                    correlation = entry.GetValueOrDefault(1) == "correlationId" ? entry.GetValueOrDefault(2, "") : correlation;
                    break;
            }
        }

        return new LabelledEvent(type, [.. tags], correlation, id);
    }

    private static IEnumerable<(int Field, byte[] Value)> Fields(byte[] bytes)
    {
        var at = 0;
        while (at < bytes.Length)
        {
            var tag = Varint(bytes, ref at);
            switch (tag & 7)
            {
                case 0:
                    Varint(bytes, ref at);
                    break;
                case 1:
                    at += 8;
                    break;
                default:
                    var length = Varint(bytes, ref at);
                    yield return (tag >> 3, bytes[at..(at + length)]);
                    at += length;
                    break;
            }
        }
    }

    private static int Varint(byte[] bytes, ref int at)
    {
        var value = 0;
        for (var shift = 0; ; shift += 7)
        {
            value |= (bytes[at] & 0x7f) << shift;
            if (bytes[at++] < 0x80)
            {
                return value;
            }
        }
    }
}
