// The sequencer: the one place that orders and checks appends.
//
// Guarantees: appends are checked against everything before them, pending ones included; versions, positions and times
// are given out without gaps; an append is completed only after the group it is in, or that its answer rests on, is
// committed and visible; a conflict only once leadership was confirmed after it came; refusals are definite. A group is
// whatever queued up while the last one was written and, in a vault of one node, its callers were told (decision 0025). What goes into one group is taken as it
// came; if more waits, clients take turns (AppendTurns), and the queue refuses whoever has most in it. Only a leader sequences.
//
// Owned by one thread at a time (VaultThread says which; GiveUpHeldUp what else there is), but for Enqueue, ReadIndex, AskAsync, Receive, OnUnreachable and CloseTimeAsync, which are for everyone. Knows no files, sockets or clocks of its own.
using System.Collections.Concurrent;
using EventVault.Node.Replication;
using EventVault.Storage;
using EventVault.Storage.Index;
using EventVault.Storage.Log;

namespace EventVault.Node;

/// <summary>Orders, checks and groups appends.</summary>
internal sealed class VaultLoop(VaultStorage storage, Replica replica, ICompletions completions, TimeProvider clock, AppendLimits limits)
{
    /// <summary>Reads that wait to be asked for at once; more fail at once. As many as may wait to be confirmed.</summary>
    private const int MostReads = 65_536;

    /// <summary>Questions to the replica that wait at once; more are refused. Each is of an operator, or of the node's own work with its members.</summary>
    private const int MostAsked = 1024;

    private readonly LogTail _tail = storage.Tail;
    private readonly Inbox _inbox = new();
    private readonly ConcurrentQueue<IQuestion> _asked = new();
    private readonly ConcurrentQueue<IReadWaiter> _reads = new();
    private readonly QueuedAmount _waiting = new(); // Of all clients.
    private readonly AppendTurns _turns = new();
    private readonly Fences _fences = new(storage, replica, clock);
    private InFlightGroup? _open; // Being filled; proposed at the end of the step.
    private InFlightGroup? _refused; // Decided without resting on anything.
    private Confirmation? _confirming; // Conflicts of this step that rest on what was there before.
    private QueuedAppend? _queue; // Newest first: a stack that is turned around when it is taken.
    private uint _touched; // Of no meaning: it keeps the reads that fetch memory for the appends to come.
    private volatile bool _draining;
    private volatile bool _stopped;
    private volatile bool _heldUp;
    private bool _appendWaits;
    private long _waitsSince;

    /// <summary>Called after an append was queued: wakes the thread that calls <see cref="Step"/>.</summary>
    public Action Wake { get; set; } = static () => { };

    /// <summary>Called instead after a lone append was queued: steps on the caller's thread if nobody does. False: it did not.</summary>
    public Func<bool> TryStep { get; set; } = static () => false;

    /// <summary>
    /// When the append arrived that is sequenced next, of those that had to wait when the last step ended, by Stopwatch; 0: none had to. For every thread.
    /// </summary>
    public long WaitsSince => Volatile.Read(ref _waitsSince);

    /// <summary>Appends that wait to be sequenced.</summary>
    public long Waiting => _waiting.Appends;

    /// <summary>Whether appends are refused because the node stops.</summary>
    public bool IsDraining => _draining;

    /// <summary>Whether nothing is queued, open or in flight.</summary>
    public bool IsIdle => _open is null && replica.IsIdle && _turns.IsEmpty && !_fences.AreWaited && !HasQueued;

    /// <summary>Whether appends, reads, messages, questions or wishes for a fence came that no <see cref="Step"/> has seen yet. For every thread.</summary>
    public bool HasQueued => HasAppends || !_reads.IsEmpty || !_inbox.IsEmpty || !_asked.IsEmpty || _fences.HasAsked;

    /// <summary>Whether appends came that no <see cref="Step"/> has seen yet. For every thread.</summary>
    public bool HasAppends => Volatile.Read(ref _queue) is not null;

    /// <summary>
    /// Whether what this node shows is all that was acknowledged to anybody: it leads alone. For every thread.
    /// </summary>
    public bool HeadIsNewest => replica.LeadsAlone;

