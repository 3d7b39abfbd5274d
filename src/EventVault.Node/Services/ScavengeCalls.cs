// StartScavenge, StopScavenge, GetScavenge, ExplainScavenge. To start or stop one is an append of one event to `$streams`,
// so that all nodes know of it and remove the same; the work itself is the scavenge thread's.
using System.Buffers;
using System.Diagnostics;
using EventVault.Protocol;
using EventVault.Rpc;
using EventVault.Rpc.Server;
using EventVault.Storage;
using EventVault.Storage.Scavenging;
using Google.Protobuf;
using Position = EventVault.Storage.Position;

namespace EventVault.Node.Services;

/// <summary>The calls of <c>eventvault.v1.Admin</c> about scavenging.</summary>
internal sealed class ScavengeCalls(VaultStorage storage, SingleAppends appends, ScavengeThread thread, NodeLimits limits) : IAsyncDisposable
{
    private const int UsualPageSegments = 100;

    /// <summary>A page ends early once it took so long, and says where the next begins: a call has to be answered in time.</summary>
    private static readonly TimeSpan MostWork = TimeSpan.FromSeconds(1);

    // One at a time: each reads whole indexes, and nobody needs two.
    private readonly SemaphoreSlim _explaining = new(1);
    private readonly CancellationTokenSource _stopping = new();

    public void AddTo(RpcServer server) => server
        .UnaryRaw(
            RpcMethod<StartScavengeRequest, ScavengeStatus>.Of(VaultServices.Admin, "StartScavenge"),
            (request, context) => StartAsync(RequestFields.Parse(StartScavengeRequest.Parser, request), context))
        .UnaryRaw(
            RpcMethod<StopScavengeRequest, ScavengeStatus>.Of(VaultServices.Admin, "StopScavenge"),
            (request, context) => StopAsync(RequestFields.Parse(StopScavengeRequest.Parser, request), context))
        .UnaryRaw(RpcMethod<GetScavengeRequest, ScavengeStatus>.Of(VaultServices.Admin, "GetScavenge"), Get)
        .UnaryRaw(
            RpcMethod<ExplainScavengeRequest, ExplainScavengeResponse>.Of(VaultServices.Admin, "ExplainScavenge"),
            (request, context) => ExplainAsync(RequestFields.Parse(ExplainScavengeRequest.Parser, request), context));

    /// <summary>
    /// When no call can come any more: ends the explanation that runs, and waits for it. It looks at one segment to the end at the
    /// most, and the storage must not be closed below it.
    /// </summary>
    public async ValueTask DisposeAsync()
    {
        await _stopping.CancelAsync();
        await _explaining.WaitAsync();
        _explaining.Dispose();
        _stopping.Dispose();
    }

    private async ValueTask<ScavengeStatus> StartAsync(StartScavengeRequest request, RpcContext context)
    {
        await RecordAsync(request.OperationId, ScavengeChange.Start, context);
        thread.Wake();
        return Status();
    }

    private async ValueTask<ScavengeStatus> StopAsync(StopScavengeRequest request, RpcContext context)
    {
        // Also if none runs: one could have started before a retry comes, and would be stopped by it.
        StreamChangeRequests.OperationId(request.OperationId);
        appends.RequireLeader();
        if (storage.Scavenger.Progress.State != ScavengeState.Never)
        {
            await RecordAsync(request.OperationId, ScavengeChange.Stop, context);
        }

        return Status();
    }

    private ValueTask<ScavengeStatus> Get(ReadOnlySequence<byte> request, RpcContext context)
    {
        RequestFields.Parse(GetScavengeRequest.Parser, request);
        return ValueTask.FromResult(Status());
    }

