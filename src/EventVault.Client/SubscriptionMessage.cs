namespace EventVault.Client;

/// <summary>What a subscription delivers.</summary>
public enum SubscriptionMessageKind
{
    /// <summary>An event.</summary>
    Event,

    /// <summary>All events up to <see cref="SubscriptionMessage.Position"/> have been delivered; what follows is live.</summary>
    CaughtUp,

    /// <summary>Nothing to deliver up to <see cref="SubscriptionMessage.Position"/>: a checkpoint can move on.</summary>
    Progress,
}

/// <summary>An event, or how far the subscription has come.</summary>
/// <param name="Kind">Which of them.</param>
/// <param name="Event">The event, if this is one; null otherwise.</param>
/// <param name="Position">
/// Everything up to here has been delivered or did not match; null: the vault is empty. For an event its own position.
/// </param>
/// <param name="Time">When what stands at that position was recorded; null: the vault is empty.</param>
public readonly record struct SubscriptionMessage(SubscriptionMessageKind Kind, RecordedEvent? Event, ulong? Position, DateTimeOffset? Time);
