namespace EventVault.Simulation.Scheduling;

/// <summary>What happens next. The number is part of the trace, so the order of this list must not change.</summary>
internal enum EventKind : byte
{
    /// <summary>Nobody's: clients, faults, the operator.</summary>
    Action = 1,

    /// <summary>A node's tick.</summary>
    Tick,

    /// <summary>A message between replicas arrives.</summary>
    Message,

    /// <summary>A client's request arrives.</summary>
    Request,

    /// <summary>A node's sequencer gets its turn.</summary>
    Step,

    /// <summary>A node's disk is done with what the writer was given.</summary>
    Write,

    /// <summary>A node's background thread gets its turn.</summary>
    Background,

    /// <summary>A node's log has rested for a while.</summary>
    Mark,

    /// <summary>A node's answer arrives at a client.</summary>
    Answer,
}

/// <summary>Something that happens at a virtual time.</summary>
internal readonly struct SimulatedEvent(long time, EventKind kind, int node, int life, object? payload)
{
    public long Time { get; } = time;

    public EventKind Kind { get; } = kind;

    /// <summary>Number of the node it happens at; 0: none.</summary>
    public int Node { get; } = node;

    /// <summary>The node's life it was meant for; a later one does not get it. 0: any.</summary>
    public int Life { get; } = life;

    public object? Payload { get; } = payload;
}

/// <summary>Events by time, and of one time in the order in which they came. A binary heap of structs.</summary>
internal sealed class EventQueue
{
    private (long Time, long Order, int Slot)[] _heap = new (long, long, int)[256];
    private SimulatedEvent[] _slots = new SimulatedEvent[256];
    private readonly Stack<int> _free = new();
    private long _order;
    private int _used;

    public int Count { get; private set; }

    public void Add(in SimulatedEvent e)
    {
        if (!_free.TryPop(out var slot))
        {
            slot = _used++;
            if (slot == _slots.Length)
            {
                Array.Resize(ref _slots, slot * 2);
            }
        }

        _slots[slot] = e;
        if (Count == _heap.Length)
        {
            Array.Resize(ref _heap, Count * 2);
        }

        var at = Count++;
        var entry = (e.Time, _order++, slot);
        while (at > 0)
        {
            var parent = (at - 1) / 2;
            if (!Before(entry, _heap[parent]))
            {
                break;
            }

            _heap[at] = _heap[parent];
            at = parent;
        }

        _heap[at] = entry;
    }

    public SimulatedEvent Take()
    {
        var slot = _heap[0].Slot;
        var e = _slots[slot];
        _slots[slot] = default;
        _free.Push(slot);
        var last = _heap[--Count];
        var at = 0;
        while (true)
        {
            var child = (2 * at) + 1;
            if (child >= Count)
            {
                break;
            }

            if (child + 1 < Count && Before(_heap[child + 1], _heap[child]))
            {
                child++;
            }

            if (!Before(_heap[child], last))
            {
                break;
            }

            _heap[at] = _heap[child];
            at = child;
        }

        _heap[at] = last;
        return e;
    }

    private static bool Before(in (long Time, long Order, int Slot) a, in (long Time, long Order, int Slot) b) =>
        a.Time != b.Time ? a.Time < b.Time : a.Order < b.Order;
}
