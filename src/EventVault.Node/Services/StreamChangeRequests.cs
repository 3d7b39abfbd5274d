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
        Fill(content, request.OperationId, request.Stream, request.Expected, request.AttemptedAfter, change, limits);
    }

    /// <exception cref="Rpc.RpcException">INVALID_ARGUMENT.</exception>
    public static void ReadTruncate(in ReadOnlySequence<byte> bytes, NodeLimits limits, AppendContent content)
    {
        var request = RequestFields.Parse(TruncateStreamRequest.Parser, bytes);
        if (request.Before > StreamChange.MostBefore)
        {
            throw Errors.InvalidRequest("before", $"is larger than any version can be, which is {AppendFields.Number(StreamChange.MostBefore)}").ToException();
        }

        var change = new StreamChange(StreamChangeKind.Truncate, new StreamVersion((long)request.Before));
        Fill(content, request.OperationId, request.Stream, request.Expected, request.AttemptedAfter, change, limits);
    }

    private static void Fill(
        AppendContent content, ByteString id, string stream, ExpectedVersion? expected, SeenHead? attemptedAfter, StreamChange change, NodeLimits limits)
    {
        var operationId = OperationId(id);
        var name = StreamNames.Check(stream, limits);
        if (name[0] == (byte)'$')
        {
            throw Errors.ReservedName("stream", stream).ToException();
        }

        var (kind, version) = Expected(expected);
        content.Reset([]);
        content.OperationId = operationId;
        content.AttemptedAfter = Seen(attemptedAfter);
        content.SetChange(change, name, kind, version);
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
