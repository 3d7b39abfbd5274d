namespace EventVault.Client;

/// <summary>Where a subscription begins and how long it holds on. The default begins at the first event.</summary>
public sealed record SubscribeOptions
{
    /// <summary>Where to begin (inclusive). Null: at the first event, unless <see cref="FromEnd"/>.</summary>
    public ReadBound? From { get; init; }

    /// <summary>Only what is appended after the subscription is established. Not together with <see cref="From"/>.</summary>
    public bool FromEnd { get; init; }

    /// <summary>When subscribing to the whole vault: also the events of streams whose names start with <c>$</c>.</summary>
    public bool IncludeSystem { get; init; }

    /// <summary>When subscribing to the whole vault: which events. Null: all. Progress is told also where none matches.</summary>
    public EventFilter? Filter { get; init; }

    /// <summary>
    /// How long the node may be out of reach before the subscription fails. Null: until it is established once,
    /// <see cref="RetryPolicy.GiveUpAfter"/>; from then on without end (with <see cref="RetryPolicy.None"/>: not at all).
    /// </summary>
    public TimeSpan? GiveUpAfter { get; init; }

    /// <summary>
    /// Told why, each time that the connection was lost or could not be made, before it is tried again: what is delivered until the next message may be
    /// behind. Not told what ends the subscription, which is thrown. It holds the subscription up, and what it throws ends it. Null: nobody is told.
    /// </summary>
    public Action<VaultException>? Interrupted { get; init; }
}
