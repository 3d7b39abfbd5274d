using System.Collections.Concurrent;
using System.Net;
using System.Security.Cryptography.X509Certificates;
using EventVault.Rpc;
using EventVault.Rpc.Server;
using Google.Protobuf;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace EventVault.Client.Tests.Support;

/// <summary>A <see cref="MemoryVault"/> behind a real Kestrel, that misbehaves on cue.</summary>
public sealed class ScriptedVault : IAsyncDisposable
{
    private static readonly AsyncLocal<HttpContext?> Current = new();

    private readonly WebApplication _app;
    private int _appends;
    private int _sessions;
    private int _readCalls;
    private int _changes;
    private int _infos;

    private ScriptedVault(WebApplication app, RpcServer server, MemoryVault vault)
    {
        _app = app;
        Vault = vault;
        server.Use((context, next) =>
        {
            string call = context.Method[(context.Method.LastIndexOf('/') + 1)..];
            return Refuses(call) is not { } reason ? next(context)
                : throw Error(reason == Protocol.Reason.NotAllowed ? RpcCode.PermissionDenied : RpcCode.Unauthenticated, reason);
        });
        States.Map(server);
        server
            .Duplex(VaultMethods.AppendSession, AppendSessionAsync)
            .ServerStreaming(VaultMethods.ReadStream, ReadStreamAsync)
            .ServerStreaming(VaultMethods.ReadAll, ReadAllAsync)
            .ServerStreaming(VaultMethods.Subscribe, SubscribeAsync)
            .Unary(VaultMethods.GetStream, GetStreamAsync)
            .Unary(VaultMethods.ListStreams, ListStreamsAsync)
            .Unary(VaultMethods.CountEvents, CountEventsAsync)
            .Unary(VaultMethods.GetAppend, GetAppendAsync)
            .Unary(VaultMethods.DeleteStream, (request, _) => Change(() => Written(Vault.Change(
                request.OperationId, request.Stream, request.Expected, null, request.Tombstone, request.AttemptedAfter))))
            .Unary(VaultMethods.TruncateStream, (request, _) => Change(() => Written(Vault.Change(
                request.OperationId, request.Stream, request.Expected, request.Before, false, request.AttemptedAfter))))
            .Unary(VaultMethods.SetRetention, (request, _) => Change(() => Written(Vault.SetRetention(request))))
            .Unary(VaultMethods.GetRetention, GetRetentionAsync)
            .Unary(VaultMethods.ListRetention, ListRetentionAsync)
            .Unary(VaultMethods.StartScavenge, (request, _) => Change(() => Scavenge.Start(request.OperationId)))
            .Unary(VaultMethods.StopScavenge, (request, _) => Change(() => Scavenge.Stop(request.OperationId)))
            .Unary(VaultMethods.GetScavenge, (_, _) => ValueTask.FromResult(Scavenge.Status))
            .Unary(VaultMethods.ExplainScavenge, (request, _) => ValueTask.FromResult(Scavenge.Explain(request)))
            .Unary(VaultMethods.GetCluster, (_, _) => Answer(OnGetCluster))
            .Unary(VaultMethods.InitCluster, (request, _) => Answer(() => OnClusterChange(request)))
            .Unary(VaultMethods.AddNode, (request, _) => Answer(() => OnClusterChange(request)))
            .Unary(VaultMethods.RemoveNode, (request, _) => Answer(() => OnClusterChange(request)))
            .Unary(VaultMethods.ReplaceNode, (request, _) => Answer(() => OnClusterChange(request)))
            .Unary(VaultMethods.TransferLeadership, (request, _) => Answer(() => OnClusterChange(request)))
            .ServerStreaming(VaultMethods.ReadBackup, async (_, writer, _) =>
            {
                writer.WriteFrame(BackupPiece);
                await writer.FlushAsync();
            })
            .Unary(VaultMethods.GetInfo, GetInfoAsync)
            .Unary(VaultMethods.GetStatus, (_, _) => ValueTask.FromResult(new Protocol.GetStatusResponse { State = "serving", StartNumber = 7 }));
    }

    public MemoryVault Vault { get; }

    public ScriptedScavenge Scavenge { get; } = new();

    public ScriptedStates States { get; } = new();

    public string Address { get; private set; } = "";

