using System.Buffers.Binary;
using EventVault.FaultLab.Checks;
using EventVault.FaultLab.Machine;
using EventVault.FaultLab.Workload;
using EventVault.Protocol;
using EventVault.Rpc;

namespace EventVault.FaultLab.Scenarios;

/// <summary>Disks that are gone, damaged, copied or somebody else's. All of them need peers to heal from.</summary>
internal static class DamageScenarios
{
    private const int BlockBytes = 4096;

    // Segments of 4 MiB are sealed within seconds.
    private static readonly WorkOptions Sealing = new() { TextBytes = 12_000 };

    public static IEnumerable<Scenario> All =>
    [
        new("wiped-disk", "a follower's disk is wiped: it is replaced", WipeAsync),
        new("flip-sealed", "a bit flips in a sealed segment: it is fetched from another node", FlipSealedAsync) { Work = Sealing },
        new("flip-tail", "a bit flips in the last segment of a killed node: it begins anew and is taken in again", FlipTailAsync),
        new("copied-disk", "a copy of a follower's disk is started beside it", CopyAsync),
        new("old-disk", "a follower is given back an old copy of its disk", RestoreAsync),
        new("foreign-disk", "a node of another vault is to be added: refused", ForeignAsync),
    ];

    private static async Task WipeAsync(ScenarioRun run)
    {
        await run.CalmAsync();
        var node = await run.FollowerAsync();
        await run.MarkAsync($"wipe the disk of node {node.Number}");
        await node.KillAsync();
        await run.CalmAsync();
        await ReplaceAsync(run, node);
    }

    private static async Task ReplaceAsync(ScenarioRun run, LabNode node)
    {
        Directory.Delete(node.Data, recursive: true);
        Directory.CreateDirectory(node.Data);
        await node.StartAsync();
        await run.CalmAsync();
        await run.MarkAsync($"replace node {node.Number}");
        await run.Cluster.ReplaceAsync(node);
        await run.Cluster.CaughtUpAsync();
    }

    private static async Task FlipSealedAsync(ScenarioRun run)
    {
        var node = await run.FollowerAsync();
        await LabCluster.UntilAsync("three segments", () => Task.FromResult(Segments(node).Count > 3 ? node : null));
        await run.MarkAsync($"kill node {node.Number}");
        await node.KillAsync();
        var file = Segments(node)[1];
        var offset = InEvent(file);
        var before = Flip(file, offset);
        await run.MarkAsync($"a bit flipped in {Path.GetFileName(file)} of node {node.Number}; start it");
        await node.StartAsync();
        await LabCluster.UntilAsync("the segment to be repaired", () => Task.FromResult(ByteAt(file, offset) == before ? node : null));
    }

    private static async Task FlipTailAsync(ScenarioRun run)
    {
        for (var i = 0; i < 2; i++)
        {
            await run.CalmAsync(6000);
            var node = await run.FollowerAsync();
            await run.MarkAsync($"kill node {node.Number}");
            await node.KillAsync();
            // In the body of a group that is acknowledged, with others behind it: no torn tail. Behind the membership that names the others.
            var file = Segments(node).Last(HasGroups);
            var groups = Groups(file);
            Flip(file, groups[groups.Count * 3 / 4] + NodeLogFiles.GroupHeaderBytes + 20);
            await run.MarkAsync($"a bit flipped in {Path.GetFileName(file)} of node {node.Number}; start it");
            await node.StartAsync();
            await run.Cluster.CaughtUpAsync();
        }
    }

    private static async Task CopyAsync(ScenarioRun run)
    {
        await run.CalmAsync();
        var node = await run.FollowerAsync();
        await run.MarkAsync($"copy the disk of node {node.Number}");
        await node.KillAsync();
        var copy = run.Cluster.NewNode(isGone: true);
        CopyFolder(node.Data, copy.Data);
        await node.StartAsync();
        await run.Cluster.CaughtUpAsync();
        await run.MarkAsync($"start the copy as node {copy.Number}");
        await ShutOutAsync(run, copy, 10_000);
        await run.RecoveredAsync("a write beside a copied disk");
        await copy.KillAsync();
    }

    private static async Task RestoreAsync(ScenarioRun run)
    {
        await run.CalmAsync();
        var node = await run.FollowerAsync();
        await node.StopAsync();
        var old = node.Data + "-old";
        CopyFolder(node.Data, old);
        await node.StartAsync();
        await run.CalmAsync(8000);
        await run.MarkAsync($"give node {node.Number} its old disk");
        await node.KillAsync();
        Directory.Delete(node.Data, recursive: true);
        Directory.Move(old, node.Data);
        await ShutOutAsync(run, node, 8000);
        await run.RecoveredAsync("a write beside an old disk");
        await node.KillAsync();

        // Started once more it is the same old disk.
        await ShutOutAsync(run, node, 5000);
        await node.KillAsync();
        await ReplaceAsync(run, node);
    }

