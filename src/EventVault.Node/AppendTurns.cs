// The order of appends when more wait than go into one group: turns between clients, by what they ask for. Who asks for
// little comes next, however much others have queued; who asks for much shares what is left, byte by byte; the appends of
// one client stay in their order.
//
// It is fair queueing in virtual time. Time is counted in cost: an append takes as much of its client's time as it costs.
// Its turn begins where the one before it in its client ended; of a client that had none waiting, now, if that is later: time
// that a client did not use is gone. The append goes first whose turn begins first, its cost added up to a bound: of clients that come at the same
// moment, the smaller ones go before the larger ones, but not for long.
//
// Owned by the sequencer's thread. Some comparisons an append, logarithmic in the clients that wait; nothing is allocated
// but the heap's array, which holds as many clients as ever waited at once.
namespace EventVault.Node;

/// <summary>Appends that wait, in the order in which they are to be sequenced.</summary>
internal sealed class AppendTurns
{
    /// <summary>What an append costs beside its bytes, in bytes: it is checked and answered, however small it is.</summary>
    public const int CostOfAny = 1024;

    /// <summary>So much of an append's cost counts when it is compared with others, in bytes: large ones need not wait longer.</summary>
    public const int MostCompared = 64 * 1024;

    /// <summary>
    /// Virtual time goes on by this part of what is taken, even if only newcomers are: an endless row of them holds nobody up
    /// for ever, and those who come while many large ones have just begun still go first.
    /// </summary>
    public const int Drift = 1024;

    private readonly AppendClient _own = new(); // Of appends that have none: the node itself.
    private readonly PriorityQueue<AppendClient, (long Turn, long Arrival)> _clients = new();
    private long _now;
    private long _latest; // The latest end of a turn that was taken.
    private long _arrivals;

    /// <summary>Whether nothing waits.</summary>
    public bool IsEmpty => _clients.Count == 0;

    /// <summary>What is to be sequenced next; null if nothing waits.</summary>
    public QueuedAppend? Next => _clients.TryPeek(out var client, out _) ? client.First : null;

    /// <summary>Whose append it is. For every thread.</summary>
    public AppendClient ClientOf(QueuedAppend append) => append.Client ?? _own;

    /// <summary>What an append takes of its client's time.</summary>
    public static long CostOf(QueuedAppend append) => append.QueuedBytes + CostOfAny;

    /// <summary>Adds appends, each behind all of its client.</summary>
    /// <param name="oldest">The oldest one, linked to the newest by <see cref="QueuedAppend.Next"/>; null: none.</param>
    public void Add(QueuedAppend? oldest)
    {
        while (oldest is { } append)
        {
            oldest = append.Next;
            append.Next = null;
            var client = ClientOf(append);
            if (client.First is null)
            {
                (client.First, client.Last) = (append, append);
                client.UsedUntil = Math.Max(_now, client.UsedUntil);
                _clients.Enqueue(client, TurnOf(client));
            }
            else
            {
                client.Last!.Next = append;
                client.Last = append;
            }
        }
    }

    /// <summary>Takes <see cref="Next"/>, which there must be.</summary>
    public QueuedAppend Take()
    {
        var client = _clients.Peek();
        var append = client.First!;
        _now = Math.Max(_now, client.UsedUntil) + (Compared(append) / Drift);
        client.UsedUntil += CostOf(append);
        _latest = Math.Max(_latest, client.UsedUntil);
        client.First = append.Next;
        append.Next = null;
        if (client.First is not null)
        {
            _clients.DequeueEnqueue(client, TurnOf(client));
            return append;
        }

        client.Last = null;
        _clients.Dequeue();
        if (_clients.Count == 0)
        {
            _now = _latest; // Nobody waited for what was taken: it is not held against anybody.
        }

        return append;
    }

    private static long Compared(QueuedAppend append) => Math.Min(CostOf(append), MostCompared);

    private (long Turn, long Arrival) TurnOf(AppendClient client) => (client.UsedUntil + Compared(client.First!), _arrivals++);
}