    /// <summary>Whether this node leads and shows all that was committed before it did. For every thread.</summary>
    public bool Leads => replica.Leads;

    /// <summary>
    /// Whether the sequencer's thread stands in a write, for longer than others wait for a leader: what comes is refused. For every thread; set by
    /// <see cref="GiveUpHeldUp"/>, taken back when the write is done.
    /// </summary>
    public bool IsHeldUp
    {
        get => _heldUp;
        set => _heldUp = value;
    }

    /// <summary>How the node's replica stands. For every thread.</summary>
    public ReplicaStanding Standing => replica.Standing;

    /// <summary>Where clients reach the leader, HOST:PORT; empty: it is not known, or this node leads. For every thread.</summary>
    public string LeaderAddress => Standing is { Leader: { } leader, Role: not Raft.Role.Leader } ? AddressOf(leader) : string.Empty;

    /// <summary>Where clients reach a replica; empty: nobody knows.</summary>
    public Func<Raft.ReplicaId, string> AddressOf { get; set; } = static _ => string.Empty;

    /// <summary>Whether something waits for a segment to be prepared or sealed.</summary>
    public bool WaitsForRoom => _appendWaits || replica.WaitsForRoom || _fences.WaitsForRoom;

    /// <summary>
    /// Queues appends of one client, in the order of their links, or refuses them at once. Each one's
    /// <see cref="QueuedAppend.Complete"/> is called exactly once, unless this returns a refusal. A lone one may be written, flushed and
    /// completed before this returns, with what others had queued just before.
    /// </summary>
    /// <param name="first">The oldest one; its client is that of all.</param>
    /// <param name="last">The newest one, linked from the first by <see cref="QueuedAppend.Next"/>.</param>
    /// <param name="count">How many.</param>
    /// <param name="bytes">What they hold on to.</param>
    /// <param name="mayStep">Whether the caller waits for this append before it brings the next one.</param>
    /// <returns><see cref="AppendOutcome.None"/>: queued. Otherwise none of them was.</returns>
    public AppendOutcome Enqueue(QueuedAppend first, QueuedAppend last, int count, long bytes, bool mayStep = true)
    {
        if (_draining)
        {
            return AppendOutcome.Draining;
        }

        if (_heldUp)
        {
            return AppendOutcome.NotLeader;
        }

        if (!HasRoomFor(_turns.ClientOf(first), count, bytes))
        {
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

        if (count > 1 || !mayStep || !TryStep())
        {
            Wake();
        }

        return AppendOutcome.None;
    }

    /// <summary>
    /// Tells the waiter, on the sequencer's thread, when a read here sees all that was committed when this was called.
    /// </summary>
    public void ReadIndex(IReadWaiter waiter)
    {
        if (_stopped || _heldUp || _reads.Count >= MostReads)
        {
            waiter.OnRead(ok: false);
            return;
        }

        _reads.Enqueue(waiter);
        if (_stopped)
        {
            // As in Enqueue: nobody else will tell it.
            FailReads();
            return;
        }

        Wake();
    }

    /// <summary>Asks the replica something on the sequencer's thread.</summary>
    /// <exception cref="OperationCanceledException">The node stops, or too many ask: it was not asked.</exception>
    public Task<T> AskAsync<T>(Func<Replica, T> question)
    {
        var asked = new Question<T>(question);
        if (_stopped || _asked.Count >= MostAsked)
        {
            asked.Cancel();
            return asked.Task;
        }

        _asked.Enqueue(asked);
        if (_stopped)
        {
            // As in Enqueue: nobody else will answer it.
            FailAsked();
        }

        Wake();
        return asked.Task;
    }

    /// <summary>A message came from a peer. It is dropped if too many wait.</summary>
    public void Receive(in PeerMessage message)
    {
        if (!_stopped && _inbox.TryAdd(message))
        {
            Wake();
        }
    }

    /// <summary>What was sent to a peer may be lost.</summary>
    public void OnUnreachable(Raft.ReplicaId peer)
    {
        if (!_stopped)
        {
            _inbox.AddUnreachable(peer);
            Wake();
        }
    }

    /// <summary>
    /// Makes sure that nothing is ever recorded at or before a time; then all that was is visible here. At once if it is so already
    /// (<see cref="VaultStorage.ClosedTime"/>), on every node; otherwise the leader writes a fence, one for all who wait. Whoever stops waiting
    /// changes nothing.
    /// </summary>
    /// <param name="time">100 ns ticks since 1970.</param>
    /// <param name="deadline">When to give up if no majority confirms it, as <see cref="NowMs"/> counts; never: <see cref="long.MaxValue"/>.</param>
    public Task<CloseOutcome> CloseTimeAsync(long time, long deadline)
    {
        if (time <= storage.ClosedTime)
        {
            return Task.FromResult(CloseOutcome.Closed);
        }

        if (_draining)
        {
            return Task.FromResult(CloseOutcome.Draining);
        }

        if (_heldUp)
        {
            return Task.FromResult(CloseOutcome.NotLeader);
        }

        var task = _fences.Ask(time, deadline);
        if (_stopped)
        {
            // As in Enqueue: nobody else will tell it.
            _fences.FailAsked();
        }

        Wake();
        return task;
    }

    /// <summary>Refuses new appends; what is queued is still done.</summary>
    public void BeginDrain() => _draining = true;

    /// <summary>Commits what became durable and sequences what is queued; false if there was nothing to do.</summary>
    /// <param name="beforeTaking">Called in between.</param>
    public bool Step(Action? beforeTaking = null)
    {
        var worked = _inbox.GiveTo(replica);
        worked |= replica.Step();
        while (_asked.TryDequeue(out var question))
        {
            question.Answer(replica);
            worked = true;
        }

        while (_reads.TryDequeue(out var read))
        {
            replica.ReadIndex(read);
            worked = true;
        }

        beforeTaking?.Invoke();
        var queued = TakeQueue();
        if (queued is { Next: not null })
        {
            for (var append = queued; append is not null; append = append.Next)
            {
                _touched ^= _tail.Touch(append.Content);
            }
        }

        if (_turns.IsEmpty && _waiting.Bytes <= VaultLimits.GroupBytes)
        {
            while (queued is { } append && Sequence(append))
            {
                queued = append.Next;
                append.Next = null;
                Decided(append);
                worked = true;
            }
        }

        _turns.Add(queued);
        while (_turns.Next is { } append && Sequence(append))
        {
            _turns.Take();
            Decided(append);
            worked = true;
        }

        _appendWaits &= !_turns.IsEmpty; // Who waited may have been given up.
        Submit();
        if (!_turns.IsEmpty || _waitsSince != 0)
        {
            Volatile.Write(ref _waitsSince, _turns.Next?.Arrived ?? 0);
        }

        return _fences.Step() || worked;
    }

    /// <summary>A tick passed: elections, heartbeats, and callers that have waited long enough.</summary>
    public void Tick()
    {
        replica.Tick();
        replica.GiveUp(NowMs(clock));
        _fences.GiveUp(NowMs(clock));
    }

    /// <summary>
    /// Answers all who wait while the sequencer's thread stands in a write: what was proposed has an unknown outcome, what was only queued is taken
    /// out, and definitely not done. Called by another thread while the sequencer's can't go on (WriteWatch). No other member to
    /// lead instead: nothing is done.
    /// </summary>
    public void GiveUpHeldUp()
    {
        if (_stopped || !OthersVote(Standing.Membership))
        {
            return;
        }

        // First: what comes behind this is refused, what came before is taken out; and what slips in between, by the next look.
        _heldUp = true;
        Invariant.Check(_open is null && _refused is null && _confirming is null, "A step ends with all that it has begun handed over.");
        replica.GiveUpWaiting();
        _turns.Add(TakeQueue());
        while (!_turns.IsEmpty)
        {
            var append = _turns.Take();
            Refuse(append, AppendOutcome.NotLeader);
            Decided(append);
        }

        Submit();
        FailReads();
        _fences.GiveUpAll();
    }

    private bool OthersVote(Raft.Membership membership) => membership.Members.Any(m => m.Id.Node != storage.NodeId && (m.Role & Raft.MemberRole.Voter) != 0);

    /// <summary>
    /// Ends the loop after its last <see cref="Step"/>: what was proposed has an unknown outcome, what was only queued is
    /// definitely not done.
    /// </summary>
    public void Stop()
    {
        _draining = true;
        _stopped = true;
        if (_open is { } open)
        {
            _open = null;
            open.Refuse(AppendOutcome.Unknown, others: AppendOutcome.Draining);
            open.CompleteAll(completions, pool: null); // Not used again: it may still hold a prepared segment.
        }

        replica.Stop();
        _turns.Add(TakeQueue());
        while (!_turns.IsEmpty)
        {
            var append = _turns.Take();
            Refuse(append, AppendOutcome.Draining);
            Complete(append);
        }

        RefuseQueued();
        FailReads();
        FailAsked();
        _fences.Stop();
    }

    // Nobody has more in the queue than it leaves for the others: so who asks for little is not refused because of those who ask
    // for much, however many they are, and one alone gets half of it.
    private bool HasRoomFor(AppendClient client, int count, long bytes)
    {
        var (all, allBytes) = _waiting.Add(count, bytes);
        var (held, heldBytes) = client.Waiting.Add(count, bytes);

        // Something that alone is over the bound still gets in when the queue is empty.
        if (all == count || (held <= limits.QueuedAppends - all && heldBytes <= limits.QueuedBytes - allBytes))
        {
            return true;
        }

        _waiting.Add(-count, -bytes);
        client.Waiting.Add(-count, -bytes);
        return false;
    }

    // It waits no more.
    private void Decided(QueuedAppend append)
    {
        _waiting.Take(append.QueuedBytes);
        _turns.ClientOf(append).Waiting.Take(append.QueuedBytes);
        Attach(append);
    }

    // Decides an append; false if it has to wait for a flush, a majority or room.
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

        if (!replica.IsLeading)
        {
            Refuse(append, AppendOutcome.NotLeader);
            return true;
        }

        if (!replica.CanPropose)
        {
            if (!replica.OwesOnFullDisk)
            {
                return false;
            }

            Refuse(append, AppendOutcome.Full);
            return true;
        }

        return Check(append) || Add(append);
    }

