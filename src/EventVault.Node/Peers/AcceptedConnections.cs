// How many connections others may hold here. Who reaches the port is a stranger until it has shown to be a replica of this vault, by TLS
// if there is any and by its hello. Strangers have few places, and whoever came first among them goes when another comes: so those who
// only sit there can't keep a member out, which needs its place for as long as a hello takes. The members' places are theirs alone.
using System.Net;
using System.Net.Sockets;

namespace EventVault.Node.Peers;

/// <summary>The connections that others have dialled. Safe for concurrent use.</summary>
internal sealed class AcceptedConnections
{
    /// <summary>Strangers at a time: what 64 members need that all dial at once, each waiting for no more than its hello.</summary>
    public const int MostStrangers = 64;

    /// <summary>Of them from one address: the nodes of a small vault on one machine that start at once. A single machine can't crowd others out.</summary>
    public const int MostOfAddress = 16;

    /// <summary>Connections of replicas of this vault: an urgent one and a bulk one from each of 64 members, and five of each for requests.</summary>
    public const int MostOfMembers = 448;

    private readonly Lock _counting = new();
    private readonly List<AcceptedConnection> _strangers = []; // The oldest first.
    private int _members;

    /// <summary>Takes a connection as that of a stranger.</summary>
    /// <param name="socket">The connection.</param>
    /// <param name="closed">Which other one was closed for it; null: there was room.</param>
    public AcceptedConnection Add(Socket socket, out AcceptedConnection? closed)
    {
        var added = new AcceptedConnection(socket, (socket.RemoteEndPoint as IPEndPoint)?.Address);
        lock (_counting)
        {
            var isCrowded = _strangers.Count(s => Equals(s.Address, added.Address)) >= MostOfAddress;
            closed = isCrowded ? _strangers.Find(s => Equals(s.Address, added.Address))
                : _strangers.Count >= MostStrangers ? _strangers[0]
                : null;
            if (closed is not null)
            {
                _strangers.Remove(closed);
            }

            _strangers.Add(added);
            Invariant.Check(_strangers.Count <= MostStrangers);
        }

        closed?.Close();
        return added;
    }

    /// <summary>Whoever is there has shown to be a replica of this vault: its connection is not closed for a stranger's any more.</summary>
    /// <returns>False: the members' places are all taken, or the connection was closed meanwhile.</returns>
    public bool TryAdmit(AcceptedConnection connection)
    {
        lock (_counting)
        {
            if (_members == MostOfMembers || !_strangers.Remove(connection))
            {
                return false;
            }

            _members++;
            connection.IsMember = true;
            return true;
        }
    }

    /// <summary>It has ended.</summary>
    public void Remove(AcceptedConnection connection)
    {
        lock (_counting)
        {
            if (connection.IsMember)
            {
                connection.IsMember = false;
                _members--;
            }
            else
            {
                _strangers.Remove(connection);
            }
        }
    }
}

/// <summary>A connection that somebody has dialled.</summary>
/// <param name="socket">Closed by whoever serves it, or for a newer stranger.</param>
/// <param name="address">Where it comes from; null: unknown.</param>
internal sealed class AcceptedConnection(Socket socket, IPAddress? address)
{
    /// <summary>The connection.</summary>
    public Socket Socket => socket;

    /// <summary>Where it comes from.</summary>
    public IPAddress? Address => address;

    /// <summary>Whether it holds a member's place. Set by <see cref="AcceptedConnections"/>, under its lock.</summary>
    public bool IsMember { get; set; }

    /// <summary>Ends it: whoever reads from it or writes to it finds it broken.</summary>
    public void Close() => socket.Dispose();
}
