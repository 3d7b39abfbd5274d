using FsCheck;
using FsCheck.Fluent;

namespace EventVault.Storage.Tests;

public sealed class ChecksumTests
{
    [Theory]
    [InlineData("", 0u)]
    [InlineData("123456789", 0xE3069283u)] // the check value of CRC-32C (RFC 3720, appendix B.4 has more)
    [InlineData("The quick brown fox jumps over the lazy dog", 0x22620404u)]
    public void Is_crc32c(string text, uint expected) =>
        Assert.Equal(expected, Checksum.Compute(System.Text.Encoding.ASCII.GetBytes(text)));

    [Fact]
    public void Of_32_zero_bytes_is_that_of_rfc_3720() => Assert.Equal(0x8A9136AAu, Checksum.Compute(new byte[32]));

    [Fact]
    public void Equals_the_bit_by_bit_one_at_every_length_and_alignment() => Prop.ForAll(
        Gen.Choose(0, 20_000).SelectMany(length => Gen.Choose(0, 15), (length, start) => (length, start)).ToArbitrary(),
        c =>
        {
            var bytes = new byte[c.start + c.length];
            new Random(c.length).NextBytes(bytes);
            ReadOnlySpan<byte> span = bytes.AsSpan(c.start);
            int cut = c.length / 3;
            return Checksum.Compute(span) == BitByBit(span)
                && Checksum.Compute(span[cut..], Checksum.Compute(span[..cut])) == BitByBit(span);
        }).Check(Config.QuickThrowOnFailure.WithMaxTest(300));

    [Theory]
    [InlineData(767)]
    [InlineData(768)]
    [InlineData(769)]
    [InlineData(3071)]
    [InlineData(3072)]
    [InlineData(3840)]
    [InlineData(6144)]
    public void Equals_the_bit_by_bit_one_where_the_lanes_begin(int length)
    {
        var bytes = new byte[length];
        new Random(length).NextBytes(bytes);
        Assert.Equal(BitByBit(bytes), Checksum.Compute(bytes));
    }

    private static uint BitByBit(ReadOnlySpan<byte> bytes)
    {
        uint crc = ~0u;
        foreach (byte b in bytes)
        {
            crc ^= b;
            for (int bit = 0; bit < 8; bit++)
            {
                crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82F63B78u : 0);
            }
        }

        return ~crc;
    }
}
