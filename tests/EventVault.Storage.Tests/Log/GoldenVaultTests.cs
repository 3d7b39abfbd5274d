using System.IO.Compression;
using EventVault.Storage.Index;
using EventVault.Storage.Io;
using EventVault.Storage.Log;
using EventVault.Storage.Tests.Simulated;

namespace EventVault.Storage.Tests.Log;

/// <summary>
/// Data directories as they were first written, gzipped file by file: Golden/vault-v1 by 0.1, Golden/vault-v2 by the version
/// behind it, which has terms, votes and memberships, Golden/vault-v3 by the one in which streams can be deleted, Golden/vault-v4
/// by the one that has retention rules, Golden/vault-v5 by the one that has anchors and keys of what is done to streams. They must open and read equal for ever; and what is still written as then must come
/// out in these very bytes. A new version gets a directory of its own; these never change.
/// </summary>
public sealed class GoldenVaultTests
{
    private static readonly string[] Folders = ["", "log/", "index/"];

    [Fact]
    public void A_vault_of_version_1_opens_and_reads_equal()
    {
        var wanted = Build(version: 1);
        var files = Golden(1);
        Assert.Empty(LogVerifier.Verify(files, SmallVault.Directory).Damage);
        using var storage = SmallVault.Open(files);
        Assert.Equal(wanted.Storage.VaultId, storage.VaultId);
        Assert.Equal((2, 1), storage.SegmentCounts);
        Assert.Equal(0u, storage.CutBytes);
        CheckEvents(wanted.Model, storage);

        // 0.1 knew nothing of these.
        Assert.Equal((1u, false), (storage.NodeId, storage.IsJoined));
        Assert.Equal((1ul, 0u), (storage.Vote.Term.Value, storage.Vote.VotedNode));
        Assert.Equal([(new LogIndex(1), new Term(1))], storage.Raft.TermRuns);
        Assert.Empty(storage.Raft.Memberships);
    }

    [Fact]
    public void A_vault_of_version_1_has_a_vote_file_from_its_first_start_on()
    {
        var files = Golden(1);
        SmallVault.Open(files).Dispose();
        files.DeleteFile(SmallVault.Directory + "/vote");
        var lost = Assert.Throws<DamageException>(() => SmallVault.Open(files));
        Assert.Equal(VoteFile.FileName, lost.File);
    }

    // Power lost anywhere in the first start of this version: 0.1's directory, or this version's, and never a vote file that
    // is asked for and not there.
    [Fact]
    public void A_power_loss_within_the_first_start_on_a_vault_of_version_1_is_gone_over_at_the_next()
    {
        var wanted = Build(version: 1);
        int crashes = 0, made = 0;
        for (var at = 1; at == 1 || crashes == at - 1; at++)
        {
            var files = Golden(1).Crash(new Random(at)); // A disk on which all of it is durable.
            files.CrashAtOperation = at;
            try
            {
                SmallVault.Open(files).Dispose();
            }
            catch (SimulatedCrashException)
            {
                crashes++;
            }

            files = files.Crash(new Random(at));
            made += files.FileExists(SmallVault.Directory + "/vote") ? 1 : 0;
            using var storage = SmallVault.Open(files);
            Assert.Equal(1ul, storage.Vote.Term.Value);
            CheckEvents(wanted.Model, storage);
        }

        Assert.True(crashes > 10 && made > 5 && made < crashes);
    }