    // Decides an append by what is in the log; false if it may be added.
    private bool Check(QueuedAppend append)
    {
        try
        {
            append.Outcome = _tail.Check(append.Content, out var place) switch
            {
                AppendCheck.Ok => AppendOutcome.None,
                AppendCheck.Conflict => AppendOutcome.Conflict,
                AppendCheck.Known => AppendOutcome.Known,
                AppendCheck.Proven => AppendOutcome.Proven,
                AppendCheck.TooOld => AppendOutcome.TooOld,
                AppendCheck.Ahead => AppendOutcome.Ahead,
                _ => AppendOutcome.LookAgain,
            };
            append.Place = place;
            if (append.Outcome == AppendOutcome.LookAgain)
            {
                append.OnRefused();
            }
        }
        catch (Exception e) when (e is DamageException or IndexDamageException)
        {
            // What is damaged concerns this append alone, as it does where callers look before they queue.
            append.Outcome = AppendOutcome.Damaged;
            append.Damage = e;
        }

        return append.Outcome != AppendOutcome.None;
    }

    private bool Add(QueuedAppend append)
    {
        if (_open is { } full && !_tail.Fits(full.Buffer, append.Content))
        {
            Submit();
            if (!replica.CanPropose)
            {
                return false;
            }
        }

        if (_open is null)
        {
            switch (_tail.CheckRoom(append.Content))
            {
                case RoomCheck.Wait:
                    _appendWaits = true;
                    return false;
                case RoomCheck.Full:
                    Refuse(append, AppendOutcome.Full);
                    return true;
                default:
                    _open = replica.Pool.Rent();
                    _tail.Begin(_open.Buffer, append.Content.EncodedLength, Now(clock));
                    break;
            }
        }

        _appendWaits = false;
        (append.First, append.RecordedAt) = _tail.Add(_open.Buffer, append.Content);
        append.Outcome = AppendOutcome.Appended;
        return true;
    }

