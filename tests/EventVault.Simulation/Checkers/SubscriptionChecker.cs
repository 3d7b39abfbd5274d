namespace EventVault.Simulation.Checkers;

/// <summary>
/// One subscription over all its connections to any nodes: it gets each event of the log behind its start, in order, once.
/// </summary>
internal sealed class SubscriptionChecker
{
    private readonly Ledger _ledger;
    private readonly string _name;
    private long _version;

    /// <param name="ledger">The committed log.</param>
    /// <param name="client">Whose it is.</param>
    /// <param name="stream">The stream; null: the whole vault.</param>
    /// <param name="from">Position from which it begins.</param>
    public SubscriptionChecker(Ledger ledger, int client, string? stream, long from)
    {
        _ledger = ledger;
        _name = $"subscription of client {client} to {stream ?? "all"} from {from}";
        Stream = stream;
        Next = from;
        _version = stream is null ? 0 : ledger.LastVersion(stream, from - 1) + 1;
    }

    public string? Stream { get; }

    /// <summary>The first position of which it knows nothing yet: where the next connection begins.</summary>
    public long Next { get; private set; }

    /// <summary>Events that it got.</summary>
    public long Delivered { get; private set; }

    public override string ToString() => $"{_name}, next {Next}";

    /// <summary>An event reached the client, read when the node's head was this: what was deleted up to there is left out.</summary>
    public void Deliver(uint node, in SeenEvent seen, long head = long.MaxValue)
    {
        Require.That(Rules.SubscriptionIsLog, seen.Position <= _ledger.Head, $"{_name}, from node {node}: {seen} is not committed, the head is {_ledger.Head}.");
        SkipDeleted(head);
        var expected = Stream is null ? Next : _ledger.PositionOf(Stream, _version);
        Require.That(Rules.SubscriptionIsLog, seen.Position == expected, $"{_name}, from node {node}: position {expected} comes next, not {seen}.");
        Require.That(Rules.SubscriptionIsLog, ReadChecker.IsTrue(_ledger, seen), $"{_name}, from node {node}: the log has something else than {seen}.");
        Next = seen.Position + 1;
        _version++;
        Delivered++;
    }

    /// <summary>The node, its head being this, says that it has sent everything up to a position.</summary>
    public void CaughtUp(uint node, long position, long head = long.MaxValue)
    {
        Require.That(Rules.SubscriptionIsLog, position <= _ledger.Head, $"{_name}, from node {node}: caught up to {position}, the head is {_ledger.Head}.");
        SkipDeleted(head);
        Require.That(Rules.SubscriptionIsLog, IsAt(position), $"{_name}, from node {node}: caught up to {position} without what is behind {Next - 1}.");
        Next = Math.Max(Next, position + 1);
    }

    // What it does not get because it was deleted up to that head.
    private void SkipDeleted(long head)
    {
        if (Stream is not null)
        {
            _version = Math.Max(_version, _ledger.StateOf(Stream, head).First);
            return;
        }

        while (Next <= _ledger.Head && !_ledger.IsVisible(Next, head))
        {
            Next++;
        }
    }

    /// <summary>Whether it has all its events up to a position.</summary>
    public bool IsAt(long position) =>
        Stream is null ? Next > position : _ledger.PositionOf(Stream, _version) is not { } next || next > position;
}
