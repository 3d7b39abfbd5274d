using System.Globalization;
using EventVault.Storage.Log;
using EventVault.Storage.Tests.Log;

namespace EventVault.Storage.Tests.Shipping;

/// <summary>What the check of sealed segments finds, and what it leaves alone.</summary>
public sealed class SegmentScrubTests
{
    [Theory]
    [InlineData("vault-v1")]
    [InlineData("vault-v2")]
    [InlineData("vault-v3")]
    [InlineData("vault-v4")]
    [InlineData("vault-v5")]
    [InlineData("vault-scavenged")]
    [InlineData("vault-scavenged-2")]
    public void Segments_that_any_version_sealed_are_sound(string golden)
    {
        using var storage = SmallVault.Open(GoldenVaultTests.Golden(golden));
        var scrub = new SegmentScrub(storage);
        Assert.True(scrub.Count > 0);
        for (uint segment = 0; segment < scrub.Count; segment++)
        {
            Assert.Null(scrub.Check(segment, static _ => { }));
        }

        Assert.Null(scrub.NextSuspect());
    }

    [Fact]
    public void A_flipped_bit_is_found_wherever_it_is()
    {
        var vault = new ShipPair(isScavenged: true).Leader;
        var scrub = new SegmentScrub(vault.Storage);
        var random = new Random(7);
        var forms = new HashSet<bool>();
        for (uint segment = 0; segment < scrub.Count; segment++)
        {
            var path = $"{SmallVault.Directory}/log/{SegmentHeader.FileName(segment)}";
            var length = vault.Storage.View.Sealed[segment].FileLength;
            forms.Add(vault.Storage.View.Sealed[segment].Scavenged is not null);
            for (var i = 0; i < 40; i++)
            {
                var (offset, bit) = (random.NextInt64(length), random.Next(8));
                vault.Files.FlipBit(path, offset, bit);
                Assert.True(scrub.Check(segment, static _ => { }) is not null, string.Create(CultureInfo.InvariantCulture, $"segment {segment}, offset {offset}, bit {bit}"));
                vault.Files.FlipBit(path, offset, bit);
                Assert.Null(scrub.Check(segment, static _ => { }));
            }
        }

        Assert.Equal(2, forms.Count);
    }

    [Fact]
    public void A_segment_in_which_a_reader_met_damage_is_named_once()
    {
        var vault = new ShipPair(isScavenged: false).Leader;
        var scrub = new SegmentScrub(vault.Storage);
        Assert.Null(scrub.NextSuspect());
        vault.Files.FlipBit($"{SmallVault.Directory}/log/{SegmentHeader.FileName(1)}", Blocks.Size + 200, 3);
        var first = vault.Storage.View.Sealed[1].Record.FirstLogIndex;
        Assert.Throws<DamageException>(() => vault.Storage.ReadGroup(first));
        Assert.Equal(1u, scrub.NextSuspect());
        Assert.Null(scrub.NextSuspect());
        Assert.NotNull(scrub.Check(1, static _ => { }));
    }
}
