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
    /// Told of each failure, such as a lost connection, before it is tried again: from then until the next message nothing is delivered. Also before the
    /// subscription was established for the first time. Not told of what ends the subscription: that is thrown. Called by whoever reads it, one call at a time,
    /// and waited for; what it throws ends the subscription. Null: nobody is told.
    /// </summary>
    public Action<VaultException>? Interrupted { get; init; }
}
