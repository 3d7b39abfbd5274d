namespace EventVault.Client;

/// <summary>One stream's part of an append.</summary>
public sealed class StreamAppend
{
    /// <summary>Makes it.</summary>
    /// <param name="stream">Name of the stream, 1 to 1,024 bytes of UTF-8 without control characters and no <c>$</c> in front.</param>
    /// <param name="expected">What the stream's last version must be.</param>
    /// <param name="events">The events, at least one; the list must not change until the append is answered.</param>
    public StreamAppend(string stream, ExpectedVersion expected, IReadOnlyList<EventData> events)
    {
        ArgumentNullException.ThrowIfNull(stream);
        ArgumentNullException.ThrowIfNull(events);
        Stream = stream;
        Expected = expected;
        Events = events;
    }

    /// <summary>Name of the stream.</summary>
    public string Stream { get; }

    /// <summary>What the stream's last version must be.</summary>
    public ExpectedVersion Expected { get; }

    /// <summary>The events.</summary>
    public IReadOnlyList<EventData> Events { get; }
}
