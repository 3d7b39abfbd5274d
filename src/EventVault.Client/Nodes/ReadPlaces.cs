using Google.Protobuf;

namespace EventVault.Client;

/// <summary>Which requests any node can answer, if the client is set to ask any (<see cref="ReadFrom"/>): the table of docs/PROTOCOL.md.</summary>
internal static class ReadPlaces
{
    /// <summary>Without a consistency a request wants all that was acknowledged to anybody, which is the leader's to say.</summary>
    /// <param name="request">The request.</param>
    public static bool IsForAnyNode(IMessage request) => request switch
    {
        Protocol.ReadStreamRequest r => r.Consistency is not null,
        Protocol.ReadAllRequest r => r.Consistency is not null,
        Protocol.SubscribeRequest => true,
        Protocol.GetStreamRequest r => r.Consistency is not null,
        Protocol.ListStreamsRequest r => r.Consistency is not null,
        Protocol.CountEventsRequest r => r.Consistency is not null,
        Protocol.GetRetentionRequest r => r.Consistency is not null,
        Protocol.ListRetentionRequest r => r.Consistency is not null,
        Protocol.GetReducerRequest r => r.Consistency is not null,
        Protocol.ListReducersRequest r => r.Consistency is not null,
        Protocol.GetStateRequest r => r.Consistency is not null && IsPlace(r.AsOf),
        Protocol.GetStatesRequest r => r.Consistency is not null && IsPlace(r.AsOf),
        Protocol.ReadForFoldRequest r => r.Consistency is not null && IsPlace(r.AsOf),
        _ => false,
    };

    /// <summary>Whether the request is for the node that the user named first, whoever leads.</summary>
    /// <param name="request">The request.</param>
    public static bool IsForFirst(IMessage request) => request is Protocol.ListBackupRequest or Protocol.ReadBackupRequest;

    // A time may have to be closed, which only a leader can.
    private static bool IsPlace(Protocol.AsOf? asOf) =>
        asOf is null or { CutCase: Protocol.AsOf.CutOneofCase.None or Protocol.AsOf.CutOneofCase.Version or Protocol.AsOf.CutOneofCase.Position };
}
