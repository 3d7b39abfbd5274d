// GetStateHistory: one fold along a range, whose states go out on the way. A page of them is folded, then the client is waited for;
// so what is held is one state and one page. Long ranges are folded in turn with other long folds, a page at a time; and so is the first
// page where much may lie before the range.
using System.Diagnostics;
using EventVault.Node.States;
using EventVault.Protocol;
using EventVault.Rpc.Server;
using EventVault.Storage;
using EventVault.Temporal;
using EventVault.Temporal.Reducers;

namespace EventVault.Node.Services;

/// <summary>GetStateHistory.</summary>
internal sealed class HistoryCall(StateContext shared)
{
    /// <summary>Events of a range behind each of which the state is hashed, which may be of a MiB and more: beyond it is long.</summary>
    private const int LongHashed = 100;

    private readonly EventReader _reader = shared.Storage.Reader;

    public async ValueTask RunAsync(GetStateHistoryRequest request, RpcWriter<GetStateHistoryResponse> writer, RpcContext context)
    {
        var stream = StreamNames.Reference(_reader, request.Stream, shared.Limits);
        var read = ReducerRequests.ReadReference(request.Reducer, shared.Limits);
        shared.Cuts.Check(request.From, "from", ofOneStream: true, takesOccurred: false);
        shared.Cuts.Check(request.Until, "until", ofOneStream: true, takesOccurred: false);
        CheckStep(request);
        await shared.Consistent.WaitAsync(request.Consistency, context);
        var reducer = shared.ReducerOf(request.Reducer, read);
        var scope = new CutScope(stream, request.Stream, reducer);
        try
        {
            var until = await shared.Cuts.ResolveAsync(request.Until, "until", scope, context);
            var range = await FromAsync(request.From, scope, context) with { Until = until.Position, EveryEvents = (long)request.Events };
            writer.Write(new GetStateHistoryResponse { Cut = shared.Cuts.ToMessage(until.Position) });
            using var pace = new ReadPace(writer, context, shared.Pages, shared.Options.Clock, shared.Options.ProgressInterval);
            using var ends = CancellationTokenSource.CreateLinkedTokenSource(context.Cancellation, context.Draining);
            using var steps = Steps(request, reducer, stream, range, until.Time, ends.Token).GetEnumerator();
            var isEachChange = request.StepCase == GetStateHistoryRequest.StepOneofCase.EachChange;
            var toRange = range with { From = null, FromTime = null };
            await WriteAsync(steps, IsLong(stream, toRange, isEachChange), IsLong(stream, range, isEachChange), pace, context, ends.Token);
        }
        catch (OperationCanceledException e) when (context.Draining.IsCancellationRequested)
        {
            throw Errors.Draining("the history was cut short").ToException(e);
        }
        catch (Exception e) when (Errors.OfState(e, request.Stream, shared.Limits) is { } refusal)
        {
            throw refusal.ToException(e);
        }
    }

    private static void CheckStep(GetStateHistoryRequest request)
    {
        switch (request.StepCase)
        {
            case GetStateHistoryRequest.StepOneofCase.EachChange:
                break;
            case GetStateHistoryRequest.StepOneofCase.Events when request.Events is 0 or > long.MaxValue:
                throw Errors.InvalidRequest("events", "must be 1 or more, and no more than there can be").ToException();
            case GetStateHistoryRequest.StepOneofCase.Events:
                break;
            case GetStateHistoryRequest.StepOneofCase.Ticks when request.Ticks <= 0:
                throw Errors.InvalidRequest("ticks", "must be 1 or more").ToException();
            case GetStateHistoryRequest.StepOneofCase.Ticks when !IsByTime(request.From) || !IsByTime(request.Until):
                throw Errors.InvalidRequest("ticks", "needs both ends of the range by time").ToException();
            case GetStateHistoryRequest.StepOneofCase.Ticks:
                break;
            default:
                throw Errors.InvalidRequest("step", "says nothing: one of each_change, events and ticks must be set").ToException();
        }
    }

    private static bool IsByTime(AsOf? end) => end?.CutCase is AsOf.CutOneofCase.Time or AsOf.CutOneofCase.BeforeTime;

    private static long TimeOf(AsOf end) => end.CutCase == AsOf.CutOneofCase.Time ? end.Time : Cuts.JustBefore(end.BeforeTime);

