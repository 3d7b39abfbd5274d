using EventVault.Raft;

namespace EventVault.Node.Peers.Shipping;

internal static partial class ShipLogMessages
{
    [LoggerMessage(EventId = 80, Level = LogLevel.Information, Message = "Node {Follower} is too far behind for groups alone, which can be sent from {First} on: it gets segments.")]
    public static partial void Orders(ILogger logger, ReplicaId follower, LogIndex first);

    [LoggerMessage(EventId = 81, Level = LogLevel.Information, Message = "This node is too far behind for groups alone: it gets segments from other nodes, and opens anew when it has them.")]
    public static partial void Gathers(ILogger logger);

    [LoggerMessage(EventId = 82, Level = LogLevel.Information, Message = "{Installed} segments that came from other nodes were put in their places; the log is committed up to group {Through}.")]
    public static partial void Installed(ILogger logger, int installed, ulong through);

    [LoggerMessage(EventId = 83, Level = LogLevel.Warning, Message = "Segments that came from other nodes were not put in their places, and are dropped: {Why}")]
    public static partial void Dropped(ILogger logger, string why);

    [LoggerMessage(EventId = 84, Level = LogLevel.Warning, Message = "Getting segments from node {Source} failed: {Why}")]
    public static partial void PullFailed(ILogger logger, ReplicaId source, string why);
}
