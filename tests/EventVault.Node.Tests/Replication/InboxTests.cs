using EventVault.Node.Replication;
using EventVault.Raft;

namespace EventVault.Node.Tests.Replication;

public sealed class InboxTests
{
    [Fact]
    public void Messages_beyond_the_bound_are_dropped()
    {
        var inbox = new Inbox();
        Assert.True(inbox.IsEmpty);
        var taken = 0;
        while (inbox.TryAdd(Message()))
        {
            taken++;
        }

        Assert.Equal(4096, taken);
        Assert.False(inbox.IsEmpty);
    }

    [Fact]
    public void Groups_are_bounded_by_their_bytes_and_one_that_is_larger_gets_in_alone()
    {
        var inbox = new Inbox();
        Assert.True(inbox.TryAdd(Message(40 * 1024 * 1024)));
        Assert.False(inbox.TryAdd(Message(1)));
        var other = new Inbox();
        Assert.True(other.TryAdd(Message(30 * 1024 * 1024)));
        Assert.False(other.TryAdd(Message(3 * 1024 * 1024)));
        Assert.True(other.TryAdd(Message(1024 * 1024)));
    }

    private static PeerMessage Message(int bytes = 0) =>
        new(Guid.Empty, new Message(MessageKind.Append, default, default, default), bytes == 0 ? [] : [new byte[bytes]]);
}
