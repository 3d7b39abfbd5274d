// A leader's view of one follower, for one term: what it holds for certain, what to send next, and how much may be on its way.
//
// Guarantees: Match < Next; Match never falls; nothing but a follower's own answer raises Match.
namespace EventVault.Raft;

/// <summary>How the leader sends to a follower.</summary>
public enum ProgressState
{
    /// <summary>One message at a time, until it is known where the logs match.</summary>
    Probe,

    /// <summary>Ahead of the answers, up to the limits in flight.</summary>
    Replicate,

    /// <summary>Segments are on their way; no entries.</summary>
    Ship,
}

/// <summary>
/// A leader's view of a follower. TakesEntries: it gets entries from before those that are sent as a rule, as segments brought it no nearer.
/// </summary>
public readonly record struct FollowerProgress(
    ReplicaId Id, ProgressState State, LogIndex Match, LogIndex Next, int InFlightMessages, long InFlightBytes, bool IsActive, bool IsPaused, bool TakesEntries);

internal sealed class Progress(ReplicaId id, LogIndex next, RaftOptions options)
{
    // Probe: Next stands behind what is known to match, the follower has not said that it lacks what follows.
    private bool _isGuess = true;

    // When it was told last that it gets segments: what it lacked first, and how many entries were lacking.
    private LogIndex _shippedFrom;
    private ulong _lackedThen;

    // Although segments would be less work, as they brought it no nearer. Little at a time: others wait for what the leader reads for it.
    private bool _takesEntries;
    private readonly long _mostTaken = Math.Max(1, options.MaxInFlightBytes / 4);

    // Probe: the one message is out. Replicate: the limits were reached. Lifted by an answer, also to a heartbeat.
    private bool _isWaiting;

    public ReplicaId Id { get; } = id;

    public ProgressState State { get; private set; }

    /// <summary>The follower is known to hold all up to here, durable.</summary>
    public LogIndex Match { get; private set; }

    /// <summary>What goes next.</summary>
    public LogIndex Next { get; private set; } = next;

    public InFlight InFlight { get; } = new(options.MaxInFlightMessages, options.MaxInFlightBytes);

    /// <summary>Whether it was heard from since quorum was checked last.</summary>
    public bool IsActive { get; set; }

    /// <summary>The highest commit index it was told.</summary>
    public LogIndex ToldCommit { get; set; }

    /// <summary>The last read round it confirmed.</summary>
    public ulong ReadRound { get; set; }

    /// <summary>Whether the next answer to a heartbeat may set it going again.</summary>
    public bool MayNudge { get; set; }

    /// <summary>Bytes that may still go. When nothing is on its way one entry may go whatever its length.</summary>
    public long Room => (_takesEntries ? _mostTaken : options.MaxInFlightBytes) - InFlight.Bytes;

    /// <summary>As much is on its way as may be.</summary>
    public bool IsFull => InFlight.IsFull || Room <= 0;

    public bool IsPaused => State == ProgressState.Ship || _isWaiting;

    /// <summary>The next entry does not fit into what may be on its way.</summary>
    public void Hold() => _isWaiting = true;

    /// <summary>A message went: with entries up to <paramref name="last"/>, or empty if that is before Next.</summary>
    public void Sent(LogIndex last, long bytes)
    {
        Invariant.Check(State != ProgressState.Ship);
        Invariant.Check(last + 1 >= Next);
        if (State == ProgressState.Probe)
        {
            _isWaiting = true;
            return;
        }

        if (last >= Next)
        {
            InFlight.Add(last, bytes);
            Next = last + 1;
        }

        _isWaiting |= IsFull;
    }

    /// <summary>All that there is was sent to it.</summary>
    public void SentAll()
    {
        if (State == ProgressState.Replicate)
        {
            (_takesEntries, _shippedFrom) = (false, default);
        }
    }

