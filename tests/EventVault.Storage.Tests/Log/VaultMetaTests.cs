using EventVault.Storage.Io;
using EventVault.Storage.Log;
using EventVault.Storage.Tests.Simulated;

namespace EventVault.Storage.Tests.Log;

/// <summary>Who a disk is and what is being truncated on it: kept through power losses and single bad bytes.</summary>
public sealed class VaultMetaTests
{
    private const string Directory = "/vault";
    private static readonly LogTruncation Truncation = new(new LogIndex(41), new Term(7));

    [Fact]
    public void Everything_written_is_read_back()
    {
        var files = new SimulatedFileSystem();
        var meta = Saved(files);
        Assert.Equal(meta, Read(files));
        var open = meta.BeginTruncation(files, Directory, Truncation);
        Assert.Equal(Truncation, Read(files).Truncation);
        Assert.Equal(open, Read(files));
        var ended = open.EndTruncation(files, Directory);
        Assert.Null(Read(files).Truncation);
        Assert.Equal(ended, Read(files));
        Assert.Equal(7u, ended.NodeId);
        Assert.True(ended.HasVote);

        // Nothing kept at all is a truncation, too.
        var all = ended.BeginTruncation(files, Directory, new LogTruncation(new LogIndex(0), new Term(8)));
        Assert.Equal(new LogTruncation(new LogIndex(0), new Term(8)), Read(files).Truncation);
        Assert.Throws<InvariantException>(() => all.BeginTruncation(files, Directory, Truncation));
        Assert.Throws<InvariantException>(() => ended.EndTruncation(files, Directory));
    }

