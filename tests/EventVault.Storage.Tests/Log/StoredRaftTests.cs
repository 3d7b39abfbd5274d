using EventVault.Storage.Index;
using EventVault.Storage.Io;
using EventVault.Storage.Log;
using EventVault.Storage.Tests.Simulated;

namespace EventVault.Storage.Tests.Log;

/// <summary>What the log says about consensus comes back at every start, whatever is left of the files that say it quickly.</summary>
public sealed class StoredRaftTests
{
    private const string IndexDirectory = SmallVault.Directory + "/index";

    [Fact]
    public void Terms_and_memberships_come_back_from_sealed_and_unsealed_segments()
    {
        var history = new WrittenHistory();
        history.Check(history.Vault.Copy());
    }

    [Fact]
    public void They_are_the_same_whatever_of_the_index_was_lost()
    {
        var history = new WrittenHistory();
        var names = history.Vault.Files.ListFiles(IndexDirectory);
        var kinds = new Func<string, bool>[]
        {
            name => name == "state",
            name => name == "catalog",
            name => name is "heads" or "operations",
            name => name == $"{1:D20}.ix",
            name => name == $"{3:D20}.ix",
            name => name.EndsWith('x'), // .ix and .kx
        };
        var state = Bytes(history.Vault.Files, IndexDirectory + "/state");
        for (var combination = 0; combination < 1 << kinds.Length; combination++)
        {
            var files = history.Vault.Copy();
            foreach (var name in names.Where(name => Enumerable.Range(0, kinds.Length).Any(k => (combination >> k & 1) != 0 && kinds[k](name))))
            {
                files.DeleteFile($"{IndexDirectory}/{name}");
            }

            history.Check(files);
            if (combination % 2 == 1 && Sealed(files) == history.SealedSegments)
            {
                Assert.Equal(state, Bytes(files, IndexDirectory + "/state"));
            }
        }
    }

    // The state table of an older start, as an index from a backup has it: it knows fewer segments.
    [Fact]
    public void A_table_that_is_behind_is_brought_up_to_the_log()
    {
        var history = new WrittenHistory();
        Assert.True(history.States.Count >= 3);
        foreach (var old in history.States)
        {
            var files = history.Vault.Copy();
            Write(files, IndexDirectory + "/state", old);
            history.Check(files);
            Assert.Equal(Bytes(history.Vault.Files, IndexDirectory + "/state"), Bytes(files, IndexDirectory + "/state"));
        }
    }

    [Fact]
    public void Footers_only_save_the_reading()
    {
        var history = new WrittenHistory();
        for (uint segment = 0; segment < history.SealedSegments; segment++)
        {
            var files = history.Vault.Copy();
            files.DeleteFile(IndexDirectory + "/state");
            using (var file = files.OpenFile($"{SmallVault.Directory}/log/{SegmentHeader.FileName(segment)}", FileOpening.Existing))
            {
                file.Write(file.Length - Blocks.Size, [0x55]); // No footer any more.
            }

            history.Check(files);
        }
    }

    [Fact]
    public void A_table_of_another_log_is_made_again()
    {
        var history = new WrittenHistory();
        var files = history.Vault.Copy();
        var through = (uint)StateTable.Open(files, IndexDirectory + "/state").AppliedThrough;
        var foreign = new LogHistory();
        foreign.AddRun(new LogIndex(1), new Term(77));
        files.DeleteFile(IndexDirectory + "/state");
        StateTable.Open(files, IndexDirectory + "/state").Rewrite(through, foreign.Values());
        history.Check(files);
    }

    // 0.1 left a table without values, for segments that have terms.
    [Fact]
    public void A_table_without_terms_is_made_again()
    {
        var history = new WrittenHistory();
        var files = history.Vault.Copy();
        var through = (uint)StateTable.Open(files, IndexDirectory + "/state").AppliedThrough;
        files.DeleteFile(IndexDirectory + "/state");
        StateTable.Open(files, IndexDirectory + "/state").Rewrite(through, []);
        history.Check(files);
        Assert.Equal(Bytes(history.Vault.Files, IndexDirectory + "/state"), Bytes(files, IndexDirectory + "/state"));
    }

    [Fact]
    public void The_footer_says_where_the_newest_membership_stands()
    {
        var history = new WrittenHistory();
        var withMembership = 0;
        for (uint segment = 0; segment < history.SealedSegments; segment++)
        {
            var bytes = Bytes(history.Vault.Files, $"{SmallVault.Directory}/log/{SegmentHeader.FileName(segment)}");
            var footer = SegmentFooter.Decode(bytes.AsSpan(bytes.Length - Blocks.Size), history.Vault.Storage.Meta.ChecksumSeed)!.Value;
            var newest = history.Groups.LastOrDefault(g => g.Place.Segment == segment && g.Kind == GroupKind.Membership);
            Assert.Equal(newest?.Place.Offset ?? 0, footer.Membership);
            Assert.Equal(history.Groups.First(g => g.Place.Segment == segment).Term, footer.FirstTerm);
            Assert.Equal(history.Groups.Last(g => g.Place.Segment == segment).Term, footer.LastTerm);
            withMembership += footer.Membership != 0 ? 1 : 0;
        }

        Assert.InRange(withMembership, 2, (int)history.SealedSegments - 1);
    }

