// Fences: makes sure that nothing is ever recorded at or before a time, by a no-op in the log whose time is at least that. The answer rests on
// the log, not on clocks: once the group is committed, every later one has a later time, whoever leads.
//
// One at a time, and one for all that wait: asking costs the log at most a small group for each flush. Where the newest group's time is enough
// already there is no fence, only the wait for its commit. A fence takes no room that appends could have on a full disk.
//
// Owned by the sequencer's thread, but for Ask, which is for everyone.
using System.Collections.Concurrent;
using EventVault.Node.Replication;
using EventVault.Storage;
using EventVault.Storage.Log;

namespace EventVault.Node;

/// <summary>What became of the wish that a time be closed.</summary>
internal enum CloseOutcome
{
    /// <summary>Nothing will be recorded at or before it, and all that was is committed and visible here.</summary>
    Closed,

    /// <summary>It lies ahead of this node's clock.</summary>
    InFuture,

    /// <summary>This node does not lead, or ceased to while the fence was on its way.</summary>
    NotLeader,

    /// <summary>The disk is too full for a fence.</summary>
    Full,

    /// <summary>The node is stopping.</summary>
    Draining,

    /// <summary>No majority confirmed it before the deadline.</summary>
    TimedOut,

    /// <summary>Too many wait already.</summary>
    Overloaded,
}

/// <summary>Closes times.</summary>
internal sealed class Fences(VaultStorage storage, Replica replica, TimeProvider clock)
{
    /// <summary>Callers that wait at once; more are refused. As many as appends may be queued.</summary>
    private const int Most = 65_536;

    private readonly ConcurrentQueue<Waiter> _asked = new();
    private readonly List<Waiter> _waiting = [];
    private int _count;
    private (ulong Index, ulong Term) _newest; // The fence made last.

    /// <summary>Whether somebody asked whom no <see cref="Step"/> has seen yet. For every thread.</summary>
    public bool HasAsked => !_asked.IsEmpty;

    /// <summary>Whether somebody waits.</summary>
    public bool AreWaited => _waiting.Count > 0;

    /// <summary>Whether a fence waits for a segment to be prepared or sealed.</summary>
    public bool WaitsForRoom { get; private set; }

    /// <summary>As <see cref="VaultLoop.CloseTimeAsync"/> says. For every thread.</summary>
    public Task<CloseOutcome> Ask(long time, long deadline)
    {
        if (Interlocked.Increment(ref _count) > Most)
        {
            Interlocked.Decrement(ref _count);
            return Task.FromResult(CloseOutcome.Overloaded);
        }

        var waiter = new Waiter(time, deadline);
        _asked.Enqueue(waiter);
        return waiter.Task;
    }

    /// <summary>Answers who can be answered, and makes a fence if one is needed; false if there was nothing to do.</summary>
    public bool Step()
    {
        WaitsForRoom = false;
        var count = _waiting.Count;
        while (_asked.TryDequeue(out var waiter))
        {
            _waiting.Add(waiter);
        }

        return _waiting.Count > 0 && AnswerWaiting(hasNew: _waiting.Count > count);
    }

    // Apart from the step, which nearly always ends before it: closures are made where a method begins.
    private bool AnswerWaiting(bool hasNew)
    {
        var worked = hasNew;
        var closed = storage.ClosedTime;
        worked |= Answer(waiter => waiter.Time <= closed, CloseOutcome.Closed);
        if (!replica.IsLeading)
        {
            return Answer(static _ => true, CloseOutcome.NotLeader) || worked;
        }

        var now = VaultLoop.Now(clock);
        var last = storage.Tail.LastTime;
        worked |= Answer(waiter => waiter.Time > last && waiter.Time > now, CloseOutcome.InFuture);
        return (_waiting.Exists(waiter => waiter.Time > last) && Make(now)) || worked;
    }

    /// <summary>Answers all: whether a fence gets into the log this node can't say.</summary>
    public void GiveUpAll()
    {
        while (_asked.TryDequeue(out var waiter))
        {
            _waiting.Add(waiter);
        }

        Answer(static _ => true, CloseOutcome.NotLeader);
    }

    /// <summary>Answers those whose deadline has passed.</summary>
    public void GiveUp(long nowMs) => Answer(waiter => waiter.Deadline <= nowMs, CloseOutcome.TimedOut);

    /// <summary>The node stops. May be called by several threads at once, once nothing calls the others any more.</summary>
    public void FailAsked()
    {
        while (_asked.TryDequeue(out var waiter))
        {
            Decide(waiter, CloseOutcome.Draining);
        }
    }

    /// <summary>The node stops.</summary>
    public void Stop()
    {
        FailAsked();
        Answer(static _ => true, CloseOutcome.Draining);
    }

    // One group, as if it were an append's: its time is the clock's, or later if the log's is ahead of it.
    private bool Make(long now)
    {
        var isOnItsWay = _newest.Index > storage.CommitIndex.Value && _newest.Term == replica.Term.Value;
        if (isOnItsWay)
        {
            return false;
        }

        var room = replica.CanPropose ? storage.Tail.CheckFenceRoom() : replica.OwesOnFullDisk ? RoomCheck.Full : RoomCheck.Wait;
        if (room != RoomCheck.Ok)
        {
            var last = storage.Tail.LastTime;
            WaitsForRoom = room == RoomCheck.Wait;
            return room == RoomCheck.Full && Answer(waiter => waiter.Time > last, CloseOutcome.Full);
        }

        var group = replica.Pool.Rent();
        storage.Tail.BeginSystem(group.Buffer, GroupKind.NoOp, [], now);
        storage.Tail.Finish(group.Buffer);
        _newest = (group.Buffer.Index.Value, group.Buffer.Term.Value);
        replica.Propose(group);
        return true;
    }

    private bool Answer(Predicate<Waiter> which, CloseOutcome outcome) => _waiting.RemoveAll(waiter =>
    {
        var isDecided = which(waiter);
        if (isDecided)
        {
            Decide(waiter, outcome);
        }

        return isDecided;
    }) > 0;

    private void Decide(Waiter waiter, CloseOutcome outcome)
    {
        Interlocked.Decrement(ref _count);
        waiter.SetResult(outcome);
    }

    /// <summary>Somebody who wants a time closed.</summary>
    private sealed class Waiter(long time, long deadline) : TaskCompletionSource<CloseOutcome>(TaskCreationOptions.RunContinuationsAsynchronously)
    {
        public long Time => time;

        public long Deadline => deadline;
    }
}
