using EventVault.Storage.Index;
using EventVault.Storage.Io;
using EventVault.Storage.Tests.Simulated;

namespace EventVault.Storage.Tests.Log;

/// <summary>Everything in index/ can be deleted, in every combination: start makes equal content again.</summary>
public sealed class RebuildTests
{
    private const string IndexDirectory = SmallVault.Directory + "/index";

    [Fact]
    public void Every_combination_of_deleted_files_is_made_again_with_equal_content()
    {
        var vault = ManySegments();
        var wanted = IndexContent.Read(vault.Files, vault.Storage.Meta.SipKey);
        var kinds = new Func<string, bool>[]
        {
            name => name == "heads",
            name => name == "state",
            name => name == "catalog",
            name => name.StartsWith("operations", StringComparison.Ordinal),
            name => name == $"{0:D20}.ix",
            name => name == $"{3:D20}.ix",
            name => name.EndsWith(".ix", StringComparison.Ordinal),
            name => name.EndsWith(".kx", StringComparison.Ordinal) && name != $"{1:D20}.kx",
        };
        for (var combination = 0; combination < 1 << kinds.Length; combination++)
        {
            var files = vault.Copy();
            foreach (var name in files.ListFiles(IndexDirectory))
            {
                if (Enumerable.Range(0, kinds.Length).Any(k => (combination >> k & 1) != 0 && kinds[k](name)))
                {
                    files.DeleteFile($"{IndexDirectory}/{name}");
                }
            }

            CheckRebuilt(files, vault, wanted);
        }
    }

    [Fact]
    public void A_single_index_file_is_made_again_whichever_it_is()
    {
        var vault = ManySegments();
        var wanted = IndexContent.Read(vault.Files, vault.Storage.Meta.SipKey);
        foreach (var name in vault.Files.ListFiles(IndexDirectory))
        {
            var files = vault.Copy();
            files.DeleteFile($"{IndexDirectory}/{name}");
            CheckRebuilt(files, vault, wanted);
        }
    }

    [Fact]
    public void A_damaged_file_that_start_looks_into_is_made_again()
    {
        var vault = ManySegments();
        var wanted = IndexContent.Read(vault.Files, vault.Storage.Meta.SipKey);
        foreach (var name in (string[])["catalog", "state", "heads"])
        {
            var files = vault.Copy();
            files.DeleteFile($"{IndexDirectory}/{name}");
            using (var file = files.OpenFile($"{IndexDirectory}/{name}", FileOpening.New))
            {
                file.Write(0, new byte[20_000]);
            }

            CheckRebuilt(files, vault, wanted);
        }

        // An index file that start needs, because the heads are gone.
        foreach (var length in (int[])[10, 100, 4096])
        {
            var files = vault.Copy();
            files.DeleteFile($"{IndexDirectory}/heads");
            using (var file = files.OpenFile($"{IndexDirectory}/{2:D20}.ix", FileOpening.Existing))
            {
                file.Write(length, new byte[64]);
            }

            CheckRebuilt(files, vault, wanted);
        }
    }

    // Start looks at headers only: what is behind them is found when it is read.
    [Fact]
    public void A_key_file_with_a_damaged_header_or_of_another_log_is_made_again()
    {
        var vault = ManySegments();
        var wanted = IndexContent.Read(vault.Files, vault.Storage.Meta.SipKey);
        var path = $"{IndexDirectory}/{2:D20}.kx";
        for (var offset = 0; offset < SealedKeysFormat.HeaderLength; offset += 9)
        {
            var files = vault.Copy();
            files.FlipBit(path, offset, 1);
            CheckRebuilt(files, vault, wanted);
        }

        var other = new SmallVault(seed: 2);
        while (other.Storage.SegmentCounts.Sealed < 4)
        {
            other.Append("x-1", 20_000);
            other.StepAll();
        }

        other.Stop();
        var mixed = vault.Copy();
        Copy(other.Files, mixed, path, 0);
        CheckRebuilt(mixed, vault, wanted);

        // Cut short, as a copy of the folder may be.
        var cut = vault.Copy();
        using (var file = cut.OpenFile(path, FileOpening.Existing))
        {
            file.SetLength(file.Length - 64);
        }

        CheckRebuilt(cut, vault, wanted);
    }

