namespace EventVault.Rpc.Server;

/// <summary>
/// Bounds what large request messages hold, of all calls together: from when their bytes arrive until their call lets go of
/// them. What was only announced takes nothing. Small ones are bounded by the windows of their connections. Thread-safe.
/// </summary>
/// <param name="bytes">The bound; a connection may take half of it. One message alone may be larger.</param>
internal sealed class ReceiveBudget(long bytes)
{
    /// <summary>Messages up to this many bytes don't count: they arrive in a read or two, and there are many.</summary>
    public const int FreeBytes = 64 * 1024;

    private readonly long _connectionBytes = bytes / 2;
    private readonly Lock _lock = new();
    private readonly Dictionary<string, long> _ofConnections = new(StringComparer.Ordinal);
    private long _taken;

    /// <summary>Bytes that are taken.</summary>
    public long Taken => Volatile.Read(ref _taken);

    /// <summary>Whether others may soon find no room.</summary>
    public bool IsTight => Taken > bytes / 2;

    /// <summary>Takes more bytes for a message; false if there is no room, and then no more are taken.</summary>
    /// <param name="connection">Its connection.</param>
    /// <param name="held">What the message has taken already.</param>
    /// <param name="more">How many more.</param>
    public bool TryTake(string connection, long held, long more)
    {
        lock (_lock)
        {
            var ofConnection = _ofConnections.GetValueOrDefault(connection);
            if ((_taken > held && _taken + more > bytes) || (ofConnection > held && ofConnection + more > _connectionBytes))
            {
                return false;
            }

            _ofConnections[connection] = ofConnection + more;
            Volatile.Write(ref _taken, _taken + more);
            return true;
        }
    }

    /// <summary>Gives back what was taken.</summary>
    public void GiveBack(string connection, long length)
    {
        lock (_lock)
        {
            var left = _ofConnections.GetValueOrDefault(connection) - length;
            if (left < 0)
            {
                throw new InvalidOperationException("More bytes of received messages were given back than were taken.");
            }

            _ofConnections[connection] = left;
            if (left == 0)
            {
                _ofConnections.Remove(connection);
            }

            Volatile.Write(ref _taken, _taken - length);
        }
    }
}
