using EventVault.Storage.Io;
using EventVault.Storage.Log;
using EventVault.Storage.Scavenging;
using EventVault.Storage.Tests.Log;
using EventVault.Storage.Tests.Simulated;

namespace EventVault.Storage.Tests.Scavenging;

/// <summary>A scavenge gives space back, and no read tells that it ran.</summary>
public sealed class ScavengeTests
{
    private const string LogFolder = SmallVault.Directory + "/log";
    private const string IndexFolder = SmallVault.Directory + "/index";

    [Fact]
    public void Every_read_is_the_same_before_during_and_after()
    {
        var vault = ScavengeVaults.Mixed();
        vault.Model.Check(vault.Storage, new Random(1));
        vault.Write(vault.Scavenge());
        vault.Flush();
        vault.StepAll();
        var steps = 0;
        while (vault.Storage.Scavenger.Step(vault.Storage.CommitIndex))
        {
            if (++steps % 7 == 0)
            {
                vault.Model.CheckAll(vault.Storage.Reader);
                vault.Model.CheckStreams(vault.Storage.Reader);
            }
        }

        var progress = vault.Storage.Scavenger.Progress;
        Assert.Equal(ScavengeState.Done, progress.State);
        Assert.True(progress.SegmentsRewritten > 3 && progress.BytesFreed > 3 * 32 * 1024, progress.ToString());
        vault.Model.Check(vault.Storage, new Random(2));
        vault.Model.Events.Where(e => e.Version == 0).Select(e => e.Append).ToList().ForEach(a => vault.Model.CheckOperation(vault.Storage, a));
        vault.Stop();
        Assert.Empty(LogVerifier.Verify(vault.Files, SmallVault.Directory).Damage);
        vault.Reopen();
        vault.Model.Check(vault.Storage, new Random(3));
    }
}
