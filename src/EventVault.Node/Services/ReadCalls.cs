using System.Diagnostics;
using EventVault.Node.Metrics;
using EventVault.Protocol;
using EventVault.Rpc.Server;
using EventVault.Storage;
using EventFilter = EventVault.Storage.Queries.EventFilter;
using Position = EventVault.Storage.Position;
using StreamVersion = EventVault.Storage.StreamVersion;

namespace EventVault.Node.Services;

/// <summary>
/// ReadStream, ReadAll and CountEvents. On the caller's thread, page by page; a slow client is waited for between pages.
/// </summary>
internal sealed class ReadCalls(VaultStorage storage, VaultLoop loop, CommitSignal committed, NodeFigures figures, NodeLimits limits, NodeOptions options)
{
    /// <summary>Most positions counted before a call comes up for air: an instant by the index.</summary>
    private const long MostCountedAtOnce = 1 << 20;

    /// <summary>Fewest: as many as one look reads where events must be read, some 0.1 ms.</summary>
    private const long FewestCountedAtOnce = 512;

    /// <summary>More is counted at once as long as that takes less than this, fewer if it takes longer.</summary>
    private static readonly TimeSpan CountingTime = TimeSpan.FromMilliseconds(1);

    private readonly EventReader _reader = storage.Reader;

    /// <summary>Checks filters.</summary>
    public EventFilters Filters { get; } = new(storage, limits);

    /// <summary>Bounds the memory of what reads and subscriptions have written and their clients have not taken.</summary>
    public PageShare Pages { get; } = new(options.Clock);

    /// <summary>Holds reads back until the node is as far as they ask for.</summary>
    public ConsistentReads Consistent { get; } = new(storage, loop, committed);

    public async ValueTask ReadAllAsync(ReadAllRequest request, RpcWriter<ReadResponse> writer, RpcContext context)
    {
        var filter = Filters.Read(request.Filter, request.IncludeSystem);
        ReadBounds.Check(request.From, "from", ofOneStream: false);
        ReadBounds.Check(request.Until, "until", ofOneStream: false);
        await Consistent.WaitAsync(request.Consistency, context);
        var backwards = request.Direction == Direction.Backwards;
        var head = _reader.Head;
        writer.Write(Head(_reader, head, null));
        if (filter is not null)
        {
            // What matches may lie far away: the client is to know at once that it is being looked for.
            await writer.FlushAsync();
        }

        var (lower, upper) = backwards ? (request.Until, request.From) : (request.From, request.Until);
        var lowest = ReadBounds.LowestPosition(_reader, lower);
        var highest = ReadBounds.HighestPosition(_reader, upper, head);
        using var page = new EventPage(Pages) { IncludeSystem = request.IncludeSystem, Limit = request.Limit, Figures = figures.AllReads };
        await WriteAsync(Range(null, filter, lowest, highest, backwards), page, writer, context);
    }

    public async ValueTask ReadStreamAsync(ReadStreamRequest request, RpcWriter<ReadResponse> writer, RpcContext context)
    {
        var stream = StreamNames.Reference(_reader, request.Stream, limits);
        ReadBounds.Check(request.From, "from", ofOneStream: true);
        ReadBounds.Check(request.Until, "until", ofOneStream: true);
        await Consistent.WaitAsync(request.Consistency, context);
        var backwards = request.Direction == Direction.Backwards;
        var head = _reader.Head;
        var last = ReadBounds.LastVersion(_reader, stream, head);
        var first = _reader.FirstVisible(stream);
        if (last < first)
        {
            throw Errors.StreamNotFound(request.Stream).ToException();
        }

        writer.Write(Head(_reader, head, last));
        var (lower, upper) = backwards ? (request.Until, request.From) : (request.From, request.Until);
        var lowest = ReadBounds.LowestVersion(_reader, stream, lower, first, last);
        var highest = ReadBounds.HighestVersion(_reader, stream, upper, last, head);
        using var page = new EventPage(Pages) { Limit = request.Limit, Figures = figures.StreamReads };
        await WriteAsync(Range(stream, null, lowest, highest, backwards), page, writer, context);
    }

    public async ValueTask<CountEventsResponse> CountEventsAsync(CountEventsRequest request, RpcContext context)
    {
        var filter = Filters.ReadCounted(request.Filter)
            ?? throw Errors.InvalidRequest("filter", "is missing: say which events to count").ToException();
        ReadBounds.Check(request.From, "from", ofOneStream: false);
        ReadBounds.Check(request.Until, "until", ofOneStream: false);
        await Consistent.WaitAsync(request.Consistency, context);
        var head = _reader.Head;
        var highest = ReadBounds.HighestPosition(_reader, request.Until, head);
        var count = 0L;
        var atOnce = FewestCountedAtOnce;
        for (var next = ReadBounds.LowestPosition(_reader, request.From); next <= highest;)
        {
            CheckGoesOn(context);
            var began = Stopwatch.GetTimestamp();
            var last = Math.Min(highest, next + atOnce - 1);
            count += _reader.CountMatching(filter, new Position(next), new Position(last));
            next = last + 1;
            atOnce = Stopwatch.GetElapsedTime(began) < CountingTime ? Math.Min(2 * atOnce, MostCountedAtOnce) : Math.Max(atOnce / 2, FewestCountedAtOnce);

            // Nothing here waits: completions of appends need the thread, too.
            await Task.Yield();
        }

        return new CountEventsResponse { Count = (ulong)count, Head = Head(_reader, head, null).Head };
    }

    /// <summary>The first message of a read: what it is based on.</summary>
    public static ReadResponse Head(EventReader reader, Position head, StreamVersion? last)
    {
        var message = new ReadHead();
        if (head != Position.None)
        {
            message.LastPosition = (ulong)head.Value;
            message.RecordedAt = reader.RecordedAt(head);
        }

        if (last is { Value: >= 0 } version)
        {
            message.LastVersion = (ulong)version.Value;
        }

        return new ReadResponse { Head = message };
    }

    private EventRange Range(StreamReference? stream, EventFilter? filter, long lowest, long highest, bool backwards) =>
        new(_reader, stream, filter, backwards) { Next = backwards ? highest : lowest, Last = backwards ? lowest : highest };

    private async ValueTask WriteAsync(EventRange range, EventPage page, RpcWriter<ReadResponse> writer, RpcContext context)
    {
        using var pace = new ReadPace(writer, context, Pages, options.Clock, options.ProgressInterval);
        while (!range.IsDone && page.Remaining > 0)
        {
            CheckGoesOn(context);
            await pace.WritePageAsync(range, page);
            if (!range.IsDone && page.Remaining > 0)
            {
                await pace.GetOnAsync();
            }
        }
    }

    /// <summary>Whether a call that reads goes on.</summary>
    /// <exception cref="Rpc.RpcException">UNAVAILABLE: the node drains.</exception>
    /// <exception cref="OperationCanceledException">The call has ended.</exception>
    public static void CheckGoesOn(RpcContext context)
    {
        if (context.Draining.IsCancellationRequested)
        {
            throw Errors.Draining("the read was cut short").ToException();
        }

        context.Cancellation.ThrowIfCancellationRequested();
    }
}
