namespace EventVault.Storage.Log;

/// <summary>What clients put beside the data of their events.</summary>
public static class EventMetadata
{
    /// <summary>Finds an entry of an event's metadata. Walks the event: not for every event that is read.</summary>
    /// <param name="eventData">An event that was checked before.</param>
    /// <param name="key">Its key, UTF-8.</param>
    /// <param name="value">Its value, UTF-8: a part of the event's bytes.</param>
    /// <returns>Whether the event has it.</returns>
    public static bool TryRead(ReadOnlySpan<byte> eventData, ReadOnlySpan<byte> key, out ReadOnlySpan<byte> value) => EventFields.TryReadMetadata(eventData, key, out value);
}
