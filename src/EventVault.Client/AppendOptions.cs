namespace EventVault.Client;

/// <summary>What one append does differently from the client's defaults.</summary>
public sealed record AppendOptions
{
    /// <summary>
    /// Names the append: a repeat with the same id and the same content, also from another process and after a
    /// restart, is answered with the first answer and writes nothing. Null: the client makes one, which then
    /// protects only the client's own retries.
    /// </summary>
    public Guid? OperationId { get; init; }

    /// <summary>How long the append may take with all its retries. Null: <see cref="VaultClientOptions.AppendTimeout"/>.</summary>
    public TimeSpan? Timeout { get; init; }
}
