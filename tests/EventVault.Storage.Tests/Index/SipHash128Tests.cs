using System.Buffers.Binary;
using EventVault.Storage.Index;

namespace EventVault.Storage.Tests.Index;

public sealed class SipHash128Tests
{
    // Key 00 01 … 0f, message 00 01 … of length n: the reference implementation's vectors_sip128, and OpenSSL's answer.
    private static readonly string[] Vectors =
    [
        "A3817F04BA25A8E66DF67214C7550293",
        "DA87C1D86B99AF44347659119B22FC45",
        "8177228DA4A45DC7FCA38BDEF60AFFE4",
        "9C70B60C5267A94E5F33B6B02985ED51",
        "F88164C12D9C8FAF7D0F6E7C7BCD5579",
        "1368875980776F8854527A07690E9627",
        "14EECA338B208613485EA0308FD7A15E",
        "A1F1EBBED8DBC153C0B84AA61FF08239",
        "3B62A9BA6258F5610F83E264F31497B4",
        "264499060AD9BAABC47F8B02BB6D71ED",
        "00110DC378146956C95447D3F3D0FBBA",
        "0151C568386B6677A2B4DC6F81E5DC18",
        "D626B266905EF35882634DF68532C125",
        "9869E247E9C08B10D029934FC4B952F7",
        "31FCEFAC66D7DE9C7EC7485FE4494902",
        "5493E99933B0A8117E08EC0F97CFC3D9",
        "6EE2A4CA67B054BBFD3315BF85230577",
        "473D06E8738DB89854C066C47AE47740",
        "A426E5E423BF4885294DA481FEAEF723",
        "78017731CF65FAB074D5208952512EB1",
        "9E25FC833F2290733E9344A5E83839EB",
        "568E495ABE525A218A2214CD3E071D12",
        "4A29B54552D16B9A469C10528EFF0AAE",
        "C9D184DDD5A9F5E0CF8CE29A9ABF691C",
        "2DB479AE78BD50D8882A8A178A6132AD",
        "8ECE5F042D5E447B5051B9EACB8D8F6F",
        "9C0B53B4B3C307E87EAEE08678141F66",
        "ABF248AF69A6EAE4BFD3EB2F129EEB94",
        "0664DA1668574B88B935F3027358AEF4",
        "AA4B9DC4BF337DE90CD4FD3C467C6AB7",
        "EA5C7F471FAF6BDE2B1AD7D4686D2287",
        "2939B0183223FAFC1723DE4F52C43D35",
        "7C3956CA5EEAFC3E363E9D556546EB68",
        "77C6077146F01C32B6B69D5F4EA9FFCF",
        "37A6986CB8847EDF0925F0F1309B54DE",
        "A705F0E69DA9A8F907241A2E923C8CC8",
        "3DC47D1F29C448461E9E76ED904F6711",
        "0D62BF01E6FC0E1A0D3C4751C5D3692B",
        "8C03468BCA7C669EE4FD5E084BBEE7B5",
        "528A5BB93BAF2C9C4473CCE5D0D22BD9",
        "DF6A301E95C95DAD97AE0CC8C6913BD8",
        "801189902C857F39E73591285E70B6DB",
        "E617346AC9C231BB3650AE34CCCA0C5B",
        "27D93437EFB721AA401821DCEC5ADF89",
        "89237D9DED9C5E78D8B1C9B166CC7342",
        "4A6D8091BF5E7D651189FA94A250B14C",
        "0E33F96055E7AE893FFC0E3DCF492902",
        "E61C432B720B19D18EC8D84BDC63151B",
        "F7E5AEF549F782CF379055A608269B16",
        "438D030FD0B7A54FA837F2AD201A6403",
        "A590D3EE4FBF04E3247E0D27F286423F",
        "5FE2C1A172FE93C4B15CD37CAEF9F538",
        "2C97325CBD06B36EB2133DD08B3A017C",
        "92C814227A6BCA949FF0659F002AD39E",
        "DCE850110BD8328CFBD50841D6911D87",
        "67F14984C7DA791248E32BB5922583DA",
        "1938F2CF72D54EE97E94166FA91D2A36",
        "74481E9646ED49FE0F6224301604698E",
        "57FCA5DE98A9D6D8006438D0583D8A1D",
        "9FECDE1CEFDC1CBED4763674D9575359",
        "E3040C00EB28F15366CA73CBD872E740",
        "7697009A6A831DFECCA91C5993670F7A",
        "5853542321F567A005D547A4F04759BD",
        "5150D1772F50834A503E069A973FBD7C",
    ];

    private static readonly SipKey Key = SipKey.FromBytes(Convert.FromHexString("000102030405060708090A0B0C0D0E0F"));

    [Fact]
    public void Gives_the_official_results()
    {
        for (int length = 0; length < Vectors.Length; length++)
        {
            Assert.Equal(Vectors[length], Hex(SipHash128.Compute(Message(length), Key)));
        }
    }

    [Fact]
    public void Does_not_depend_on_how_the_bytes_are_cut()
    {
        byte[] message = Message(63);
        for (int first = 0; first <= message.Length; first++)
        {
            for (int second = first; second <= message.Length; second++)
            {
                var hash = new SipHash128(Key);
                hash.Append(message.AsSpan(0, first));
                hash.Append(message.AsSpan(first, second - first));
                hash.Append(message.AsSpan(second));
                Assert.Equal(Vectors[63], Hex(hash.Finish()));
            }
        }
    }

    [Fact]
    public void Of_a_byte_and_what_is_behind_it_there_is_the_low_half_at_once()
    {
        for (int length = 1; length <= 600; length++)
        {
            byte[] message = Message(length);
            Assert.Equal((ulong)SipHash128.Compute(message, Key), SipHash128.ComputeLow(message[0], message.AsSpan(1), Key));
        }
    }

    [Fact]
    public void Of_a_name_depends_on_the_key() =>
        Assert.NotEqual(StreamKey.Compute("order-17"u8, Key), StreamKey.Compute("order-17"u8, new SipKey(Key.K0, Key.K1 + 1)));

    [Fact]
    public void Keys_do_not_print_themselves() => Assert.DoesNotContain("7", Key.ToString(), StringComparison.Ordinal);

    private static byte[] Message(int length) => [.. Enumerable.Range(0, length).Select(i => (byte)i)];

    private static string Hex(UInt128 hash)
    {
        Span<byte> bytes = stackalloc byte[16];
        BinaryPrimitives.WriteUInt128LittleEndian(bytes, hash);
        return Convert.ToHexString(bytes);
    }
}
