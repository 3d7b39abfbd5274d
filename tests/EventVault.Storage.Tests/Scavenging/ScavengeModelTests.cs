using EventVault.Storage.Log;
using EventVault.Storage.Scavenging;
using EventVault.Storage.Tests.Log;

namespace EventVault.Storage.Tests.Scavenging;

/// <summary>Random work with scavenges in between, beside a plain list that knows nothing of them.</summary>
public sealed class ScavengeModelTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    public void Random_appends_changes_scavenges_and_restarts_agree_with_a_plain_list(int seed)
    {
        var random = new Random(seed);
        var vault = new SmallVault(seed: seed);
        var (scavenges, restarts) = (0, 0);
        for (var i = 0; i < 700; i++)
        {
            switch (random.Next(60))
            {
                case < 40:
                    Append(vault, random);
                    break;
                case < 50:
                    Change(vault, random);
                    break;
                case < 56:
                    vault.Flush();
                    for (var steps = random.Next(60); steps > 0 && vault.Storage.Scavenger.Step(vault.Storage.CommitIndex); steps--)
                    {
                    }

                    break;
                case 56:
                    vault.Write(vault.Scavenge(scavenges++ % 5 == 4 ? ScavengeChange.Stop : ScavengeChange.Start));
                    vault.Flush();
                    break;
                case 57:
                    vault.Flush();
                    vault.Model.Check(vault.Storage, random);
                    break;
                case 58 when random.Next(2) == 0:
                    Restart(vault, random);
                    restarts++;
                    break;
                default:
                    vault.StepAll();
                    break;
            }
        }

        vault.Flush();
        vault.StepAll();
        Assert.Equal(ScavengeState.Done, vault.ScavengeAll().State);
        vault.Model.Check(vault.Storage, random);
        Assert.True(scavenges > 3 && restarts > 1 && vault.Storage.View.Sealed.Count(s => s.Scavenged is not null) > 2, $"{scavenges} scavenges, {restarts} restarts");
        vault.Stop();
        Assert.Empty(LogVerifier.Verify(vault.Files, SmallVault.Directory).Damage);
        var files = vault.Copy();
        foreach (var name in files.ListFiles(SmallVault.Directory + "/index"))
        {
            files.DeleteFile($"{SmallVault.Directory}/index/{name}");
        }

        using var storage = SmallVault.Open(files);
        vault.Model.Check(storage, random);
    }

    // Readers on threads of their own, with sealing and scavenging on theirs: nobody fails, and everybody reads the same.
    [Fact]
    public async Task Readers_that_run_beside_it_read_the_same()
    {
        var vault = ScavengeVaults.Mixed();
        vault.Write(vault.Scavenge());
        vault.Flush();
        vault.StepAll();
        var storage = vault.Storage;
        var isDone = false;
        var readers = Enumerable.Range(0, 2).Select(n => Task.Run(() =>
        {
            var rounds = 0;
            do
            {
                vault.Model.CheckAll(storage.Reader);
                vault.Model.CheckStreams(storage.Reader);
                foreach (var e in vault.Model.Events.Where((_, i) => i % 17 == n))
                {
                    Assert.Equal(e.Append.First, storage.Reader.FindAppend(e.Append.Id)!.First.Value);
                }

                rounds++;
            }
            while (!Volatile.Read(ref isDone) || rounds < 2);
        })).ToList();
        while (storage.Scavenger.Step(storage.CommitIndex))
        {
            if (storage.Scavenger.Progress.SegmentsRewritten % 2 == 1)
            {
                GC.Collect();
            }
        }

        Volatile.Write(ref isDone, true);
        await Task.WhenAll(readers);
        Assert.True(storage.Scavenger.Progress.SegmentsRewritten > 3);
        vault.Model.Check(storage, new Random(1));
    }

    private static void Append(SmallVault vault, Random random)
    {
        // Few streams at a time, others later: whole segments of what is deleted.
        var era = vault.Model.Count / 150;
        var appends = Enumerable.Range(0, random.Next(1, 4)).Select(_ => $"s-{(era * 3) + random.Next(6)}").Distinct()
            .Where(stream => !vault.Model.Lives.GetValueOrDefault(stream).IsTombstoned).Select(stream => vault.Event(stream, random.Next(2500))).ToArray();
        foreach (var append in appends)
        {
            vault.Write(append);
        }
    }

    private static void Change(SmallVault vault, Random random)
    {
        var streams = vault.Model.Versions.Keys.Where(s => s[0] != '$' && vault.Model.HasEvents(s) && !vault.Model.Lives.GetValueOrDefault(s).IsTombstoned).ToList();
        if (streams.Count > 0)
        {
            var stream = streams[random.Next(streams.Count)];
            var kind = random.Next(9) switch { 0 => StreamChangeKind.Tombstone, < 6 => StreamChangeKind.Delete, _ => StreamChangeKind.Truncate };
            vault.Write(vault.Change(kind, stream, random.NextInt64(0, vault.Model.Versions[stream] + 2)));
        }
    }

    private static void Restart(SmallVault vault, Random random)
    {
        vault.Flush();
        if (random.Next(2) == 0)
        {
            vault.Stop();
        }
        else
        {
            vault.Kill();
        }

        vault.Reopen();
        vault.Model.Check(vault.Storage, random);
    }
}
