// Spans of the node: calls, and what becomes of an event whose metadata says that its trace is recorded. All of it is skipped, but for one look, unless somebody listens,
// which is so only where spans are exported (OtlpExport).
using System.Diagnostics;
using System.Text;
using EventVault.Rpc;
using EventVault.Rpc.Server;
using EventVault.Storage.Log;

namespace EventVault.Node.Metrics;

/// <summary>Makes spans. For every thread.</summary>
internal static class Tracing
{
    /// <summary>Name of the node's activity source.</summary>
    public const string SourceName = "EventVault.Node";

    private const string TraceParent = "traceparent";
    private const string TraceState = "tracestate";

    private static readonly ActivitySource Source = new(SourceName);

    /// <summary>Whether somebody listens.</summary>
    public static bool IsOn => Source.HasListeners();

    /// <summary>A filter that makes a span of each call, below the one that its client names, but for those that last as long as their client likes.</summary>
    public static ValueTask CallAsync(RpcContext context, RpcHandler next) => IsOn && !CallFigures.IsLongLived(context.Method) ? TracedAsync(context, next) : next(context);

    /// <summary>The context that an event's metadata names, if its trace is recorded; null otherwise, or if nobody listens.</summary>
    /// <param name="eventData">The event, checked before.</param>
    public static ActivityContext? ContextOf(ReadOnlySpan<byte> eventData)
    {
        if (!IsOn || !EventMetadata.TryRead(eventData, "traceparent"u8, out var parent))
        {
            return null;
        }

        EventMetadata.TryRead(eventData, "tracestate"u8, out var state);
        return ActivityContext.TryParse(Encoding.UTF8.GetString(parent), state.IsEmpty ? null : Encoding.UTF8.GetString(state), isRemote: true, out var context)
            && context.TraceFlags.HasFlag(ActivityTraceFlags.Recorded) ? context : null;
    }

    /// <summary>
    /// An append is answered that was written: its time in the node, and within that from its place in the log to its commit.
    /// </summary>
    /// <param name="context">That of its first event.</param>
    /// <param name="append">The append.</param>
    /// <param name="stream">Name of its first stream.</param>
    /// <param name="committedAt">When it was committed.</param>
    public static void Appended(ActivityContext context, QueuedAppend append, string stream, DateTimeOffset committedAt)
    {
        var now = DateTimeOffset.UtcNow;
        using var whole = Source.StartActivity(Named("append", stream), ActivityKind.Server, context, startTime: now - Stopwatch.GetElapsedTime(append.Arrived));
        if (whole is null)
        {
            return;
        }

        whole.SetTag("eventvault.stream", stream);
        whole.SetTag("eventvault.position", append.First.Value);
        whole.SetTag("eventvault.events", append.Content.EventCount);
        var recorded = DateTimeOffset.UnixEpoch.AddTicks(append.RecordedAt); // Runs ahead of the clock where appends come faster than its ticks.
        using var commit = Source.StartActivity("commit", ActivityKind.Internal, whole.Context, startTime: recorded < committedAt ? recorded : committedAt);
        commit?.SetEndTime(committedAt.UtcDateTime);
        commit?.Dispose();
        whole.SetEndTime(now.UtcDateTime);
    }

    /// <summary>An event was handed to a subscription: a span without length.</summary>
    /// <param name="context">That of the event.</param>
    /// <param name="stream">Its stream.</param>
    /// <param name="position">Where it stands.</param>
    public static void Delivered(ActivityContext context, string stream, long position)
    {
        using var deliver = Source.StartActivity(Named("deliver", stream), ActivityKind.Producer, context, links: [new ActivityLink(context)]);
        deliver?.SetTag("eventvault.stream", stream);
        deliver?.SetTag("eventvault.position", position);
    }

    private static async ValueTask TracedAsync(RpcContext context, RpcHandler next)
    {
        context.RequestMetadata.TryGet(TraceParent, out var name);
        context.RequestMetadata.TryGet(TraceState, out var state);
        ActivityContext.TryParse(name, state, isRemote: true, out var parent);
        using var activity = Source.StartActivity(context.Method[1..], ActivityKind.Server, parent);
        activity?.SetTag("rpc.system.name", "grpc");
        activity?.SetTag("rpc.method", context.Method[1..]);
        try
        {
            await next(context);
        }
        catch (Exception e)
        {
            activity?.SetTag("rpc.response.status_code", (e as RpcException)?.Status.Code.ToString());
            activity?.SetStatus(ActivityStatusCode.Error, e.Message);
            throw;
        }
    }

    // Names of spans have few values, so a stream that is in no category stays unnamed.
    private static string Named(string operation, string stream) => stream.IndexOf('-', StringComparison.Ordinal) is var end and > 0 ? $"{operation} {stream[..end]}" : operation;
}
