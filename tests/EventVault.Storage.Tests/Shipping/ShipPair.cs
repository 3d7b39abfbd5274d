using EventVault.Storage.Log;
using EventVault.Storage.Shipping;
using EventVault.Storage.Tests.Log;
using EventVault.Storage.Tests.Scavenging;
using EventVault.Storage.Tests.Simulated;

namespace EventVault.Storage.Tests.Shipping;

/// <summary>A vault with sealed segments, some of them scavenged if so wished, and another disk of it that is behind.</summary>
internal sealed class ShipPair
{
    /// <summary>Small pieces: resuming is what is tested.</summary>
    private const int PieceBytes = 10_000;

    private readonly List<byte[]> _groups = [];

    public ShipPair(bool isScavenged)
    {
        Leader = ScavengeVaults.Mixed();
        Leader.Write(Leader.Scavenge());
        Leader.Flush();
        for (var index = 1ul; index <= Leader.Storage.CommitIndex.Value; index++)
        {
            _groups.Add(Leader.Storage.ReadGroup(new LogIndex(index))); // Of what a scavenge takes, too.
        }

        Leader.StepAll();
        if (isScavenged)
        {
            Leader.StepScavenge();
        }

        Source = Leader.Storage.Source;
    }

    public SmallVault Leader { get; }

    public ShipSource Source { get; }

    public ulong LastIndex => (ulong)_groups.Count;

    /// <summary>The first index of the segment behind the last one that is sealed: with it a plan ends.</summary>
    public LogIndex Beginning => Leader.Storage.View.Unsealed[0].FirstIndex;

    public VaultStorage Open(SimulatedFileSystem files) => VaultStorage.Open(
        files, SmallVault.Directory, new StorageOptions { NodeId = 2, Join = Leader.Storage.Identity, OperationHorizon = SmallVault.DefaultHorizon, Random = new Random(2) }, 2_000_000);

    /// <summary>A disk that holds the first groups, and behind them some that no other node has.</summary>
    public SimulatedFileSystem Follower(ulong groups, int own = 0, ulong ownTerm = 0)
    {
        var files = new SimulatedFileSystem();
        using var storage = Open(files);
        Send(storage, 1, groups);
        if (own > 0)
        {
            storage.BeginTerm(ownTerm);
            for (var i = 0; i < own; i++)
            {
                AddOwn(storage, i);
            }
        }

        storage.Log.Flush();
        return files;
    }

    /// <summary>Sends groups, and lets them commit as far as these go.</summary>
    public void Send(VaultStorage storage, ulong from, ulong until)
    {
        for (var index = from; index <= until; index++)
        {
            var bytes = _groups[(int)index - 1];
            Assert.True(storage.TryInspect(bytes, out var group));
            if (storage.Vote.Term < group.Term)
            {
                storage.BeginTerm(group.Term.Value);
            }

            var buffer = new GroupBuffer();
            var check = storage.Tail.Receive(buffer, bytes);
            while (check == ReceiveCheck.NoRoom)
            {
                storage.Log.Flush();
                storage.Commit(storage.Tail.LastIndex);
                Assert.True(storage.StepBackground());
                check = storage.Tail.Receive(buffer, bytes);
            }

            Assert.Equal(ReceiveCheck.Ok, check);
            storage.Log.Write(buffer);
        }

        storage.Log.Flush();
        if (until > storage.CommitIndex.Value)
        {
            storage.Commit(new LogIndex(until));
        }
    }

    /// <summary>Gathers all that there is; no plan yet.</summary>
    public ShipFolder Gather(VaultStorage storage)
    {
        var folder = new ShipFolder(storage);
        folder.Open();
        foreach (var segment in Source.List(folder.Next, ShipPlan.MostSegments))
        {
            // What a loss of power left of a part may be torn: that shows when all of it is there, and it is pulled once more.
            Assert.True(Pull(folder, segment) is null || Pull(folder, segment) is null);
        }

        folder.Close();
        return folder;
    }

    public string? Pull(ShipFolder folder, ShippedSegment segment, Action<byte[]>? spoil = null)
    {
        var at = folder.BeginPart(segment);
        while (folder.Missing > 0)
        {
            var piece = new byte[(int)Math.Min(PieceBytes, folder.Missing)];
            Assert.Equal(piece.Length, Source.Read(segment, at, piece));
            spoil?.Invoke(piece);
            folder.Add(piece);
            at += piece.Length;
        }

        return folder.Finish();
    }

    /// <summary>A disk with a plan, closed.</summary>
    public SimulatedFileSystem Planned(ulong groups, int own = 0, ulong ownTerm = 0)
    {
        var files = Follower(groups, own, ownTerm);
        using var storage = Open(files);
        Gather(storage).WritePlan();
        return files;
    }

    /// <summary>The disk's log is the leader's up to where the plan ended, goes on with the rest, and reads as the leader's does.</summary>
    public void CheckCaughtUp(SimulatedFileSystem files)
    {
        using (var storage = Open(files))
        {
            Assert.Equal(Beginning, storage.Tail.LastIndex);
            Send(storage, Beginning.Value + 1, LastIndex);
            while (storage.StepBackground())
            {
            }

            Assert.True(storage.IsWhole);
            Leader.Model.Check(storage, new Random(1));
            Leader.Model.CheckAll(storage.Reader);
            for (var number = 0; number < Leader.Storage.View.Sealed.Length; number++)
            {
                var (ours, theirs) = (storage.View.Sealed[number], Leader.Storage.View.Sealed[number]);
                Assert.Equal(theirs.Record.Digest, ours.Record.Digest);
                Assert.Equal(theirs.Record with { Index = ours.Record.Index }, ours.Record);
            }
        }

        var report = LogVerifier.Verify(files, SmallVault.Directory);
        Assert.Empty(report.Damage);
        using var again = Open(files);
        Assert.Equal(LastIndex, again.Tail.LastIndex.Value);
    }

    private static void AddOwn(VaultStorage storage, int i)
    {
        var id = (UInt128)(900_000 + i);
        var content = new ModelAppend(id, [($"own-{i % 3}", ExpectedKind.Any, -1, [Encoded.Event(id, "T", new byte[2_000])])]).Content(storage);
        storage.Reader.LookUp(content, out _);
        Assert.Equal(AppendCheck.Ok, storage.Tail.Check(content, out _));
        while (storage.Tail.CheckRoom(content.EncodedLength) != RoomCheck.Ok)
        {
            storage.Log.Flush();
            Assert.True(storage.StepBackground());
        }

        var group = new GroupBuffer();
        storage.Tail.Begin(group, content.EncodedLength, 1);
        storage.Tail.Add(group, content);
        storage.Tail.Finish(group);
        storage.Log.Write(group);
    }
}