    [Fact]
    public void A_key_file_that_is_found_damaged_when_it_is_read_is_made_again_while_the_vault_is_open()
    {
        var vault = ManySegments();
        var wanted = IndexContent.Read(vault.Files, vault.Storage.Meta.SipKey);
        var path = $"{IndexDirectory}/{2:D20}.kx";
        var length = Convert.FromHexString(wanted.IndexFiles[Path.GetFileName(path)]).Length;
        for (var offset = SealedKeysFormat.HeaderLength; offset < length; offset += length / 7)
        {
            var files = vault.Copy();
            files.FlipBit(path, offset, 1);
            using (var storage = SmallVault.Open(files))
            {
                var repair = new KeyRepair(storage);
                Assert.Null(repair.Step()); // Nobody has met it yet.
                var segment = storage.View.Sealed[2];
                var damage = Assert.Throws<IndexDamageException>(() => segment.Keys.CheckAll());
                Assert.Contains("makes it again", damage.Message, StringComparison.Ordinal);
                var free = storage.FreeBytes;
                files.OnOperation = operation =>
                {
                    if (operation.Kind == DiskOperationKind.Flush && operation.Path.StartsWith(path, StringComparison.Ordinal))
                    {
                        // Sealing goes on meanwhile, and does not count on the room of this file.
                        Assert.False(storage.RoomLock.IsHeldByCurrentThread);
                        Assert.Equal(length, storage.PromisedBytes);
                    }
                };
                Assert.Equal(path, repair.Step());
                files.OnOperation = null;
                Assert.Equal((0L, free), (storage.PromisedBytes, storage.FreeBytes));
                Assert.Null(repair.Step());
                segment.Keys.CheckAll();
                vault.Model.Check(storage, new Random(1));
            }

            wanted.AssertEqual(IndexContent.Read(files, vault.Storage.Meta.SipKey));
            Assert.Empty(LogVerifier.Verify(files, SmallVault.Directory).Damage);
        }
    }

    [Fact]
    public void A_key_file_is_not_made_again_from_a_segment_that_is_damaged_too()
    {
        var vault = ManySegments();
        var files = vault.Copy();
        files.FlipBit($"{IndexDirectory}/{2:D20}.kx", SealedKeysFormat.HeaderLength, 1);
        using var storage = SmallVault.Open(files);
        var segment = storage.View.Sealed[2];
        files.FlipBit($"{SmallVault.Directory}/log/{2:D20}.seg", segment.Record.EndOffset / 2, 1);
        Assert.Throws<IndexDamageException>(() => segment.Keys.CheckAll());
        var repair = new KeyRepair(storage);
        Assert.Null(repair.Step());
        Assert.Null(repair.Step());
        Assert.Throws<IndexDamageException>(() => segment.Keys.CheckAll());
    }

    [Fact]
    public void The_index_of_another_log_is_thrown_away()
    {
        var vault = ManySegments();
        var wanted = IndexContent.Read(vault.Files, vault.Storage.Meta.SipKey);
        var files = vault.Copy();
        var other = new SmallVault(seed: 2);
        while (other.Storage.SegmentCounts.Sealed < 4)
        {
            other.Append("x-1", 20_000);
            other.StepAll();
        }

        other.Stop();
        foreach (var name in files.ListFiles(IndexDirectory))
        {
            files.DeleteFile($"{IndexDirectory}/{name}");
        }

        foreach (var name in other.Files.ListFiles(IndexDirectory))
        {
            Copy(other.Files, files, $"{IndexDirectory}/{name}", 0);
        }

        CheckRebuilt(files, vault, wanted);
    }

    // Two copies of a vault went different ways; a footer and an index file of one got into the other.
    [Fact]
    public void A_footer_and_an_index_of_an_earlier_end_are_not_believed()
    {
        var vault = new SmallVault();
        vault.Append("s-1");
        vault.Append("s-2");
        vault.Stop();
        var other = new SmallVault(vault.Copy());
        _ = (other.Event("", 0), other.Event("", 0)); // Their ids are taken.
        other.Append("big-1", 55_000);
        other.Append("s-1", 3_000);
        other.StepAll();
        other.Stop();

        vault.Reopen();
        for (var i = 0; i < 100; i++)
        {
            vault.Append($"s-{i % 3}", 1000);
            vault.StepAll();
        }

        vault.Stop();
        var files = vault.Copy();
        const string Segment = SmallVault.Directory + "/log/00000000000000000000.seg";
        Copy(other.Files, files, Segment, StorageOptions.MinSegmentSizeBytes - 4096);
        Copy(other.Files, files, $"{IndexDirectory}/{0:D20}.ix", 0);
        Assert.NotEmpty(LogVerifier.Verify(files, SmallVault.Directory).Damage);
        foreach (var name in (string[])["catalog", "heads", "state"])
        {
            files.DeleteFile($"{IndexDirectory}/{name}");
        }

        using var storage = SmallVault.Open(files);
        vault.Model.Check(storage, new Random(1));
    }

