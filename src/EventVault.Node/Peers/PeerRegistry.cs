// Which connections for messages stand, and whether another may. One disk speaks with one voice: while a connection of one boot
// answers, connections of another boot of the same replica are refused, whoever of them is the copy. A disk that comes with less than
// it has shown was restored from an old copy, and has forgotten what it promised.
using System.Collections.Concurrent;
using EventVault.Node.Replication;

namespace EventVault.Node.Peers;

/// <summary>The connections of a node. Safe for concurrent use.</summary>
/// <param name="own">This node.</param>
/// <param name="ownMark">How far its disk is.</param>
/// <param name="disks">What was seen of other disks.</param>
/// <param name="patience">How long an older connection may take to show that it is alive.</param>
internal sealed class PeerRegistry(PeerHello own, Func<DiskMark> ownMark, SeenDisks disks, TimeSpan patience)
{
    private readonly ConcurrentDictionary<PeerConnection, byte> _connections = new();
    private readonly Lock _admitting = new();
    private long _sentBytes;

    /// <summary>Bytes sent over connections for messages, by this node, since it was opened.</summary>
    public long SentBytes => Volatile.Read(ref _sentBytes);

    /// <summary>A connection for messages took bytes.</summary>
    public void CountSent(long bytes) => Interlocked.Add(ref _sentBytes, bytes);

    /// <summary>All of them.</summary>
    public IEnumerable<PeerConnection> Connections => _connections.Select(static c => c.Key);

    /// <summary>How far the own disk is.</summary>
    public DiskMark OwnMark => ownMark();

    /// <summary>A node that was admitted has shown how far its disk is.</summary>
    public void Saw(PeerHello hello, in DiskMark mark) => disks.Saw(hello.Id, mark);

    /// <summary>A connection that a replica has dialled; null: none stands.</summary>
    public PeerConnection? Accepted(Raft.ReplicaId replica, PeerLane lane)
    {
        foreach (var (connection, _) in _connections)
        {
            if (!connection.IsDialled && connection.Lane == lane && connection.Hello.Id == replica && !connection.IsClosed)
            {
                return connection;
            }
        }

        return null;
    }

    /// <summary>Whether a node that introduced itself like this may be listened to.</summary>
    /// <param name="hello">How it did.</param>
    /// <param name="connection">The connection for messages that is added if so; null: it is one for requests.</param>
    /// <returns>Why not, for people; null: it may.</returns>
    public async Task<PeerRefusal?> AdmitAsync(PeerHello hello, PeerConnection? connection)
    {
        if (hello.Id.Node == 0)
        {
            return null; // It has no disk of a vault yet.
        }

        if (hello.Id == own.Id)
        {
            // What an operator names may be this node's own address, by any of its names: it answers itself like others, and is seen to be a member.
            return hello.Boot != own.Boot
                ? new PeerRefusal($"it shows the same disk as this node ({own.Id}): one of them is a copy. Stop the copy, and wipe its data directory")
                : connection is null ? null : new PeerRefusal("this is the node itself: the address is its own");
        }

        if (disks.Refuses(hello) is { } refusal)
        {
            // A copy beside a disk in service is no reason to think anything of that.
            return refusal.IsOldDisk && await IsAliveAsync(hello) ? refusal with { IsOldDisk = false } : Remember(hello, refusal);
        }

        while (!TryAdd(hello, connection, out var older))
        {
            if (await older.AnswersAsync(patience))
            {
                return new PeerRefusal($"two nodes show the disk of {hello.Id} at the same time; the one that came first stays. One of them is a copy: stop it, and wipe its data directory");
            }

            older.Close("it does not answer any more, and its node was started again");
            Remove(older);
        }

        disks.Saw(hello);
        return null;
    }

    /// <summary>A connection has ended.</summary>
    public void Remove(PeerConnection connection) => _connections.TryRemove(connection, out _);

    private async Task<bool> IsAliveAsync(PeerHello hello)
    {
        foreach (var connection in Connections.Where(c => c.Hello.Id == hello.Id && c.Hello.Boot != hello.Boot && !c.IsClosed))
        {
            if (await connection.AnswersAsync(patience))
            {
                return true;
            }
        }

        return false;
    }

    private PeerRefusal Remember(PeerHello hello, PeerRefusal refusal)
    {
        if (refusal.IsOldDisk)
        {
            disks.Bar(hello.Id);
        }

        return refusal;
    }

    private bool TryAdd(PeerHello hello, PeerConnection? connection, out PeerConnection older)
    {
        older = null!;
        PeerConnection? replaced = null;
        lock (_admitting)
        {
            foreach (var (other, _) in _connections)
            {
                if (other.Hello.Id != hello.Id || other.IsClosed)
                {
                    continue;
                }

                if (other.Hello.Boot != hello.Boot)
                {
                    older = older is { Lane: PeerLane.Urgent } ? older : other;
                }
                else if (connection is { IsDialled: false } && !other.IsDialled && other.Lane == connection.Lane)
                {
                    replaced = other;
                }
            }

            if (older is null && connection is not null)
            {
                _connections.TryAdd(connection, 0);
            }
        }

        replaced?.Close("its node has dialled again");
        return older is null;
    }
}
