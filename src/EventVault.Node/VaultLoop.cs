// The sequencer: the one place that orders and checks appends.
//
// Guarantees: appends are checked against everything before them, pending ones included; versions, positions and times
// are given out without gaps; an append is completed only after the group it is in, or that its answer rests on, is
// durable and visible; refusals are definite. It never waits for company: a group is whatever queued up while the last
// one was written.
//
// Owned by one thread, but for Enqueue, which is for everyone. Knows no files, sockets or clocks of its own.
using EventVault.Storage;
using EventVault.Storage.Log;

namespace EventVault.Node;

/// <summary>Orders, checks and groups appends.</summary>
internal sealed class VaultLoop(VaultStorage storage, LogWriter writer, CommitSignal committed, TimeProvider clock, AppendLimits limits)
{
    /// <summary>Groups that may be on their way to the disk: one being flushed, one behind it.</summary>
    private const int MostInFlight = 2;

    private readonly LogTail _tail = storage.Tail;
    private readonly Queue<InFlightGroup> _inFlight = new();
    private readonly InFlightPool _pool = new();
    private InFlightGroup? _open;
    private QueuedAppend? _queue; // Newest first: a stack that is turned around when it is taken.
    private QueuedAppend? _backlog; // Taken, oldest first.
    private QueuedAppend? _backlogEnd;
    private long _waiting;
    private long _waitingBytes;
    private volatile bool _draining;
    private volatile bool _stopped;
    private long _appends;
    private long _events;

    /// <summary>Called after an append was queued: wakes the thread that calls <see cref="Step"/>.</summary>
    public Action Wake { get; set; } = static () => { };

    /// <summary>Appends that wait to be sequenced.</summary>
    public long Waiting => Volatile.Read(ref _waiting);

    /// <summary>Appends written since the start.</summary>
    public long Appends => Volatile.Read(ref _appends);

    /// <summary>Events written since the start.</summary>
    public long Events => Volatile.Read(ref _events);

    /// <summary>Whether appends are refused because the node stops.</summary>
    public bool IsDraining => _draining;

    /// <summary>Whether nothing is queued, open or in flight.</summary>
    public bool IsIdle => _open is null && _inFlight.Count == 0 && _backlog is null && Volatile.Read(ref _queue) is null;

    /// <summary>Whether appends came that no <see cref="Step"/> has seen yet. For every thread.</summary>
    public bool HasQueued => Volatile.Read(ref _queue) is not null;

    /// <summary>Whether some append waits for a segment to be prepared or sealed.</summary>
    public bool WaitsForRoom { get; private set; }

    /// <summary>
    /// Queues appends, in the order of their links, or refuses them at once. Each one's
    /// <see cref="QueuedAppend.Complete"/> is called exactly once, unless this returns a refusal.
    /// </summary>
    /// <param name="first">The oldest one.</param>
    /// <param name="last">The newest one, linked from the first by <see cref="QueuedAppend.Next"/>.</param>
    /// <param name="count">How many.</param>
    /// <param name="bytes">What they hold on to.</param>
    /// <returns><see cref="AppendOutcome.None"/>: queued. Otherwise none of them was.</returns>
    public AppendOutcome Enqueue(QueuedAppend first, QueuedAppend last, int count, long bytes)
    {
        if (_draining)
        {
            return AppendOutcome.Draining;
        }

        var waiting = Interlocked.Add(ref _waiting, count);
        var waitingBytes = Interlocked.Add(ref _waitingBytes, bytes);

        // Something that alone is over the bound still gets in when the queue is empty.
        if (waiting > count && (waiting > limits.QueuedAppends || waitingBytes > limits.QueuedBytes))
        {
            Interlocked.Add(ref _waiting, -count);
            Interlocked.Add(ref _waitingBytes, -bytes);
            return AppendOutcome.Overloaded;
        }

        // The stack is newest first, so the chain goes in turned around.
        var reversed = Reverse(first);
        var head = Volatile.Read(ref _queue);
        while (true)
        {
            first.Next = head;
            var before = Interlocked.CompareExchange(ref _queue, reversed, head);
            if (before == head)
            {
                break;
            }

            head = before;
        }

        if (_stopped)
        {
            // The loop has ended between the check above and now: nobody else will complete these.
            RefuseQueued();
            return AppendOutcome.None;
        }

        Wake();
        return AppendOutcome.None;
    }

    /// <summary>Refuses new appends; what is queued is still done.</summary>
    public void BeginDrain() => _draining = true;

    /// <summary>Commits what became durable and sequences what is queued; false if there was nothing to do.</summary>
    public bool Step()
    {
        var worked = false;
        while (writer.TryTakeDurable(out var group))
        {
            Commit(group);
            worked = true;
        }

        TakeQueue();
        var backlog = _backlog;
        while (_backlog is { } append && _inFlight.Count < MostInFlight && Sequence(append))
        {
            _backlog = append.Next;
            append.Next = null;
            Interlocked.Decrement(ref _waiting);
            Interlocked.Add(ref _waitingBytes, -append.QueuedBytes);
            Attach(append);
        }

        Submit();
        return worked || _backlog != backlog;
    }