    // Starts a node whose disk ends before what is committed now. If others took it for the member that it says it is, it would get there.
    private static async Task ShutOutAsync(ScenarioRun run, LabNode node, int milliseconds)
    {
        var committed = (await run.Cluster.StatusAsync(await run.Cluster.LeaderAsync())).CommitIndex;
        await node.BeginAsync();
        await Task.Delay(milliseconds);
        if (!node.IsRunning)
        {
            run.Note($"  node {node.Number} ended by itself");
            return;
        }

        var status = await LabCluster.UntilAsync(
            $"node {node.Number} to answer", async () => !node.IsRunning ? new GetStatusResponse() : await run.Cluster.LookAsync(node) is null ? null : await run.Cluster.StatusAsync(node));
        ScenarioRun.Require(status.CommitIndex < committed, $"node {node.Number} is not let in, and so knows of no commit from {committed} on; it knows {status.CommitIndex}");
        var leader = await run.Cluster.LeaderAsync();
        ScenarioRun.Require(leader != node, $"node {node.Number} does not lead");
        run.Note($"  node {node.Number} goes on and is not let in");
    }

    private static async Task ForeignAsync(ScenarioRun run)
    {
        await run.CalmAsync();
        var other = run.Cluster.NewNode(isGone: true, isForeign: true);
        await other.StartAsync();
        await LabCluster.AskedAsync("a vault of its own", run.Cluster.To(other), to => to.InitClusterAsync(new InitClusterRequest { NodeId = (uint)other.Number }));
        await run.MarkAsync($"add node {other.Number} of another vault");
        var leader = await run.Cluster.LeaderAsync();
        var reason = Reason.Unspecified;
        try
        {
            await run.Cluster.To(leader).AddNodeAsync(new AddNodeRequest { PeerAddress = $"{other.Address}:{LabNode.PeerPort}", NodeId = (uint)other.Number });
        }
        catch (RpcException e)
        {
            reason = new Calls.CallFailure(e).Reason;
        }

        ScenarioRun.Require(reason == Reason.NodeUnusable, $"a node of another vault is refused as NODE_UNUSABLE, not {reason}");
        await other.KillAsync();
        await run.CalmAsync();
    }

    private static List<string> Segments(LabNode node) => [.. Directory.EnumerateFiles(Path.Combine(node.Data, "log"), "*.seg").Order(StringComparer.Ordinal)];

    // Spare segments have no group yet.
    private static bool HasGroups(string file) => ByteAt(file, BlockBytes) != 0;

    // Where the groups of a segment begin.
    private static List<long> Groups(string file)
    {
        var bytes = File.ReadAllBytes(file);
        var offsets = new List<long>();
        for (var at = BlockBytes; at + NodeLogFiles.GroupHeaderBytes < bytes.Length && bytes[at] != 0;)
        {
            offsets.Add(at);
            at += NodeLogFiles.GroupHeaderBytes + BinaryPrimitives.ReadInt32LittleEndian(bytes.AsSpan(at + 8));
        }

        return offsets;
    }

    private static byte ByteAt(string file, long offset)
    {
        using var stream = new FileStream(file, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
        stream.Position = offset;
        return (byte)stream.ReadByte();
    }

    // The id of an event in the middle: readers check that. At what stands between events, such as a group's header, only starts, copies and the scrub look,
    // which begins an hour behind a start.
    private static long InEvent(string file)
    {
        var bytes = File.ReadAllBytes(file);
        var name = "shared-"u8;
        var middle = bytes.Length / 2;
        var at = bytes.AsSpan(middle).IndexOf(name);
        return at >= 0 ? middle + at + name.Length + 5 : throw new InvalidOperationException($"No event of a shared stream stands in the second half of {file}.");
    }

    private static byte Flip(string file, long offset)
    {
        var before = ByteAt(file, offset);
        using var stream = new FileStream(file, FileMode.Open, FileAccess.Write, FileShare.ReadWrite);
        stream.Position = offset;
        stream.WriteByte((byte)(before ^ 0x10));
        stream.Flush(flushToDisk: true);
        return before;
    }

    private static void CopyFolder(string from, string to)
    {
        foreach (var folder in Directory.EnumerateDirectories(from, "*", SearchOption.AllDirectories).Prepend(from))
        {
            Directory.CreateDirectory(folder.Replace(from, to, StringComparison.Ordinal));
        }

        foreach (var file in Directory.EnumerateFiles(from, "*", SearchOption.AllDirectories))
        {
            File.Copy(file, file.Replace(from, to, StringComparison.Ordinal), overwrite: true);
        }
    }
}