    [Fact]
    public void A_missing_segment_is_refused()
    {
        var vault = ManySegments();
        var segments = vault.Files.ListFiles(SmallVault.Directory + "/log").Where(n => n.EndsWith(".seg", StringComparison.Ordinal)).ToList();
        foreach (var name in segments)
        {
            var files = vault.Copy();
            files.DeleteFile($"{SmallVault.Directory}/log/{name}");
            var refusal = Assert.Throws<DamageException>(() => SmallVault.Open(files));
            Assert.Equal(name, refusal.File);
        }

        var empty = vault.Copy();
        segments.ForEach(name => empty.DeleteFile($"{SmallVault.Directory}/log/{name}"));
        Assert.Throws<DamageException>(() => SmallVault.Open(empty));
    }

    private static SmallVault ManySegments()
    {
        var vault = new SmallVault();
        var random = new Random(3);
        while (vault.Storage.SegmentCounts.Sealed < 6)
        {
            vault.Write(vault.Event($"s-{random.Next(40)}", random.Next(2000)));
            vault.Write(vault.Event($"t-{random.Next(5)}", random.Next(100)));
            vault.Flush();
            vault.Storage.StepBackground();
        }

        vault.StepAll();
        vault.Stop();
        return vault;
    }

    // The file from an offset on.
    private static void Copy(SimulatedFileSystem source, SimulatedFileSystem target, string path, long offset)
    {
        using var from = source.OpenFile(path, FileOpening.ReadExisting);
        var bytes = new byte[from.Length - offset];
        from.Read(offset, bytes);
        using var to = target.OpenFile(path, FileOpening.ExistingOrNew);
        to.SetLength(from.Length);
        to.Write(offset, bytes);
        to.Flush();
    }

    private static void CheckRebuilt(SimulatedFileSystem files, SmallVault vault, IndexContent wanted)
    {
        using (var storage = SmallVault.Open(files))
        {
            vault.Model.Check(storage, new Random(1));
            while (storage.StepBackground())
            {
            }

            vault.Model.Check(storage, new Random(2));
        }

        wanted.AssertEqual(IndexContent.Read(files, vault.Storage.Meta.SipKey));
        Assert.Empty(LogVerifier.Verify(files, SmallVault.Directory).Damage);
    }

    // All that the index folder says. Hash tables may hold it in another order.
    internal sealed record IndexContent(
        SortedDictionary<UInt128, StreamHead> Heads, List<(ulong, Place)> Operations, List<CatalogEntry> Catalog,
        SortedDictionary<string, string> IndexFiles, long HeadsThrough, long OperationsThrough, long StateThrough)
    {
        public static IndexContent Read(SimulatedFileSystem files, in SipKey key, int horizon = 8192)
        {
            using var heads = HeadsFile.Open(files, IndexDirectory + "/heads");
            using var operations = OperationsFiles.Open(files, IndexDirectory, key, horizon, horizon);
            using var catalog = Storage.Index.Catalog.Open(files, IndexDirectory + "/catalog");
            var indexFiles = new SortedDictionary<string, string>(StringComparer.Ordinal);
            foreach (var name in files.ListFiles(IndexDirectory).Where(n => n.EndsWith(".ix", StringComparison.Ordinal) || n.EndsWith(".kx", StringComparison.Ordinal)))
            {
                using var file = files.OpenFile($"{IndexDirectory}/{name}", FileOpening.ReadExisting);
                var bytes = new byte[file.Length];
                file.Read(0, bytes);
                indexFiles[name] = Convert.ToHexString(bytes);
            }

            return new IndexContent(
                new(heads.ReadAll().ToDictionary()), [.. operations.ReadAll().Order()], [.. Enumerable.Range(0, catalog.Count).Select(i => catalog[i])],
                indexFiles, heads.AppliedThrough, operations.AppliedThrough, StateTable.Open(files, IndexDirectory + "/state").AppliedThrough);
        }

        public void AssertEqual(IndexContent other)
        {
            Assert.Equal(Heads, other.Heads);
            Assert.Equal(Operations, other.Operations);
            Assert.Equal(Catalog, other.Catalog);
            Assert.Equal(IndexFiles, other.IndexFiles);
            Assert.Equal((HeadsThrough, OperationsThrough, StateThrough), (other.HeadsThrough, other.OperationsThrough, other.StateThrough));
        }
    }
}
