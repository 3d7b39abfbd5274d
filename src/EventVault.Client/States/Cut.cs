namespace EventVault.Client;

/// <summary>What a moment stands for.</summary>
/// <param name="Position">The last position inside it; null: it lies before the vault's first event.</param>
/// <param name="RecordedAt">When that was recorded; null without a position.</param>
/// <param name="ClosedTime">No event will ever be recorded at or before it any more; null: nothing was recorded yet.</param>
/// <param name="SplitsAppend">Whether it parts the events of one append. Never so for cuts by time.</param>
public sealed record Cut(ulong? Position, DateTimeOffset? RecordedAt, DateTimeOffset? ClosedTime, bool SplitsAppend)
{
    internal static Cut From(Protocol.Cut? cut) => cut is null
        ? throw VaultErrors.ProtocolViolation("an answer came without the cut that it is about")
        : new Cut(
            cut.HasPosition ? cut.Position : null,
            VaultTime.FromTicksOrNone(cut.RecordedAt),
            VaultTime.FromTicksOrNone(cut.ClosedTime),
            cut.SplitsAppend);
}
