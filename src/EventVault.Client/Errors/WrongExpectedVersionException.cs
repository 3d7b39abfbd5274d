namespace EventVault.Client;

/// <summary>
/// An append was refused because a stream, written or required, was not where it expected it. Nothing was written. Read
/// the stream's new events, decide again, and append with the new version (and a new operation id).
/// </summary>
public sealed class WrongExpectedVersionException : AppendConflictException
{
    internal WrongExpectedVersionException(
        string message, IReadOnlyList<VaultFailure> failures, IReadOnlyList<VersionConflict> conflicts, IReadOnlyList<FailedCondition> conditions)
        : base(VaultErrorCode.WrongExpectedVersion, message, failures, conflicts, conditions)
    {
    }

    /// <summary>What the append expected of the first conflicting stream, <see cref="VaultException.Stream"/>.</summary>
    public ExpectedVersion Expected => Conflicts[0].Expected;

    /// <summary>The last version of the first conflicting stream, also if its events were deleted; null: it never had any.</summary>
    public ulong? Actual => Conflicts[0].Actual;
}
