// DeleteStream and TruncateStream: a change of a stream's life is an append of one event to `$streams`, which expects
// something of the stream that it changes.
using System.Buffers;
using System.Buffers.Binary;
using EventVault.Protocol;
using EventVault.Storage.Log;
using Google.Protobuf;
using Position = EventVault.Storage.Position;
using StreamVersion = EventVault.Storage.StreamVersion;

namespace EventVault.Node.Services;

/// <summary>Turns requests to change streams into appends.</summary>
internal static class StreamChangeRequests
{
    private const int OperationIdBytes = 16;

    /// <exception cref="Rpc.RpcException">INVALID_ARGUMENT.</exception>
    public static void ReadDelete(in ReadOnlySequence<byte> bytes, NodeLimits limits, AppendContent content)
    {
        var request = RequestFields.Parse(DeleteStreamRequest.Parser, bytes);
        var change = new StreamChange(request.Tombstone ? StreamChangeKind.Tombstone : StreamChangeKind.Delete, default);
        Read(request.OperationId, request.Stream, request.Expected, request.AttemptedAfter, change, limits).Fill(content, null);
    }

    /// <exception cref="Rpc.RpcException">INVALID_ARGUMENT.</exception>
    public static AskedChange ReadTruncate(in ReadOnlySequence<byte> bytes, NodeLimits limits)
    {
        var request = RequestFields.Parse(TruncateStreamRequest.Parser, bytes);
        if (request.Before > StreamChange.MostBefore)
        {
            throw Errors.InvalidRequest("before", $"is larger than any version can be, which is {AppendFields.Number(StreamChange.MostBefore)}").ToException();
        }

        var change = new StreamChange(StreamChangeKind.Truncate, new StreamVersion((long)request.Before));
        return Read(request.OperationId, request.Stream, request.Expected, request.AttemptedAfter, change, limits);
    }

    private static AskedChange Read(ByteString id, string stream, ExpectedVersion? expected, SeenHead? attemptedAfter, StreamChange change, NodeLimits limits)
    {
        var operationId = OperationId(id);
        var name = StreamNames.Check(stream, limits);
        if (name[0] == (byte)'$')
        {
            throw Errors.ReservedName("stream", stream).ToException();
        }

        var (kind, version) = Expected(expected);
        return new AskedChange(operationId, name, kind, version, Seen(attemptedAfter), change);
    }

    /// <exception cref="Rpc.RpcException">INVALID_ARGUMENT: it is none.</exception>
    public static UInt128 OperationId(ByteString id) => id.Length == OperationIdBytes
        ? BinaryPrimitives.ReadUInt128BigEndian(id.Span)
        : throw Errors.InvalidRequest("operation_id", $"must be {OperationIdBytes} bytes, has {AppendFields.Number(id.Length)}").ToException();

    /// <exception cref="Rpc.RpcException">INVALID_ARGUMENT: no position can be as large.</exception>
    public static Position? Seen(SeenHead? head) => head switch
    {
        null => null,
        { HasPosition: false } => Position.None,
        { Position: > long.MaxValue } => throw Errors.InvalidRequest("attempted_after.position", $"is larger than any position can be, which is {AppendFields.Number(long.MaxValue)}").ToException(),
        _ => new Position((long)head.Position),
    };

    private static (ExpectedKind Kind, StreamVersion Version) Expected(ExpectedVersion? expected) => expected?.ExpectedCase switch
    {
        ExpectedVersion.ExpectedOneofCase.Any => (ExpectedKind.Any, default),
        ExpectedVersion.ExpectedOneofCase.NoStream => (ExpectedKind.NoStream, default),
        ExpectedVersion.ExpectedOneofCase.Exists => (ExpectedKind.Exists, default),
        ExpectedVersion.ExpectedOneofCase.Version when expected.Version > long.MaxValue =>
            throw Errors.InvalidRequest("expected.version", $"is larger than any version can be, which is {AppendFields.Number(long.MaxValue)}").ToException(),
        ExpectedVersion.ExpectedOneofCase.Version => (ExpectedKind.Exact, new StreamVersion((long)expected.Version)),
        null => throw Errors.InvalidRequest("expected", "is missing: say any, no_stream, exists or a version").ToException(),
        _ => throw Errors.InvalidRequest("expected", "says nothing: one of any, no_stream, exists and version must be set").ToException(),
    };
}

/// <summary>A change of a stream's life as a client asks for it, checked.</summary>
/// <param name="OperationId">Names the operation.</param>
/// <param name="Stream">Name of the stream.</param>
/// <param name="Expected">What is expected of it.</param>
/// <param name="Version">With <see cref="ExpectedKind.Exact"/>: its last version.</param>
/// <param name="AttemptedAfter">Of a retry: the head that was seen before.</param>
/// <param name="Change">What happens.</param>
internal sealed record AskedChange(UInt128 OperationId, byte[] Stream, ExpectedKind Expected, StreamVersion Version, Position? AttemptedAfter, StreamChange Change)
{
    /// <summary>Makes an append of it.</summary>
    /// <param name="content">To be filled.</param>
    /// <param name="anchors">Of a truncation; null: none were looked for.</param>
    public void Fill(AppendContent content, TruncationAnchors? anchors)
    {
        content.Reset([]);
        content.OperationId = OperationId;
        content.AttemptedAfter = AttemptedAfter;
        content.SetChange(Change with { Anchors = anchors }, Stream, Expected, Version);
    }
}
