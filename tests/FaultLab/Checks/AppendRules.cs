using EventVault.FaultLab.History;
using EventVault.Protocol;

namespace EventVault.FaultLab.Checks;

/// <summary>What holds between what clients were told of their appends and the log.</summary>
internal static class AppendRules
{
    public const string OnlyWhatWasSent = "only-what-was-sent";
    public const string WrittenWhole = "written-whole";
    public const string AckedIsThere = "acked-is-there";
    public const string WrittenOnce = "written-once";
    public const string RefusedIsGone = "refused-is-gone";
    public const string RepeatIsKnown = "repeat-is-known";
    public const string SessionOrder = "session-order";
    public const string ExpectationHeld = "expectation-held";
    public const string ConditionHeld = "condition-held";
    public const string ConflictFounded = "conflict-founded";

    public static void Check(IReadOnlyList<AppendAttempt> attempts, FinalLog log, Findings findings)
    {
        var sent = attempts.GroupBy(a => a.OperationId).ToDictionary(g => g.Key, g => g.OrderBy(a => a.Invoked).ToList());
        var tags = Tags(log);
        CheckOrigin(sent, log, findings);
        CheckSessions(attempts, findings);
        foreach (var (id, all) in sent)
        {
            var place = log.Append(id);
            CheckAnswers(id, all, place, findings);
            if (place is { } range)
            {
                CheckEffect(all[0], range, log, findings);
                CheckExpectations(all[0], range, log, tags, findings);
                CheckRepeats(all, range, log, findings);
            }

            foreach (var conflict in all.Where(a => a.Outcome == AppendOutcome.Conflict))
            {
                CheckConflict(conflict, log, findings);
            }
        }
    }

    private static Dictionary<string, List<long>> Tags(FinalLog log)
    {
        var tags = new Dictionary<string, List<long>>(StringComparer.Ordinal);
        foreach (var e in log.Events)
        {
            foreach (var tag in e.Tags)
            {
                if (!tags.TryGetValue(tag, out var positions))
                {
                    tags.Add(tag, positions = []);
                }

                positions.Add(e.Position);
            }
        }

        return tags;
    }

    // The vault writes streams of its own; all others are written by clients alone.
    private static void CheckOrigin(Dictionary<Guid, List<AppendAttempt>> sent, FinalLog log, Findings findings)
    {
        var places = new Dictionary<(string, ulong), long>();
        foreach (var e in log.Events.Where(e => !e.Stream.StartsWith('$')))
        {
            findings.Require(sent.ContainsKey(e.OperationId), OnlyWhatWasSent, () => $"nobody sent append {e.OperationId} at position {e.Position} of {e.Stream}");
            findings.Require(
                places.TryAdd((e.Stream, e.Digest), e.Position),
                WrittenOnce,
                () => $"one event of {e.Stream} stands at positions {places[(e.Stream, e.Digest)]} and {e.Position}");
        }
    }

    private static void CheckAnswers(Guid id, List<AppendAttempt> all, (long First, long Last)? place, Findings findings)
    {
        var written = 0;
        foreach (var attempt in all)
        {
            if (attempt.Outcome is not (AppendOutcome.Written or AppendOutcome.Duplicate))
            {
                continue;
            }

            written += attempt.Outcome == AppendOutcome.Written ? 1 : 0;
            findings.Require(
                place is { } p && p.First == attempt.FirstPosition && p.Last == attempt.LastPosition,
                AckedIsThere,
                () => $"append {id} was answered with positions {attempt.FirstPosition}–{attempt.LastPosition} and stands at {place?.ToString() ?? "none"}: {attempt}");
        }

        findings.Require(written <= 1, WrittenOnce, () => $"{written} attempts were told that they wrote append {id}: {all[0]}");
        findings.Require(
            place is null || all.Any(a => a.Outcome is not (AppendOutcome.Refused or AppendOutcome.Conflict)),
            RefusedIsGone,
            () => $"append {id} was refused by every attempt and stands at {place}: {all[0]}");
    }

    private static void CheckEffect(AppendAttempt append, (long First, long Last) place, FinalLog log, Findings findings)
    {
        var position = place.First;
        foreach (var write in append.Writes)
        {
            foreach (var digest in write.Events)
            {
                var at = position++;
                var e = at <= log.Head ? log.Events[(int)at] : null;
                if (!findings.Require(
                    e is not null && e.Stream == write.Stream && e.Digest == digest && e.OperationId == append.OperationId,
                    WrittenWhole,
                    () => $"append {append.OperationId} should have an event of {write.Stream} at position {at}: {append}"))
                {
                    return;
                }
            }
        }

        findings.Require(
            position == place.Last + 1,
            WrittenWhole,
            () => $"append {append.OperationId} has positions {place.First}–{place.Last}, and was sent with {position - place.First} events: {append}");
    }

