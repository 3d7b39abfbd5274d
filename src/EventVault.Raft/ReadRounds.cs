// Reads that wait until the leader knows that it still leads (thesis §6.4).
//
// Heartbeats carry the number of a round. A read waits for a round that began after it came: an older heartbeat's answer
// may have been given before it. All reads that came while a round was under way share the next one.
namespace EventVault.Raft;

/// <summary>A read that waits.</summary>
/// <param name="From">Who asked.</param>
/// <param name="Read">What it calls the read.</param>
/// <param name="Index">The answer, once the round is confirmed.</param>
/// <param name="Round">The round it waits for.</param>
internal readonly record struct WaitingRead(ReplicaId From, ulong Read, LogIndex Index, ulong Round);

internal sealed class ReadRounds
{
    private readonly Queue<WaitingRead> _waiting = new();
    private ulong _confirmed;

    /// <summary>The last round that was begun.</summary>
    public ulong Begun { get; private set; }

    public int Waiting => _waiting.Count;

    /// <summary>Whether a read waits for a round that was not begun.</summary>
    public bool NeedsRound { get; private set; }

    /// <summary>Whether a round may begin before the next heartbeat is due: none is under way.</summary>
    public bool IsIdle => _confirmed == Begun;

    public void Add(ReplicaId from, ulong read, LogIndex index)
    {
        Invariant.Check(_confirmed <= Begun);
        _waiting.Enqueue(new WaitingRead(from, read, index, Begun + 1));
        NeedsRound = true;
    }

    /// <summary>Heartbeats of a new round leave now.</summary>
    public ulong Begin()
    {
        NeedsRound = false;
        return ++Begun;
    }

    /// <summary>A majority answered heartbeats of this round: it and all before it are confirmed.</summary>
    public void Confirm(ulong round)
    {
        Invariant.Check(round <= Begun);
        _confirmed = Math.Max(_confirmed, round);
    }

    /// <summary>The next read that is decided.</summary>
    public bool TryTake(out WaitingRead read) => _waiting.TryPeek(out read) && read.Round <= _confirmed && _waiting.TryDequeue(out read);

    /// <summary>The next read, decided or not: leadership is over.</summary>
    public bool TryGiveUp(out WaitingRead read) => _waiting.TryDequeue(out read);
}
