using EventVault.Storage.Log;
using EventVault.Storage.Scavenging;
using EventVault.Storage.Tests.Log;

namespace EventVault.Storage.Tests.Scavenging;

/// <summary>
/// Golden/vault-scavenged: a data directory with scavenged segments, as they were first written. It opens and reads equal for
/// ever, and segments, indexes and keys are still written in these very bytes.
/// </summary>
public sealed class ScavengeGoldenTests
{
    private const string Directory = "vault-scavenged";

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

    // What segments and their indexes look like; other files have golden ones of their own.
    private static SortedDictionary<string, byte[]> Frozen(SortedDictionary<string, byte[]> files) =>
        new(files.Where(f => f.Key.StartsWith("log/", StringComparison.Ordinal) || f.Key.EndsWith(".ix", StringComparison.Ordinal) || f.Key.EndsWith(".kx", StringComparison.Ordinal)).ToDictionary(), StringComparer.Ordinal);

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

    private static void Append(SmallVault vault, string stream, int bytes, int salt)
    {
        vault.Write(vault.Event(stream, [.. Enumerable.Range(0, bytes).Select(i => (byte)((i / 500) + salt))]));
        vault.Flush();
        vault.StepAll();
    }
}