    // An answer waits for what it rests on.
    private void Attach(QueuedAppend append)
    {
        switch (append.Outcome)
        {
            case AppendOutcome.Appended:
                _open!.Add(append);
                break;
            case AppendOutcome.Known:
                (HolderOf(append.Place) ?? Refused).Add(append);
                break;
            case AppendOutcome.Conflict when Canary.Is(Canary.ConflictFromUncommitted):
                Refused.Add(append);
                break;
            case AppendOutcome.Conflict or AppendOutcome.Ahead:
                AttachConflict(append);
                break;
            default:
                Refused.Add(append);
                break;
        }
    }

    // What it rests on has to be committed, and that nobody else led meanwhile has to be known. The commit of a group that
    // is proposed later than the append came says both; otherwise the other voters are asked, once for all of this step.
    private void AttachConflict(QueuedAppend append)
    {
        if (_open is not null)
        {
            _open.Add(append);
        }
        else if (replica.IsAlone)
        {
            (replica.Newest ?? Refused).Add(append);
        }
        else
        {
            _confirming ??= new Confirmation(_tail.LastIndex, replica.Pool.Rent(), completions, replica.Pool);
            _confirming.Answers.Add(append);
        }
    }

    private InFlightGroup Refused => _refused ??= replica.Pool.Rent();

