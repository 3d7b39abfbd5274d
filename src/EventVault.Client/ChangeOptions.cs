namespace EventVault.Client;

/// <summary>What one deletion or truncation of a stream does differently from the client's defaults.</summary>
public sealed record ChangeOptions
{
    /// <summary>Names the change, as <see cref="AppendOptions.OperationId"/> names an append. Null: the client makes one.</summary>
    public Guid? OperationId { get; init; }

    /// <summary>As <see cref="AppendOptions.AttemptedAfter"/>, with <see cref="OperationId"/>. Null: this is the first attempt.</summary>
    public SeenHead? AttemptedAfter { get; init; }
}
