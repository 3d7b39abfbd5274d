// ListBackup, ReadBackup: what the node has committed, as segments, and their bytes. A backup is made by whoever calls; the node keeps nothing of it, and
// holds nothing back for it.
using System.Buffers;
using EventVault.Protocol;
using EventVault.Rpc;
using EventVault.Rpc.Server;
using EventVault.Storage;
using EventVault.Storage.Shipping;
using Google.Protobuf;

namespace EventVault.Node.Services;

/// <summary>The calls of <c>eventvault.v1.Admin</c> about backups.</summary>
internal sealed class BackupCalls(VaultStorage storage, ConsistentReads consistent, NodeLimits limits)
{
    private const int UsualPageSegments = 1_000;

    /// <summary>Read at once, in bytes: a fraction of a millisecond from the page cache, little more from a disk, as others need the thread.</summary>
    private const int PieceBytes = 256 * 1024;

    private int _reading;

    public void AddTo(RpcServer server) => server
        .UnaryRaw(
            RpcMethod<ListBackupRequest, ListBackupResponse>.Of(VaultServices.Admin, "ListBackup"),
            (request, context) => ListAsync(RequestFields.Parse(ListBackupRequest.Parser, request), context))
        .ServerStreamingRaw(
            RpcMethod<ReadBackupRequest, ReadBackupResponse>.Of(VaultServices.Admin, "ReadBackup"),
            (request, writer, context) => ReadAsync(RequestFields.Parse(ReadBackupRequest.Parser, request), writer, context));

    private async ValueTask<ListBackupResponse> ListAsync(ListBackupRequest request, RpcContext context)
    {
        var limit = limits[NodeLimits.BackupPageSegments];
        if (request.PageSize > limit.Allowed)
        {
            throw Errors.LimitExceeded(limit, request.PageSize, "page_size").ToException();
        }

        await consistent.WholeAsync(context);
        var size = request.PageSize == 0 ? UsualPageSegments : (int)request.PageSize;

        // On a thread of its own: those of the pool answer appends and reads, and unsealed segments are read to their end.
        return await Task.Factory.StartNew(() => List(request.FromSegment, size), context.Cancellation, TaskCreationOptions.LongRunning, TaskScheduler.Default);
    }

    private ListBackupResponse List(uint from, int size)
    {
        var response = new ListBackupResponse { Vault = ByteString.CopyFrom(storage.Identity.Encode()) };
        var description = new byte[ShippedSegment.EncodedLength];
        var segments = storage.Backups.List(from, size, out var isEnd);
        foreach (var segment in segments)
        {
            segment.Encode(description);
            response.Segments.Add(ByteString.CopyFrom(description));
        }

        response.IsEnd = isEnd;
        return response;
    }

    private async ValueTask ReadAsync(ReadBackupRequest request, RpcWriter<ReadBackupResponse> writer, RpcContext context)
    {
        var segment = (request.Segment.Length == ShippedSegment.EncodedLength ? ShippedSegment.TryDecode(request.Segment.Span, storage.SegmentSizeBytes, isBackup: true) : null)
            ?? throw Errors.InvalidRequest("segment", "is no segment as ListBackup gives them").ToException();
        if (request.Offset >= (ulong)segment.LengthBytes)
        {
            throw Errors.InvalidRequest("offset", "lies behind the segment's bytes").ToException();
        }

        try
        {
            if (Interlocked.Increment(ref _reading) > limits[NodeLimits.BackupReads].Allowed)
            {
                throw Errors.BackupsRun().ToException();
            }

            await WriteAsync(segment, (long)request.Offset, writer, context);
        }
        finally
        {
            Interlocked.Decrement(ref _reading);
        }
    }

    private async ValueTask WriteAsync(ShippedSegment segment, long offset, RpcWriter<ReadBackupResponse> writer, RpcContext context)
    {
        var piece = new byte[PieceBytes];
        while (offset < segment.LengthBytes)
        {
            if (context.Draining.IsCancellationRequested)
            {
                throw Errors.Draining("the backup was cut short, and goes on where it was").ToException();
            }

            var read = storage.Backups.Read(segment, offset, piece);
            if (read <= 0)
            {
                writer.Write(new ReadBackupResponse { Changed = true });
                return;
            }

            Write(writer, piece.AsSpan(0, read));
            offset += read;
            await ReadPace.GiveWayAsync(writer.FlushAsync());
        }
    }

    private static void Write(RpcWriter<ReadBackupResponse> writer, ReadOnlySpan<byte> data)
    {
        Span<byte> header = stackalloc byte[1 + WireWriter.MaxVarintBytes];
        var length = WireWriter.DelimitedHeader(header, 0, ReadBackupResponse.DataFieldNumber, data.Length);
        var frame = writer.BeginFrame(length + data.Length);
        frame.Write(header[..length]);
        frame.Write(data);
    }
}
