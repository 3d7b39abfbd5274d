namespace EventVault.Client;

/// <summary>
/// An append was refused because an event matches one of its conditions. All its streams are where they were expected.
/// Nothing was written. Read what is new, decide again, and append with the new head (and a new operation id).
/// </summary>
public sealed class ConditionFailedException : AppendConflictException
{
    internal ConditionFailedException(string message, IReadOnlyList<VaultFailure> failures, IReadOnlyList<FailedCondition> conditions)
        : base(VaultErrorCode.ConditionFailed, message, failures, [], conditions)
    {
    }

    /// <summary>Place of the first failed condition in <see cref="AppendOptions.Conditions"/>.</summary>
    public int ConditionIndex => FailedConditions[0].Index;

    /// <summary>Position of an event that matches it.</summary>
    public ulong Position => FailedConditions[0].Position;
}