    [Fact]
    public void A_membership_is_found_in_a_sealed_segment_of_one_term()
    {
        var vault = new SmallVault();
        vault.WriteSystem(GroupKind.Membership, [7]);
        for (var i = 0; i < 20; i++)
        {
            vault.Append("a-1", 9_000);
        }

        vault.StepAll();
        Assert.True(vault.Storage.SegmentCounts.Sealed >= 2);
        vault.Kill();
        var files = vault.Copy();
        files.DeleteFile(IndexDirectory + "/state");
        using var storage = SmallVault.Open(files);
        Assert.Equal([7], Assert.Single(storage.Raft.Memberships).Content);
    }

    // A segment may hold nothing but system groups: no events, no appends, no streams.
    [Fact]
    public void A_segment_without_events_is_sealed_and_rebuilt()
    {
        var vault = new SmallVault();
        vault.Append("a-1");
        for (var i = 0; i < 16; i++)
        {
            vault.WriteSystem(GroupKind.Membership, [.. Enumerable.Repeat((byte)i, 15_000)]);
            vault.Flush();
        }

        vault.Append("a-1");
        vault.StepAll();
        Assert.True(vault.Storage.SegmentCounts.Sealed >= 3);
        vault.Kill();
        for (var loses = 0; loses < 2; loses++)
        {
            var files = vault.Copy();
            foreach (var name in files.ListFiles(IndexDirectory).Where(_ => loses == 1))
            {
                files.DeleteFile($"{IndexDirectory}/{name}");
            }

            Assert.Empty(LogVerifier.Verify(files, SmallVault.Directory).Damage);
            using var storage = SmallVault.Open(files);
            vault.Model.Check(storage, new Random(1));
            var membership = Assert.Single(storage.Raft.Memberships);
            Assert.Equal([.. Enumerable.Repeat((byte)15, 15_000)], membership.Content);
        }
    }

    private static int Sealed(SimulatedFileSystem files)
    {
        using var catalog = Catalog.Open(files, IndexDirectory + "/catalog");
        return catalog.Count;
    }

    private static byte[] Bytes(SimulatedFileSystem files, string path)
    {
        using var file = files.OpenFile(path, FileOpening.ReadExisting);
        var bytes = new byte[file.Length];
        file.Read(0, bytes);
        return bytes;
    }

    private static void Write(SimulatedFileSystem files, string path, byte[] bytes)
    {
        files.DeleteFile(path);
        using var file = files.OpenFile(path, FileOpening.New);
        file.Write(0, bytes);
    }

    /// <summary>A vault that saw some terms and memberships, and a list of all its groups.</summary>
    private sealed class WrittenHistory
    {
        private readonly List<byte[]> _contents = [];

        public WrittenHistory()
        {
            var random = new Random(5);
            for (ulong term = 2; term < 100; term += (ulong)random.Next(1, 4))
            {
                Groups.Add(Vault.Lead(term));
                for (var i = random.Next(term % 5 == 0 ? 30 : 5); i > 0; i--) // Some terms last for segments.
                {
                    Groups.Add(Vault.Append($"s-{random.Next(3)}", random.Next(9_000)));
                }

                if (term % 4 == 0)
                {
                    byte[] content = [(byte)term, .. new byte[random.Next(3000)]];
                    _contents.Add(content);
                    Groups.Add(Vault.WriteSystem(GroupKind.Membership, content));
                }

                Vault.Flush();
                Vault.StepAll();
                if (Vault.Storage.SegmentCounts.Sealed > States.Count)
                {
                    States.Add(Bytes(Vault.Files, IndexDirectory + "/state"));
                }
            }

            // What no leader has called committed yet.
            Groups.Add(Vault.Lead(150));
            _contents.Add([150]);
            Groups.Add(Vault.WriteSystem(GroupKind.Membership, [150]));
            _contents.Add([]);
            Groups.Add(Vault.WriteSystem(GroupKind.Membership, []));
            Vault.Storage.Log.Flush();
            SealedSegments = (uint)Vault.Storage.SegmentCounts.Sealed;
            Vault.Kill();
            Assert.True(SealedSegments >= 5);
        }

        public SmallVault Vault { get; } = new();

        public List<GroupBuffer> Groups { get; } = [];

        public List<byte[]> States { get; } = [];

        public uint SealedSegments { get; }

        public void Check(SimulatedFileSystem files)
        {
            // Opened as it is: nothing is committed by opening.
            using var storage = VaultStorage.Open(files, SmallVault.Directory, new StorageOptions { OperationHorizon = 8192 }, now: 1_000_000);
            var runs = Groups.Where((g, i) => i == 0 || Groups[i - 1].Term != g.Term).Select(g => (g.Index, g.Term)).ToList();
            Assert.Equal(runs, storage.Raft.TermRuns);
            var memberships = Groups.Where(g => g.Kind == GroupKind.Membership).Select((g, i) => (g.Index, Content: _contents[i])).ToList();
            var committed = memberships.FindLastIndex(m => m.Index <= storage.CommitIndex);
            Assert.InRange(committed, 0, memberships.Count - 3); // The last two are pending.
            Assert.Equal(memberships[committed..].Select(m => m.Index), storage.Raft.Memberships.Select(m => m.Index));
            Assert.Equal(memberships[committed..].Select(m => m.Content), storage.Raft.Memberships.Select(m => m.Content));
            Assert.Equal(Groups[^1].Index, storage.Tail.LastIndex);
        }
    }
}
