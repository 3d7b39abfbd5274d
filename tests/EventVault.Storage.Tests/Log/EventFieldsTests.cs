using System.Text;
using EventVault.Storage.Index;
using EventVault.Storage.Log;

namespace EventVault.Storage.Tests.Log;

public sealed class EventFieldsTests
{
    private static readonly SipKey Key = SipKey.FromBytes(Convert.FromHexString("000102030405060708090A0B0C0D0E0F"));
    private static readonly byte[] Id = [.. Enumerable.Range(1, 16).Select(i => (byte)i)];

    [Fact]
    public void Equal_content_gives_an_equal_digest_however_it_is_encoded_and_any_change_another()
    {
        var random = new Random(5);
        for (var i = 0; i < 2000; i++)
        {
            var content = Random(random);
            var digest = DigestOf(Encode(content));
            var shuffled = content.OrderBy(_ => random.Next()).ToList();
            var tags = new Queue<(int, byte[])>(content.Where(f => f.Field == 6)); // A list: its order is content.
            Assert.Equal(digest, DigestOf(Encode(shuffled.ConvertAll(f => f.Field == 6 ? tags.Dequeue() : f))));
            for (var change = 0; change < content.Count; change++)
            {
                var changed = Change(content, change, random);
                Assert.NotEqual(digest, DigestOf(Encode(changed)));
            }

            // A field less, unless it is required.
            var less = content[random.Next(content.Count)];
            if (less.Field > 2)
            {
                Assert.NotEqual(digest, DigestOf(Encode(content.Where(f => !ReferenceEquals(f.Value, less.Value)).ToList())));
            }
        }
    }

    [Fact]
    public void An_event_cut_anywhere_or_with_any_byte_changed_is_refused_or_another_event()
    {
        var random = new Random(6);
        for (var i = 0; i < 40; i++)
        {
            var bytes = Encode(Random(random));
            var digest = DigestOf(bytes);
            for (var at = 0; at < bytes.Length; at++)
            {
                Assert.True(Check(bytes[..at], out var cut).Kind != EventProblemKind.None || cut != digest);
                var changed = (byte[])bytes.Clone();
                changed[at] ^= (byte)(1 << random.Next(8));
                // Another spelling of the same number (a varint with needless bytes) can't come from one flipped bit.
                Assert.True(Check(changed, out var other).Kind != EventProblemKind.None || other != digest);
            }
        }
    }

    [Theory]
    [InlineData(33)]
    [InlineData(700)]
    [InlineData(1024)]
    public void Many_metadata_entries_count_by_their_keys_whatever_their_order(int count)
    {
        var random = new Random(count);
        var entries = Enumerable.Range(0, count).Select(i => (7, (byte[])[.. Field(1, Encoding.UTF8.GetBytes($"k{i:D4}")), .. Field(2, "v"u8)])).ToList();
        var digest = DigestOf(Encode([(1, Id), (2, "T"u8.ToArray()), .. entries]));
        entries.Reverse();
        Assert.Equal(digest, DigestOf(Encode([(1, Id), (2, "T"u8.ToArray()), .. entries])));
        for (var i = 0; i < 20; i++)
        {
            Assert.Equal(digest, DigestOf(Encode([(1, Id), (2, "T"u8.ToArray()), .. entries.OrderBy(_ => random.Next())])));
        }

        entries[random.Next(count)] = entries[count / 2] with { Item2 = [.. Field(1, "k0000"u8), .. Field(2, "w"u8)] };
        entries[^1] = (7, [.. Field(1, "k0000"u8), .. Field(2, "v"u8)]);
        Refused(EventProblemKind.Invalid, Encode([(1, Id), (2, "T"u8.ToArray()), .. entries.OrderBy(_ => random.Next())]));
    }