    private static void CheckExpectations(
        AppendAttempt append, (long First, long Last) place, FinalLog log, Dictionary<string, List<long>> tags, Findings findings)
    {
        var checks = append.Writes.Select(w => (w.Stream, w.Expected)).Concat(append.Requires.Select(r => (r.Stream, r.Expected)));
        foreach (var (stream, expected) in checks)
        {
            var version = log.VersionAt(stream, place.First - 1);
            findings.Require(
                expected.IsMetBy(version),
                ExpectationHeld,
                () => $"append {append.OperationId} at position {place.First} expected {expected} of {stream}, which was at {version}: {append}");
        }

        if (append.Condition is { } condition && tags.TryGetValue(condition.Tag, out var matches))
        {
            var at = matches.BinarySearch(condition.After + 1);
            at = at < 0 ? ~at : at;
            findings.Require(
                at == matches.Count || matches[at] >= place.First,
                ConditionHeld,
                () => $"append {append.OperationId} at position {place.First} allowed no tag {condition.Tag} behind {condition.After}, and position {matches[at]} has it: {append}");
        }
    }

    private static void CheckSessions(IReadOnlyList<AppendAttempt> attempts, Findings findings)
    {
        foreach (var session in attempts.Where(a => a.Sequence >= 0 && a.Outcome is (AppendOutcome.Written or AppendOutcome.Duplicate)).GroupBy(a => a.Client))
        {
            AppendAttempt? before = null;
            foreach (var attempt in session.DistinctBy(a => a.OperationId).OrderBy(a => a.Sequence))
            {
                findings.Require(
                    before is null || attempt.FirstPosition > before.LastPosition,
                    SessionOrder,
                    () => $"number {attempt.Sequence} stands at position {attempt.FirstPosition}, and number {before!.Sequence}, sent before it, at {before.LastPosition}: {attempt}");
                before = attempt;
            }
        }
    }

    // Every attempt's answer: a repeat is told the same as the first one. Conflicts need to know what was known before: RealTime.
    private static void CheckRepeats(List<AppendAttempt> all, (long First, long Last) place, FinalLog log, Findings findings)
    {
        foreach (var attempt in all)
        {
            switch (attempt.Outcome)
            {
                case AppendOutcome.Refused:
                    findings.Require(
                        IsPassing(attempt.Reason),
                        RepeatIsKnown,
                        () => $"append {attempt.OperationId} stands at {place} and was refused for good, {attempt.Reason}: {attempt}");
                    break;
                case AppendOutcome.Written or AppendOutcome.Duplicate when place.First >= 0 && place.Last <= log.Head:
                    CheckAnswer(attempt, place, log, findings);
                    break;
            }
        }
    }

    private static void CheckAnswer(AppendAttempt attempt, (long First, long Last) place, FinalLog log, Findings findings)
    {
        IEnumerable<long> versions = attempt.Writes.Select(w => log.VersionAt(w.Stream, place.Last));
        findings.Require(
            attempt.Versions.SequenceEqual(versions),
            AckedIsThere,
            () => $"append {attempt.OperationId} was told versions {string.Join(", ", attempt.Versions)}, which were {string.Join(", ", versions)}: {attempt}");
        var recorded = log.Events[(int)place.First].RecordedAt;
        findings.Require(
            attempt.RecordedAt == recorded,
            AckedIsThere,
            () => $"append {attempt.OperationId} was told time {attempt.RecordedAt}, and has {recorded}: {attempt}");
    }

    // What says nothing of the append itself: docs/PROTOCOL.md, "Errors". No other refusal fits an append that stands, as the lab
    // uses no operation id twice, and makes fewer appends than a vault keeps ids of.
    private static bool IsPassing(Reason reason) => reason is Reason.Unspecified or Reason.NotLeader or Reason.NoQuorum or Reason.NotJoined or Reason.Opening or Reason.Draining
        or Reason.Overloaded or Reason.StoreFull or Reason.TimedOutInQueue or Reason.Damaged;

    private static void CheckConflict(AppendAttempt attempt, FinalLog log, Findings findings)
    {
        var checks = attempt.Writes.Select(w => (w.Stream, w.Expected)).Concat(attempt.Requires.Select(r => (r.Stream, r.Expected))).ToList();
        findings.Require(attempt.Conflicts.Count > 0 || attempt.MatchingPosition >= 0, ConflictFounded, () => $"a conflict names nothing: {attempt}");
        foreach (var told in attempt.Conflicts)
        {
            findings.Require(
                checks.Any(c => c.Stream == told.Stream && !c.Expected.IsMetBy(told.Actual)),
                ConflictFounded,
                () => $"version {told.Actual} of {told.Stream} breaks nothing that was expected: {attempt}");
            findings.Require(
                log.When(told.Stream, told.Actual) is not null,
                ConflictFounded,
                () => $"{told.Stream} never had version {told.Actual}: {attempt}");
        }

        if (attempt.MatchingPosition is var at and >= 0)
        {
            findings.Require(
                attempt.Condition is { } condition && at > condition.After && at <= log.Head && log.Events[(int)at].Tags.Contains(condition.Tag),
                ConflictFounded,
                () => $"position {at} does not match the condition {attempt.Condition}: {attempt}");
        }
    }
}
