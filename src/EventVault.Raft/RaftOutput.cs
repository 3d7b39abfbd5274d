// What a RaftCore wants done after an input. Handle it after every input, in this order:
//
//   1. Save: write term and vote, flush; then SaveDone. What must wait for it is not in Messages yet.
//   2. TruncateAfter: drop the entries behind this index.
//   3. Append: write these entries from AppendFrom on; once flushed, AppendDone(term, index) of the last one.
//   4. Messages: send. Losing one is allowed, sending it before 1 has been handled is not a danger (the core has waited).
//   5. Commit: entries up to here are committed. Reads: answer. Ships: send segments.
//
// then Clear.
namespace EventVault.Raft;

/// <summary>Term and vote to be made durable.</summary>
/// <param name="Number">For <see cref="RaftCore.SaveDone"/>; rises.</param>
/// <param name="Term">The term.</param>
/// <param name="VotedFor">Who got the vote in it.</param>
public readonly record struct SaveRequest(ulong Number, Term Term, ReplicaId? VotedFor);

/// <summary>A read that was asked for by <see cref="RaftCore.ReadIndex"/>.</summary>
/// <param name="Id">As it was asked for.</param>
/// <param name="Index">Entries up to here must be applied before the read; 0 if <see cref="Ok"/> is false.</param>
/// <param name="Ok">False: leadership was lost or there is no leader. Ask again, with another id.</param>
public readonly record struct ReadResult(ulong Id, LogIndex Index, bool Ok);

/// <summary>A follower that needs segments rather than entries.</summary>
/// <param name="To">The follower.</param>
/// <param name="Next">The first index it lacks.</param>
public readonly record struct ShipRequest(ReplicaId To, LogIndex Next);

/// <summary>What is to be done after an input.</summary>
public sealed class RaftOutput
{
    /// <summary>Term and vote to be flushed; null: nothing.</summary>
    public SaveRequest? Save { get; internal set; }

    /// <summary>Entries behind this index go, before anything is appended; null: none.</summary>
    public LogIndex? TruncateAfter { get; internal set; }

    /// <summary>Index of the first entry of <see cref="Append"/>.</summary>
    public LogIndex AppendFrom { get; internal set; }

    /// <summary>Entries to be written: a leader's own (also proposals) or received ones.</summary>
    public List<Entry> Append { get; } = [];

    /// <summary>Messages to be sent.</summary>
    public List<Message> Messages { get; } = [];

    /// <summary>Reads that are decided.</summary>
    public List<ReadResult> Reads { get; } = [];

    /// <summary>Followers to be shipped to.</summary>
    public List<ShipRequest> Ships { get; } = [];

    /// <summary>Whether there is anything but a higher commit index.</summary>
    public bool IsEmpty =>
        Save is null && TruncateAfter is null && Append.Count == 0 && Messages.Count == 0 && Reads.Count == 0 && Ships.Count == 0;

    /// <summary>Everything was handled.</summary>
    public void Clear()
    {
        Save = null;
        TruncateAfter = null;
        AppendFrom = default;
        Append.Clear();
        Messages.Clear();
        Reads.Clear();
        Ships.Clear();
    }
}
