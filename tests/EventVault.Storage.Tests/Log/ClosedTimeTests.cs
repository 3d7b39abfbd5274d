using EventVault.Storage.Log;

namespace EventVault.Storage.Tests.Log;

/// <summary>The time that is closed is that of the last committed group, whatever stands in it, and only goes on.</summary>
public sealed class ClosedTimeTests
{
    [Fact]
    public void It_is_the_time_of_the_last_committed_group_over_restarts_and_seals()
    {
        var vault = new SmallVault();
        Assert.Equal(0, vault.Storage.ClosedTime);
        Assert.Equal(Position.None, vault.Storage.Reader.LastAtOrBefore(long.MaxValue));
        vault.Append("a", 10);
        Assert.Equal(vault.Clock, vault.Storage.ClosedTime);

        // Three appends of a group have a tick each.
        vault.Write(vault.Event("a", 10), vault.Event("b", 10), vault.Event("c", 10));
        vault.Flush();
        Assert.Equal(vault.Clock + 2, vault.Storage.ClosedTime);
        vault.Clock += 1_000;
        var fence = vault.WriteSystem(GroupKind.NoOp, []);
        Assert.Equal((fence.Time, true), (vault.Storage.Tail.LastTime, vault.Storage.ClosedTime < fence.Time));
        vault.Flush();
        Assert.Equal(fence.Time, vault.Storage.ClosedTime);
        Assert.Equal(3, vault.Storage.Reader.LastAtOrBefore(fence.Time).Value);
        vault.Stop();
        vault.Reopen();
        Assert.Equal(fence.Time, vault.Storage.ClosedTime);

        // A fence that is the last group of a sealed segment, and all there is behind it is another fence.
        vault.Append("big", 55_000);
        var last = vault.WriteSystem(GroupKind.NoOp, []);
        vault.Flush();
        vault.Append("big", 55_000);
        vault.StepAll();
        Assert.Equal(last.Time, vault.Storage.View.Sealed[^1].Record.LastTime);
        vault.Clock += 1_000;
        last = vault.WriteSystem(GroupKind.NoOp, []);
        vault.Flush();
        vault.Kill();
        vault.Reopen();
        Assert.Equal(last.Time, vault.Storage.ClosedTime);

        // A clock that was set back is no way behind it.
        var content = vault.Event("a", 10).Content(vault.Storage);
        vault.Storage.Reader.LookUp(content, out _);
        var group = new GroupBuffer();
        Assert.Equal(AppendCheck.Ok, vault.Storage.Tail.Check(content, out _));
        vault.Storage.Tail.Begin(group, content.EncodedLength, now: 1);
        Assert.Equal(last.Time + 1, vault.Storage.Tail.Add(group, content).RecordedAt);
    }

    [Fact]
    public void A_fence_that_is_taken_back_has_closed_nothing()
    {
        var pair = new ReplicaPair();
        pair.Lead("a");
        pair.Send(new LogIndex(1), new LogIndex(1));
        pair.Follower.Commit(new LogIndex(1));
        var closed = pair.Follower.ClosedTime;
        pair.Follower.BeginTerm(2);
        var fence = pair.LeadSystem(GroupKind.NoOp, [], pair.Follower);
        Assert.Equal((closed, fence.Time), (pair.Follower.ClosedTime, pair.Follower.Tail.LastTime));
        pair.Follower.BeginTerm(3);
        pair.Follower.Log.Truncate(pair.Follower.Tail.Truncate(new LogIndex(1)));
        Assert.Equal((closed, closed), (pair.Follower.ClosedTime, pair.Follower.Tail.LastTime));

        // The leader's own one is as good here as there.
        fence = pair.LeadSystem(GroupKind.NoOp, []);
        pair.Leader.Commit(fence.Index);
        pair.Send(fence.Index, fence.Index);
        Assert.Equal(closed, pair.Follower.ClosedTime);
        pair.Follower.Commit(fence.Index);
        Assert.Equal((fence.Time, fence.Time), (pair.Leader.ClosedTime, pair.Follower.ClosedTime));
    }
}
