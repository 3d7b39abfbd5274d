namespace EventVault.Raft;

/// <summary>Entries of one term that follow one another.</summary>
/// <param name="First">Index of the first one.</param>
/// <param name="Term">Their term.</param>
public readonly record struct TermRun(LogIndex First, Term Term);

/// <summary>What a replica wakes up with: what is durable on its disk.</summary>
public sealed record RaftState
{
    /// <summary>Its term.</summary>
    public Term Term { get; init; }

    /// <summary>Whom it voted for in <see cref="Term"/>.</summary>
    public ReplicaId? VotedFor { get; init; }

    /// <summary>Index of the log's last entry.</summary>
    public LogIndex LastIndex { get; init; }

    /// <summary>Index up to which the log itself shows that entries are committed. More may be.</summary>
    public LogIndex CommitIndex { get; init; }

    /// <summary>Terms of the whole log, oldest first.</summary>
    public IReadOnlyList<TermRun> Terms { get; init; } = [];

    /// <summary>
    /// The newest membership at or before <see cref="CommitIndex"/>, then all behind it, oldest first. Index 0 is what the
    /// vault was created with. Without any the replica belongs to no vault yet and waits to be added.
    /// </summary>
    public IReadOnlyList<(LogIndex Index, Membership Membership)> Memberships { get; init; } = [];
}

/// <summary>The log as the core looks things up in it. Answers at once, from memory.</summary>
public interface IEntrySource
{
    /// <summary>Lowest index whose entries are sent as a rule. What lies before it is better shipped.</summary>
    LogIndex First { get; }

    /// <summary>Lowest index whose entries can be sent at all. What lies before it must be shipped.</summary>
    LogIndex FirstThere { get; }

    /// <summary>
    /// Adds the entries from <paramref name="from"/> on, no further than <paramref name="until"/>, as long as both bounds
    /// hold; the first one always. None if it was appended, but waits for room in the log.
    /// </summary>
    void Read(LogIndex from, LogIndex until, int most, long mostBytes, List<Entry> into);
}
