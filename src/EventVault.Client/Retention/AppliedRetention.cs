namespace EventVault.Client;

/// <summary>What retention applies, and where it comes from.</summary>
/// <param name="Rule">
/// What applies; null: everything is kept, as nothing was said. Of a stream: the limits of its own rule or else its category's,
/// and a legal hold if either has one.
/// </param>
/// <param name="From">Whose rule the limits are, also if that is a legal hold and has none; null: no rule was set.</param>
/// <param name="HeldBy">Who has a legal hold: none, one, or both of the stream and its category.</param>
public sealed record AppliedRetention(RetentionRule? Rule, RetentionScope? From, IReadOnlyList<RetentionScope> HeldBy)
{
    internal static AppliedRetention Of(Protocol.GetRetentionResponse message) => new(
        message.Rule is { } rule ? RetentionRule.From(rule) : null,
        RetentionScope.From(message.From),
        [.. message.HeldBy.Select(static held => RetentionScope.From(held)!.Value)]);
}

/// <summary>A retention rule that was set.</summary>
/// <param name="Scope">To what it applies.</param>
/// <param name="Rule">The rule.</param>
/// <param name="SetAt">Position of the event that set it.</param>
public sealed record RetentionEntry(RetentionScope Scope, RetentionRule Rule, ulong SetAt)
{
    internal static RetentionEntry From(Protocol.RetentionEntry message) => message is { Rule: { } rule, Scope: { } scope }
        ? new RetentionEntry(RetentionScope.From(scope)!.Value, RetentionRule.From(rule), message.SetAt)
        : throw VaultErrors.ProtocolViolation("a retention rule was listed without its scope or without itself");
}