    [Fact]
    public void No_flipped_byte_anywhere_takes_a_truncation_back()
    {
        var files = new SimulatedFileSystem();
        var meta = Saved(files).BeginTruncation(files, Directory, Truncation);
        for (var offset = 0; offset < 2 * Blocks.Size; offset++)
        {
            var copy = files.Crash(new Random(1));
            using var file = copy.OpenFile(Directory + "/meta", FileOpening.Existing);
            var bytes = new byte[1];
            file.Read(offset, bytes);
            bytes[0] ^= (byte)(1 << (offset % 8));
            file.Write(offset, bytes);
            file.Flush();
            var damaged = new List<long>();
            Assert.Equal(meta, VaultMeta.Read(file, damaged));
            Assert.Equal([offset / Blocks.Size * Blocks.Size], damaged);
        }
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_power_loss_at_any_operation_of_a_truncations_note_keeps_the_old_note_or_the_new(bool begins)
    {
        int olds = 0, news = 0;
        for (var at = 1; at <= 5; at++)
        {
            for (var seed = 0; seed < 40; seed++)
            {
                var files = new SimulatedFileSystem();
                var before = Saved(files);
                before = begins ? before : before.BeginTruncation(files, Directory, Truncation);
                files.CrashAtOperation = files.Operations + at;
                VaultMeta? after = null;
                try
                {
                    after = begins ? before.BeginTruncation(files, Directory, Truncation) : before.EndTruncation(files, Directory);
                }
                catch (SimulatedCrashException)
                {
                }

                Assert.Equal(at == 5, after is not null);
                var stands = Read(files.Crash(new Random(seed)));
                LogTruncation? wanted = begins ? Truncation : null;
                Assert.True(stands.Truncation == wanted || (after is null && stands == before), $"operation {at}, seed {seed}");
                Assert.Equal(before.Incarnation, stands.Incarnation);
                news += after is null && stands.Truncation == wanted ? 1 : 0;
                olds += after is null && stands == before ? 1 : 0;
            }
        }

        Assert.True(olds > 0 && news > 0);
    }

    [Theory]
    [InlineData(40)]
    [InlineData(Blocks.Size + 40)]
    public void A_copy_that_went_bad_is_no_loss_if_the_power_fails_in_the_next_write(int offset)
    {
        for (var at = 1; at <= 4; at++)
        {
            var files = new SimulatedFileSystem();
            var meta = Saved(files);
            Damage(files, offset);
            var writing = 0L;
            files.OnOperation = o => writing = o.Kind == DiskOperationKind.Write ? o.Offset : writing;
            files.CrashAtOperation = files.Operations + at;
            var crash = Assert.Throws<SimulatedCrashException>(() => meta.BeginTruncation(files, Directory, Truncation)).Operation;
            writing = crash.Kind == DiskOperationKind.Write ? crash.Offset : writing;
            files = files.Crash(new Random(at));
            Damage(files, (int)writing + 40); // As a disk may leave it that does not write sectors whole.
            Assert.Equal(meta.Incarnation, Read(files).Incarnation);
        }
    }

    [Fact]
    public void A_disk_of_another_node_or_vault_is_refused_and_left_alone()
    {
        var files = new SimulatedFileSystem();
        using (Open(files, new StorageOptions { NodeId = 2 }))
        {
        }

        var before = Read(files);
        var wrongNode = Assert.Throws<ForeignDirectoryException>(() => Open(files, new StorageOptions { NodeId = 3 }));
        Assert.Equal(Directory, wrongNode.Directory);
        Assert.Contains("node 2 of vault", wrongNode.Message, StringComparison.Ordinal);
        Assert.Contains("node 3 of vault", wrongNode.Message, StringComparison.Ordinal);
        var vault = VaultMeta.Create(1, StorageOptions.MinSegmentSizeBytes, 1, new Random(77)).Identity;
        var wrongVault = Assert.Throws<ForeignDirectoryException>(() => Open(files, new StorageOptions { NodeId = 2, Join = vault }));
        Assert.Contains(vault.VaultId.ToString(), wrongVault.Message, StringComparison.Ordinal);
        Assert.Equal(before, Read(files));
        Assert.Throws<ArgumentException>(() => Open(files, new StorageOptions { NodeId = 0 }));
        using (Open(files, new StorageOptions { NodeId = 2 }))
        {
        }
    }

    [Fact]
    public void A_joined_disk_writes_the_same_first_segment_and_is_a_disk_of_its_own()
    {
        SimulatedFileSystem first = new(), second = new();
        VaultIdentity vault;
        using (var storage = Open(first, new StorageOptions { SegmentSizeBytes = StorageOptions.MinSegmentSizeBytes }))
        {
            vault = storage.Meta.Identity;
            Assert.False(storage.IsJoined);
        }

        using (var storage = Open(second, new StorageOptions { NodeId = 2, Join = vault, SegmentSizeBytes = StorageOptions.MaxSegmentSizeBytes }))
        {
            Assert.Equal(vault, storage.Meta.Identity);
            Assert.NotEqual(Read(first).Incarnation, storage.Meta.Incarnation);
            Assert.Equal(2u, storage.Meta.NodeId);
            Assert.True(storage.IsJoined);
        }

        Assert.True(Read(second).IsJoined);

        Assert.Equal(Segment(first), Segment(second));
        using (Open(second, new StorageOptions { NodeId = 2, Join = vault }))
        {
        }

        Assert.DoesNotContain($"{vault.HashKey.K0}", vault.ToString(), StringComparison.Ordinal);
        Assert.DoesNotContain($"{vault.HashKey.K1}", vault.ToString(), StringComparison.Ordinal);
    }

    private static VaultMeta Saved(SimulatedFileSystem files)
    {
        files.CreateDirectory(Directory);
        files.FlushDirectory("/");
        var meta = (VaultMeta.Create(7, StorageOptions.MinSegmentSizeBytes, 1, new Random(3)) with { HasVote = true, StartNumber = 5 }).Save(files, Directory);
        files.FlushDirectory(Directory);
        return meta;
    }

    private static void Damage(SimulatedFileSystem files, int offset)
    {
        using var file = files.OpenFile(Directory + "/meta", FileOpening.Existing);
        file.Write(offset, [0xee]);
        file.Flush();
    }

    private static VaultMeta Read(SimulatedFileSystem files)
    {
        using var file = files.OpenFile(Directory + "/meta", FileOpening.ReadExisting);
        return VaultMeta.Read(file)!;
    }

    private static byte[] Segment(SimulatedFileSystem files)
    {
        using var file = files.OpenFile($"{Directory}/log/{SegmentHeader.FileName(0)}", FileOpening.ReadExisting);
        var bytes = new byte[file.Length];
        file.Read(0, bytes);
        return bytes;
    }

    private static VaultStorage Open(SimulatedFileSystem files, StorageOptions options) =>
        VaultStorage.Open(files, Directory, options, now: 1_000_000);
}
