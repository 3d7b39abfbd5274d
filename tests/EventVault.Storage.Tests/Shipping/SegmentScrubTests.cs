using System.Globalization;
using EventVault.Storage.Index;
using EventVault.Storage.Io;
using EventVault.Storage.Log;
using EventVault.Storage.Shipping;
using EventVault.Storage.Tests.Log;
using EventVault.Storage.Tests.Simulated;

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

    [Theory]
    [InlineData(0L, false)]
    [InlineData(5_000L, false)]
    [InlineData(null, false)]
    [InlineData(0L, true)]
    [InlineData(5_000L, true)]
    [InlineData(null, true)]
    public void A_file_that_is_gone_or_shorter_is_damage_for_everybody_and_the_segment_is_named(long? length, bool isScavenged)
    {
        var vault = new ShipPair(isScavenged).Leader;
        var segment = vault.Storage.View.Sealed.First(s => (s.Scavenged is not null) == isScavenged).Record.Segment;
        var backedUp = vault.Storage.Backups.List(segment, 1, out _)[0];
        var shipped = vault.Storage.Source.List(segment, 1)[0];
        var bytes = new byte[1_000];
        Assert.Equal(bytes.Length, vault.Storage.Backups.Read(backedUp, 0, bytes));
        Assert.Equal(bytes.Length, vault.Storage.Source.Read(shipped, 0, bytes));
        var files = vault.Files.Copy();
        Cut(vault.Files, segment, length);
        Assert.Throws<DamageException>(() => vault.Storage.Backups.Read(backedUp, 0, bytes));
        Assert.Throws<DamageException>(() => vault.Storage.Source.Read(shipped, 0, bytes));
        var scrub = new SegmentScrub(vault.Storage);
        Assert.Equal(segment, scrub.NextSuspect());
        Assert.NotNull(scrub.Check(segment, static _ => { }));

        // Also for the first who reads in it behind a start, and for who looks for what can be removed.
        using var again = SmallVault.Open(files);
        Cut(files, segment, length);
        var damage = Assert.Throws<DamageException>(() => again.View.Sealed[segment].Lease());
        Assert.Equal(SegmentHeader.FileName(segment), damage.File);
        Assert.True(again.View.Sealed[segment].HasMetDamage);
        Assert.Null(Sealer.ReadFooter(again, segment));
    }

    // Between the renaming of the file and the view, the segment is listed in its old form, and its file has the new one.
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_form_that_a_scavenge_is_about_to_replace_is_no_damage(bool isScavenged)
    {
        var vault = new ShipPair(isScavenged).Leader;
        if (isScavenged)
        {
            vault.Write(vault.Change(StreamChangeKind.Delete, "stays"));
            vault.Write(vault.Scavenge());
            vault.Flush();
            vault.StepAll();
        }

        var switched = new List<ShippedSegment>();
        vault.Files.OnOperation = operation =>
        {
            if (operation.Kind != DiskOperationKind.FlushDirectory)
            {
                return;
            }

            foreach (var old in vault.Storage.View.Sealed.Where(s => LengthOf(vault, s.Record.Segment) != s.FileLength))
            {
                var segment = ShipSource.Of(old);
                Assert.Equal(-1, vault.Storage.Backups.Read(segment, 0, new byte[1_000]));
                Assert.Equal(-1, vault.Storage.Source.Read(segment, 0, new byte[1_000]));
                Assert.False(old.HasMetDamage);
                switched.Add(segment);
            }
        };
        vault.StepScavenge();
        Assert.True(switched.Count > 1);
        Assert.Equal(isScavenged, switched.Exists(s => s.Form == ShippedForm.Scavenged));
        Assert.Null(new SegmentScrub(vault.Storage).NextSuspect());
    }

    [Fact]
    public void An_older_form_in_a_segments_place_is_damage()
    {
        var vault = new ShipPair(isScavenged: false).Leader;
        var old = vault.Files.Copy();
        vault.StepScavenge();
        var segment = vault.Storage.View.Sealed.First(s => s.Scavenged is not null).Record.Segment;
        var listed = vault.Storage.Backups.List(segment, 1, out _)[0];
        var path = PathOf(segment);
        vault.Files.DeleteFile(path);
        using (var from = old.OpenFile(path, FileOpening.ReadExisting))
        using (var to = vault.Files.OpenFile(path, FileOpening.New))
        {
            var bytes = new byte[from.Length];
            from.Read(0, bytes);
            to.Write(0, bytes);
        }

        Assert.Throws<DamageException>(() => vault.Storage.Backups.Read(listed, 0, new byte[1_000]));
        Assert.Equal(segment, new SegmentScrub(vault.Storage).NextSuspect());
    }

    [Fact]
    public void An_index_or_key_file_that_is_gone_is_damage_that_says_what_to_do()
    {
        var files = new ShipPair(isScavenged: false).Leader.Files.Copy();
        using var storage = SmallVault.Open(files);
        var segment = storage.View.Sealed[0];
        files.DeleteFile(segment.IndexPath);
        files.DeleteFile(segment.KeysPath);
        Assert.Contains("the file is gone. This file is rebuildable: stop the node", Assert.Throws<IndexDamageException>(() => segment.Index).Message, StringComparison.Ordinal);
        Assert.Contains("the file is gone. This file is rebuildable: a running node makes it again", Assert.Throws<IndexDamageException>(() => segment.Keys).Message, StringComparison.Ordinal);
        Assert.True(segment.HasDamagedKeys);
        Assert.Equal(segment.KeysPath, new KeyRepair(storage).Step());
        Assert.Equal(segment.Keyed, segment.Keys.Segment);
    }

    private static string PathOf(uint segment) => $"{SmallVault.Directory}/log/{SegmentHeader.FileName(segment)}";

    private static long LengthOf(SmallVault vault, uint segment)
    {
        using var file = vault.Files.OpenFile(PathOf(segment), FileOpening.ReadExisting);
        return file.Length;
    }

    // Null: the file goes.
    private static void Cut(SimulatedFileSystem files, uint segment, long? length)
    {
        if (length is null)
        {
            files.DeleteFile(PathOf(segment));
            return;
        }

        using var file = files.OpenFile(PathOf(segment), FileOpening.Existing);
        file.SetLength(length.Value);
    }
}