    /// <summary>How it says that the nodes stand; null: it is older than clusters.</summary>
    public Func<Protocol.GetClusterResponse?> OnGetCluster { get; set; } = () => null;

    /// <summary>What becomes of a change of the nodes.</summary>
    public Func<IMessage, Protocol.GetClusterResponse?> OnClusterChange { get; set; } = _ => null;

    /// <summary>Why it refuses what only a leader does, with UNAVAILABLE; null: it leads.</summary>
    public Func<Protocol.Failure?> NoLeader { get; set; } = () => null;

    /// <summary>Why it refuses a call, by its name, as a node that asks for credentials does: before it looks at anything else; null: it takes it.</summary>
    public Func<string, Protocol.Reason?> Refuses { get; set; } = _ => null;

    /// <summary>As <see cref="NoLeader"/>, for reads and subscriptions.</summary>
    public Func<Protocol.Failure?> NoReads { get; set; } = () => null;

    /// <summary>As <see cref="NoLeader"/>, for the question who it is.</summary>
    public Func<Protocol.Failure?> NoInfo { get; set; } = () => null;

    /// <summary>Which vault it says it belongs to.</summary>
    public Guid VaultId { get; set; } = new("00112233-4455-6677-8899-aabbccddeeff");

    /// <summary>What to do with the n-th append that arrives, counted over all sessions from 1.</summary>
    public Func<int, Fault> OnAppend { get; set; } = _ => Fault.None;

    /// <summary>What to do with the n-th deletion or truncation, counted from 1.</summary>
    public Func<int, Fault> OnChange { get; set; } = _ => Fault.None;

    /// <summary>What reads and calls asked to have seen, in the order in which they came; null: they left it out.</summary>
    public ConcurrentQueue<Protocol.Consistency?> Consistencies { get; } = new();

    /// <summary>Refuses a position that is not there yet at once instead of waiting for it.</summary>
    public bool RefusesWhenBehind { get; set; }

    /// <summary>Completes before the n-th append is looked at.</summary>
    public Func<int, Task> BeforeAppend { get; set; } = _ => Task.CompletedTask;

    /// <summary>Completes before a change, or a question after a stream, is looked at.</summary>
    public Func<Task> BeforeUnary { get; set; } = () => Task.CompletedTask;

    /// <summary>Completes before the n-th question who it is is looked at, counted from 1.</summary>
    public Func<int, Task> BeforeInfo { get; set; } = _ => Task.CompletedTask;

    /// <summary>After how many events the n-th read or subscription call breaks off; null: never.</summary>
    public Func<int, int?> CutReadAfter { get; set; } = _ => null;

    /// <summary>Completes before a read or subscription sends its head, which was taken before.</summary>
    public Func<Task> BeforeHead { get; set; } = () => Task.CompletedTask;

    /// <summary>Completes before a read or subscription sends anything behind its head.</summary>
    public Func<Task> AfterHead { get; set; } = () => Task.CompletedTask;

    /// <summary>Break off with DRAINING instead of a cut connection.</summary>
    public bool DrainReads { get; set; }

    /// <summary>Sends every page of events twice.</summary>
    public bool RepeatPages { get; set; }

    /// <summary>The only message of an answer to ReadBackup, encoded.</summary>
    public byte[] BackupPiece { get; set; } = [];

    public int EventsPerPage { get; set; } = 3;

    public List<Protocol.Limit> Limits { get; } = [];

    /// <summary>How often a unary call is refused with UNAVAILABLE before it is served.</summary>
    public int UnaryRefusals { get; set; }

    public int Appends => Volatile.Read(ref _appends);

    public int Sessions => Volatile.Read(ref _sessions);

    public int ReadCalls => Volatile.Read(ref _readCalls);

    public int Changes => Volatile.Read(ref _changes);

    public int Infos => Volatile.Read(ref _infos);

    public static async Task<ScriptedVault> StartAsync(MemoryVault? vault = null, int port = 0, X509Certificate2? certificate = null)
    {
        var server = new RpcServer();
        WebApplicationBuilder builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.WebHost.UseKestrelCore();
        builder.WebHost.ConfigureKestrel(options =>
        {
            options.ConfigureForRpc();
            options.Listen(IPAddress.Loopback, port, listen =>
            {
                listen.Protocols = HttpProtocols.Http2;
                if (certificate is not null)
                {
                    listen.UseHttps(certificate);
                }
            });
        });
        if (certificate is not null)
        {
            builder.WebHost.UseKestrelHttpsConfiguration();
        }

        WebApplication app = builder.Build();
        var scripted = new ScriptedVault(app, server, vault ?? new MemoryVault());
        app.Use(next => http =>
        {
            Current.Value = http;
            return next(http);
        });
        app.UseRpc(server);
        await app.StartAsync();
        scripted.Address = app.Urls.First().Replace("http", "eventvault", StringComparison.Ordinal);
        return scripted;
    }

