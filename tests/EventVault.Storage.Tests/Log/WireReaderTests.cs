using System.Buffers.Binary;
using EventVault.Storage.Log;

namespace EventVault.Storage.Tests.Log;

public sealed class WireReaderTests
{
    [Fact]
    public void Any_bytes_are_read_as_a_plain_reader_reads_them_and_never_out_of_range()
    {
        var random = new Random(11);
        var malformed = 0;
        for (var i = 0; i < 60_000; i++)
        {
            var bytes = RandomMessage(random);
            var expected = Naive(bytes, out var isMalformed);
            malformed += isMalformed ? 1 : 0;
            var reader = new WireReader(bytes);
            var read = 0;
            while (reader.Next())
            {
                Assert.True(read < expected.Count && reader.Offset <= bytes.Length);
                var (field, type, number, value) = expected[read++];
                Assert.Equal((field, type), (reader.Field, reader.WireType));
                if (type == WireReader.Delimited)
                {
                    Assert.True(reader.Bytes.SequenceEqual(value));
                }
                else
                {
                    Assert.Equal(number, reader.Number);
                }
            }

            Assert.Equal((expected.Count, isMalformed), (read, reader.Malformed));
        }

        Assert.InRange(malformed, 10_000, 50_000);
    }

    private static byte[] RandomMessage(Random random)
    {
        var bytes = new List<byte>();
        for (var fields = random.Next(6); fields > 0; fields--)
        {
            var type = random.Next(20) == 0 ? random.Next(8) : (int[])[0, 1, 2, 5] is var types ? types[random.Next(4)] : 0;
            Encoded.Varint(bytes, ((ulong)random.Next(0, random.Next(2) == 0 ? 10 : 1 << 29) << 3) | (uint)type);
            var value = new byte[type switch { 1 => 8, 5 => 4, 2 => random.Next(20), _ => 0 }];
            random.NextBytes(value);
            if (type == 2)
            {
                Encoded.Varint(bytes, (ulong)(random.Next(30) == 0 ? random.NextInt64() : value.Length));
            }
            else if (type == 0)
            {
                Encoded.Varint(bytes, (ulong)random.NextInt64() >> random.Next(64));
            }

            bytes.AddRange(value);
        }

        if (random.Next(3) == 0 && bytes.Count > 0)
        {
            bytes[random.Next(bytes.Count)] = (byte)random.Next(256);
        }

        return random.Next(4) == 0 ? [.. bytes.Take(random.Next(bytes.Count + 1))] : [.. bytes];
    }

    // As the encoding's text says it, with no thought of speed.
    private static List<(int Field, int Type, ulong Number, byte[] Value)> Naive(byte[] bytes, out bool malformed)
    {
        var fields = new List<(int, int, ulong, byte[])>();
        var at = 0;
        malformed = false;
        while (at < bytes.Length)
        {
            malformed = true;
            if (Varint() is not { } tag || tag > uint.MaxValue || tag >> 3 == 0)
            {
                return fields;
            }

            var type = (int)(tag & 7);
            ulong number = 0;
            byte[] value = [];
            if (type == 0)
            {
                if (Varint() is not { } n)
                {
                    return fields;
                }

                number = n;
            }
            else if (type is 1 or 5 or 2)
            {
                var length = type == 1 ? 8 : type == 5 ? 4 : Varint();
                if (length is null || length > (ulong)(bytes.Length - at))
                {
                    return fields;
                }

                value = bytes[at..(at + (int)length)];
                at += (int)length;
                number = type == 1 ? BinaryPrimitives.ReadUInt64LittleEndian(value) : type == 5 ? BinaryPrimitives.ReadUInt32LittleEndian(value) : 0;
            }
            else
            {
                return fields;
            }

            malformed = false;
            fields.Add(((int)(tag >> 3), type, number, value));
        }

        return fields;

        ulong? Varint()
        {
            var value = System.Numerics.BigInteger.Zero;
            for (var i = 0; i < 10 && at < bytes.Length; i++)
            {
                var b = bytes[at++];
                value += new System.Numerics.BigInteger(b & 0x7f) << (7 * i);
                if (b < 0x80)
                {
                    return value > ulong.MaxValue ? null : (ulong)value;
                }
            }

            return null;
        }
    }
}
