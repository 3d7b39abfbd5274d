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

    [LoggerMessage(EventId = 85, Level = LogLevel.Error, Message = "The log's end is DAMAGED on this disk, which was {Before} and is {Incarnation} from now on: it votes no more as the old one, keeps the groups up to {LastIndex}, and needs its place in the vault back. What was damaged lies in {Aside}: {Damage}")]
    public static partial void BeganAnew(ILogger logger, Guid before, Guid incarnation, ulong lastIndex, string aside, string damage);

    [LoggerMessage(EventId = 86, Level = LogLevel.Warning, Message = "Segment {Segment} was damaged on this disk; another node's took its place.")]
    public static partial void Repaired(ILogger logger, uint segment);

    [LoggerMessage(EventId = 87, Level = LogLevel.Error, Message = "Segment {Segment} is DAMAGED on this disk: {Damage}")]
    public static partial void Damaged(ILogger logger, uint segment, string damage);

    [LoggerMessage(EventId = 88, Level = LogLevel.Error, Message = "Segment {Segment} stays damaged, and reads of it are refused: {Why}. It is tried again from time to time, and after a restart.")]
    public static partial void StaysDamaged(ILogger logger, uint segment, string why);

    [LoggerMessage(EventId = 89, Level = LogLevel.Error, Message = "Logs of the vault DIFFER: {Difference}, although both are of the same form. Nothing was changed: one of the nodes has another history.")]
    public static partial void Differs(ILogger logger, string difference);

    [LoggerMessage(EventId = 90, Level = LogLevel.Warning, Message = "A reader met damage in segment {Segment}, which is sound on the disk: what was read was damaged in memory. Restart the machine, and check its memory.")]
    public static partial void SoundOnDisk(ILogger logger, uint segment);

    [LoggerMessage(EventId = 91, Level = LogLevel.Information, Message = "All {Segments} sealed segments were checked; {Damaged} are damaged.")]
    public static partial void Scrubbed(ILogger logger, int segments, int damaged);

    [LoggerMessage(EventId = 92, Level = LogLevel.Warning, Message = "The sealed segments could not be compared with other nodes': {Why}. The next pass tries it again.")]
    public static partial void NotCompared(ILogger logger, string why);
}
