using System.Diagnostics;

namespace EventVault.Client;

/// <summary>
/// Traces of events, from their append to whoever is told of them. Nothing is traced, and nothing is added to events, unless somebody listens to the source
/// <see cref="SourceName"/> (with OpenTelemetry's SDK: <c>AddSource(VaultTracing.SourceName)</c>).
/// </summary>
/// <remarks>
/// An append makes a span <c>append CATEGORY</c>, and its context goes into the metadata of the events (<c>traceparent</c>, <c>tracestate</c>) if the trace is recorded,
/// the events have none, and the application has not named the operation id: a repeat must have the same content, so there the application adds it, with <see cref="Stamp"/>.
/// So whoever may repeat an append by hand names its operation id and stamps the events before the first attempt, and repeats with the very same events. What the
/// client has stamped nobody else has: a repeat of that by hand, with <see cref="VaultException.OperationId"/>, is written if the first attempt was not, and is refused with
/// <see cref="VaultErrorCode.OperationIdReused"/> if it was, at <see cref="VaultFailure.FirstPosition"/>.
/// A subscription makes a span <c>receive CATEGORY</c> for each event that has a context, linked to the append.
/// </remarks>
public static class VaultTracing
{
    /// <summary>Name of the client's activity source.</summary>
    public const string SourceName = "EventVault.Client";

    private const string TraceParent = "traceparent";
    private const string TraceState = "tracestate";
    private const string Stream = "eventvault.stream";
    private const string ErrorType = "error.type";

    private static readonly ActivitySource Source = new(SourceName);

    /// <summary>Whether somebody listens.</summary>
    internal static bool IsOn => Source.HasListeners();

    /// <summary>The context in which an event was appended; null: its metadata has none that can be read.</summary>
    /// <param name="recorded">The event.</param>
    public static ActivityContext? ContextOf(RecordedEvent recorded)
    {
        ArgumentNullException.ThrowIfNull(recorded);
        return recorded.Metadata.TryGetValue(TraceParent, out string? parent)
            && ActivityContext.TryParse(parent, recorded.Metadata.GetValueOrDefault(TraceState), isRemote: true, out ActivityContext context)
                ? context
                : null;
    }

    /// <summary>Begins a span <c>process CATEGORY</c> for the work that an event causes: dispose it when that is done. It becomes the current one.</summary>
    /// <param name="recorded">The event.</param>
    /// <returns>Null: nobody listens.</returns>
    public static Activity? StartProcessing(RecordedEvent recorded) => Start("process", recorded);

    /// <summary>An event with the current activity's context in its metadata, unless it has one; the same event if there is no current activity.</summary>
    /// <param name="event">The event.</param>
    public static EventData Stamp(EventData @event)
    {
        ArgumentNullException.ThrowIfNull(@event);
        return Activity.Current is { IdFormat: ActivityIdFormat.W3C, Id: { } id } activity ? With(@event, id, activity.TraceStateString) : @event;
    }

    /// <summary>Appends within a span, if the trace is recorded. What the caller does meanwhile is not within it.</summary>
    internal static async Task<AppendResult> AppendAsync(
        IReadOnlyList<StreamAppend> streams, AppendOptions? options, VaultLimits limits, Func<IReadOnlyList<StreamAppend>, Task<AppendResult>> append)
    {
        using Activity? activity = StartAppend(streams);
        try
        {
            // A repeat must have the content of the first attempt, and belongs to another trace.
            IReadOnlyList<StreamAppend> stamped = activity is not null && options?.OperationId is null ? Stamped(streams, activity) : streams;
            return await append(ReferenceEquals(stamped, streams) || Fits(stamped, limits, options) ? stamped : streams).ConfigureAwait(false);
        }
        catch (VaultException e)
        {
            activity?.SetStatus(ActivityStatusCode.Error, e.Message);
            activity?.SetTag(ErrorType, e.Code.ToString());
            throw;
        }
    }

    /// <summary>An event was delivered: a span without length, which marks when and where.</summary>
    internal static void Received(RecordedEvent recorded)
    {
        if (IsOn && recorded.Metadata.ContainsKey(TraceParent))
        {
            Start("receive", recorded)?.Dispose();
        }
    }

    private static Activity? StartAppend(IReadOnlyList<StreamAppend> streams)
    {
        string stream = streams is [{ Stream: { } first }, ..] ? first : string.Empty;
        Activity? activity = Source.StartActivity(Named("append", stream), ActivityKind.Producer);
        if (activity is { IsAllDataRequested: true })
        {
            Describe(activity, "append", "send", stream);
            activity.SetTag("eventvault.events", streams.Sum(static s => s.Events.Count));
        }

        return activity;
    }

    // What has no room for a context goes without.
    private static bool Fits(IReadOnlyList<StreamAppend> streams, VaultLimits limits, AppendOptions? options)
    {
        try
        {
            AppendEncoder.Measure(streams, limits, options);
            return true;
        }
        catch (VaultException)
        {
            return false;
        }
    }

    private static IReadOnlyList<StreamAppend> Stamped(IReadOnlyList<StreamAppend> streams, Activity activity) =>
        activity is { Recorded: true, IdFormat: ActivityIdFormat.W3C, Id: { } id }
            ? [.. streams.Select(s => new StreamAppend(s.Stream, s.Expected, [.. s.Events.Select(e => With(e, id, activity.TraceStateString))]))]
            : streams;

    // Linked to the append; below it, unless the application is in the midst of something of its own.
    private static Activity? Start(string operation, RecordedEvent recorded)
    {
        ActivityContext? from = ContextOf(recorded);
        ActivityLink[] links = from is { } linked ? [new ActivityLink(linked)] : [];
        Activity? activity = Source.StartActivity(
            Named(operation, recorded.Stream), ActivityKind.Consumer, Activity.Current is null ? from ?? default : default, tags: null, links);
        if (activity is { IsAllDataRequested: true })
        {
            Describe(activity, operation, operation, recorded.Stream);
            activity.SetTag("messaging.message.id", recorded.Id.ToString());
            activity.SetTag("eventvault.position", (long)recorded.Position);
            activity.SetTag("eventvault.version", (long)recorded.Version);
        }

        return activity;
    }

    private static void Describe(Activity activity, string operation, string type, string stream)
    {
        activity.SetTag("messaging.system", "eventvault");
        activity.SetTag("messaging.operation.name", operation);
        activity.SetTag("messaging.operation.type", type);
        activity.SetTag("messaging.destination.name", CategoryOf(stream));
        activity.SetTag(Stream, stream);
    }

    private static string Named(string operation, string stream) => CategoryOf(stream) is { } category ? $"{operation} {category}" : operation;

    // Names of spans have few values, so a stream that is in no category stays unnamed.
    private static string? CategoryOf(string stream) => stream.IndexOf('-', StringComparison.Ordinal) is var end and > 0 ? stream[..end] : null;

    private static EventData With(EventData e, string id, string? state)
    {
        if (e is null || e.Metadata.ContainsKey(TraceParent))
        {
            return e!; // What is missing is refused behind this.
        }

        var metadata = new Dictionary<string, string>(e.Metadata, StringComparer.Ordinal) { [TraceParent] = id };
        if (!string.IsNullOrEmpty(state))
        {
            metadata[TraceState] = state;
        }

        return e.With(metadata);
    }
}
