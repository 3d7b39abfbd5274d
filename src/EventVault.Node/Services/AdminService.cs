using System.Buffers;
using System.Reflection;
using EventVault.Node.Replication;
using EventVault.Protocol;
using EventVault.Rpc;
using EventVault.Rpc.Server;
using EventVault.Storage;
using Google.Protobuf;
using Position = EventVault.Storage.Position;

namespace EventVault.Node.Services;

/// <summary>The service <c>eventvault.v1.Admin</c>.</summary>
internal sealed class AdminService(
    VaultStorage storage, VaultLoop loop, Replica replica, LogWriter writer, StreamsService streams, NodeLimits limits, NodeHealth health, long startedAt)
{
    /// <summary>Of this program, such as 0.1.0.</summary>
    public static string Version { get; } = ReadVersion();

    public void AddTo(RpcServer server) => server
        .UnaryRaw(RpcMethod<GetInfoRequest, GetInfoResponse>.Of(VaultServices.Admin, "GetInfo"), GetInfo)
        .UnaryRaw(RpcMethod<GetStatusRequest, GetStatusResponse>.Of(VaultServices.Admin, "GetStatus"), GetStatus);

    private ValueTask<GetInfoResponse> GetInfo(ReadOnlySequence<byte> request, RpcContext context)
    {
        RequestFields.Parse(GetInfoRequest.Parser, request);
        var info = new GetInfoResponse
        {
            Version = Version,
            VaultId = ByteString.CopyFrom(storage.VaultId.ToByteArray(bigEndian: true)),
            SegmentSizeBytes = storage.SegmentSizeBytes,
        };
        info.Limits.AddRange(limits.All.Select(l => new Limit { Name = l.Name, Allowed = (ulong)l.Allowed, Setting = l.Setting }));
        var head = storage.Head;
        if (head != Position.None)
        {
            info.Head = (ulong)head.Value;
            info.HeadRecordedAt = storage.Reader.RecordedAt(head);
        }

        if (storage.OperationFloor is var floor && floor != Position.None)
        {
            info.OperationFloor = (ulong)floor.Value;
        }

        return ValueTask.FromResult(info);
    }

    private ValueTask<GetStatusResponse> GetStatus(ReadOnlySequence<byte> request, RpcContext context)
    {
        RequestFields.Parse(GetStatusRequest.Parser, request);
        var (@sealed, @unsealed) = storage.SegmentCounts;
        var status = new GetStatusResponse
        {
            State = health.State,
            StartedAt = startedAt,
            StartNumber = storage.StartNumber,
            Term = replica.PublishedTerm,
            CommitIndex = storage.CommitIndex.Value,
            SegmentsSealed = (uint)@sealed,
            SegmentsUnsealed = (uint)@unsealed,
            LogBytes = (ulong)Math.Max(((@sealed + @unsealed) * (long)storage.SegmentSizeBytes) - storage.Scavenger.Progress.BytesFreed, 0),
            FreeBytes = (ulong)Math.Max(storage.FreeBytes, 0),
            AppendsWaiting = (ulong)Math.Max(loop.Waiting, 0),
            Subscriptions = (ulong)streams.Subscriptions,
            Appends = (ulong)replica.Appends,
            EventsAppended = (ulong)replica.Events,
            GroupsFlushed = (ulong)writer.GroupsFlushed,
            MemoryBytes = (ulong)Environment.WorkingSet,
        };
        var head = storage.Head;
        if (head != Position.None)
        {
            status.Head = (ulong)head.Value;
            status.HeadRecordedAt = storage.Reader.RecordedAt(head);
        }

        return ValueTask.FromResult(status);
    }

    // The build may add the commit behind a plus sign; the version is what stands before it.
    private static string ReadVersion() =>
        typeof(AdminService).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()!.InformationalVersion.Split('+')[0];
}
