using EventVault.Storage.Log;
using EventVault.Storage.Tests.Simulated;

namespace EventVault.Storage.Tests.Log;

/// <summary>Two disks of one vault: one leads, the other one receives. By hand, without Raft.</summary>
internal sealed class ReplicaPair
{
    private long _clock = 1_000_000;
    private UInt128 _lastId;

    public ReplicaPair(uint segmentSizeBytes = StorageOptions.MinSegmentSizeBytes, int vaultSeed = 1, bool tracksLosses = true)
    {
        SegmentSizeBytes = segmentSizeBytes;
        LeaderFiles = new SimulatedFileSystem(tracksLosses);
        FollowerFiles = new SimulatedFileSystem(tracksLosses);
        Leader = VaultStorage.Open(
            LeaderFiles, SmallVault.Directory, new StorageOptions { SegmentSizeBytes = segmentSizeBytes, Random = new Random(vaultSeed) }, 1_000_000);
        Follower = OpenFollower();
    }

    public uint SegmentSizeBytes { get; }

    public SimulatedFileSystem LeaderFiles { get; }

    public SimulatedFileSystem FollowerFiles { get; private set; }

    public VaultStorage Leader { get; }

    public VaultStorage Follower { get; private set; }

    /// <summary>An append of one event.</summary>
    public ModelAppend Append(string stream, int dataBytes = 60)
    {
        var id = ++_lastId;
        return new ModelAppend(id, [(stream, ExpectedKind.Any, -1, [Encoded.Event(id, "T", new byte[dataBytes])])]);
    }

    /// <summary>A group with one event on the leader, written and flushed.</summary>
    public GroupBuffer Lead(string stream, int dataBytes = 60, VaultStorage? on = null) => Lead(Append(stream, dataBytes), on);

    public GroupBuffer Lead(ModelAppend append, VaultStorage? on = null)
    {
        var storage = on ?? Leader;
        var content = append.Content(storage);
        storage.Reader.LookUp(content, out _);
        Assert.Equal(AppendCheck.Ok, storage.Tail.Check(content, out _));
        MakeRoom(storage, content.EncodedLength);
        var group = new GroupBuffer();
        storage.Tail.Begin(group, content.EncodedLength, ++_clock);
        storage.Tail.Add(group, content);
        return Close(storage, group);
    }

    public GroupBuffer LeadSystem(GroupKind kind, byte[] content, VaultStorage? on = null)
    {
        var storage = on ?? Leader;
        MakeRoom(storage, LogTail.SystemLength(content.Length), isSystem: true);
        var group = new GroupBuffer();
        storage.Tail.BeginSystem(group, kind, content, ++_clock);
        return Close(storage, group);
    }

    /// <summary>Sends groups to the follower, which writes and flushes them.</summary>
    public void Send(LogIndex from, LogIndex until)
    {
        for (var index = from; index <= until; index = new LogIndex(index.Value + 1))
        {
            Assert.Equal(ReceiveCheck.Ok, Receive(Leader.ReadGroup(index)));
        }

        Follower.Log.Flush();
    }

    public ReceiveCheck Receive(byte[] bytes)
    {
        Assert.True(Follower.TryInspect(bytes, out var group));
        var buffer = new GroupBuffer();
        var check = Follower.Tail.Receive(buffer, bytes);
        while (check == ReceiveCheck.NoRoom && Follower.StepBackground())
        {
            check = Follower.Tail.Receive(buffer, bytes);
        }

        if (check == ReceiveCheck.Ok)
        {
            Assert.Equal((group.Index, group.Term, group.Kind, group.Length), (buffer.Index, buffer.Term, buffer.Kind, buffer.Length));
            Follower.Log.Write(buffer);
        }

        return check;
    }

    /// <summary>The follower's process dies; the system keeps what it wrote.</summary>
    public void KillFollower()
    {
        FollowerFiles.OnOperation = null;
        FollowerFiles.ReleaseLocks();
        Follower = OpenFollower();
    }

    /// <summary>The follower's power is gone, and comes back; it is not opened yet.</summary>
    public void CutFollowersPower(Random random)
    {
        FollowerFiles = FollowerFiles.Crash(random);
    }

    /// <summary>Opens the follower again.</summary>
    public void ReopenFollower() => Follower = OpenFollower();

    /// <summary>The follower leads a term of its own, in which it makes groups that nobody else gets.</summary>
    public void Diverge(ulong term, int groups, int dataBytes = 60)
    {
        Follower.BeginTerm(term);
        for (var i = 0; i < groups; i++)
        {
            Lead($"d-{i % 3}", dataBytes, Follower);
        }
    }

    private static void MakeRoom(VaultStorage storage, int length, bool isSystem = false)
    {
        while (storage.Tail.CheckRoom(length, isSystem) != RoomCheck.Ok)
        {
            Assert.True(storage.StepBackground());
        }
    }

    private static GroupBuffer Close(VaultStorage storage, GroupBuffer group)
    {
        storage.Tail.Finish(group);
        storage.Log.Write(group);
        storage.Log.Flush();
        return group;
    }

    private VaultStorage OpenFollower() => VaultStorage.Open(
        FollowerFiles, SmallVault.Directory, new StorageOptions { NodeId = 2, Join = Leader.Identity, Random = new Random(2) }, 2_000_000);
}