    public VaultClient Connect(VaultClientOptions? options = null) => VaultClient.Connect(Address, options);

    public async ValueTask DisposeAsync()
    {
        using var atOnce = new CancellationTokenSource(TimeSpan.Zero);
        await _app.StopAsync(atOnce.Token);
        await _app.DisposeAsync();
    }

    private static void CutConnection() => Current.Value!.Features.Get<IConnectionLifetimeFeature>()!.Abort();

    private static RpcException Error(RpcCode code, Protocol.Reason reason, string stream = "")
    {
        var failure = new Protocol.Failure { Reason = reason, Message = $"Refused on cue: {reason}.", Stream = stream };
        return Error(code, new Protocol.ErrorDetail { Failures = { failure } });
    }

    private static ValueTask<Protocol.GetClusterResponse> Answer(Func<Protocol.GetClusterResponse?> answer) =>
        ValueTask.FromResult(answer() ?? throw new RpcException(RpcCode.Unimplemented, "Not served on cue."));

    private static void RefuseIf(Func<Protocol.Failure?> why)
    {
        if (why() is { } failure)
        {
            throw Error(RpcCode.Unavailable, new Protocol.ErrorDetail { Failures = { failure } });
        }
    }

    private static RpcException Error(RpcCode code, Protocol.ErrorDetail detail)
    {
        var trailers = new RpcMetadata();
        trailers.Add(VaultErrors.DetailTrailer, detail.ToByteArray());
        return new RpcException(code, detail.Failures[0].Message, trailers);
    }

    private async ValueTask AppendSessionAsync(
        RpcReader<Protocol.AppendSessionRequest> reader, RpcWriter<Protocol.AppendSessionResponse> writer, RpcContext context)
    {
        Interlocked.Increment(ref _sessions);
        while (await reader.MoveNextAsync())
        {
            var answer = new Protocol.AppendSessionResponse();
            do
            {
                int number = Interlocked.Increment(ref _appends);
                await BeforeAppend(number);
                Protocol.AppendSessionRequest request = reader.Current;
                if (NoLeader() is { } why)
                {
                    await RefuseAllAsync(request.RequestId, why, answer, writer);
                }

                if (!await StepAsync(OnAppend(number), request, answer, writer))
                {
                    return;
                }
            }
            while (reader.TryRead());
            if (answer.Results.Count > 0)
            {
                await writer.WriteAsync(answer);
            }
        }
    }

    private static async Task RefuseAllAsync(
        ulong id, Protocol.Failure why, Protocol.AppendSessionResponse answer, RpcWriter<Protocol.AppendSessionResponse> writer)
    {
        var detail = new Protocol.ErrorDetail { Failures = { why } };
        answer.Results.Add(MemoryVault.Failed(id, RpcCode.Unavailable, detail));
        await writer.WriteAsync(answer);
        throw Error(RpcCode.Unavailable, detail);
    }

