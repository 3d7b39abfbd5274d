// Who wants to append, and how much of it waits: a connection, however many calls and sessions it has, or the node itself.
//
// Callers add to what waits, the sequencer alone takes from it. Two counters, each with one side that writes it, and no
// counter that both write: the sequencer needs no atomic operation.
namespace EventVault.Node;

/// <summary>How much was queued and not taken yet.</summary>
internal sealed class QueuedAmount
{
    private long _appends;
    private long _bytes;
    private long _appendsTaken;
    private long _bytesTaken;

    /// <summary>Appends that wait. For every thread; a moment later it may be less.</summary>
    public long Appends
    {
        get
        {
            var taken = Volatile.Read(ref _appendsTaken); // First: what is taken later must have been added before.
            return Volatile.Read(ref _appends) - taken;
        }
    }

    /// <summary>Bytes that they hold on to; as <see cref="Appends"/>.</summary>
    public long Bytes
    {
        get
        {
            var taken = Volatile.Read(ref _bytesTaken);
            return Volatile.Read(ref _bytes) - taken;
        }
    }

    /// <summary>Adds to what waits, or takes back what was just added, by negative numbers. For every thread.</summary>
    /// <returns>What waits with it.</returns>
    public (long Appends, long Bytes) Add(long appends, long bytes)
    {
        var (appendsTaken, bytesTaken) = (Volatile.Read(ref _appendsTaken), Volatile.Read(ref _bytesTaken));
        return (Interlocked.Add(ref _appends, appends) - appendsTaken, Interlocked.Add(ref _bytes, bytes) - bytesTaken);
    }

    /// <summary>One append waits no more. The sequencer's thread.</summary>
    public void Take(long bytes)
    {
        Volatile.Write(ref _appendsTaken, _appendsTaken + 1);
        Volatile.Write(ref _bytesTaken, _bytesTaken + bytes);
    }
}

/// <summary>Whoever has its turns in the queue of appends, and its part of the queue's room. Of one <see cref="VaultLoop"/>.</summary>
internal sealed class AppendClient
{
    /// <summary>What it has in the queue.</summary>
    public QueuedAmount Waiting { get; } = new();

    /// <summary>Its appends that wait for their turn, oldest first; like all below, of <see cref="AppendTurns"/> alone.</summary>
    internal QueuedAppend? First { get; set; }

    /// <summary>The newest one of them.</summary>
    internal QueuedAppend? Last { get; set; }

    /// <summary>Up to where its virtual time is used up; where the turn of <see cref="First"/> begins.</summary>
    internal long UsedUntil { get; set; }
}
