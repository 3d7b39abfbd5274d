namespace EventVault.Raft;

/// <summary>How an election stands.</summary>
public enum VoteResult
{
    /// <summary>Neither is certain.</summary>
    Pending,

    /// <summary>A majority (of both, if joint) agreed.</summary>
    Won,

    /// <summary>A majority can't be reached any more.</summary>
    Lost,
}

/// <summary>Turns acknowledgements and votes into decisions. Pure functions.</summary>
public static class Quorum
{
    /// <summary>Highest index that a majority (of both, if joint) holds; the highest possible one if there are no voters.</summary>
    public static LogIndex Committed(Membership membership, Func<ReplicaId, LogIndex> matched)
    {
        ArgumentNullException.ThrowIfNull(membership);
        ArgumentNullException.ThrowIfNull(matched);
        Span<ulong> values = stackalloc ulong[membership.Span.Length];
        for (var i = 0; i < values.Length; i++)
        {
            values[i] = matched(membership.Span[i].Id).Value;
        }

        return new LogIndex(Agreed(membership, values));
    }

    /// <summary>How the votes stand; null: not answered yet.</summary>
    public static VoteResult Votes(Membership membership, Func<ReplicaId, bool?> vote)
    {
        ArgumentNullException.ThrowIfNull(membership);
        ArgumentNullException.ThrowIfNull(vote);
        Span<Ballot> votes = stackalloc Ballot[membership.Span.Length];
        for (var i = 0; i < votes.Length; i++)
        {
            votes[i] = vote(membership.Span[i].Id) switch { null => Ballot.None, true => Ballot.Yes, false => Ballot.No };
        }

        return Votes(membership, votes);
    }

    /// <summary>Highest value that a majority (of both, if joint) has reached; one value for each member.</summary>
    internal static ulong Agreed(Membership membership, ReadOnlySpan<ulong> values)
    {
        Invariant.Check(values.Length == membership.Span.Length);
        var incoming = Majority(membership, values, MemberRole.Voter);
        return membership.IsJoint && !Canary.Is(Canary.JointByOneMajority)
            ? Math.Min(incoming, Majority(membership, values, MemberRole.OutgoingVoter))
            : incoming;
    }

    /// <summary>How the votes stand; one for each member.</summary>
    internal static VoteResult Votes(Membership membership, ReadOnlySpan<Ballot> votes)
    {
        Invariant.Check(votes.Length == membership.Span.Length);
        var incoming = Majority(membership, votes, MemberRole.Voter);
        if (!membership.IsJoint || Canary.Is(Canary.JointByOneMajority))
        {
            return incoming;
        }

        var outgoing = Majority(membership, votes, MemberRole.OutgoingVoter);
        return incoming == outgoing ? incoming
            : incoming == VoteResult.Lost || outgoing == VoteResult.Lost ? VoteResult.Lost
            : VoteResult.Pending;
    }

    private static ulong Majority(Membership membership, ReadOnlySpan<ulong> values, MemberRole role)
    {
        // Descending, by insertion: voters are few.
        Span<ulong> sorted = stackalloc ulong[values.Length];
        var voters = 0;
        for (var i = 0; i < values.Length; i++)
        {
            if ((membership.Span[i].Role & role) == 0)
            {
                continue;
            }

            var at = voters++;
            for (; at > 0 && sorted[at - 1] < values[i]; at--)
            {
                sorted[at] = sorted[at - 1];
            }

            sorted[at] = values[i];
        }

        // With n voters the value at n / 2 is reached by n / 2 + 1 of them.
        return voters == 0 ? ulong.MaxValue : sorted[voters / 2];
    }

    private static VoteResult Majority(Membership membership, ReadOnlySpan<Ballot> votes, MemberRole role)
    {
        int voters = 0, yes = 0, no = 0;
        for (var i = 0; i < votes.Length; i++)
        {
            if ((membership.Span[i].Role & role) != 0)
            {
                voters++;
                yes += votes[i] == Ballot.Yes ? 1 : 0;
                no += votes[i] == Ballot.No ? 1 : 0;
            }
        }

        Invariant.Check(yes + no <= voters);
        return yes > voters / 2 || voters == 0 ? VoteResult.Won
            : voters - no <= voters / 2 ? VoteResult.Lost
            : VoteResult.Pending;
    }
}

/// <summary>What a voter answered.</summary>
internal enum Ballot : byte
{
    None,
    Yes,
    No,
}
