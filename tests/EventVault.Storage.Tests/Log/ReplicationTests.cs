using EventVault.Storage.Log;
using EventVault.Storage.Tests.Simulated;

namespace EventVault.Storage.Tests.Log;

/// <summary>Two disks of one vault: one is led, the other receives. By hand, without Raft.</summary>
internal sealed class ReplicaPair
{
    private long _clock = 1_000_000;
    private UInt128 _lastId;

    public ReplicaPair(uint segmentSizeBytes = StorageOptions.MinSegmentSizeBytes)
    {
        SegmentSizeBytes = segmentSizeBytes;
        Leader = VaultStorage.Open(
            LeaderFiles, SmallVault.Directory, new StorageOptions { SegmentSizeBytes = segmentSizeBytes, Random = new Random(1) }, 1_000_000);
        Follower = OpenFollower();
    }

    public uint SegmentSizeBytes { get; }

    public SimulatedFileSystem LeaderFiles { get; } = new();

    public SimulatedFileSystem FollowerFiles { get; private set; } = new();

    public VaultStorage Leader { get; }

    public VaultStorage Follower { get; private set; }

    /// <summary>A group with one event on the leader, written and flushed.</summary>
    public GroupBuffer Lead(string stream, int dataBytes = 60, VaultStorage? on = null)
    {
        var storage = on ?? Leader;
        var id = ++_lastId;
        var content = Encoded.Append(storage, id, (stream, ExpectedKind.Any, -1, [Encoded.Event(id, "T", new byte[dataBytes])]));
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
        FollowerFiles.ReleaseLocks();
        Follower = OpenFollower();
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

public sealed class ReplicationTests
{
    [Fact]
    public void A_follower_takes_appends_and_system_groups_and_shows_them_when_they_are_committed()
    {
        var pair = new ReplicaPair();
        pair.LeadSystem(GroupKind.Membership, [1, 2, 3]);
        pair.LeadSystem(GroupKind.NoOp, []);
        pair.Lead("a-1");
        pair.Send(new LogIndex(1), new LogIndex(3));
        Assert.Equal(-1, pair.Follower.Head.Value);
        Assert.Equal(0, pair.Follower.Tail.Last.Value);
        pair.Follower.Commit(new LogIndex(3));
        Assert.Equal(0, pair.Follower.Head.Value);
        Assert.Equal(pair.Leader.ReadGroup(new LogIndex(2)), pair.Follower.ReadGroup(new LogIndex(2)));
    }

    [Fact]
    public void Truncation_makes_room_for_another_leaders_groups()
    {
        var pair = new ReplicaPair();
        pair.Lead("a-1");
        pair.Send(new LogIndex(1), new LogIndex(1));
        pair.Follower.BeginTerm(2);
        pair.Lead("b-1", on: pair.Follower);
        pair.Lead("a-1", on: pair.Follower);
        pair.Leader.BeginTerm(3);
        pair.Lead("b-1");
        Assert.Equal(ReceiveCheck.Mismatch, pair.Receive(pair.Leader.ReadGroup(new LogIndex(2))));
        pair.Follower.BeginTerm(3);
        pair.Follower.Log.Truncate(pair.Follower.Tail.Truncate(new LogIndex(1)));
        pair.Send(new LogIndex(2), new LogIndex(2));
        pair.Follower.Commit(new LogIndex(2));
        Assert.Equal(1, pair.Follower.Head.Value);
        pair.KillFollower();
        Assert.Equal(2ul, pair.Follower.Tail.LastIndex.Value);
        pair.Follower.CommitAll();
        Assert.Equal(1, pair.Follower.Head.Value);
    }
}
