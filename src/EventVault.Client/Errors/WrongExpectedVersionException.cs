namespace EventVault.Client;

/// <summary>
/// An append was refused because a stream was not where it expected it. Nothing was written. Read the stream's
/// new events, decide again, and append with the new version (and a new operation id).
/// </summary>
/// <remarks>
/// An exception rather than a result to be inspected: a conflict that nobody looks at must not pass for an append
/// that was written.
/// </remarks>
public sealed class WrongExpectedVersionException : VaultException
{
    internal WrongExpectedVersionException(string message, IReadOnlyList<VaultFailure> failures, IReadOnlyList<VersionConflict> conflicts)
        : base(VaultErrorCode.WrongExpectedVersion, message, failures)
    {
        Conflicts = conflicts;
    }

    /// <summary>What the append expected of the first conflicting stream, <see cref="VaultException.Stream"/>.</summary>
    public ExpectedVersion Expected => Conflicts[0].Expected;

    /// <summary>The last version of the first conflicting stream; null: it has no events.</summary>
    public ulong? Actual => Conflicts[0].Actual;

    /// <summary>All conflicting streams of the append, in the append's order. At least one.</summary>
    public IReadOnlyList<VersionConflict> Conflicts { get; }
}