    // False: the call is over.
    private async Task<bool> StepAsync(
        Fault fault, Protocol.AppendSessionRequest request, Protocol.AppendSessionResponse answer, RpcWriter<Protocol.AppendSessionResponse> writer)
    {
        ulong id = request.RequestId;
        switch (fault)
        {
            case Fault.None:
                answer.Results.Add(Vault.Append(id, request.Append));
                return true;
            case Fault.AnswerTwice:
                answer.Results.Add(Vault.Append(id, request.Append));
                answer.Results.Add(answer.Results[^1].Clone());
                return true;
            case Fault.AnswerOutOfTurn:
                answer.Results.Add(Vault.Append(id + 1, request.Append));
                return true;
            case Fault.NotAllowed or Fault.LimitExceeded or Fault.UnknownField or Fault.Damaged:
                (RpcCode status, Protocol.Reason why) = Refusal(fault);
                answer.Results.Add(MemoryVault.Refused(id, status, why));
                return true;
            case Fault.CutBefore:
                CutConnection();
                return false;
            case Fault.CutAfter:
                Vault.Append(id, request.Append);
                CutConnection();
                return false;
            case Fault.ResetBefore:
                Current.Value!.Abort();
                return false;
            case Fault.ResetAfter:
                Vault.Append(id, request.Append);
                Current.Value!.Abort();
                return false;
            default:
                break;
        }

        // Answers given so far go out before the end.
        await writer.WriteAsync(answer);
        answer.Results.Clear();
        switch (fault)
        {
            case Fault.EndCall:
                return false;
            case Fault.EndCallDraining:
                Vault.Append(id, request.Append);
                throw Error(RpcCode.Unavailable, Protocol.Reason.Draining);
            case Fault.EndCallCredentialsEnded:
                Vault.Append(id, request.Append);
                throw Error(RpcCode.Unauthenticated, Protocol.Reason.CredentialsEnded);
            case Fault.AnswerGarbage:
                Vault.Append(id, request.Append);
                writer.WriteFrame([0x0A, 0x7F, 0x01]);
                await writer.FlushAsync();
                return true;
            default:
                break;
        }

        (RpcCode code, Protocol.Reason reason) = fault switch
        {
            Fault.RefuseOverloaded => (RpcCode.ResourceExhausted, Protocol.Reason.Overloaded),
            Fault.RefuseDraining => (RpcCode.Unavailable, Protocol.Reason.Draining),
            Fault.RefuseStoreFull => (RpcCode.ResourceExhausted, Protocol.Reason.StoreFull),
            Fault.RefuseTimedOut => (RpcCode.DeadlineExceeded, Protocol.Reason.TimedOutInQueue),
            Fault.RefuseOutcomeUnknown => (RpcCode.Unavailable, Protocol.Reason.OutcomeUnknown),
            _ => throw new InvalidOperationException($"No step for {fault}."),
        };
        var refusal = new Protocol.AppendSessionResponse { Results = { MemoryVault.Refused(id, code, reason, 1) } };
        await writer.WriteAsync(refusal);
        throw Error(code, reason);
    }

    private static (RpcCode Code, Protocol.Reason Reason) Refusal(Fault fault) => fault switch
    {
        Fault.NotAllowed => (RpcCode.PermissionDenied, Protocol.Reason.NotAllowed),
        Fault.LimitExceeded => (RpcCode.InvalidArgument, Protocol.Reason.LimitExceeded),
        Fault.UnknownField => (RpcCode.InvalidArgument, Protocol.Reason.UnknownField),
        Fault.Damaged => (RpcCode.DataLoss, Protocol.Reason.Damaged),
        _ => throw new InvalidOperationException($"No refusal for {fault}."),
    };

    private async ValueTask ReadStreamAsync(Protocol.ReadStreamRequest request, RpcWriter<Protocol.ReadResponse> writer, RpcContext context)
    {
        RefuseIf(NoReads);
        await ReachAsync(request.Consistency, context);
        if (Vault.Stream(request.Stream) is null)
        {
            throw Error(RpcCode.NotFound, Protocol.Reason.StreamNotFound, request.Stream);
        }

        Protocol.ReadHead head = Vault.Head(request.Stream);
        await SendAsync(
            head, Vault.Read(request.Stream, request.From, request.Until, request.Direction, request.Limit), writer, new Cut(NextCut()));
    }

    private async ValueTask ReadAllAsync(Protocol.ReadAllRequest request, RpcWriter<Protocol.ReadResponse> writer, RpcContext context)
    {
        RefuseIf(NoReads);
        await ReachAsync(request.Consistency, context);
        await SendAsync(
            Vault.Head(null),
            Vault.Read(null, request.From, request.Until, request.Direction, request.Limit, request.Filter, request.IncludeSystem),
            writer,
            new Cut(NextCut()));
    }

