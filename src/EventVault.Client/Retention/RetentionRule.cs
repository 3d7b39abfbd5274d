namespace EventVault.Client;

/// <summary>
/// How long events are kept. At least one property must be set. Limits can be combined: an event is due if any of them says so.
/// A stream's own rule replaces its category's as a whole, but for the legal hold, which holds if either says so.
/// </summary>
public sealed record RetentionRule
{
    /// <summary>Longest <see cref="MaxAge"/>: 100 years of 365.25 days.</summary>
    public static readonly TimeSpan MostMaxAge = TimeSpan.FromSeconds(3_155_760_000);

    /// <summary>
    /// Keeps events this long after they were recorded: whole seconds, 1 second to 100 years. May take all events of a stream,
    /// which then counts as having none until it is written again, its versions going on. Events are gone a tenth of it later at most,
    /// and no more than an hour, and the minute in which the leader looks. Null: whatever their age.
    /// </summary>
    public TimeSpan? MaxAge { get; init; }

    /// <summary>Keeps a stream's last so many events, 1 to 2^63 − 1; up to a tenth more stay readable, as the stream is truncated once it is
    /// over by a tenth. Null: however many.</summary>
    public ulong? MaxEvents { get; init; }

    /// <summary>
    /// Keeps a stream's last events as long as they take no more bytes than this, 1 to 2^63 − 1, counted as they are sent; up to a tenth
    /// more stay readable. The last event is kept whatever its size. Null: whatever their size.
    /// </summary>
    public ulong? MaxBytes { get; init; }

    /// <summary>Keeps everything, whatever the category's rule says. Not together with the limits above.</summary>
    public bool Forever { get; init; }

    /// <summary>
    /// While it holds, nothing is deleted, tombstoned, truncated (<see cref="StreamHeldException"/>), found due or scavenged.
    /// Goes with any of the above.
    /// </summary>
    public bool LegalHold { get; init; }

    internal static RetentionRule From(Protocol.RetentionRule message) => new()
    {
        MaxAge = message.HasMaxAgeSeconds ? TimeSpan.FromSeconds(Math.Min(message.MaxAgeSeconds, MostMaxAge.TotalSeconds)) : null,
        MaxEvents = message.HasMaxEvents ? message.MaxEvents : null,
        MaxBytes = message.HasMaxBytes ? message.MaxBytes : null,
        Forever = message.Forever,
        LegalHold = message.LegalHold,
    };

    internal Protocol.RetentionRule ToMessage()
    {
        var message = new Protocol.RetentionRule { Forever = Forever, LegalHold = LegalHold };
        if (MaxAge is { } age)
        {
            message.MaxAgeSeconds = (ulong)(age.Ticks / TimeSpan.TicksPerSecond);
        }

        if (MaxEvents is { } events)
        {
            message.MaxEvents = events;
        }

        if (MaxBytes is { } bytes)
        {
            message.MaxBytes = bytes;
        }

        return message;
    }
}
