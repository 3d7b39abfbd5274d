// Which subscriptions run, and how far they are. Says two things apart: that a subscription is behind because its client takes events slowly, which is
// nobody's business but the client's; and that the node does not deliver what it has committed, which is the node's fault and makes it unready.
using System.Collections.Concurrent;
using EventVault.Storage;

namespace EventVault.Node.Subscriptions;

/// <summary>The subscriptions of a node. For every thread.</summary>
internal sealed class LiveSubscriptions
{
    private readonly ConcurrentDictionary<SubscriptionState, byte> _running = new();
    private long _cut;

    /// <summary>How many run.</summary>
    public int Count => _running.Count;

    /// <summary>Reads and subscriptions that were ended because their clients kept memory that others waited for.</summary>
    public long Cut => Volatile.Read(ref _cut);

    /// <summary>A subscription begins. Dispose what is returned when it ends.</summary>
    public SubscriptionState Begin()
    {
        var state = new SubscriptionState(this);
        _running.TryAdd(state, 0);
        return state;
    }

    /// <summary>Some were cut.</summary>
    public void WereCut(int count) => Interlocked.Add(ref _cut, count);

    /// <summary>
    /// Position of the next event that the subscription to all streams which is furthest behind has to look at; null: none is behind.
    /// </summary>
    public Position? FurthestBehind(Position head)
    {
        var least = long.MaxValue;
        foreach (var (state, _) in _running)
        {
            least = Math.Min(least, state.Next);
        }

        return least <= head.Value ? new Position(least) : null;
    }

    /// <summary>
    /// How long a subscription has slept through commits: it waits for the next one, though there is something that it has not looked at. Call it now
    /// and then, from one thread at a time: what was so at two looks in a row has been so between them.
    /// </summary>
    /// <param name="head">The last event that is committed.</param>
    /// <param name="nowMs">Milliseconds of a clock that never steps.</param>
    public TimeSpan Asleep(Position head, long nowMs)
    {
        var longest = 0L;
        foreach (var (state, _) in _running)
        {
            longest = Math.Max(longest, state.Asleep(head, nowMs));
        }

        return TimeSpan.FromMilliseconds(longest);
    }

    internal void End(SubscriptionState state) => _running.TryRemove(state, out _);
}

/// <summary>How far one subscription is. Written by its call, read by every thread.</summary>
internal sealed class SubscriptionState(LiveSubscriptions all) : IDisposable
{
    private long _next = long.MaxValue;
    private long _looks; // Even: it is busy. Odd: it waits for a commit behind the head that it saw.
    private long _seen;
    private long _noticed; // The look at which Asleep saw it sleep through a commit, and when.
    private long _noticedAt;

    /// <summary>The next position that it looks at; <see cref="long.MaxValue"/>: it follows one stream, and counts versions.</summary>
    public long Next
    {
        get => Volatile.Read(ref _next);
        set => Volatile.Write(ref _next, value);
    }

    /// <summary>It has looked at all up to a head, and waits for the next commit.</summary>
    public void Rests(Position head)
    {
        Volatile.Write(ref _seen, head.Value);
        Volatile.Write(ref _looks, _looks + 1);
    }

    /// <summary>It was woken.</summary>
    public void Wakes() => Volatile.Write(ref _looks, _looks + 1);

    /// <summary>As <see cref="LiveSubscriptions.Asleep"/>, in milliseconds.</summary>
    internal long Asleep(Position head, long nowMs)
    {
        var looks = Volatile.Read(ref _looks);
        if (looks % 2 == 0 || Volatile.Read(ref _seen) >= head.Value)
        {
            _noticed = 0;
            return 0;
        }

        if (_noticed != looks)
        {
            (_noticed, _noticedAt) = (looks, nowMs);
        }

        return nowMs - _noticedAt;
    }

    /// <summary>It has ended.</summary>
    public void Dispose() => all.End(this);
}