    [Fact]
    public void A_vault_of_version_2_opens_and_reads_equal()
    {
        var wanted = Build(version: 2);
        var files = Golden(2);
        Assert.Empty(LogVerifier.Verify(files, SmallVault.Directory).Damage);
        using var storage = SmallVault.Open(files);
        Assert.Equal(wanted.Storage.VaultId, storage.VaultId);
        Assert.Equal((2, 1), storage.SegmentCounts);
        Assert.Equal(0u, storage.CutBytes);
        CheckEvents(wanted.Model, storage);
        CheckConsensus(storage);
        Assert.Equal((5ul, 3u, Peer), (storage.Vote.Term.Value, storage.Vote.VotedNode, storage.Vote.VotedIncarnation));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    [InlineData(5)]
    public void A_vault_opens_without_its_index(int version)
    {
        var files = Golden(version);
        foreach (var name in files.ListFiles(SmallVault.Directory + "/index"))
        {
            files.DeleteFile($"{SmallVault.Directory}/index/{name}");
        }

        using var storage = SmallVault.Open(files);
        CheckEvents(Build(version).Model, storage);
        if (version >= 2)
        {
            CheckConsensus(storage);
        }

        if (version >= 4)
        {
            CheckRules(storage);
        }
    }

    [Fact]
    public void A_vault_of_version_3_opens_and_reads_equal()
    {
        var wanted = Build(version: 3);
        var files = Golden(3);
        Assert.Empty(LogVerifier.Verify(files, SmallVault.Directory).Damage);
        using var storage = SmallVault.Open(files);
        Assert.Equal((2, 1), storage.SegmentCounts);
        Assert.Equal(4, storage.Lives.Count);
        CheckEvents(wanted.Model, storage);
        CheckConsensus(storage);
    }

    [Fact]
    public void A_vault_of_version_4_opens_and_reads_equal()
    {
        var wanted = Build(version: 4);
        var files = Golden(4);
        Assert.Empty(LogVerifier.Verify(files, SmallVault.Directory).Damage);
        using var storage = SmallVault.Open(files);
        Assert.Equal((2, 1), storage.SegmentCounts);
        CheckEvents(wanted.Model, storage);
        CheckConsensus(storage);
        CheckRules(storage);
    }

    [Fact]
    public void Version_4_is_written_the_same() => CheckWritten(4, WithoutKeys(Files(Build(version: 4).Files)));

    [Fact]
    public void A_vault_of_version_5_opens_and_reads_equal()
    {
        var wanted = Build(version: 5);
        var files = Golden(5);
        Assert.Empty(LogVerifier.Verify(files, SmallVault.Directory).Damage);
        using var storage = SmallVault.Open(files);
        Assert.Equal((2, 1), storage.SegmentCounts);
        CheckEvents(wanted.Model, storage);
        LivesCheck.All(storage, wanted.Model);
        CheckConsensus(storage);
        CheckRules(storage);
        Assert.Equal(wanted.Storage.ClosedTime, storage.ClosedTime);
    }

    [Fact]
    public void Version_5_is_written_the_same() => CheckWritten(5, Files(Build(version: 5).Files));

    // Version 4 had no such keys: its key files, of the older version, are made anew as they are written now.
    [Fact]
    public void Key_files_of_the_older_version_are_no_damage_and_made_anew_at_the_first_start()
    {
        const string Older = "vault-scavenged";
        var files = Golden(Older);
        Assert.Empty(LogVerifier.Verify(files, SmallVault.Directory).Damage);
        Assert.All(Files(files).Where(f => IsKeys(f.Key)), f => Assert.Equal(1, f.Value[8]));
        SmallVault.Open(files).Dispose();
        var (before, after) = (Files(Golden(Older)), Files(files));
        Assert.Equal(before.Keys.Where(IsKeys), after.Keys.Where(IsKeys));
        Assert.All(after.Where(f => IsKeys(f.Key)), f => Assert.Equal(2, f.Value[8]));
        Assert.Empty(LogVerifier.Verify(files, SmallVault.Directory).Damage);
    }

    // All but values that the state table has since version 3 or 4.
    [Theory]
    [InlineData(2)]
    [InlineData(3)]
    public void Groups_and_indexes_of_older_versions_are_written_the_same(int version)
    {
        const string StatePath = SmallVault.Directory + "/index/state";
        var build = Build(version);
        var written = WithoutKeys(Files(build.Files));
        var golden = Files(Golden(version));
        var values = new Dictionary<string, byte[]>(StateTable.Open(build.Files, StatePath).Values);
        Assert.Equal([.. BitConverter.GetBytes(-1L), .. new byte[8]], values["retention"]);
        values.Remove("retention");
        if (version == 2)
        {
            Assert.Equal(BitConverter.GetBytes(-1L), values["streams"]);
            values.Remove("streams");
        }

        Assert.Equal(StateTable.Open(Golden(version), StatePath).Values.OrderBy(v => v.Key), values.OrderBy(v => v.Key));
        written["index/state"] = golden["index/state"];
        CheckSame(golden, written);
    }

    // A single node still writes what 0.1 wrote, but for meta, vote, the values of the state table, and the term in the mark.
    [Fact]
    public void Groups_and_indexes_of_version_1_are_written_the_same()
    {
        var written = WithoutKeys(Files(Build(version: 1).Files));
        var golden = Files(Golden(1));
        written.Remove("vote");
        foreach (var name in (string[])["meta", "index/state"])
        {
            written[name] = golden[name];
        }

        var marks = 0;
        foreach (var (name, bytes) in golden.Where(file => file.Key.StartsWith("log/", StringComparison.Ordinal)))
        {
            if (bytes.AsSpan().LastIndexOf("EVMK"u8) is > 0 and var second)
            {
                var mark = second - CommitMark.CopyLength;
                bytes.AsSpan(mark, CommitMark.Length).CopyTo(written[name].AsSpan(mark));
                marks++;
            }
        }

        Assert.Equal(2, marks);
        CheckSame(golden, written);
    }

    // A disk of node 3 that joined, in the middle of a truncation.
    [Fact]
    public void The_note_of_a_truncation_is_read_and_written_the_same()
    {
        var vault = Build(version: 2).Storage.Meta.Identity;
        var files = new SimulatedFileSystem();
        files.CreateDirectory(SmallVault.Directory);
        var meta = (VaultMeta.Join(vault, nodeId: 3, new Random(21)) with { HasVote = true, StartNumber = 4 }).Save(files, SmallVault.Directory);
        meta = meta.BeginTruncation(files, SmallVault.Directory, new LogTruncation(new LogIndex(41), new Term(7)));
        CheckWritten(2, Files(files), "meta-truncating-v2");
        using var file = Golden("meta-truncating-v2").OpenFile(SmallVault.Directory + "/meta", FileOpening.ReadExisting);
        Assert.Equal(meta, VaultMeta.Read(file));
        Assert.Equal((3u, true, 41ul, 7ul), (meta.NodeId, meta.IsJoined, meta.Truncation!.Value.LastKept.Value, meta.Truncation.Value.Term.Value));
    }

    // Both versions had no key files: the first start makes them, as they would have been made while sealing.
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void An_older_vault_gets_its_key_files_at_the_first_start(int version)
    {
        var wanted = Files(Build(version).Files);
        var files = Golden(version);
        SmallVault.Open(files).Dispose();
        var made = Files(files);
        Assert.Equal(2, made.Keys.Count(IsKeys));
        foreach (var name in made.Keys.Where(IsKeys))
        {
            Assert.Equal(wanted[name], made[name]);
        }
    }

    private static Guid Peer => new("0b5f5f0e-54f3-4c9d-9a34-6a0c7f3b2d11");

    private static void CheckEvents(VaultModel model, VaultStorage storage)
    {
        model.Check(storage, new Random(1));
        foreach (var e in model.Events)
        {
            model.CheckOperation(storage, e.Append);
        }
    }

    private static bool IsKeys(string name) => name.EndsWith(".kx", StringComparison.Ordinal);

    private static SortedDictionary<string, byte[]> WithoutKeys(SortedDictionary<string, byte[]> files)
    {
        Assert.Equal(files.Keys.Count(n => n.EndsWith(".ix", StringComparison.Ordinal)), files.Keys.Count(IsKeys));
        foreach (var name in files.Keys.Where(IsKeys).ToList())
        {
            files.Remove(name);
        }

        return files;
    }

    private static void CheckConsensus(VaultStorage storage)
    {
        Assert.Equal([1ul, 2, 4, 5], storage.Raft.TermRuns.Select(run => run.Term.Value));
        Assert.Equal(["second", "third"], storage.Raft.Memberships.Select(m => System.Text.Encoding.UTF8.GetString(m.Content)));
    }

    private static void CheckRules(VaultStorage storage)
    {
        Assert.Equal(
            [(RetentionScope.Category, "größe", new RetentionRule { MaxAgeSeconds = 86_400, MaxEvents = 9 }), (RetentionScope.Category, "order", new RetentionRule { LegalHold = true }),
                (RetentionScope.Stream, "big-1", new RetentionRule { Forever = true }), (RetentionScope.Stream, "order-9", new RetentionRule { MaxBytes = 1_000_000 })],
            storage.Retention.InOrder().Select(e => (e.Scope, System.Text.Encoding.UTF8.GetString(e.Name), e.Rule)));
    }

    private static void CheckWritten(int version, SortedDictionary<string, byte[]> written, string? directory = null)
    {
        directory ??= $"vault-v{version}";
        WriteIfAsked(directory, written);
        CheckSame(Files(Golden(directory)), written);
    }

    /// <summary>Writes golden files of a new version, if the variable says where to.</summary>
    internal static void WriteIfAsked(string directory, SortedDictionary<string, byte[]> written)
    {
        if (Environment.GetEnvironmentVariable("EVENTVAULT_WRITE_GOLDEN") is { } target)
        {
            foreach (var (name, bytes) in written)
            {
                var path = Path.Combine(target, directory, name + ".gz");
                Directory.CreateDirectory(Path.GetDirectoryName(path)!);
                using var gzip = new GZipStream(File.Create(path), CompressionLevel.SmallestSize);
                gzip.Write(bytes);
            }
        }
    }

    internal static void CheckSame(SortedDictionary<string, byte[]> golden, SortedDictionary<string, byte[]> written)
    {
        Assert.Equal(golden.Keys, written.Keys);
        foreach (var (name, bytes) in golden)
        {
            var same = bytes.AsSpan().CommonPrefixLength(written[name]);
            Assert.True(same == bytes.Length && bytes.Length == written[name].Length, $"{name} differs from offset {same} on.");
        }
    }

    // Every kind of structure: groups of one append and of several, over several streams, ids of their own and those of
    // the first event, a huge event, a system stream, all fields of an event, a commit mark, sealed segments. From version 2
    // on also terms, no-ops, memberships in sealed and unsealed segments, and a vote. From version 3 on also streams that are
    // deleted, tombstoned and truncated, in sealed and unsealed segments. From version 4 on also retention rules, likewise.
    private static SmallVault Build(int version)
    {
        var vault = new SmallVault(seed: 20);
        var hasSystem = version >= 2;
        for (var i = 0; i < 6; i++)
        {
            vault.Append($"order-{i % 3}");
        }

        if (hasSystem)
        {
            vault.WriteSystem(GroupKind.Membership, "first"u8.ToArray());
            vault.Lead(2);
            vault.WriteSystem(GroupKind.Membership, "second"u8.ToArray());
            vault.Flush();
        }

        vault.Write(
            vault.Event("order-1", 10),
            new ModelAppend(77_000, [
                ("größe-1", ExpectedKind.NoStream, -1, [Encoded.Event(77_001, "Größe", "{}"u8, ["a", "b"], [("traceparent", "x"), ("correlationId", "y")], 42)]),
                ("order-0", ExpectedKind.Exact, 1, [Encoded.Event(77_002, "T", ""u8), Encoded.Event(77_003, "T", "3"u8)])]),
            vault.Event("$system-1", 5));
        vault.Flush();
        if (version >= 3)
        {
            vault.Write(vault.Change(StreamChangeKind.Delete, "order-1"), vault.Change(StreamChangeKind.Truncate, "order-0", 2), vault.Event("order-1", 10));
            vault.Flush();
        }

        if (version >= 4)
        {
            vault.Write(
                vault.Retain(RetentionScope.Category, "größe", new RetentionRule { MaxAgeSeconds = 86_400, MaxEvents = 9 }),
                vault.Retain(RetentionScope.Stream, "order-8", new RetentionRule { MaxEvents = 1, LegalHold = true }),
                vault.Retain(RetentionScope.Stream, "big-1", new RetentionRule { Forever = true }));
            vault.Flush();
        }

        vault.Mark();
        vault.Write(vault.Event("big-1", [.. Enumerable.Range(0, 55_000).Select(i => (byte)(i / 100))]));
        vault.Flush();
        if (hasSystem)
        {
            vault.Lead(4);
            vault.Flush();
        }

        vault.Append("order-2", 3000);
        if (version >= 5)
        {
            vault.Write(vault.Event("$reducers", "{}"u8.ToArray()));
            vault.Write(vault.Anchored("order-2", 1, "$state-a"));
        }

        if (version >= 3)
        {
            vault.Write(vault.Change(StreamChangeKind.Tombstone, "größe-1"), vault.Change(StreamChangeKind.Truncate, "order-0", 3));
            vault.Flush();
        }

        vault.Append("order-9");
        vault.StepAll();
        if (hasSystem)
        {
            vault.Lead(5);
            vault.Storage.Vote.Write(new Term(5), 3, Peer);
            vault.WriteSystem(GroupKind.Membership, "third"u8.ToArray());
        }

        if (version >= 3)
        {
            vault.Write(vault.Change(StreamChangeKind.Delete, "order-9"), vault.Event("order-9", 10));
            vault.Write(vault.Change(StreamChangeKind.Delete, "order-9"));
        }

        if (version >= 5)
        {
            vault.Write(vault.Event("$reducers", "{}"u8.ToArray()));
            vault.Write(vault.Anchored("order-2", 1, "$state-a", "$state-b"));
            vault.WriteSystem(GroupKind.NoOp, []);
        }

        if (version >= 4)
        {
            vault.Write(vault.Retain(RetentionScope.Stream, "order-8", rule: null), vault.Retain(RetentionScope.Stream, "order-9", new RetentionRule { MaxBytes = 1_000_000 }));
            vault.Write(vault.Retain(RetentionScope.Category, "order", new RetentionRule { LegalHold = true }));
        }

        vault.Stop();
        return vault;
    }

    // Without the note of a stop in order and the index that it saves: they came later than these vaults, and have golden bytes of their own.
    internal static SortedDictionary<string, byte[]> Files(SimulatedFileSystem files)
    {
        var all = new SortedDictionary<string, byte[]>(StringComparer.Ordinal);
        foreach (var folder in Folders.Where(f => files.DirectoryExists($"{SmallVault.Directory}/{f}".TrimEnd('/'))))
        {
            foreach (var name in files.ListFiles($"{SmallVault.Directory}/{folder}").Where(n => n is not (VaultStorage.LockName or CleanStop.FileName or ActiveIndexFile.FileName)))
            {
                using var file = files.OpenFile($"{SmallVault.Directory}/{folder}{name}", FileOpening.ReadExisting);
                var bytes = new byte[file.Length];
                file.Read(0, bytes);
                all[folder + name] = bytes;
            }
        }

        return all;
    }

    private static SimulatedFileSystem Golden(int version) => Golden($"vault-v{version}");

    internal static SimulatedFileSystem Golden(string directory)
    {
        var files = new SimulatedFileSystem();
        foreach (var folder in Folders)
        {
            var from = Path.Combine(AppContext.BaseDirectory, "Golden", directory, folder);
            files.CreateDirectory($"{SmallVault.Directory}/{folder}".TrimEnd('/'));
            foreach (var path in Directory.Exists(from) ? Directory.GetFiles(from) : [])
            {
                using var gzip = new GZipStream(File.OpenRead(path), CompressionMode.Decompress);
                using var bytes = new MemoryStream();
                gzip.CopyTo(bytes);
                using var file = files.OpenFile($"{SmallVault.Directory}/{folder}{Path.GetFileNameWithoutExtension(path)}", FileOpening.New);
                file.Write(0, bytes.GetBuffer().AsSpan(0, (int)bytes.Length));
                file.Flush();
            }
        }

        foreach (var folder in (string[])[.. Folders.Select(f => $"{SmallVault.Directory}/{f}".TrimEnd('/')).Reverse(), "/"])
        {
            files.FlushDirectory(folder);
        }

        return files;
    }
}
