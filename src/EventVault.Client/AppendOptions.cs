namespace EventVault.Client;

/// <summary>What one append does differently from the client's defaults. The lists must not change until it is answered.</summary>
public sealed record AppendOptions
{
    /// <summary>
    /// Names the append: a repeat with the same id and the same content, also from another process and after a
    /// restart, is answered with the first answer and writes nothing. Null: the client makes one, which protects
    /// the client's own retries; if the outcome stays unknown, <see cref="VaultException.OperationId"/> tells it.
    /// </summary>
    public Guid? OperationId { get; init; }

    /// <summary>How long the append may take with all its retries. Null: <see cref="VaultClientOptions.AppendTimeout"/>.</summary>
    public TimeSpan? Timeout { get; init; }

    /// <summary>Streams that are not written and must be where they are expected; at most 1,000, each once.</summary>
    public IReadOnlyList<StreamRequirement> Requires { get; init; } = [];

    /// <summary>Queries that must not match; at most 16, all of which must hold.</summary>
    public IReadOnlyList<AppendCondition> Conditions { get; init; } = [];

    /// <summary>
    /// Only for a repeat of an append whose outcome an earlier call left open: what that call's exception says in
    /// <see cref="VaultException.AttemptedAfter"/>. If the vault no longer keeps the ids of appends that old, the
    /// repeat fails with <see cref="RetryTooOldException"/> instead of being written a second time. The client's own
    /// retries carry it by themselves. Goes with <see cref="OperationId"/>, or is refused with an <see cref="ArgumentException"/>. Null: this is
    /// the first attempt.
    /// </summary>
    public SeenHead? AttemptedAfter { get; init; }

    /// <summary>Neither requirements nor conditions: nothing of it goes over the wire.</summary>
    internal bool IsUnconditional => Requires.Count == 0 && Conditions.Count == 0;
}

/// <summary>How much of the vault had been seen at some moment.</summary>
/// <param name="Position">The vault's last position; null: it was empty.</param>
public readonly record struct SeenHead(ulong? Position)
{
    /// <summary>The wire's form.</summary>
    internal Protocol.SeenHead ToMessage()
    {
        var seen = new Protocol.SeenHead();
        if (Position is { } position)
        {
            seen.Position = position;
        }

        return seen;
    }
}