    /// <summary>It holds all up to here. Whether that was news.</summary>
    public bool Acknowledged(LogIndex index)
    {
        if (index <= Match)
        {
            return false;
        }

        Match = index;
        Next = Next > index ? Next : index + 1;
        _isWaiting = false;
        InFlight.Free(index);
        Invariant.Check(Match < Next);
        return true;
    }

    /// <summary>
    /// Entries can be sent from <paramref name="first"/> on only: probe there. False: it said that it lacks what is before, so
    /// that must be shipped.
    /// </summary>
    public bool TryProbeFrom(LogIndex first)
    {
        Invariant.Check(Next < first);
        if (State == ProgressState.Replicate)
        {
            Probe();
        }

        if (!_isGuess)
        {
            return false;
        }

        Next = first; // Still a guess: until it has answered, it may be asked from further on.
        return true;
    }

    /// <summary>It has no entry that matches at <paramref name="rejected"/>, perhaps at <paramref name="hint"/>. False: an old answer.</summary>
    public bool Rejected(LogIndex rejected, LogIndex hint)
    {
        if (State == ProgressState.Replicate)
        {
            if (rejected <= Match)
            {
                return false;
            }

            Probe();
            return true;
        }

        // While it is a guess what was asked last may have been asked again from further on, before this answer came.
        var isAnswer = Next == rejected + 1 || (_isGuess && rejected > Match && rejected < Next);
        if (State == ProgressState.Ship || !isAnswer)
        {
            return false;
        }

        var next = rejected <= hint ? rejected : hint + 1;
        Next = next > Match ? next : Match + 1;
        _isGuess = false;
        _isWaiting = false;
        Invariant.Check(Match < Next);
        return true;
    }

    /// <summary>One message at a time, from what it holds for certain.</summary>
    public void Probe() => Enter(ProgressState.Probe, Match + 1);

    /// <summary>One message at a time, from behind what was shipped; the answer to the next heartbeat sets it going.</summary>
    public void ProbeAfterShip(LogIndex last)
    {
        Invariant.Check(State == ProgressState.Ship);
        Enter(ProgressState.Probe, last > Match ? last + 1 : Match + 1);
        _isWaiting = true;
    }

    public void Replicate() => Enter(ProgressState.Replicate, Match + 1);

    /// <summary>It gets segments, which bring it to about <paramref name="last"/>.</summary>
    public void Ship(LogIndex last)
    {
        if (Next != _shippedFrom)
        {
            (_shippedFrom, _lackedThen) = (Next, Lacks(last));
        }

        _takesEntries = false;
        Enter(ProgressState.Ship, Next);
    }

    /// <summary>Whether it gets entries from before those that are sent as a rule, the log ending at <paramref name="last"/>; until all went to it.</summary>
    public bool TakesEntries(LogIndex last) => _takesEntries &= !WasAway(last);

    /// <summary>
    /// Segments are to be shipped to it again. True: it gets entries instead, because those that it got left it with more than half of what it
    /// had lacked before. Writers were as quick as shipping and installing, so it could go on like that for ever; entries come in one go.
    /// But not if it lacks many times as much: then it was away meanwhile.
    /// </summary>
    public bool TryTakeEntries(LogIndex last) =>
        _takesEntries = _shippedFrom.Value > 0 && Next > _shippedFrom && Lacks(last) > _lackedThen / 2 && !WasAway(last);

    // Or entries don't keep up with the writers.
    private bool WasAway(LogIndex last) => Lacks(last) / 4 >= _lackedThen;

    private ulong Lacks(LogIndex last) => last < Next ? 0 : last.Value - Next.Value;

    /// <summary>It answered a heartbeat: a message to it may go, also if those before it were lost.</summary>
    public void Resume() => _isWaiting = false;

    public FollowerProgress Status() => new(Id, State, Match, Next, InFlight.Count, InFlight.Bytes, IsActive, IsPaused, _takesEntries);

    private void Enter(ProgressState state, LogIndex next)
    {
        Invariant.Check(Match < next);
        State = state;
        Next = next;
        _isGuess = true;
        _isWaiting = false;
        InFlight.Clear();
    }
}
