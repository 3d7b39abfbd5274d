// A subscription is a read that continues: it reads to the head, waits for the next commit, and reads on. There is no
// seam, because there is no second source: live events are read from the log like all others. The signal is taken
// before the head is looked at, so no commit is slept through.
//
// It waits on the commit signal alone. The node also gives that signal on a timer and when it drains, so a subscription
// needs no timer and no registration of its own, and notices the end of its call at the next tick.
using EventVault.Node.Metrics;
using EventVault.Node.Services;
using EventVault.Protocol;
using EventVault.Rpc.Server;
using EventVault.Storage;
using EventFilter = EventVault.Storage.Queries.EventFilter;
using Position = EventVault.Storage.Position;
using StreamVersion = EventVault.Storage.StreamVersion;

namespace EventVault.Node.Subscriptions;

/// <summary>Runs one subscription.</summary>
internal sealed class SubscriptionCall(
    EventReader reader, CommitSignal committed, TimeProvider clock, TimeSpan progressInterval, PageShare pages, SubscriptionState state, ReadFigures figures,
    RpcWriter<ReadResponse> writer, RpcContext context) : IDisposable
{
    private readonly ReadPace _pace = new(writer, context, pages, clock, progressInterval);

    /// <summary>Ends by an exception only: the client goes, the node drains, or the log is damaged.</summary>
    public async ValueTask RunAsync(SubscribeRequest request, NodeLimits limits, EventFilter? filter)
    {
        StreamReference? stream = request.SourceCase switch
        {
            SubscribeRequest.SourceOneofCase.Stream => StreamNames.Reference(reader, request.Stream, limits),
            SubscribeRequest.SourceOneofCase.All => null,
            _ => throw Errors.InvalidRequest("source", "says nothing: set stream or all").ToException(),
        };
        if (stream is not null && filter is not null)
        {
            throw Errors.InvalidRequest("filter", "stands beside a stream: filters are for subscriptions to all").ToException();
        }

        ReadBounds.Check(request.From, "from", ofOneStream: stream is not null);
        var head = reader.Head;
        var last = stream is { } one ? ReadBounds.LastVersion(reader, one, head) : StreamVersion.None;
        var first = stream is { } of ? reader.FirstVisible(of) : default;
        writer.Write(ReadCalls.Head(reader, head, stream is null || last < first ? null : last));
        if (filter is not null)
        {
            // What matches may lie far away, or not be there yet: the client is to know at once that it is subscribed.
            await _pace.FlushAsync();
        }

        var range = new EventRange(reader, stream, filter, backwards: false) { Next = Start(request, stream, head, first, last) };

        // A start behind the head is not reached by counting: what comes before it is left out as it comes.
        using var page = new EventPage(pages)
        {
            Figures = figures,
            IsDelivery = true,
            IncludeSystem = stream is not null || request.IncludeSystem,
            MinPosition = request.From is { HasPosition: true } ? new Position(ReadBounds.LowestPosition(reader, request.From)) : Position.None,
            MinTime = request.From is { HasTime: true } ? request.From.Time : long.MinValue,
        };
        await FollowAsync(range, stream, page);
    }

    public void Dispose() => _pace.Dispose();

    private async ValueTask FollowAsync(EventRange range, StreamReference? stream, EventPage page)
    {
        var behind = true;
        while (true)
        {
            var next = committed.Next;
            CheckGoesOn();
            var head = reader.Head;
            range.Last = stream is { } one ? reader.LastVersion(one).Value : head.Value;
            state.Next = stream is null ? range.Next : long.MaxValue;
            if (!range.IsDone)
            {
                await _pace.WritePageAsync(range, page);
                behind |= !range.IsDone;
            }

            if (!range.IsDone)
            {
                await GetOnAsync(range, stream);
                continue;
            }

            if (behind || (writer.UnflushedBytes == 0 && _pace.IsDue))
            {
                var progress = ProgressTo(head);
                writer.Write(behind ? new ReadResponse { CaughtUp = progress } : new ReadResponse { Progress = progress });
                behind = false;
            }

            if (writer.UnflushedBytes > 0)
            {
                await _pace.FlushAsync();
            }

            state.Next = stream is null ? range.Next : long.MaxValue;
            state.Rests(head);
            await next;
            state.Wakes();
        }
    }

    // On the way to the head. Where nothing matches for long, the client hears how far it is: its checkpoint can move on.
    private ValueTask GetOnAsync(EventRange range, StreamReference? stream)
    {
        if (stream is null && range.Next > 0 && _pace.IsDue)
        {
            writer.Write(new ReadResponse { Progress = ProgressTo(new Position(range.Next - 1)) });
        }

        return _pace.GetOnAsync();
    }

    private void CheckGoesOn()
    {
        if (context.Draining.IsCancellationRequested)
        {
            throw Errors.Draining("the subscription was cut short").ToException();
        }

        context.Cancellation.ThrowIfCancellationRequested();
    }

    private long Start(SubscribeRequest request, StreamReference? stream, Position head, StreamVersion first, StreamVersion last)
    {
        if (request.StartCase == SubscribeRequest.StartOneofCase.End)
        {
            return stream is null ? head.Value + 1 : last.Value + 1;
        }

        if (stream is not { } one)
        {
            return ReadBounds.LowestPosition(reader, request.From);
        }

        return ReadBounds.LowestVersion(reader, one, request.From, first, last);
    }

    private Progress ProgressTo(Position head)
    {
        var progress = new Progress();
        if (head != Position.None)
        {
            progress.Position = (ulong)head.Value;
            progress.Time = reader.RecordedAt(head);
        }

        return progress;
    }
}
