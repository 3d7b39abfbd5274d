using EventVault.FaultLab.History;

namespace EventVault.FaultLab.Checks;

/// <summary>
/// Real-time order. An answer maps to the places of the log at which it was true: a write to its own, a linearizable read that was
/// shown the head p to [p, p + 1), a stream's version v and a conflict that names it to the time between v and v + 1.
/// One walk over all beginnings and ends keeps M, the furthest place that anybody was told of: who began behind M can't have
/// happened before it. Each operation is put at its earliest possible place, so nothing needs to be tried out.
/// </summary>
internal static class RealTime
{
    public const string Rule = "real-time-order";

    public static void Check(IReadOnlyList<Operation> history, FinalLog log, Findings findings)
    {
        var spans = new List<Span>();
        foreach (var operation in history)
        {
            if (operation.Failure is null && PlacesOf(operation, log) is { } places)
            {
                spans.Add(new Span(operation, places.Low, places.High, places.Told));
            }
        }

        // At equal times beginnings first: what touches overlaps.
        var moments = spans.Select(s => (Time: s.Operation.Invoked, Order: 0, Span: s))
            .Concat(spans.Select(s => (Time: s.Operation.Completed, Order: 1, Span: s)))
            .OrderBy(m => m.Time).ThenBy(m => m.Order);
        var known = -1L;
        foreach (var (_, order, span) in moments)
        {
            if (order == 0)
            {
                span.KnownBefore = known;
                continue;
            }

            var earliest = Math.Max(span.Low, span.KnownBefore);
            findings.Require(
                earliest < span.High,
                Rule,
                () => $"position {span.KnownBefore} was known to be there before this began, and it is only true before position {span.High}: {span.Operation}");
            if (span.Operation is AppendAttempt { Outcome: AppendOutcome.Conflict } conflict && log.Append(conflict.OperationId) is { } place)
            {
                findings.Require(
                    earliest < place.First,
                    AppendRules.RepeatIsKnown,
                    () => $"append {conflict.OperationId} stands at {place}, and when this was said the log had got to position {earliest}: {conflict}");
            }

            known = Math.Max(known, span.Told);
        }
    }

    // Low and high: where the log can have ended when it was true. Told: what its end makes known to all.
    private static (long Low, long High, long Told)? PlacesOf(Operation operation, FinalLog log) => operation switch
    {
        AppendAttempt { Outcome: AppendOutcome.Written } append => (append.FirstPosition - 1, append.FirstPosition, append.LastPosition),
        AppendAttempt { Outcome: AppendOutcome.Duplicate } append => (append.LastPosition, long.MaxValue, append.LastPosition),
        AppendAttempt { Outcome: AppendOutcome.Conflict } conflict => Together(conflict, log),
        ReadAttempt { Level: Level.Linearizable } read => (read.Head, read.Head + 1, read.Head),
        HeadAttempt { Level: Level.Linearizable } head => log.When(head.Stream, head.LastVersion) is var (low, high) ? (low, high, low) : null,
        // Behind the head of a read that asked for less nothing is promised, but what it showed is there.
        ReadAttempt read => (read.Head, long.MaxValue, read.Head),
        Delivery { Events: [.., var last] } => (last.Position, long.MaxValue, last.Position),
        _ => null,
    };

    // All that a conflict names was true at one moment.
    private static (long Low, long High, long Told) Together(AppendAttempt conflict, FinalLog log)
    {
        var (low, high) = (conflict.MatchingPosition, long.MaxValue);
        foreach (var told in conflict.Conflicts)
        {
            if (log.When(told.Stream, told.Actual) is { } when)
            {
                (low, high) = (Math.Max(low, when.Low), Math.Min(high, when.High));
            }
        }

        return (low, high, low);
    }

    private sealed class Span(Operation operation, long low, long high, long told)
    {
        public Operation Operation { get; } = operation;

        public long Low { get; } = low;

        public long High { get; } = high;

        public long Told { get; } = told;

        public long KnownBefore { get; set; } = -1;
    }
}
