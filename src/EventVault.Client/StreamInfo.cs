namespace EventVault.Client;

/// <summary>A stream's versions, and where and when its last event was written.</summary>
/// <param name="Stream">Name of the stream.</param>
/// <param name="LastVersion">Its last version.</param>
/// <param name="LastPosition">The position of its last event.</param>
/// <param name="LastRecordedAt">When its last event was recorded.</param>
/// <param name="FirstVersion">The first version that can be read: 0, or what the stream was truncated to.</param>
/// <param name="EventCount">Events that can be read.</param>
public sealed record StreamInfo(
    string Stream, ulong LastVersion, ulong LastPosition, DateTimeOffset LastRecordedAt, ulong FirstVersion, ulong EventCount)
{
    internal static StreamInfo From(Protocol.StreamInfo message) => new(
        message.Stream,
        message.LastVersion,
        message.LastPosition,
        VaultTime.FromTicks(message.LastRecordedAt),
        message.FirstVersion,
        message.EventCount);
}
