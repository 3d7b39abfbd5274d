namespace EventVault.Client;

/// <summary>
/// A call that failed. <see cref="Code"/> says why, <see cref="IsTransient"/> whether trying again later can
/// help. The client has already retried what its <see cref="RetryPolicy"/> allows when this is thrown.
/// </summary>
public class VaultException : Exception
{
    /// <summary>Makes the exception.</summary>
    /// <param name="code">Why the call failed.</param>
    /// <param name="message">What failed, where, and what to do next.</param>
    /// <param name="failures">Every failed check, the most telling one first.</param>
    /// <param name="inner">What it was raised from.</param>
    public VaultException(VaultErrorCode code, string message, IReadOnlyList<VaultFailure>? failures = null, Exception? inner = null)
        : base(message, inner)
    {
        Code = code;
        Failures = failures ?? [];
    }

    /// <summary>Why the call failed.</summary>
    public VaultErrorCode Code { get; }

    /// <summary>
    /// Whether the same call may succeed later. If the outcome is unknown it must be made again with <see cref="OperationId"/> and
    /// <see cref="AttemptedAfter"/> in its options, so that nothing can be written twice: without them it is another append.
    /// </summary>
    public bool IsTransient => Code is VaultErrorCode.Overloaded or VaultErrorCode.Draining or VaultErrorCode.OutcomeUnknown
        or VaultErrorCode.NotLeader or VaultErrorCode.NoQuorum or VaultErrorCode.NotJoined or VaultErrorCode.Opening or VaultErrorCode.ChangePending or VaultErrorCode.CredentialsEnded
        or VaultErrorCode.TimedOutInQueue or VaultErrorCode.TimedOutBehind
        or VaultErrorCode.Unreachable or VaultErrorCode.TimedOut;

    /// <summary>
    /// Every failed check: an append reports all of them together. Empty when the failure has no detail,
    /// such as a lost connection.
    /// </summary>
    public IReadOnlyList<VaultFailure> Failures { get; }

    /// <summary>The stream concerned, if the failure is about one.</summary>
    public string? Stream => First(static f => f.Stream);

    /// <summary>Where the leader is, if the node said so.</summary>
    public string? LeaderAddress => First(static f => f.Address);

    /// <summary>
    /// With <see cref="VaultErrorCode.OutcomeUnknown"/>: what a repeat of the append has to say in
    /// <see cref="AppendOptions.AttemptedAfter"/>. Null otherwise, or if the client had not seen the vault before.
    /// </summary>
    public SeenHead? AttemptedAfter => Failures.Count > 0 ? Failures[0].AttemptedAfter : null;

    /// <summary>
    /// With <see cref="VaultErrorCode.OutcomeUnknown"/>: what a repeat has to say in <see cref="AppendOptions.OperationId"/> or
    /// <see cref="ChangeOptions.OperationId"/>, also if the client made it. The content must be the same, so append the same
    /// <see cref="EventData"/> objects: a new one has a new id. Of events that the client has stamped see <see cref="VaultTracing"/>. Null
    /// otherwise, and for changes of the vault's nodes, which have none.
    /// </summary>
    public Guid? OperationId => Failures.Count > 0 ? Failures[0].OperationId : null;

    /// <summary>When the node thinks it makes sense to try again.</summary>
    public TimeSpan? RetryAfter
    {
        get
        {
            foreach (VaultFailure failure in Failures)
            {
                if (failure.RetryAfter is { } after)
                {
                    return after;
                }
            }

            return null;
        }
    }

    private string? First(Func<VaultFailure, string?> field)
    {
        foreach (VaultFailure failure in Failures)
        {
            if (field(failure) is { Length: > 0 } value)
            {
                return value;
            }
        }

        return null;
    }
}
