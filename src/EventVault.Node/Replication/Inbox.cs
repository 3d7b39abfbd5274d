// What comes from peers on its way to the sequencer's thread. Bounded: what does not fit is dropped, as the network may do at any time; the
// sender's next heartbeat finds it out.
using System.Collections.Concurrent;
using EventVault.Raft;

namespace EventVault.Node.Replication;

/// <summary>Messages of peers that the sequencer has not seen yet. Everybody adds, one thread takes.</summary>
internal sealed class Inbox
{
    /// <summary>Messages kept at once: what 16 peers may have on their way, and their heartbeats.</summary>
    private const int MostMessages = 4096;

    /// <summary>Bytes of groups kept at once: twice what a leader has on its way to one follower. A larger group gets in alone.</summary>
    private const long MostBytes = 32 * 1024 * 1024;

    /// <summary>Messages taken in one go: so many groups share a flush, and ticks are not held up for long.</summary>
    private const int TakenAtOnce = 64;

    private readonly ConcurrentQueue<PeerMessage> _messages = new();
    private readonly ConcurrentQueue<ReplicaId> _unreachable = new();
    private int _count;
    private long _bytes;

    /// <summary>Whether nothing waits.</summary>
    public bool IsEmpty => _messages.IsEmpty && _unreachable.IsEmpty;

    /// <summary>A message came. False: there was no room, and it is lost.</summary>
    public bool TryAdd(in PeerMessage message)
    {
        var bytes = BytesOf(message);
        var count = Interlocked.Increment(ref _count);
        var all = Interlocked.Add(ref _bytes, bytes);
        if (count > MostMessages || (all > MostBytes && all > bytes))
        {
            Remove(bytes);
            return false;
        }

        _messages.Enqueue(message);
        return true;
    }

    /// <summary>What was sent to a replica may be lost.</summary>
    public void AddUnreachable(ReplicaId replica)
    {
        // Said too often it is as good as said once: whoever is told probes.
        if (_unreachable.Count < MostMessages)
        {
            _unreachable.Enqueue(replica);
        }
    }

    /// <summary>Hands over what waits, some of it; false if there was nothing.</summary>
    public bool GiveTo(Replica replica)
    {
        var taken = 0;
        while (_unreachable.TryDequeue(out var unreachable))
        {
            taken++;
            replica.ReportUnreachable(unreachable);
        }

        for (var i = 0; i < TakenAtOnce && _messages.TryDequeue(out var message); i++)
        {
            taken++;
            Remove(BytesOf(message));
            replica.Receive(message);
        }

        return taken > 0;
    }

    private static long BytesOf(in PeerMessage message)
    {
        var bytes = 0L;
        foreach (var group in message.Groups)
        {
            bytes += group.Length;
        }

        return bytes;
    }

    private void Remove(long bytes)
    {
        Interlocked.Decrement(ref _count);
        Interlocked.Add(ref _bytes, -bytes);
    }
}