    // Where the range begins; if nothing is named, with the first event that can be told. A time begins with what was recorded at it.
    private async ValueTask<HistoryRange> FromAsync(AsOf? from, CutScope scope, RpcContext context)
    {
        if (from?.CutCase is null or AsOf.CutOneofCase.None)
        {
            return default;
        }

        var cut = (await shared.Cuts.ResolveAsync(from, "from", scope, context)).Position;
        return from.CutCase switch
        {
            AsOf.CutOneofCase.Time => new HistoryRange { FromTime = from.Time },
            AsOf.CutOneofCase.BeforeTime => new HistoryRange { FromTime = from.BeforeTime },
            _ => new HistoryRange { From = cut },
        };
    }

    private IEnumerable<StateStepAt> Steps(
        GetStateHistoryRequest request, Reducer reducer, StreamReference stream, HistoryRange range, long? untilTime, CancellationToken cancellation)
    {
        var began = Stopwatch.GetTimestamp();
        var most = (long)shared.Limits[NodeLimits.HistoryStates].Allowed;
        var limit = request.Limit == 0 ? most : (long)Math.Min(request.Limit, (ulong)most);
        var options = new StateOptions(null, request.AllowPartial, shared.Limits[NodeLimits.FoldEvents].Allowed) { CutTime = untilTime };
        var answers = request.StepCase == GetStateHistoryRequest.StepOneofCase.Ticks
            ? shared.States.ReadAtTimes(reducer, stream, Times(TimeOf(request.From), TimeOf(request.Until), request.Ticks), options, cancellation)
            : shared.States.ReadHistory(reducer, stream, range, options, cancellation).Select(static answer => (Time: 0L, Answer: answer));
        var folded = 0L;
        foreach (var (time, answer) in answers)
        {
            yield return new StateStepAt(new StateStep { State = StateMessages.ToMessage(request.Stream, reducer, answer, began, folded), Time = time }, answer.EventsFolded);
            folded = answer.EventsFolded;
            began = Stopwatch.GetTimestamp();
            if (--limit == 0)
            {
                yield break;
            }
        }
    }

    private static IEnumerable<long> Times(long from, long until, long ticks)
    {
        for (var time = from; time <= until; time += ticks)
        {
            yield return time;
            if (time > long.MaxValue - ticks)
            {
                yield break;
            }
        }
    }

    // By its versions, as no state on the way may be kept yet.
    private bool IsLong(in StreamReference stream, in HistoryRange range, bool isEachChange)
    {
        var from = range.FromTime is { } time ? _reader.FirstAtOrAfter(time) : range.From;
        var first = from is { Value: > 0 } position ? _reader.LastVersionAt(stream, position + -1).Value : -1;
        return _reader.LastVersionAt(stream, range.Until).Value - first > (isEachChange ? LongHashed : FoldPlaces.LongEvents);
    }

    private async ValueTask WriteAsync(IEnumerator<StateStepAt> steps, bool isFirstLong, bool areOthersLong, ReadPace pace, RpcContext context, CancellationToken cancellation)
    {
        var page = new List<StateStep>();
        var isLong = isFirstLong;
        for (var more = true; more; isLong = areOthersLong)
        {
            ReadCalls.CheckGoesOn(context);
            if (isLong)
            {
                using var place = await shared.Places.TakeAsync(cancellation);
                more = await Task.Factory.StartNew(() => Fill(page, steps), cancellation, TaskCreationOptions.LongRunning, TaskScheduler.Default);
            }
            else
            {
                more = Fill(page, steps);
            }

            foreach (var step in page)
            {
                await pace.WriteAsync(new GetStateHistoryResponse { Step = step });
            }

            page.Clear();
        }
    }

    // False: that was the last page.
    private bool Fill(List<StateStep> page, IEnumerator<StateStepAt> steps)
    {
        long? began = null;
        for (var bytes = 0; bytes < shared.Pages.FullBytes;)
        {
            if (!steps.MoveNext())
            {
                return false;
            }

            page.Add(steps.Current.Step);
            bytes += steps.Current.Step.CalculateSize();
            began ??= steps.Current.Folded;
            if (steps.Current.Folded - began > FoldPlaces.LongEvents)
            {
                break;
            }
        }

        return true;
    }

    /// <summary>A state of the range, and how many events were folded up to it.</summary>
    private readonly record struct StateStepAt(StateStep Step, long Folded);
}