    private async ValueTask<ExplainScavengeResponse> ExplainAsync(ExplainScavengeRequest request, RpcContext context)
    {
        var limit = limits[NodeLimits.ExplainPageSegments];
        if (request.PageSize > limit.Allowed)
        {
            throw Errors.LimitExceeded(limit, request.PageSize, "page_size").ToException();
        }

        using var ends = CancellationTokenSource.CreateLinkedTokenSource(context.Cancellation, context.Draining, _stopping.Token);
        try
        {
            await _explaining.WaitAsync(ends.Token);
            try
            {
                // On a thread of its own: those of the pool answer appends and reads.
                var size = request.PageSize == 0 ? UsualPageSegments : (int)request.PageSize;
                return await Task.Factory.StartNew(
                    () => Explain(request.FromSegment, size, ends.Token), ends.Token, TaskCreationOptions.LongRunning, TaskScheduler.Default);
            }
            finally
            {
                _explaining.Release();
            }
        }
        catch (OperationCanceledException) when (context.Draining.IsCancellationRequested)
        {
            throw Errors.Draining("the explanation was cut short").ToException();
        }
    }

    private ExplainScavengeResponse Explain(uint from, int size, CancellationToken cancellation)
    {
        var response = new ExplainScavengeResponse();
        var began = Stopwatch.GetTimestamp();
        uint? next = from;
        while (next is { } first && response.Segments.Count < size && (response.Segments.Count == 0 || Stopwatch.GetElapsedTime(began) < MostWork))
        {
            response.Segments.AddRange(storage.Scavenger.Explain(first, max: 1, cancellation, out next).Select(Explained));
            Invariant.Check(next is null || next > first, "A page of segments ends.");
        }

        if (next is { } more)
        {
            response.NextSegment = more;
        }

        return response;
    }

    private async ValueTask RecordAsync(ByteString id, ScavengeChange change, RpcContext context)
    {
        var append = appends.New(context);
        append.Content.Reset([]);
        append.Content.OperationId = StreamChangeRequests.OperationId(id);
        append.Content.SetScavenge(change);
        await appends.RecordAsync(append);
    }

    private ScavengeStatus Status()
    {
        var progress = storage.Scavenger.Progress;
        var problem = progress.State == ScavengeState.Running ? thread.Problem : null;
        var status = new ScavengeStatus
        {
            State = problem is not null ? "waiting" : Name(progress.State),
            StartedAt = progress.StartedAt,
            SegmentsDone = (uint)progress.SegmentsDone,
            SegmentsTotal = (uint)progress.SegmentsTotal,
            SegmentsRewritten = (uint)progress.SegmentsRewritten,
            BytesFreed = (ulong)Math.Max(progress.BytesFreed, 0),
            Why = problem ?? progress.Why ?? thread.StartProblem ?? string.Empty,
        };
        if (progress.Point != Position.None)
        {
            status.Point = (ulong)progress.Point.Value;
        }

        return status;
    }

    private static string Name(ScavengeState state) => state switch
    {
        ScavengeState.Never => "never",
        ScavengeState.Running => "running",
        ScavengeState.Waiting => "waiting",
        ScavengeState.Stopped => "stopped",
        ScavengeState.Done => "done",
        _ => throw new InvariantException($"{state} is no state of a scavenge."),
    };

    private static SegmentScavenge Explained(SegmentExplanation segment)
    {
        var message = new SegmentScavenge
        {
            Segment = segment.Segment,
            FirstPosition = (ulong)segment.FirstPosition.Value,
            Bytes = (ulong)segment.Bytes,
            Events = (ulong)segment.Events,
            RemovableEvents = (ulong)segment.RemovableEvents,
            RemovableBytes = (ulong)segment.RemovableBytes,
            VisibleEvents = (ulong)segment.VisibleEvents,
            SystemEvents = (ulong)segment.SystemEvents,
            HeldEvents = (ulong)segment.HeldEvents,
            Rewrites = segment.Rewrites,
            Why = segment.Why ?? string.Empty,
        };
        if (segment.LastPosition != Position.None)
        {
            message.LastPosition = (ulong)segment.LastPosition.Value;
        }

        if (segment.ScavengedAt != Position.None)
        {
            message.ScavengedAt = (ulong)segment.ScavengedAt.Value;
        }

        return message;
    }
}