    /// <summary>
    /// Ends the loop after its last <see cref="Step"/>: what was handed to the writer has an unknown outcome, what was
    /// only queued is definitely not done.
    /// </summary>
    public void Stop()
    {
        _draining = true;
        _stopped = true;
        if (_open is { } open)
        {
            _open = null;
            open.Fail();
        }

        while (_inFlight.TryDequeue(out var group))
        {
            group.Fail();
        }

        TakeQueue();
        while (_backlog is { } append)
        {
            _backlog = append.Next;
            Refuse(append, AppendOutcome.Draining);
            Complete(append);
        }

        RefuseQueued();
    }

    // Decides an append; false if it has to wait for room.
    private bool Sequence(QueuedAppend append)
    {
        if (append.IsRefusedByEarlier)
        {
            Refuse(append, AppendOutcome.RefusedBefore);
            return true;
        }

        if (append.Deadline != long.MaxValue && append.Deadline <= NowMs(clock))
        {
            Refuse(append, AppendOutcome.TimedOut);
            return true;
        }

        switch (_tail.Check(append.Content, out var place))
        {
            case AppendCheck.Known:
                append.Outcome = AppendOutcome.Known;
                append.Place = place;
                return true;
            case AppendCheck.Conflict:
                append.Outcome = AppendOutcome.Conflict;
                return true;
            default:
                return Add(append);
        }
    }

    private bool Add(QueuedAppend append)
    {
        if (_open is { Buffer.IsEmpty: false } full && !_tail.Fits(full.Buffer, append.Content.EncodedLength))
        {
            Submit();
            if (_inFlight.Count >= MostInFlight)
            {
                return false;
            }
        }

        if (_open is null or { Buffer.IsEmpty: true })
        {
            switch (_tail.CheckRoom(append.Content.EncodedLength))
            {
                case RoomCheck.Wait:
                    WaitsForRoom = true;
                    return false;
                case RoomCheck.Full:
                    Refuse(append, AppendOutcome.Full);
                    return true;
                default:
                    _open ??= _pool.Rent();
                    _tail.Begin(_open.Buffer, append.Content.EncodedLength, Now());
                    break;
            }
        }

        WaitsForRoom = false;
        (append.First, append.RecordedAt) = _tail.Add(_open.Buffer, append.Content);
        append.Outcome = AppendOutcome.Appended;
        return true;
    }

    // An answer waits for the newest group there is: what it rests on is in it or before it.
    private void Attach(QueuedAppend append)
    {
        var rests = _open ?? (_inFlight.Count > 0 ? _inFlight.Last() : null);
        if (rests is null || append.Outcome is AppendOutcome.TimedOut or AppendOutcome.Full or AppendOutcome.RefusedBefore)
        {
            _open ??= _pool.Rent();
            rests = _open;
        }

        rests.Add(append);
    }

    private void Submit()
    {
        if (_open is not { } group)
        {
            return;
        }

        _open = null;
        if (group.Buffer.IsEmpty)
        {
            // Only answers that rest on nothing new; behind a group in flight they wait for it.
            if (_inFlight.Count > 0)
            {
                _inFlight.Last().TakeOver(group);
                _pool.Return(group);
            }
            else
            {
                group.CompleteAll(_pool);
            }

            return;
        }

        _tail.Finish(group.Buffer);
        _inFlight.Enqueue(group);
        writer.Submit(group);
    }

    private void Commit(InFlightGroup group)
    {
        Invariant.Check(ReferenceEquals(_inFlight.Peek(), group));
        storage.Commit(group.Buffer.Index);
        _inFlight.Dequeue(); // Only now: should the commit fail, Stop still finds the group and tells its callers.
        Volatile.Write(ref _appends, _appends + group.Buffer.Appends);
        Volatile.Write(ref _events, _events + group.Buffer.Events);
        committed.Publish();
        group.CompleteAll(_pool);
    }

    /// <summary>Milliseconds of the clock that never steps; what deadlines in the queue are counted in.</summary>
    public static long NowMs(TimeProvider clock) => (long)clock.GetElapsedTime(0).TotalMilliseconds;

    private long Now() => (clock.GetUtcNow() - DateTimeOffset.UnixEpoch).Ticks;

    private void TakeQueue()
    {
        var taken = Interlocked.Exchange(ref _queue, null);
        if (taken is null)
        {
            return;
        }

        var oldest = Reverse(taken);
        if (_backlog is null)
        {
            _backlog = oldest;
        }
        else
        {
            _backlogEnd!.Next = oldest;
        }

        _backlogEnd = taken; // The newest one, now turned to the end.
    }

    private void RefuseQueued()
    {
        var queued = Interlocked.Exchange(ref _queue, null);
        for (var append = queued is null ? null : Reverse(queued); append is not null;)
        {
            var next = append.Next;
            append.Next = null;
            Refuse(append, AppendOutcome.Draining);
            Complete(append);
            append = next;
        }
    }

    private static void Refuse(QueuedAppend append, AppendOutcome outcome)
    {
        append.Outcome = outcome;
        append.OnRefused();
    }

    private static void Complete(QueuedAppend append)
    {
        append.Complete();
        append.Announce();
    }

    private static QueuedAppend Reverse(QueuedAppend? chain)
    {
        QueuedAppend? reversed = null;
        while (chain is not null)
        {
            (chain.Next, reversed, chain) = (reversed, chain, chain.Next);
        }

        return reversed!;
    }
}
