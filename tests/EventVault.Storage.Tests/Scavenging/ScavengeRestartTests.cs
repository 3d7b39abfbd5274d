using EventVault.Storage.Scavenging;
using EventVault.Storage.Tests.Log;

namespace EventVault.Storage.Tests.Scavenging;

/// <summary>What a vault knows of scavenges when index files are missing at its start.</summary>
public sealed class ScavengeRestartTests
{
    // A segment that lost its index is walked like the end of the log, while the state table knows it and what came behind.
    [Fact]
    public void Segments_with_the_events_of_scavenges_can_lose_their_index()
    {
        var vault = ScavengeVaults.Mixed();
        var segments = new HashSet<int>();
        foreach (var change in new[] { ScavengeChange.Start, ScavengeChange.Stop, ScavengeChange.Start, ScavengeChange.Start })
        {
            segments.Add(vault.Storage.View.Sealed.Length);
            vault.Write(vault.Scavenge(change));
            vault.Flush();
            for (var before = vault.Storage.View.Sealed.Length; vault.Storage.View.Sealed.Length < before + 2;)
            {
                vault.Append("between", 20_000);
                vault.StepAll();
            }
        }

        var mark = vault.Storage.Lives.Scavenge;
        Assert.Equal((true, false), (mark.Exists, mark.IsStopped));
        Assert.Equal(4, segments.Count);
        foreach (var segment in vault.Storage.View.Sealed.Select(s => s.Record.Segment).ToList())
        {
            vault.Stop();
            vault.Files.DeleteFile($"{SmallVault.Directory}/index/{segment:D20}.ix");
            vault.Reopen();
            Assert.Equal(mark, vault.Storage.Lives.Scavenge);
        }

        vault.StepScavenge();
        vault.Model.Check(vault.Storage, new Random(1));
        vault.Lead(5); // A term of its own for whoever leads after a start.
        vault.Write(vault.Scavenge(ScavengeChange.Stop));
        vault.Flush();
        var stopped = vault.Storage.Lives.Scavenge;
        Assert.Equal((mark.Point, true), (stopped.Point, stopped.IsStopped));
        vault.Stop();
        vault.Reopen();
        Assert.Equal(stopped, vault.Storage.Lives.Scavenge);
    }
}
