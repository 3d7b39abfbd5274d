using EventVault.Storage.Log;

namespace EventVault.Storage.Tests.Log;

/// <summary>Segments that hold system groups and nothing else: no events, no streams, no operations.</summary>
public sealed class SystemSegmentTests
{
    private const int Segments = 7;

    [Fact]
    public void They_are_sealed_read_listed_searched_and_verified_like_others()
    {
        var pair = new ReplicaPair();
        var model = new VaultModel();
        for (var round = 0; round < 3; round++)
        {
            Append(pair, model, "a-1");
            Append(pair, model, $"b-{round}");
            Fill(pair, Segments * (round + 1));
            Append(pair, model, "a-1");
        }

        Assert.Contains(pair.Leader.View.Sealed, s => s.Record.EventCount == 0);
        Check(pair.Leader, model);
        pair.Leader.Dispose();
        var report = LogVerifier.Verify(pair.LeaderFiles, SmallVault.Directory);
        Assert.Empty(report.Damage);
        Assert.Equal(model.Count, report.Events);

        using var again = VaultStorage.Open(pair.LeaderFiles, SmallVault.Directory, new StorageOptions(), 2_000_000).CommitAll();
        Check(again, model);
    }

    [Fact]
    public void Their_index_is_made_again_when_it_is_lost()
    {
        var pair = new ReplicaPair();
        var model = new VaultModel();
        Append(pair, model, "a-1");
        Fill(pair, Segments);
        Append(pair, model, "a-1");
        Append(pair, model, "b-1");
        var before = IndexFiles(pair);
        pair.Leader.Dispose();
        foreach (var keep in (string[])["nothing", ".ix", ".kx", "catalog", "heads", "operations", "state"])
        {
            foreach (var name in pair.LeaderFiles.ListFiles("/vault/index").Where(n => !n.Contains(keep, StringComparison.Ordinal)))
            {
                pair.LeaderFiles.DeleteFile($"/vault/index/{name}");
            }

            using (var again = VaultStorage.Open(pair.LeaderFiles, SmallVault.Directory, new StorageOptions(), 2_000_000))
            {
                again.CommitAll();
                while (again.StepBackground())
                {
                }

                Check(again, model);
                Assert.Equal([(1ul, 1ul)], again.Raft.TermRuns.Select(r => (r.First.Value, r.Term.Value)));
                Assert.Single(again.Raft.Memberships, m => m.Index <= again.CommitIndex);
            }

            Assert.Equal(before, IndexFiles(pair));
        }
    }

    private static void Append(ReplicaPair pair, VaultModel model, string stream)
    {
        var append = pair.Append(stream);
        model.Add(append, pair.Lead(append).Time);
        pair.Leader.CommitAll();
    }

    // Memberships until there are so many segments, all committed, the oldest ones sealed.
    private static void Fill(ReplicaPair pair, int segments)
    {
        while (pair.Leader.SegmentCounts is var (s, u) && s + u < segments)
        {
            pair.LeadSystem(GroupKind.Membership, new byte[9_000]);
            pair.Leader.CommitAll();
            while (pair.Leader.StepBackground())
            {
            }
        }
    }

    private static void Check(VaultStorage storage, VaultModel model)
    {
        model.Check(storage, new Random(1));
        var groups = new List<StoredGroup>();
        storage.ReadGroups(new LogIndex(1), storage.Tail.LastIndex, int.MaxValue, long.MaxValue, groups);
        Assert.Equal(storage.Tail.LastIndex.Value, (ulong)groups.Count);
        Assert.All(groups, g => Assert.Equal(g.Kind == GroupKind.Membership ? 9_000 : 0, g.SystemContent.Length));
    }

    private static List<string> IndexFiles(ReplicaPair pair) =>
        [.. pair.LeaderFiles.ListFiles("/vault/index").Where(n => n.EndsWith(".ix", StringComparison.Ordinal) || n.EndsWith(".kx", StringComparison.Ordinal) || n is "catalog" or "state").Select(n =>
        {
            using var file = pair.LeaderFiles.OpenFile($"/vault/index/{n}", Storage.Io.FileOpening.ReadExisting);
            var bytes = new byte[file.Length];
            file.Read(0, bytes);
            return $"{n} {Convert.ToHexString(System.Security.Cryptography.SHA256.HashData(bytes))}";
        })];
}
