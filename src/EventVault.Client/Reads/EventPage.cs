namespace EventVault.Client;

/// <summary>
/// The events of one message of a read or subscription, without building objects, or word of how far a
/// subscription has come. One page object serves a whole read: it and its events are valid until the next page is
/// asked for.
/// </summary>
public sealed class EventPage
{
    private readonly EventDecoder _decoder = new();
    private readonly List<RawEvent> _events = [];
    private int _start;

    internal EventPage()
    {
    }

    /// <summary>Events, or what a subscription says in between; <see cref="Count"/> is then 0.</summary>
    public SubscriptionMessageKind Kind { get; private set; }

    /// <summary>Number of events; at least 1 if <see cref="Kind"/> is <see cref="SubscriptionMessageKind.Event"/>.</summary>
    public int Count => _events.Count - _start;

    /// <summary>Everything up to here has been delivered with this page, or did not match; null: the vault is empty.</summary>
    public ulong? Position { get; private set; }

    /// <summary>When what stands at <see cref="Position"/> was recorded; null: the vault is empty.</summary>
    public DateTimeOffset? Time { get; private set; }

    /// <summary>An event of the page.</summary>
    /// <param name="index">From 0 to <see cref="Count"/> - 1.</param>
    public RawEvent this[int index] => _events[_start + index];

    /// <summary>For <c>foreach</c>.</summary>
    public Enumerator GetEnumerator() => new(this);

    /// <summary>Reads an <c>EventList</c>. The page keeps the memory.</summary>
    internal void ReadEvents(ReadOnlyMemory<byte> list)
    {
        Kind = SubscriptionMessageKind.Event;
        _events.Clear();
        _start = 0;
        var reader = new WireReader(list.Span);
        while (reader.Next())
        {
            if (reader.Field != 1)
            {
                reader.Skip();
                continue;
            }

            int length = reader.BytesField().Length;
            _events.Add(new RawEvent(list.Slice(reader.Offset - length, length), _decoder));
        }

        SetEnd();
    }

    /// <summary>Reads a <c>Progress</c>.</summary>
    internal void ReadProgress(ReadOnlySpan<byte> progress, SubscriptionMessageKind kind)
    {
        Kind = kind;
        _events.Clear();
        _start = 0;
        Position = null;
        long time = 0;
        var reader = new WireReader(progress);
        while (reader.Next())
        {
            switch (reader.Field)
            {
                case 1:
                    Position = reader.VarintField();
                    break;
                case 2:
                    time = reader.Fixed64Field();
                    break;
                default:
                    reader.Skip();
                    break;
            }
        }

        Time = VaultTime.FromTicksOrNone(time);
    }

    /// <summary>Drops events that were delivered before.</summary>
    internal void SkipFirst(int count) => _start += count;

    /// <summary>Drops events that are not wanted any more.</summary>
    internal void KeepFirst(int count)
    {
        _events.RemoveRange(_start + count, Count - count);
        SetEnd();
    }

    private void SetEnd()
    {
        if (Count > 0)
        {
            RawEvent last = this[Count - 1];
            Position = last.Position;
            Time = VaultTime.FromTicks(last.RecordedAtTicks);
        }
    }

    /// <summary>Goes through the events of a page.</summary>
    public struct Enumerator
    {
        private readonly EventPage _page;
        private int _index;

        internal Enumerator(EventPage page)
        {
            _page = page;
            _index = -1;
        }

        /// <summary>The event at hand.</summary>
        public readonly RawEvent Current => _page[_index];

        /// <summary>Goes to the next event.</summary>
        /// <returns>False after the last one.</returns>
        public bool MoveNext() => ++_index < _page.Count;
    }
}
