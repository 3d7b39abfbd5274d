using EventVault.Storage.Io;
using EventVault.Storage.Log;
using EventVault.Storage.Tests.Simulated;

namespace EventVault.Storage.Tests.Log;

/// <summary>What verify says about consensus' own files and groups. Damage in the log: <see cref="BitFlipTests"/>.</summary>
public sealed class VerifyTests
{
    private const string VotePath = SmallVault.Directory + "/vote";
    private const string MetaPath = SmallVault.Directory + "/meta";
    private readonly SmallVault _vault = new();

    public VerifyTests()
    {
        for (ulong term = 2; term < 12; term++)
        {
            _vault.Lead(term);
            _vault.WriteSystem(GroupKind.Membership, [(byte)term]);
            _vault.Append($"s-{term % 3}", 9_000);
            _vault.Flush();
        }

        _vault.StepAll();
        Assert.Equal((1, 1), _vault.Storage.SegmentCounts);
    }

    [Fact]
    public void A_whole_vault_has_no_damage_and_verify_changes_nothing()
    {
        _vault.Stop();
        var files = _vault.Copy();
        var before = files.Operations;
        var report = Verify(files);
        Assert.Empty(report.Damage);
        Assert.Null(report.Torn);
        Assert.Equal(_vault.Model.Count, report.Events);
        Assert.InRange(files.Operations - before, 0, 3); // The lock's.
    }

    [Fact]
    public void A_bad_copy_of_the_vote_is_reported_with_its_place()
    {
        _vault.Stop();
        for (var offset = 5; offset < 2 * Blocks.Size; offset += 97)
        {
            var files = _vault.Copy();
            Change(files, VotePath, offset, b => (byte)(b ^ 4));
            var damage = Assert.Single(Verify(files).Damage);
            Assert.Equal((VoteFile.FileName, offset / Blocks.Size * Blocks.Size, LogVerifier.OtherCopy), (damage.Segment, damage.Offset, damage.Remedy));
        }
    }

    [Theory]
    [InlineData(5)]
    [InlineData(Blocks.Size + 200)]
    public void A_bad_copy_of_the_identity_is_made_again_by_the_next_start(int offset)
    {
        _vault.Stop();
        var files = _vault.Copy();
        Change(files, MetaPath, offset, b => (byte)(b ^ 4));
        var damage = Assert.Single(Verify(files).Damage);
        Assert.Equal((VaultMeta.FileName, offset / Blocks.Size * Blocks.Size, LogVerifier.OtherCopy), (damage.Segment, damage.Offset, damage.Remedy));
        SmallVault.Open(files).Dispose();
        Assert.Empty(Verify(files).Damage);
    }

    [Fact]
    public void Without_the_identity_nothing_else_is_checked_and_that_is_damage()
    {
        _vault.Stop();
        var files = _vault.Copy();
        files.DeleteFile(MetaPath);
        var damage = Assert.Single(Verify(files).Damage);
        Assert.Equal((VaultMeta.FileName, null), (damage.Segment, damage.Remedy));
        Assert.Throws<FileNotFoundException>(() => LogVerifier.Verify(files, SmallVault.Directory + "/log"));
    }

    [Fact]
    public void The_last_segment_is_missed_once_the_one_before_it_is_sealed()
    {
        _vault.Stop();
        var files = _vault.Copy();
        files.DeleteFile($"{SmallVault.Directory}/log/{SegmentHeader.FileName(1)}");
        var damage = Assert.Single(Verify(files).Damage);
        Assert.Equal((SegmentHeader.FileName(1), 0L, null), (damage.Segment, damage.Offset, damage.Remedy));
    }

    [Theory]
    [InlineData(".ix", 0)]
    [InlineData(".kx", 0)]
    [InlineData(".kx", Blocks.Size)]
    public void What_is_made_from_the_log_says_how_it_is_made_again(string extension, int offset)
    {
        _vault.Stop();
        var files = _vault.Copy();
        var path = files.AllFiles().First(f => f.EndsWith(extension, StringComparison.Ordinal));
        Change(files, path, offset, b => (byte)(b ^ 4));
        var damage = Assert.Single(Verify(files).Damage);
        Assert.Contains("the next start makes it again", damage.Remedy, StringComparison.Ordinal);
        files.DeleteFile(path);
        SmallVault.Open(files).Dispose();
        Assert.Empty(Verify(files).Damage);
    }

