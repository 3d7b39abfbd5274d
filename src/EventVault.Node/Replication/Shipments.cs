// A leader's followers that are to get segments: each is told, and looked for again after a while, because nobody says
// when it is done. It may have reopened and be where groups can be sent; it may be gone, or have been told nothing because the message was lost.
// Then it is told again, after a longer while.
//
// Owned by the sequencer's thread, as part of Replica.
using EventVault.Raft;

namespace EventVault.Node.Replication;

/// <summary>Who gets segments, and when to look for it again.</summary>
/// <param name="electionTicks">The shortest election timeout.</param>
internal sealed class Shipments(int electionTicks)
{
    /// <summary>Election timeouts until a follower is looked for: the first time, and at last.</summary>
    private const int FirstWait = 2;
    private const int LongestWait = 8;

    private readonly Dictionary<ReplicaId, Shipment> _all = [];

    /// <summary>A follower was told; again if it was there before.</summary>
    public void Ordered(ReplicaId follower)
    {
        var wait = _all.TryGetValue(follower, out var known) ? Math.Min(LongestWait, 2 * known.Wait) : FirstWait;
        _all[follower] = new Shipment(wait, wait * electionTicks, IsLookedFor: false);
    }

    /// <summary>Its connection broke: it may be reopening, so it is looked for soon.</summary>
    public void Unreachable(ReplicaId follower)
    {
        if (_all.TryGetValue(follower, out var known) && !known.IsLookedFor)
        {
            _all[follower] = known with { Wait = FirstWait, Ticks = Math.Min(known.Ticks, electionTicks) };
        }
    }

    /// <summary>A tick passed.</summary>
    /// <param name="due">Gets those whose time has come.</param>
    public void Tick(List<ReplicaId> due)
    {
        if (_all.Count == 0)
        {
            return;
        }

        foreach (var (follower, known) in _all.ToList())
        {
            var next = known with { Ticks = known.Ticks - 1 };
            if (next.Ticks > 0)
            {
                _all[follower] = next;
            }
            else if (next.IsLookedFor)
            {
                _all.Remove(follower); // Nothing more is known against it: it gets groups.
            }
            else
            {
                due.Add(follower);
                _all[follower] = next with { IsLookedFor = true, Ticks = LongestWait * electionTicks };
            }
        }
    }

    /// <summary>This node leads no more.</summary>
    public void Clear() => _all.Clear();

    private readonly record struct Shipment(int Wait, int Ticks, bool IsLookedFor);
}
