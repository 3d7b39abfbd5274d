using System.Buffers;
using System.Text;
using EventVault.Rpc.Wire;

namespace EventVault.Rpc.Tests.Wire;

/// <summary>Percent encoding, time-outs, base64, metadata rules, status numbers, gzip: all without a network.</summary>
public class EncodingTests
{
    [Fact]
    public void Every_code_point_survives_percent_encoding()
    {
        for (var value = 0; value <= 0x10FFFF; value++)
        {
            if (!Rune.IsValid(value))
            {
                continue;
            }

            var text = new Rune(value).ToString();
            var encoded = PercentEncoding.Encode(text);
            Assert.True(encoded.All(c => c is >= ' ' and <= '~'), $"U+{value:X}");
            Assert.True(PercentEncoding.Decode(encoded) == text, $"U+{value:X}");
        }
    }

    [Theory]
    [InlineData("\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n", "%09%0Atest with whitespace%0D%0Aand Unicode BMP %E2%98%BA and non-BMP %F0%9F%98%88%09%0A")]
    [InlineData("100%", "100%25")]
    [InlineData("plain", "plain")]
    public void Known_texts_are_encoded_as_the_specification_shows(string text, string encoded)
    {
        Assert.Equal(encoded, PercentEncoding.Encode(text));
        Assert.Equal(text, PercentEncoding.Decode(encoded));
    }

    [Theory]
    [InlineData("%", "%")]
    [InlineData("%4", "%4")]
    [InlineData("%zz", "%zz")]
    [InlineData("%41%", "A%")]
    [InlineData("%FF", "\uFFFD")]
    public void Decoding_never_fails(string encoded, string text) => Assert.Equal(text, PercentEncoding.Decode(encoded));

    [Fact]
    public void Decoding_random_text_never_throws_and_lone_surrogates_encode()
    {
        var random = new Random(1);
        for (var i = 0; i < 20_000; i++)
        {
            var chars = new char[random.Next(0, 40)];
            for (var k = 0; k < chars.Length; k++)
            {
                chars[k] = random.Next(4) == 0 ? '%' : (char)random.Next(0, 0x10000);
            }

            PercentEncoding.Decode(new string(chars));
            PercentEncoding.Encode(new string(chars));
        }
    }

    [Fact]
    public void A_long_message_is_cut_between_characters()
    {
        var encoded = PercentEncoding.Encode(new string('ü', 10_000));
        Assert.InRange(encoded.Length, PercentEncoding.MaxEncodedBytes - 12, PercentEncoding.MaxEncodedBytes);
        Assert.DoesNotContain('\uFFFD', PercentEncoding.Decode(encoded));
        Assert.Equal(PercentEncoding.MaxEncodedBytes, PercentEncoding.Encode(new string('a', 10_000)).Length);
    }

    [Theory]
    [InlineData("0n", 0)]
    [InlineData("1n", 1)]
    [InlineData("99999999u", 999_999_990)]
    [InlineData("5m", 50_000)]
    [InlineData("3S", 30_000_000)]
    [InlineData("2M", 1_200_000_000)]
    [InlineData("1H", 36_000_000_000)]
    [InlineData("99999999H", 3_599_999_964_000_000_000)]
    public void Timeouts_are_read_in_every_unit(string text, long ticks)
    {
        Assert.True(TimeoutFormat.TryParse(text, out var timeout));
        Assert.Equal(ticks, timeout.Ticks);
    }

    [Theory]
    [InlineData("")]
    [InlineData("5")]
    [InlineData("S")]
    [InlineData("123456789S")]
    [InlineData("5x")]
    [InlineData("-5S")]
    [InlineData("5 S")]
    [InlineData("٣S")]
    public void Malformed_timeouts_are_refused(string text) => Assert.False(TimeoutFormat.TryParse(text, out _));

    [Fact]
    public void A_timeout_is_never_shortened_on_the_way()
    {
        var random = new Random(2);
        for (var i = 0; i < 100_000; i++)
        {
            var asked = new TimeSpan(random.NextInt64(1, 1L << random.Next(1, 60)));
            var text = TimeoutFormat.Format(asked);
            Assert.True(text.Length <= 9 && TimeoutFormat.TryParse(text, out var read) && read >= asked, $"{asked} became {text}");
        }

        Assert.True(TimeoutFormat.TryParse(TimeoutFormat.Format(TimeSpan.MaxValue), out var longest) && longest > TimeSpan.FromDays(365));
    }

    [Theory]
    [InlineData(new byte[0], "")]
    [InlineData(new byte[] { 0xAB }, "qw")]
    [InlineData(new byte[] { 0xAB, 0xAB, 0xAB }, "q6ur")]
    public void Binary_values_are_written_without_padding(byte[] value, string text) => Assert.Equal(text, BinaryHeader.Encode(value));

    [Theory]
    [InlineData("qw")]
    [InlineData("qw==")]
    [InlineData(" qw= ")]
    public void Binary_values_are_read_with_and_without_padding(string text)
    {
        Assert.True(BinaryHeader.TryDecode(text, out var value));
        Assert.Equal([0xAB], value);
    }