    [Fact]
    public void A_disk_that_can_only_be_read_is_verified_without_its_lock()
    {
        _vault.Stop();
        var files = _vault.Copy();
        files.OnOpening = path =>
        {
            if (path.EndsWith(VaultStorage.LockName, StringComparison.Ordinal))
            {
                throw new DiskException("open", path, 30, "Read-only file system");
            }
        };
        var report = Verify(files);
        Assert.Equal((_vault.Model.Count, false), (report.Events, report.IsLocked));
        Assert.Empty(report.Damage);
    }

    [Fact]
    public void A_missing_vote_is_reported()
    {
        _vault.Stop();
        var files = _vault.Copy();
        files.DeleteFile(VotePath);
        Assert.Equal(VoteFile.FileName, Assert.Single(Verify(files).Damage).Segment);
    }

    [Fact]
    public void An_older_copy_of_the_vote_is_reported_and_refused_at_start()
    {
        var old = Read(_vault.Files, VotePath);
        _vault.Lead(12);
        _vault.Stop();
        var files = _vault.Copy();
        Assert.Empty(Verify(files).Damage);
        using (var file = files.OpenFile(VotePath, FileOpening.Existing))
        {
            file.Write(0, old);
        }

        Assert.Contains("older copy", Assert.Single(Verify(files).Damage).Expected, StringComparison.Ordinal);
        Assert.Equal(VoteFile.FileName, Assert.Throws<DamageException>(() => SmallVault.Open(files)).File);
    }

    [Fact]
    public void A_footer_that_names_another_membership_is_reported()
    {
        _vault.Stop();
        var files = _vault.Copy();
        var path = $"{SmallVault.Directory}/log/{SegmentHeader.FileName(0)}";
        var seed = _vault.Storage.Meta.ChecksumSeed;
        using (var file = files.OpenFile(path, FileOpening.Existing))
        {
            var block = Read(files, path).AsSpan((int)file.Length - Blocks.Size).ToArray();
            var footer = SegmentFooter.Decode(block, seed)!.Value;
            Assert.NotEqual(0u, footer.Membership);
            (footer with { Membership = 0 }).Encode(block, seed);
            file.Write(file.Length - Blocks.Size, block);
        }

        Assert.Equal(SegmentHeader.FileName(0), Assert.Single(Verify(files).Damage).Segment);
    }

    [Fact]
    public void A_truncation_that_a_crash_cut_short_is_no_damage()
    {
        var keep = _vault.Storage.Tail.LastIndex;
        _vault.Lead(12);
        _vault.WriteSystem(GroupKind.Membership, [99]);
        _vault.Storage.Log.Flush();
        _vault.Storage.BeginTerm(13);
        var order = _vault.Storage.Tail.Truncate(keep);
        _vault.Files.CrashAtOperation = _vault.Files.Operations + 5; // The note stands, and nothing else is done.
        Assert.Throws<SimulatedCrashException>(() => _vault.Storage.Log.Truncate(order));
        var files = _vault.Copy();
        var report = Verify(files);
        Assert.Empty(report.Damage);
        Assert.True(report.Torn!.Bytes > 2 * GroupHeader.Length);
        using (var storage = SmallVault.Open(files))
        {
            Assert.Equal(keep, storage.Tail.LastIndex);
            Assert.Equal(11ul, storage.Raft.TermRuns[^1].Term.Value);
        }

        Assert.Null(Verify(files).Torn);
    }

    private static VerifyReport Verify(SimulatedFileSystem files) => LogVerifier.Verify(files, SmallVault.Directory);

    private static byte[] Read(SimulatedFileSystem files, string path)
    {
        using var file = files.OpenFile(path, FileOpening.ReadExisting);
        var bytes = new byte[file.Length];
        file.Read(0, bytes);
        return bytes;
    }

    private static void Change(SimulatedFileSystem files, string path, int offset, Func<byte, byte> change)
    {
        using var file = files.OpenFile(path, FileOpening.Existing);
        var bytes = new byte[1];
        file.Read(offset, bytes);
        bytes[0] = change(bytes[0]);
        file.Write(offset, bytes);
    }
}
