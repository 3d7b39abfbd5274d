using System.Buffers;
using System.Collections.Concurrent;
using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Text;
using EventVault.Node.Metrics;
using EventVault.Node.Security;
using EventVault.Node.Subscriptions;
using EventVault.Protocol;
using EventVault.Rpc;
using EventVault.Rpc.Server;
using EventVault.Storage;
using EventVault.Storage.Log;

namespace EventVault.Node.Services;

/// <summary>The service <c>eventvault.v1.Streams</c>.</summary>
internal sealed class StreamsService(
    VaultStorage storage, VaultLoop loop, SingleAppends appends, TruncateCall truncations, ReadCalls reads, CommitSignal committed, NodeFigures figures, NodeLimits limits, NodeOptions options,
    AccessGuard guard)
{
    /// <summary>Appends kept to be used again; more than so many at once are rare.</summary>
    private const int KeptAppends = 1024;

    /// <summary>Answers made one after the other by who completes a group: some 100 µs of work. Those of larger groups are for all threads.</summary>
    private const int MostAnswersInline = 32;

    private const int UsualPageStreams = 100;

    /// <summary>Names that one page looks at, deleted streams' included: some milliseconds of work.</summary>
    private const int MostListed = 4096;

    private readonly AppendRequestReader _requests = new(storage, limits);
    private readonly ConcurrentQueue<SingleAppend> _appends = new();

    private delegate void ReadChange(in ReadOnlySequence<byte> request, NodeLimits limits, AppendContent content);

    /// <summary>Subscriptions that are open.</summary>
    public long Subscriptions => figures.Subscriptions.Count;

    private RetentionCalls Retention => new(storage, reads.Consistent, limits);

    /// <summary>Ends reads and subscriptions whose clients keep memory that others wait for. Call it now and then.</summary>
    public void CutSlow() => figures.Subscriptions.WereCut(Pages.Large.CutSlow());

    /// <summary>What reads and subscriptions hold.</summary>
    public PageShare Pages => reads.Pages;

    public void AddTo(RpcServer server) => server
        .UnaryRaw(RpcMethod<AppendRequest, AppendResponse>.Of(VaultServices.Streams, "Append"), AppendAsync)
        .Duplex(
            RpcMethod<AppendSessionRequest, AppendSessionResponse>.Of(VaultServices.Streams, "AppendSession"),
            (reader, writer, context) => new AppendSession(storage, loop, _requests, figures.Appends, options, guard.AppendsOf(context), reader, writer, context).RunAsync())
        .ServerStreamingRaw(
            RpcMethod<ReadStreamRequest, ReadResponse>.Of(VaultServices.Streams, "ReadStream"),
            (request, writer, context) => reads.ReadStreamAsync(RequestFields.Parse(ReadStreamRequest.Parser, request), writer, context))
        .ServerStreamingRaw(
            RpcMethod<ReadAllRequest, ReadResponse>.Of(VaultServices.Streams, "ReadAll"),
            (request, writer, context) => reads.ReadAllAsync(RequestFields.Parse(ReadAllRequest.Parser, request), writer, context))
        .ServerStreamingRaw(RpcMethod<SubscribeRequest, ReadResponse>.Of(VaultServices.Streams, "Subscribe"), SubscribeAsync)
        .UnaryRaw(RpcMethod<GetStreamRequest, StreamInfo>.Of(VaultServices.Streams, "GetStream"), GetStreamAsync)
        .UnaryRaw(RpcMethod<ListStreamsRequest, ListStreamsResponse>.Of(VaultServices.Streams, "ListStreams"), ListStreamsAsync)
        .UnaryRaw(
            RpcMethod<CountEventsRequest, CountEventsResponse>.Of(VaultServices.Streams, "CountEvents"),
            (request, context) => reads.CountEventsAsync(RequestFields.Parse(CountEventsRequest.Parser, request), context))
        .UnaryRaw(RpcMethod<GetAppendRequest, AppendResponse>.Of(VaultServices.Streams, "GetAppend"), GetAppendAsync)
        .UnaryRaw(
            RpcMethod<DeleteStreamRequest, AppendResponse>.Of(VaultServices.Streams, "DeleteStream"),
            (request, context) => ChangeAsync(request, context, StreamChangeRequests.ReadDelete))
        .UnaryRaw(
            RpcMethod<TruncateStreamRequest, AppendResponse>.Of(VaultServices.Streams, "TruncateStream"),
            (request, context) => truncations.TruncateAsync(StreamChangeRequests.ReadTruncate(request, limits), context))
        .UnaryRaw(
            RpcMethod<SetRetentionRequest, AppendResponse>.Of(VaultServices.Streams, "SetRetention"),
            (request, context) => ChangeAsync(request, context, RetentionCalls.ReadSet))
        .UnaryRaw(RpcMethod<GetRetentionRequest, GetRetentionResponse>.Of(VaultServices.Streams, "GetRetention"), Retention.GetAsync)
        .UnaryRaw(RpcMethod<ListRetentionRequest, ListRetentionResponse>.Of(VaultServices.Streams, "ListRetention"), Retention.ListAsync);

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    private async ValueTask AppendAsync(ReadOnlySequence<byte> request, RpcWriter<AppendResponse> writer, RpcContext context)
    {
        if (!_appends.TryDequeue(out var append))
        {
            append = new SingleAppend(storage, MostAnswersInline);
        }

        append.Reset();
        appends.Begin(append, context);
        try
        {
            // Not cancelled with the call: the append goes on, and holds on to the bytes, whoever waits for it.
            var bytes = append.Copy(request);
            var refusal = _requests.Read(bytes, 0, (int)request.Length, append.Content) ?? AppendRights.LookUp(storage.Reader, append, guard.AppendsOf(context));
            var isKnown = append.Outcome == AppendOutcome.Known;
            refusal ??= isKnown ? null : appends.Queue(append);
            if (refusal is null && !isKnown)
            {
                await append.WaitAsync();
            }

            if (refusal is null && append.Outcome == AppendOutcome.Appended)
            {
                AppendAnswers.WriteAppended(append, writer);
                Count(append, refusal: null);
                return;
            }

            AppendResponse? response = null;
            refusal ??= AppendAnswers.Answer(storage.Reader, append, loop.LeaderAddress, out response);
            Count(append, refusal);
            writer.Write(response ?? throw refusal!.ToException());
        }
        finally
        {
            append.Content.Clear();
            if (_appends.Count < KeptAppends)
            {
                _appends.Enqueue(append);
            }
        }
    }

    private void Count(SingleAppend append, Refusal? refusal)
    {
        if (refusal is not null)
        {
            figures.Appends.Refused(refusal);
        }
        else if (append.Outcome == AppendOutcome.Appended)
        {
            figures.Appends.Durations.Record(AppendFigures.Nanoseconds(append.Arrived, Stopwatch.GetTimestamp()));
            figures.Appends.Appended(1, append.Content.EventCount, append.QueuedBytes);
            if (Tracing.ContextOf(append.Content.Event(0)) is { } trace)
            {
                Tracing.Appended(trace, append, Errors.Name(append.Content.Name(append.Content.Streams[0])), DateTimeOffset.UtcNow);
            }
        }
        else
        {
            figures.Appends.Deduplicated();
        }
    }

    // An append like any other, but to a stream of the vault's own, and not so frequent that its objects are worth keeping.
    private ValueTask<AppendResponse> ChangeAsync(ReadOnlySequence<byte> request, RpcContext context, ReadChange read)
    {
        var append = appends.New(context);
        read(request, limits, append.Content);
        return appends.RecordAsync(append);
    }

    private async ValueTask SubscribeAsync(ReadOnlySequence<byte> request, RpcWriter<ReadResponse> writer, RpcContext context)
    {
        var parsed = RequestFields.Parse(SubscribeRequest.Parser, request);
        context.DropRequest(); // It may be open for ever, and nobody else's request would find room.
        using var state = figures.Subscriptions.Begin();
        await reads.Consistent.WholeAsync(context);
        using var call = new SubscriptionCall(storage.Reader, committed, options.Clock, options.ProgressInterval, reads.Pages, state, figures.Delivered, writer, context);
        var filter = reads.Filters.Read(parsed.Filter, parsed.IncludeSystem);
        parsed.Filter = null; // Nor is it kept twice.
        await call.RunAsync(parsed, limits, filter);
    }

    private async ValueTask<StreamInfo> GetStreamAsync(ReadOnlySequence<byte> request, RpcContext context)
    {
        var parsed = RequestFields.Parse(GetStreamRequest.Parser, request);
        var name = StreamNames.Check(parsed.Stream, limits);
        await reads.Consistent.WaitAsync(parsed.Consistency, context);
        return storage.Streams.Find(name) is { } details ? Details(details) : throw Errors.StreamNotFound(parsed.Stream).ToException();
    }

    private async ValueTask<ListStreamsResponse> ListStreamsAsync(ReadOnlySequence<byte> request, RpcContext context)
    {
        var parsed = RequestFields.Parse(ListStreamsRequest.Parser, request);
        var limit = limits[NodeLimits.ListPageStreams];
        if (parsed.PageSize > limit.Allowed)
        {
            throw Errors.LimitExceeded(limit, parsed.PageSize, "page_size").ToException();
        }

        if (parsed.Category.Length > 0 && parsed.Prefix.Length > 0)
        {
            throw Errors.InvalidRequest("category", "stands beside a prefix: a page lists the one or the other").ToException();
        }

        var size = parsed.PageSize == 0 ? UsualPageStreams : (int)parsed.PageSize;
        var prefix = StreamNames.CheckLength(parsed.Prefix, "prefix", limits);
        var category = StreamNames.CheckLength(parsed.Category, "category", limits);
        EventFilters.CheckCategory(category, "category");
        var after = ReadToken(parsed.PageToken);
        await reads.Consistent.WaitAsync(parsed.Consistency, context);

        // One more than asked for tells whether there is another page.
        var page = category.Length > 0
            ? storage.Streams.ListCategory(category, after, size + 1, MostListed, out var lookedUntil)
            : storage.Streams.List(prefix, after, size + 1, MostListed, out lookedUntil);
        var response = new ListStreamsResponse();
        response.Streams.AddRange(page.Take(size).Select(Details));
        if (page.Count > size)
        {
            response.NextPageToken = Convert.ToBase64String(page[size - 1].Name);
        }
        else if (lookedUntil is not null)
        {
            response.NextPageToken = Convert.ToBase64String(lookedUntil);
        }

        return response;
    }

    private async ValueTask<AppendResponse> GetAppendAsync(ReadOnlySequence<byte> request, RpcContext context)
    {
        const int OperationIdBytes = 16;
        var parsed = RequestFields.Parse(GetAppendRequest.Parser, request);
        if (parsed.OperationId.Length != OperationIdBytes)
        {
            throw Errors.InvalidRequest("operation_id", $"must be {OperationIdBytes} bytes, has {AppendFields.Number(parsed.OperationId.Length)}").ToException();
        }

        await reads.Consistent.WaitAsync(parsed.Consistency, context);
        var id = System.Buffers.Binary.BinaryPrimitives.ReadUInt128BigEndian(parsed.OperationId.Span);
        return storage.Reader.FindAppend(id) is { } first ? AppendAnswers.FirstAnswer(first) : throw Errors.OperationNotFound().ToException();
    }

    /// <exception cref="RpcException">INVALID_ARGUMENT: it is none of ours.</exception>
    public static byte[] ReadToken(string token)
    {
        try
        {
            return Convert.FromBase64String(token);
        }
        catch (FormatException e)
        {
            throw ForeignToken().ToException(e);
        }
    }

    public static Refusal ForeignToken() => Errors.InvalidRequest("page_token", "is not a token that this server gave out");

    private static StreamInfo Details(StreamDetails details) => new()
    {
        Stream = Encoding.UTF8.GetString(details.Name),
        LastVersion = (ulong)details.LastVersion.Value,
        LastPosition = (ulong)details.LastPosition.Value,
        LastRecordedAt = details.LastRecordedAt,
        FirstVersion = (ulong)details.FirstVersion.Value,
        EventCount = (ulong)(details.LastVersion.Value - details.FirstVersion.Value + 1),
    };
}