    [Fact]
    public void Each_rule_is_enforced()
    {
        byte[] valid = [.. Field(1, Id), .. Field(2, "T"u8)];
        Refused(EventProblemKind.None, valid);
        Refused(EventProblemKind.Invalid, Field(2, "T"u8));
        Refused(EventProblemKind.Invalid, Field(1, Id));
        Refused(EventProblemKind.Invalid, []);
        Refused(EventProblemKind.Invalid, [.. Field(1, Id.AsSpan(0, 15)), .. Field(2, "T"u8)]);
        Refused(EventProblemKind.Invalid, [.. Field(1, [.. Id, 1]), .. Field(2, "T"u8)]);
        Refused(EventProblemKind.Invalid, [.. valid, .. Field(1, Id)]);
        Refused(EventProblemKind.Invalid, [.. valid, .. Field(2, "T"u8)]);
        Refused(EventProblemKind.Invalid, [.. valid, .. Field(3, "1"u8), .. Field(3, "2"u8)]);
        Refused(EventProblemKind.Invalid, [.. Field(1, Id), .. Field(2, ""u8)]);
        Refused(EventProblemKind.Invalid, [.. Field(1, Id), .. Field(2, [0xff])]);
        Refused(EventProblemKind.LimitExceeded, [.. Field(1, Id), .. Field(2, new byte[257])]);
        Refused(EventProblemKind.None, [.. Field(1, Id), .. Field(2, Encoding.UTF8.GetBytes(new string('t', 256)))]);
        Refused(EventProblemKind.Invalid, [.. valid, .. Field(4, [0xc3])]);
        Refused(EventProblemKind.LimitExceeded, [.. valid, .. Field(4, new byte[257])]);
        Refused(EventProblemKind.Invalid, [.. valid, .. Field(5, "1"u8)]);
        Refused(EventProblemKind.Invalid, [.. valid, 5 << 3, 0x80, 0x80, 0x80, 0x80, 0x10]); // 2^32
        Refused(EventProblemKind.None, [.. valid, 5 << 3, 0xff, 0xff, 0xff, 0xff, 0x0f]);
        Refused(EventProblemKind.Invalid, [.. valid, (3 << 3) | 0, 1]);
        Refused(EventProblemKind.Invalid, [.. valid, .. Field(6, ""u8)]);
        Refused(EventProblemKind.Invalid, [.. valid, .. Field(6, "a"u8), .. Field(6, "a"u8)]);
        Refused(EventProblemKind.Invalid, [.. valid, .. Field(6, [0xff])]);
        Refused(EventProblemKind.LimitExceeded, [.. valid, .. Field(6, new byte[129])]);
        byte[] sixteen = [.. valid, .. Enumerable.Range(0, 16).SelectMany(i => Field(6, [(byte)('a' + i)]))];
        Refused(EventProblemKind.None, sixteen);
        Refused(EventProblemKind.LimitExceeded, [.. sixteen, .. Field(6, "z"u8)]);
        Refused(EventProblemKind.Invalid, [.. valid, .. Field(7, [.. Field(1, "k"u8)]), .. Field(7, [.. Field(1, "k"u8)])]);
        Refused(EventProblemKind.Invalid, [.. valid, .. Field(7, [.. Field(1, "k"u8), .. Field(1, "k"u8)])]);
        Refused(EventProblemKind.Invalid, [.. valid, .. Field(7, [.. Field(3, "k"u8)])]);
        Refused(EventProblemKind.Invalid, [.. valid, .. Field(7, [.. Field(1, [0xff])])]);
        Refused(EventProblemKind.Invalid, [.. valid, .. Field(7, [0x0a, 5])]);
        Refused(EventProblemKind.LimitExceeded, [.. valid, .. Field(7, [.. Field(1, new byte[65 * 1024])])]);
        Refused(EventProblemKind.UnknownField, [.. valid, .. Field(9, "x"u8)]);
        Refused(EventProblemKind.Invalid, [.. valid, 8 << 3, 1]);
        Refused(EventProblemKind.Invalid, [.. valid, (3 << 3) | 3]); // A group, as proto2 had them.
        Refused(EventProblemKind.Invalid, [.. valid, 0, 1]);
        Refused(EventProblemKind.LimitExceeded, [.. valid, .. Field(3, new byte[5 * 1024 * 1024])]);
    }

