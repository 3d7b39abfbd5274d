using EventVault.Storage.Log;
using EventVault.Storage.Scavenging;
using EventVault.Storage.Tests.Log;

namespace EventVault.Storage.Tests.Scavenging;

/// <summary>
/// Golden/vault-scavenged: a data directory with scavenged segments, as they were first written. It opens and reads equal for
/// ever, and segments and indexes are still written in these very bytes; key files in those of the version behind it
/// (Golden/vault-scavenged-keys).
/// </summary>
public sealed class ScavengeGoldenTests
{
    private const string Directory = "vault-scavenged";
    private const string Twice = "vault-scavenged-2";
    private const int Horizon = 256; // Appends whose ids are kept in the second one.

    [Fact]
    public void Scavenged_segments_are_written_the_same()
    {
        var vault = Build();
        GoldenVaultTests.WriteIfAsked(Directory, GoldenVaultTests.Files(vault.Files));
        GoldenVaultTests.CheckSame(Frozen(GoldenVaultTests.Files(GoldenVaultTests.Golden(Directory))), Frozen(GoldenVaultTests.Files(vault.Files)));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_vault_with_scavenged_segments_opens_and_reads_equal(bool withoutIndex)
    {
        var wanted = Build();
        var files = GoldenVaultTests.Golden(Directory);
        Assert.Empty(LogVerifier.Verify(files, SmallVault.Directory).Damage);
        foreach (var name in files.ListFiles(SmallVault.Directory + "/index"))
        {
            if (withoutIndex)
            {
                files.DeleteFile($"{SmallVault.Directory}/index/{name}");
            }
        }

        using var storage = SmallVault.Open(files);
        wanted.Model.Check(storage, new Random(1));
        wanted.Model.Events.ForEach(e => wanted.Model.CheckOperation(storage, e.Append));
        Assert.Equal([2ul, 3], storage.Raft.TermRuns.Select(r => r.Term.Value));
        Assert.Equal("member"u8.ToArray(), Assert.Single(storage.Raft.Memberships).Content);
        Assert.Equal(3, storage.View.Sealed.Count(s => s.Scavenged is not null));
        Assert.Equal((ScavengeState.Running, 3), (storage.Scavenger.Progress.State, storage.Scavenger.Progress.SegmentsRewritten));
    }

    [Fact]
    public void Key_files_of_scavenged_segments_are_written_the_same()
    {
        const string Keys = "vault-scavenged-keys";
        var written = KeyFiles(BuildTwice());
        GoldenVaultTests.WriteIfAsked(Keys, written);
        GoldenVaultTests.CheckSame(GoldenVaultTests.Files(GoldenVaultTests.Golden(Keys)), written);
    }

    [Fact]
    public void Twice_scavenged_segments_are_written_the_same()
    {
        var vault = BuildTwice();
        GoldenVaultTests.WriteIfAsked(Twice, GoldenVaultTests.Files(vault.Files));
        GoldenVaultTests.CheckSame(Frozen(GoldenVaultTests.Files(GoldenVaultTests.Golden(Twice))), Frozen(GoldenVaultTests.Files(vault.Files)));
    }

    // With the index as it was, with none, and then made again with the same bytes.
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_vault_that_was_scavenged_twice_opens_and_reads_equal(bool withoutIndex)
    {
        var wanted = BuildTwice();
        var files = GoldenVaultTests.Golden(Twice);
        Assert.Empty(LogVerifier.Verify(files, SmallVault.Directory).Damage);
        foreach (var name in files.ListFiles(SmallVault.Directory + "/index"))
        {
            if (withoutIndex)
            {
                files.DeleteFile($"{SmallVault.Directory}/index/{name}");
            }
        }

        using (var storage = SmallVault.Open(files, horizon: Horizon))
        {
            while (storage.StepBackground())
            {
            }

            wanted.Model.CheckAll(storage.Reader);
            wanted.Model.CheckStreams(storage.Reader);
            var scavenged = storage.View.Sealed.Where(s => s.Scavenged is not null).Select(s => s.Scavenged!).ToList();
            Assert.Equal((true, true, true), (scavenged.Exists(s => s.KeptAppends == 0), scavenged.Exists(s => s.KeptAppends > 0), scavenged.Exists(s => s.KeptEvents == 0)));
            var mark = storage.Lives.Scavenge;
            Assert.True(mark is { IsStopped: true, IsByHold: true });
            Assert.True(mark.At <= storage.View.Sealed[^1].Record.LastPosition, "All of it is sealed.");
            Assert.Equal(wanted.Storage.OperationFloor, storage.OperationFloor);
        }

        var (made, golden) = (GoldenVaultTests.Files(files), GoldenVaultTests.Files(GoldenVaultTests.Golden(Twice)));
        GoldenVaultTests.CheckSame(Frozen(golden), Frozen(made));
        Assert.True(made["index/state"].AsSpan().SequenceEqual(golden["index/state"]));
    }

    // What segments and their indexes look like; other files have golden ones of their own.
    private static SortedDictionary<string, byte[]> Frozen(SortedDictionary<string, byte[]> files) =>
        new(files.Where(f => f.Key.StartsWith("log/", StringComparison.Ordinal) || f.Key.EndsWith(".ix", StringComparison.Ordinal)).ToDictionary(), StringComparer.Ordinal);

    private static SortedDictionary<string, byte[]> KeyFiles(SmallVault vault) =>
        new(GoldenVaultTests.Files(vault.Files).Where(f => f.Key.EndsWith(".kx", StringComparison.Ordinal)).ToDictionary(), StringComparer.Ordinal);

    // Streams that stay, go, are cut; an append over several; terms and a membership; a segment of which nothing is left.
    private static SmallVault Build()
    {
        var vault = new SmallVault(seed: 30);
        vault.Lead(2);
        vault.WriteSystem(GroupKind.Membership, "member"u8.ToArray());
        vault.Flush();
        for (var i = 0; i < 12; i++)
        {
            Append(vault, i % 4 == 0 ? "stays" : i % 2 == 0 ? "cut" : $"gone-{i % 3}", 4000, i);
        }

        vault.Lead(3);
        vault.Write(new ModelAppend(77_000, [
            ("größe-1", ExpectedKind.NoStream, -1, [Encoded.Event(77_001, "Größe", "{}"u8, ["a", "b"], [("correlationId", "y")], 42)]),
            ("gone-0", ExpectedKind.Any, -1, [Encoded.Event(77_002, "T", ""u8)])]));
        vault.Flush();
        Append(vault, "gone-1", 40_000, 5);
        Append(vault, "gone-1", 40_000, 6);
        vault.Write(vault.Change(StreamChangeKind.Truncate, "cut", 2), vault.Change(StreamChangeKind.Delete, "gone-0"), vault.Change(StreamChangeKind.Tombstone, "gone-1"), vault.Change(StreamChangeKind.Delete, "gone-2"));
        vault.Flush();
        Append(vault, "stays", 50_000, 7);
        vault.ScavengeAll();
        vault.Stop();
        return vault;
    }

    // Ids that the first one kept and the second dropped, others that are kept still, and at last a legal hold.
    private static SmallVault BuildTwice()
    {
        var vault = new SmallVault(seed: 31, horizon: Horizon);
        vault.Lead(2);
        for (var i = 0; i < 150; i++)
        {
            Append(vault, i % 3 == 0 ? "stays" : "gone", 100, i);
        }

        vault.Write(vault.Change(StreamChangeKind.Delete, "gone"));
        vault.Flush();
        Append(vault, "stays", 50_000, 1);
        vault.ScavengeAll();
        Assert.True(vault.Storage.View.Sealed[0].Scavenged is { KeptAppends: > 0 });
        for (var i = 0; i < 600; i++)
        {
            Append(vault, "again", 100, i);
        }

        vault.Write(vault.Change(StreamChangeKind.Delete, "again"));
        vault.Flush();
        Append(vault, "stays", 50_000, 2);
        vault.ScavengeAll();
        vault.Write(vault.Retain(RetentionScope.Category, "stays", new RetentionRule { LegalHold = true }));
        vault.Flush();
        Append(vault, "stays", 50_000, 3);
        Append(vault, "stays", 50_000, 4);
        vault.Stop();
        return vault;
    }

    private static void Append(SmallVault vault, string stream, int bytes, int salt)
    {
        vault.Write(vault.Event(stream, [.. Enumerable.Range(0, bytes).Select(i => (byte)((i / 500) + salt))]));
        vault.Flush();
        vault.StepAll();
    }
}
