using EventVault.Client;

namespace EventVault.Demo;

/// <summary>An event that the demo appended itself, and what the node answered.</summary>
/// <param name="Stream">Name of the stream.</param>
/// <param name="Event">What was sent.</param>
/// <param name="Answer">What came back.</param>
internal sealed record Written(string Stream, EventData Event, AppendResult Answer);
