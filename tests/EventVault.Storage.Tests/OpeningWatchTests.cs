using EventVault.Storage.Tests.Log;
using EventVault.Storage.Tests.Shipping;
using EventVault.Storage.Tests.Simulated;

namespace EventVault.Storage.Tests;

/// <summary>A long opening says what it does, can be ended anywhere, and the next one goes on.</summary>
public sealed class OpeningWatchTests
{
    /// <summary>Files that one step of an opening opens: a segment, its neighbours, its index files. All of it opens some hundred.</summary>
    private const int MostBehind = 16;

    [Fact]
    public void An_opening_that_makes_indexes_again_ends_soon_and_leaves_nothing_wrong()
    {
        var vault = new SmallVault();
        for (var i = 0; vault.Storage.SegmentCounts.Sealed < 6; i++)
        {
            vault.Append($"s-{i % 40}", 1500);
            vault.StepAll();
        }

        vault.Stop();
        var files = vault.Copy();
        foreach (var name in files.ListFiles($"{SmallVault.Directory}/index"))
        {
            files.DeleteFile($"{SmallVault.Directory}/index/{name}");
        }

        var told = EndEverywhere(files, Open, f =>
        {
            using var storage = SmallVault.Open(f);
            vault.Model.Check(storage, new Random(1));
        });
        Assert.Contains(told, t => t.StartsWith("walks segment ", StringComparison.Ordinal) && t.EndsWith(" of 7", StringComparison.Ordinal));

        static VaultStorage Open(SimulatedFileSystem files, OpeningWatch watch) => VaultStorage.Open(
            files, SmallVault.Directory, new StorageOptions { OperationHorizon = SmallVault.DefaultHorizon, Watch = watch }, now: 1_000_000);
    }

    [Fact]
    public void An_opening_that_installs_segments_ends_soon_and_leaves_nothing_wrong()
    {
        var pair = new ShipPair(isScavenged: true);
        var told = EndEverywhere(
            pair.Planned(77),
            (files, watch) => VaultStorage.Open(
                files,
                SmallVault.Directory,
                new StorageOptions { NodeId = 2, Join = pair.Leader.Storage.Identity, OperationHorizon = SmallVault.DefaultHorizon, Watch = watch },
                2_000_000),
            pair.CheckCaughtUp);
        Assert.Contains(told, t => t.StartsWith("checks segment that came from another node, 4 of ", StringComparison.Ordinal));
    }

    // Ends an opening when it opens its first file, its fourth, and so on, until one is done before. What they were at then.
    private static HashSet<string> EndEverywhere(SimulatedFileSystem template, Func<SimulatedFileSystem, OpeningWatch, VaultStorage> open, Action<SimulatedFileSystem> check)
    {
        var told = new HashSet<string>();
        for (var at = 1; ; at += 3)
        {
            var files = template.Copy();
            using var ending = new CancellationTokenSource();
            var watch = new OpeningWatch(ending.Token);
            var opened = 0;
            files.OnOpening = _ =>
            {
                if (++opened == at)
                {
                    told.Add(watch.Doing);
                    ending.Cancel();
                }
            };
            var isDone = false;
            try
            {
                open(files, watch).Dispose();
                isDone = true;
            }
            catch (OperationCanceledException)
            {
                Assert.InRange(opened, at, at + MostBehind);
            }

            files.OnOpening = null;
            check(files);
            if (isDone)
            {
                Assert.InRange(opened, 0, at + MostBehind);
                return told;
            }
        }
    }
}
