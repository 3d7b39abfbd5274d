using EventVault.Storage.Scavenging;

namespace EventVault.Simulation.Checkers;

/// <summary>An event as it stands in a group.</summary>
/// <param name="Stream">Its stream.</param>
/// <param name="Version">Its version.</param>
/// <param name="Position">Its position.</param>
/// <param name="RecordedAt">When.</param>
/// <param name="Digest">Of its bytes.</param>
/// <param name="Label">What it can be found by.</param>
/// <param name="Change">Of an event of <c>$streams</c>: what it does to a stream.</param>
/// <param name="Rule">Of an event of <c>$streams</c>: the rule that it sets.</param>
/// <param name="Scavenge">Of an event of <c>$streams</c>: whether a scavenge starts with it, or stops.</param>
internal readonly record struct CommittedEvent(string Stream, long Version, long Position, long RecordedAt, ulong Digest, EventLabel Label, CommittedChange? Change = null, SentRule? Rule = null, ScavengeChange? Scavenge = null);

/// <summary>What an event of <c>$streams</c> does: versions of a stream before this one are no longer read.</summary>
internal sealed record CommittedChange(ChangeKind Kind, string Stream, long Before);

/// <summary>An append as it stands in a group.</summary>
internal sealed record CommittedAppend(UInt128 OperationId, CommittedEvent[] Events);

/// <summary>Names the bytes of an entry, and by the chain all before it.</summary>
/// <param name="Term">Its term.</param>
/// <param name="Checksum">The group's checksum, over its header, its body's checksum and the checksum of the group before.</param>
/// <param name="Body">Digest of the body as it stands there: nobody has to have looked whether its checksum holds.</param>
internal readonly record struct LogMark(ulong Term, uint Checksum, ulong Body = 0);

/// <summary>A group, decoded from its bytes without help of any index.</summary>
/// <param name="Index">Its log index.</param>
/// <param name="Mark">Term and checksum.</param>
/// <param name="Previous">Checksum of the group before it, as it says.</param>
/// <param name="Time">Append k is recorded at this + k.</param>
/// <param name="FirstPosition">Of its first event, or of the next event if it has none.</param>
/// <param name="Appends">Empty for a system group.</param>
internal sealed record CommittedGroup(ulong Index, LogMark Mark, uint Previous, long Time, long FirstPosition, CommittedAppend[] Appends)
{
    /// <summary>Ticks of time that it takes: one for each append, one for a system group.</summary>
    public long Ticks => Math.Max(1, Appends.Length);

    /// <summary>Of a group with a membership: the voters.</summary>
    public VoterSets? Voters { get; init; }
}
