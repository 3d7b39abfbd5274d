namespace EventVault.Rpc.Server;

/// <summary>
/// Bounds what large request messages hold, of all calls together: from the moment their length is known until their call lets
/// go of them. Small ones are bounded by the windows of their connections. Thread-safe.
/// </summary>
/// <param name="bytes">The bound. One message alone may be larger.</param>
internal sealed class ReceiveBudget(long bytes)
{
    /// <summary>Messages up to this many bytes don't count: they arrive in a read or two, and there are many.</summary>
    public const int FreeBytes = 64 * 1024;

    private long _taken;

    /// <summary>Bytes that are taken.</summary>
    public long Taken => Volatile.Read(ref _taken);

    /// <summary>Takes a message's bytes; false if there is no room, and then nothing is taken.</summary>
    public bool TryTake(long length)
    {
        var taken = Interlocked.Add(ref _taken, length);
        if (taken <= bytes || taken == length)
        {
            return true;
        }

        Interlocked.Add(ref _taken, -length);
        return false;
    }

    /// <summary>Gives back what was taken.</summary>
    public void GiveBack(long length)
    {
        if (Interlocked.Add(ref _taken, -length) < 0)
        {
            throw new InvalidOperationException("More bytes of received messages were given back than were taken.");
        }
    }
}