    private InFlightGroup? HolderOf(OperationPlace place) => _open is not null && _open.Buffer.Holds(place) ? _open : replica.HolderOf(place);

    private void Submit()
    {
        if (_refused is { } refused)
        {
            _refused = null;
            refused.CompleteAll(completions, replica.Pool);
        }

        if (_open is { } group)
        {
            _tail.Finish(group.Buffer);
            _open = null;
            replica.Propose(group);
        }

        if (_confirming is { } confirming)
        {
            _confirming = null;
            replica.ReadIndex(confirming);
        }
    }

    /// <summary>Milliseconds of the clock that never steps; what deadlines in the queue are counted in.</summary>
    public static long NowMs(TimeProvider clock) => (long)clock.GetElapsedTime(0).TotalMilliseconds;

    /// <summary>The clock on the wall, 100 ns ticks since 1970.</summary>
    public static long Now(TimeProvider clock) => (clock.GetUtcNow() - DateTimeOffset.UnixEpoch).Ticks;

    // What was queued since, oldest first.
    private QueuedAppend? TakeQueue() => Reverse(Interlocked.Exchange(ref _queue, null));

    private void RefuseQueued()
    {
        for (var append = TakeQueue(); append is not null;)
        {
            var next = append.Next;
            append.Next = null;
            Refuse(append, AppendOutcome.Draining);
            Complete(append);
            append = next;
        }
    }

    private void FailReads()
    {
        while (_reads.TryDequeue(out var read))
        {
            read.OnRead(ok: false);
        }
    }

    private void FailAsked()
    {
        while (_asked.TryDequeue(out var question))
        {
            question.Cancel();
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

    private static QueuedAppend? Reverse(QueuedAppend? chain)
    {
        QueuedAppend? reversed = null;
        while (chain is not null)
        {
            (chain.Next, reversed, chain) = (reversed, chain, chain.Next);
        }

        return reversed;
    }

    /// <summary>Something that is asked of the replica.</summary>
    private interface IQuestion
    {
        void Answer(Replica replica);

        void Cancel();
    }

    private sealed class Question<T>(Func<Replica, T> question) : TaskCompletionSource<T>(TaskCreationOptions.RunContinuationsAsynchronously), IQuestion
    {
        public void Answer(Replica replica) => TrySetResult(question(replica));

        public void Cancel() => TrySetCanceled();
    }

    /// <summary>Conflicts that wait until leadership is confirmed and what they rest on is committed.</summary>
    private sealed class Confirmation(LogIndex restsOn, InFlightGroup answers, ICompletions completions, InFlightPool pool) : IReadWaiter
    {
        public LogIndex AtLeast => restsOn;

        public InFlightGroup Answers => answers;

        public void OnRead(bool ok)
        {
            if (!ok)
            {
                answers.Refuse(AppendOutcome.NotLeader, others: AppendOutcome.NotLeader);
            }

            answers.CompleteAll(completions, pool);
        }

        public void GiveUp(long nowMs)
        {
            var late = pool.Rent();
            late.TakeLate(answers, nowMs);
            late.Refuse(AppendOutcome.Unknown, others: AppendOutcome.TimedOut);
            late.CompleteAll(completions, pool);
        }
    }
}