    [Theory]
    [InlineData("q")]
    [InlineData("q*")]
    [InlineData("ümlaut")]
    public void What_is_not_base64_is_refused(string text) => Assert.False(BinaryHeader.TryDecode(text, out _));

    [Fact]
    public void Random_bytes_survive_base64()
    {
        var random = new Random(3);
        for (var length = 0; length < 300; length++)
        {
            var value = new byte[length];
            random.NextBytes(value);
            Assert.True(BinaryHeader.TryDecode(BinaryHeader.Encode(value), out var read));
            Assert.Equal(value, read);
        }
    }

    [Fact]
    public void Joined_binary_values_are_split_at_commas()
    {
        var metadata = new RpcMetadata();
        Assert.True(BinaryHeader.AddTo(metadata, "x-bin", "qw==,q6ur, AA"));
        Assert.Equal([[0xAB], [0xAB, 0xAB, 0xAB], [0]], metadata.Select(e => e.Bytes.ToArray()));
    }

    [Theory]
    [InlineData("ä", "v")]
    [InlineData("a b", "v")]
    [InlineData("", "v")]
    [InlineData(":path", "v")]
    [InlineData("grpc-status", "0")]
    [InlineData("content-type", "v")]
    [InlineData("Connection", "v")]
    [InlineData("key-bin", "v")]
    [InlineData("key", "ü")]
    [InlineData("key", "a\nb")]
    public void Metadata_that_cannot_be_sent_is_refused(string key, string value) =>
        Assert.ThrowsAny<ArgumentException>(() => new RpcMetadata().Add(key, value));

    [Fact]
    public void Binary_metadata_needs_the_suffix() =>
        Assert.ThrowsAny<ArgumentException>(() => new RpcMetadata().Add("key", new byte[] { 1 }.AsMemory()));

    [Fact]
    public void Metadata_keys_are_lower_case_and_the_last_value_counts()
    {
        var metadata = new RpcMetadata().Add("X-Key", "1").Add("x-key", "2").Add("X-Raw-Bin", new byte[] { 1 }.AsMemory());
        Assert.Equal(["x-key", "x-key", "x-raw-bin"], metadata.Select(e => e.Key));
        Assert.True(metadata.TryGet("X-KEY", out var value) && value == "2");
        Assert.True(metadata.TryGetBinary("x-raw-bin", out var bytes) && bytes.Span[0] == 1);
        Assert.False(metadata.TryGet("x-raw-bin", out _));
    }

    [Theory]
    [InlineData("0", RpcCode.Ok)]
    [InlineData("16", RpcCode.Unauthenticated)]
    [InlineData("17", RpcCode.Unknown)]
    [InlineData("-1", RpcCode.Unknown)]
    [InlineData("", RpcCode.Unknown)]
    [InlineData("OK", RpcCode.Unknown)]
    public void Status_numbers_are_read(string text, RpcCode code) => Assert.Equal(code, StatusMapping.FromGrpcStatus(text));

    [Fact]
    public void Gzip_round_trips_and_stops_a_bomb_at_the_limit()
    {
        var message = Encoding.UTF8.GetBytes(new string('x', 100_000));
        var compressed = GzipCodec.Compress(message);
        var (rented, length) = GzipCodec.Decompress(new ReadOnlySequence<byte>(compressed), message.Length);
        Assert.Equal(message, rented[..length]);
        ArrayPool<byte>.Shared.Return(rented);

        var bomb = GzipCodec.Compress(new byte[64 << 20]);
        Assert.InRange(bomb.Length, 1, 1 << 20);
        var before = GC.GetAllocatedBytesForCurrentThread();
        var error = Assert.Throws<RpcException>(() => GzipCodec.Decompress(new ReadOnlySequence<byte>(bomb), 100_000));
        Assert.Equal(RpcCode.ResourceExhausted, error.Code);
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 4 << 20);

        error = Assert.Throws<RpcException>(() => GzipCodec.Decompress(new ReadOnlySequence<byte>([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]), 100_000));
        Assert.Equal(RpcCode.Internal, error.Code);
    }

    [Fact]
    public void Gzip_that_breaks_off_is_refused_wherever_it_does()
    {
        var message = Encoding.UTF8.GetBytes(string.Concat(Enumerable.Range(0, 100)));
        var compressed = GzipCodec.Compress(message);
        for (var length = 1; length < compressed.Length; length++)
        {
            var cut = new ReadOnlySequence<byte>(compressed.AsMemory(0, length));
            Assert.Equal(RpcCode.Internal, Assert.Throws<RpcException>(() => GzipCodec.Decompress(cut, 100_000)).Code);
        }

        var empty = GzipCodec.Compress([]);
        var (rented, none) = GzipCodec.Decompress(new ReadOnlySequence<byte>(empty), 100_000);
        Assert.Equal(0, none);
        ArrayPool<byte>.Shared.Return(rented);
    }
}
