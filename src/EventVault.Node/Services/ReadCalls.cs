using EventVault.Protocol;
using EventVault.Rpc.Server;
using EventVault.Storage;
using Position = EventVault.Storage.Position;
using StreamVersion = EventVault.Storage.StreamVersion;

namespace EventVault.Node.Services;

/// <summary>ReadStream and ReadAll. On the caller's thread, page by page; a slow client is waited for between pages.</summary>
internal static class ReadCalls
{
    public static async ValueTask ReadAllAsync(EventReader reader, ReadAllRequest request, RpcWriter<ReadResponse> writer, RpcContext context)
    {
        ReadBounds.Check(request.From, "from", ofOneStream: false);
        ReadBounds.Check(request.Until, "until", ofOneStream: false);
        var backwards = request.Direction == Direction.Backwards;
        var head = reader.Head;
        writer.Write(Head(reader, head, null));
        var (lower, upper) = backwards ? (request.Until, request.From) : (request.From, request.Until);
        var lowest = ReadBounds.LowestPosition(reader, lower);
        var highest = ReadBounds.HighestPosition(reader, upper, head);
        using var page = new EventPage { IncludeSystem = request.IncludeSystem, Limit = request.Limit };
        await WriteAsync(Range(reader, null, lowest, highest, backwards), page, writer, context);
    }

    public static async ValueTask ReadStreamAsync(
        EventReader reader, NodeLimits limits, ReadStreamRequest request, RpcWriter<ReadResponse> writer, RpcContext context)
    {
        var stream = StreamNames.Reference(reader, request.Stream, limits);
        ReadBounds.Check(request.From, "from", ofOneStream: true);
        ReadBounds.Check(request.Until, "until", ofOneStream: true);
        var backwards = request.Direction == Direction.Backwards;
        var head = reader.Head;
        var last = ReadBounds.LastVersion(reader, stream, head);
        var first = reader.FirstVisible(stream);
        if (last < first)
        {
            throw Errors.StreamNotFound(request.Stream).ToException();
        }

        writer.Write(Head(reader, head, last));
        var (lower, upper) = backwards ? (request.Until, request.From) : (request.From, request.Until);
        var lowest = ReadBounds.LowestVersion(reader, stream, lower, first, last);
        var highest = ReadBounds.HighestVersion(reader, stream, upper, last, head);
        using var page = new EventPage { Limit = request.Limit };
        await WriteAsync(Range(reader, stream, lowest, highest, backwards), page, writer, context);
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

    /// <summary>Reads the next page and writes it; what is damaged ends the call after the events before it.</summary>
    public static void WritePage(EventRange range, EventPage page, RpcWriter<ReadResponse> writer)
    {
        try
        {
            range.ReadInto(page);
        }
        finally
        {
            if (!page.IsEmpty)
            {
                writer.WriteFrame(page.Encode());
                page.Clear();
            }
        }
    }

    private static EventRange Range(EventReader reader, StreamReference? stream, long lowest, long highest, bool backwards) =>
        new(reader, stream, backwards) { Next = backwards ? highest : lowest, Last = backwards ? lowest : highest };

    private static async ValueTask WriteAsync(EventRange range, EventPage page, RpcWriter<ReadResponse> writer, RpcContext context)
    {
        while (!range.IsDone && page.Remaining > 0)
        {
            if (context.Draining.IsCancellationRequested)
            {
                throw Errors.Draining("the read was cut short").ToException();
            }

            context.Cancellation.ThrowIfCancellationRequested();
            WritePage(range, page, writer);
            await writer.FlushIfFullAsync();
        }
    }
}
