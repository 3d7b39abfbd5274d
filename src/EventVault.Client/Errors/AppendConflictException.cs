namespace EventVault.Client;

/// <summary>
/// An append was refused because something is not as it asked for: a stream is not where it was expected
/// (<see cref="WrongExpectedVersionException"/>), or a condition failed (<see cref="ConditionFailedException"/>). Nothing was
/// written. Both lists are complete, whichever of the two it is. Read what is new, decide again, and append with a new
/// operation id.
/// </summary>
/// <remarks>
/// An exception rather than a result to be inspected: a conflict that nobody looks at must not pass for an append
/// that was written.
/// </remarks>
public abstract class AppendConflictException : VaultException
{
    private protected AppendConflictException(
        VaultErrorCode code,
        string message,
        IReadOnlyList<VaultFailure> failures,
        IReadOnlyList<VersionConflict> conflicts,
        IReadOnlyList<FailedCondition> failedConditions)
        : base(code, message, failures)
    {
        Conflicts = conflicts;
        FailedConditions = failedConditions;
    }

    /// <summary>
    /// All streams that are not where they were expected: written ones in the append's order, then those of requirements.
    /// </summary>
    public IReadOnlyList<VersionConflict> Conflicts { get; }

    /// <summary>All conditions that failed, in the append's order.</summary>
    public IReadOnlyList<FailedCondition> FailedConditions { get; }
}

/// <summary>A stream that was not where an append expected it.</summary>
/// <param name="Stream">The stream.</param>
/// <param name="Expected">What the append asked for.</param>
/// <param name="Actual">The stream's last version, also if its events were deleted; null: it never had any.</param>
/// <param name="IsRequirement">True for a stream that the append does not write.</param>
public sealed record VersionConflict(string Stream, ExpectedVersion Expected, ulong? Actual, bool IsRequirement = false);

/// <summary>A condition of an append that failed.</summary>
/// <param name="Index">Its place in <see cref="AppendOptions.Conditions"/>.</param>
/// <param name="Position">Position of an event that matches; there may be more of them.</param>
public sealed record FailedCondition(int Index, ulong Position);