    private async ValueTask SubscribeAsync(Protocol.SubscribeRequest request, RpcWriter<Protocol.ReadResponse> writer, RpcContext context)
    {
        RefuseIf(NoReads);
        string? stream = request.SourceCase == Protocol.SubscribeRequest.SourceOneofCase.Stream ? request.Stream : null;
        var cut = new Cut(NextCut());
        Protocol.ReadHead head = Vault.Head(stream);
        Protocol.ReadBound? from = request.StartCase switch
        {
            Protocol.SubscribeRequest.StartOneofCase.End => new Protocol.ReadBound { Position = head.HasLastPosition ? head.LastPosition + 1 : 0 },
            _ => request.From,
        };
        Protocol.ReadHead? first = head;
        while (true)
        {
            Task changed = Vault.Changed;
            List<Protocol.RecordedEvent> events = Vault.Read(stream, from, null, Protocol.Direction.Forwards, 0, request.Filter, request.IncludeSystem);
            if (!await SendAsync(first, events, writer, cut))
            {
                return;
            }

            first = null;
            Protocol.ReadHead now = Vault.Head(null);
            if (!changed.IsCompleted)
            {
                // Nothing was appended between the list and this head, so the list reaches up to it.
                await writer.WriteAsync(new Protocol.ReadResponse { CaughtUp = ProgressTo(now) });
            }

            if (events.Count > 0)
            {
                from = new Protocol.ReadBound { Position = events[^1].Position + 1 };
            }

            await changed.WaitAsync(context.Cancellation);
        }
    }

    private static Protocol.Progress ProgressTo(Protocol.ReadHead head)
    {
        var progress = new Protocol.Progress { Time = head.RecordedAt };
        if (head.HasLastPosition)
        {
            progress.Position = head.LastPosition;
        }

        return progress;
    }

    // False: the connection was cut on cue.
    private async Task<bool> SendAsync(
        Protocol.ReadHead? head, List<Protocol.RecordedEvent> events, RpcWriter<Protocol.ReadResponse> writer, Cut cut)
    {
        if (head is not null)
        {
            await BeforeHead();
            await writer.WriteAsync(new Protocol.ReadResponse { Head = head });
            await AfterHead();
        }

        for (int i = 0; i < events.Count; i += EventsPerPage)
        {
            var page = new Protocol.EventList();
            int count = Math.Min(EventsPerPage, Math.Min(events.Count - i, cut.Left));
            page.Events.AddRange(events.Skip(i).Take(count));
            cut.Left -= count;
            for (int n = 0; n < (RepeatPages ? 2 : 1) && count > 0; n++)
            {
                await writer.WriteAsync(new Protocol.ReadResponse { Events = page });
            }

            if (cut.Left > 0)
            {
                continue;
            }

            if (DrainReads)
            {
                throw Error(RpcCode.Unavailable, Protocol.Reason.Draining);
            }

            // An abort throws away what the client has not read yet: without a chance to read it would never get on.
            await Task.Delay(5);
            CutConnection();
            return false;
        }

        return true;
    }

    private int? NextCut() => CutReadAfter(Interlocked.Increment(ref _readCalls));

    private async ValueTask<Protocol.StreamInfo> GetStreamAsync(Protocol.GetStreamRequest request, RpcContext context)
    {
        await BeforeUnary();
        Refuse();
        RefuseIf(NoReads);
        await ReachAsync(request.Consistency, context);
        return Vault.Stream(request.Stream) ?? throw Error(RpcCode.NotFound, Protocol.Reason.StreamNotFound, request.Stream);
    }

    private async ValueTask<Protocol.CountEventsResponse> CountEventsAsync(Protocol.CountEventsRequest request, RpcContext context)
    {
        await ReachAsync(request.Consistency, context);
        return new Protocol.CountEventsResponse { Count = Vault.Count(request.Filter, request.From, request.Until), Head = Vault.Head(null) };
    }

    private async ValueTask<Protocol.AppendResponse> GetAppendAsync(Protocol.GetAppendRequest request, RpcContext context)
    {
        await ReachAsync(request.Consistency, context);
        return Vault.Operation(request.OperationId) ?? throw Error(RpcCode.NotFound, Protocol.Reason.OperationNotFound);
    }

    private async ValueTask<T> Change<T>(Func<T> change)
    {
        await BeforeUnary();
        RefuseIf(NoLeader);
        Fault fault = OnChange(Interlocked.Increment(ref _changes));
        switch (fault)
        {
            case Fault.CutBefore:
                CutConnection();
                throw Error(RpcCode.Unavailable, Protocol.Reason.Draining);
            case Fault.RefuseDraining:
                throw Error(RpcCode.Unavailable, Protocol.Reason.Draining);
            case Fault.RefuseStoreFull:
                throw Error(RpcCode.ResourceExhausted, Protocol.Reason.StoreFull);
            case Fault.LimitExceeded or Fault.UnknownField or Fault.Damaged:
                (RpcCode status, Protocol.Reason why) = Refusal(fault);
                throw Error(status, why);
            default:
                break;
        }

        T answer = change();
        if (fault == Fault.CutAfter)
        {
            CutConnection();
        }

        return answer;
    }

