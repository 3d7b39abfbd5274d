using System.Net;
using EventVault.Raft;

namespace EventVault.Node.Peers;

internal static partial class PeerLogMessages
{
    [LoggerMessage(EventId = 60, Level = LogLevel.Information, Message = "Listening for other nodes on {Address}.")]
    public static partial void Listening(ILogger logger, EndPoint address);

    [LoggerMessage(EventId = 61, Level = LogLevel.Warning, Message = "The port for other nodes, {Address}, is in clear text and asks for no certificate: who reaches it can read and change the vault. Use peer-tls-cert, peer-tls-key and peer-tls-ca, or a firewall.")]
    public static partial void ListensInClearText(ILogger logger, EndPoint address);

    [LoggerMessage(EventId = 62, Level = LogLevel.Information, Message = "Connected to node {Peer} at {Address}.")]
    public static partial void Connected(ILogger logger, ReplicaId peer, string address);

    [LoggerMessage(EventId = 63, Level = LogLevel.Warning, Message = "No connection to node {Peer} at {Address}: {Problem}.")]
    public static partial void NotConnected(ILogger logger, ReplicaId peer, string address, string problem);

    [LoggerMessage(EventId = 64, Level = LogLevel.Warning, Message = "A connection from {Address} was refused: {Reason}.")]
    public static partial void Refused(ILogger logger, EndPoint? address, string reason);

    [LoggerMessage(EventId = 65, Level = LogLevel.Warning, Message = "A connection with {Address} was closed because of what came: {Reason}.")]
    public static partial void BadBytes(ILogger logger, object? address, string reason);

    [LoggerMessage(EventId = 66, Level = LogLevel.Error, Message = "A connection with {Address} ended in an error of this program. This is a bug: report it with this log.")]
    public static partial void Failed(ILogger logger, Exception error, object? address);

    [LoggerMessage(EventId = 67, Level = LogLevel.Warning, Message = "What was seen of other disks can't be kept in {Path}: {Problem}. Copies and old disks may be recognized later than they could be.")]
    public static partial void StartsNotKept(ILogger logger, string path, string problem);
}