    [Fact]
    public void Names_of_streams_keep_their_rules()
    {
        foreach (var name in (string[])["a", "order-17", "größe-1", "日本", "a b", "-", "$system", "\u00a0", "🎉"])
        {
            Assert.Null(StreamName.Problem(Encoding.UTF8.GetBytes(name)));
        }

        foreach (var name in (byte[][])[[], [0xff], [0xc2], [(byte)'a', 0], [0x1f], [0x7f], [0xc2, 0x80], [(byte)'x', 0xc2, 0x9f], [0xed, 0xa0, 0x80]])
        {
            Assert.NotNull(StreamName.Problem(name));
        }
    }

    private static void Refused(EventProblemKind kind, byte[] bytes) => Assert.Equal(kind, Check(bytes, out _).Kind);

    private static EventProblem Check(byte[] bytes, out UInt128 digest)
    {
        var hash = new SipHash128(Key);
        var problem = EventFields.Check(bytes, new VaultLimits(), ref hash);
        digest = hash.Finish();
        return problem;
    }

    private static UInt128 DigestOf(byte[] bytes)
    {
        Assert.Equal(EventProblemKind.None, Check(bytes, out var digest).Kind);
        return digest;
    }

    private static byte[] Field(int field, ReadOnlySpan<byte> value)
    {
        var bytes = new List<byte>();
        Encoded.Delimited(bytes, field, value);
        return [.. bytes];
    }

    private static List<(int Field, byte[] Value)> Random(Random random)
    {
        var fields = new List<(int, byte[])> { (1, Bytes(16)), (2, Text(1 + random.Next(20))) };
        foreach (var field in (int[])[3, 4, 5, 8])
        {
            if (random.Next(2) == 0)
            {
                fields.Add((field, field switch { 3 => Bytes(1 + random.Next(300)), 4 => Text(1 + random.Next(20)), 5 => [(byte)(1 + random.Next(127))], _ => Bytes(8) }));
            }
        }

        for (var i = random.Next(5); i > 0; i--)
        {
            fields.Add((6, [(byte)('a' + i), .. Text(random.Next(5))]));
        }

        for (var i = random.Next(40); i > 0; i--)
        {
            fields.Add((7, [.. Field(1, [.. Encoding.UTF8.GetBytes($"k{i}")]), .. Field(2, Text(1 + random.Next(9)))]));
        }

        return fields;

        byte[] Bytes(int length)
        {
            var bytes = new byte[length];
            random.NextBytes(bytes);
            return bytes;
        }

        byte[] Text(int length) => [.. Enumerable.Range(0, length).Select(_ => (byte)random.Next('a', 'z'))];
    }

    private static List<(int Field, byte[] Value)> Change(List<(int Field, byte[] Value)> content, int change, Random random)
    {
        var changed = new List<(int Field, byte[] Value)>(content);
        var value = (byte[])changed[change].Value.Clone();
        var at = changed[change].Field == 7 ? value.Length - 1 : random.Next(value.Length);
        value[at] = (byte)(value[at] == 'z' ? 'y' : changed[change].Field is 1 or 3 or 8 ? value[at] ^ 1 : changed[change].Field == 5 ? (value[at] % 127) + 1 : 'z');
        changed[change] = (changed[change].Field, value);
        return changed;
    }

    private static byte[] Encode(List<(int Field, byte[] Value)> fields)
    {
        var bytes = new List<byte>();
        foreach (var (field, value) in fields)
        {
            switch (field)
            {
                case 5:
                    bytes.Add(5 << 3);
                    bytes.AddRange(value);
                    break;
                case 8:
                    bytes.Add((8 << 3) | 1);
                    bytes.AddRange(value);
                    break;
                default:
                    Encoded.Delimited(bytes, field, value);
                    break;
            }
        }

        return [.. bytes];
    }
}