    private static Protocol.AppendResponse Written((Protocol.AppendResponse? Response, RpcCode Code, Protocol.ErrorDetail? Detail) result) =>
        result.Response ?? throw Error(result.Code, result.Detail!);

    private async ValueTask<Protocol.GetRetentionResponse> GetRetentionAsync(Protocol.GetRetentionRequest request, RpcContext context)
    {
        await ReachAsync(request.Consistency, context);
        return Vault.Retention.Of(request.Scope);
    }

    private async ValueTask<Protocol.ListRetentionResponse> ListRetentionAsync(Protocol.ListRetentionRequest request, RpcContext context)
    {
        await ReachAsync(request.Consistency, context);
        List<Protocol.RetentionEntry> all = [.. Vault.Retention.All];
        int start = request.PageToken.Length == 0 ? 0 : int.Parse(request.PageToken, System.Globalization.CultureInfo.InvariantCulture);
        int end = start + (int)request.PageSize;
        var page = new Protocol.ListRetentionResponse { NextPageToken = end < all.Count ? $"{end}" : "" };
        page.Entries.AddRange(all.Skip(start).Take((int)request.PageSize));
        return page;
    }

    private async Task ReachAsync(Protocol.Consistency? consistency, RpcContext context)
    {
        Consistencies.Enqueue(consistency);
        while (consistency is { HasAtLeast: true })
        {
            Task changed = Vault.Changed;
            Protocol.ReadHead head = Vault.Head(null);
            if (head.HasLastPosition && head.LastPosition >= consistency.AtLeast)
            {
                return;
            }

            if (RefusesWhenBehind)
            {
                var failure = new Protocol.Failure { Reason = Protocol.Reason.TimedOutBehind, Message = "The node is behind." };
                if (head.HasLastPosition)
                {
                    failure.Position = head.LastPosition;
                }

                throw Error(RpcCode.DeadlineExceeded, new Protocol.ErrorDetail { Failures = { failure } });
            }

            await changed.WaitAsync(context.Cancellation);
        }
    }

    private async ValueTask<Protocol.ListStreamsResponse> ListStreamsAsync(Protocol.ListStreamsRequest request, RpcContext context)
    {
        await ReachAsync(request.Consistency, context);
        List<string> names = Vault.StreamNames(request.Prefix, request.Category);
        int start = request.PageToken.Length == 0 ? 0 : names.IndexOf(request.PageToken);
        var page = new Protocol.ListStreamsResponse();
        page.Streams.AddRange(names.Skip(start).Take((int)request.PageSize).Select(n => Vault.Stream(n)!));
        if (start + (int)request.PageSize < names.Count)
        {
            page.NextPageToken = names[start + (int)request.PageSize];
        }

        return page;
    }

    private async ValueTask<Protocol.GetInfoResponse> GetInfoAsync(Protocol.GetInfoRequest request, RpcContext context)
    {
        await BeforeInfo(Interlocked.Increment(ref _infos)).WaitAsync(context.Cancellation);
        RefuseIf(NoInfo);
        var info = new Protocol.GetInfoResponse { Version = "0.1.0", VaultId = ByteString.CopyFrom(VaultId.ToByteArray(bigEndian: true)) };
        info.Limits.AddRange(Limits);
        Protocol.ReadHead head = Vault.Head(null);
        if (head.HasLastPosition)
        {
            info.Head = head.LastPosition;
            info.HeadRecordedAt = head.RecordedAt;
        }

        if (Vault.OperationFloor is { } floor)
        {
            info.OperationFloor = floor;
        }

        return info;
    }

    private void Refuse()
    {
        if (UnaryRefusals > 0)
        {
            UnaryRefusals--;
            throw Error(RpcCode.Unavailable, Protocol.Reason.Draining);
        }
    }

    private sealed class Cut(int? after)
    {
        public int Left { get; set; } = after ?? int.MaxValue;
    }
}
