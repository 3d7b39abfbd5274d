using EventVault.FaultLab.History;

namespace EventVault.FaultLab.Checks;

/// <summary>What holds of all that readers were shown.</summary>
internal static class ReadRules
{
    public const string ReadTrue = "read-true";
    public const string ReadAtLeast = "read-at-least";
    public const string ReadNeverBack = "read-never-back";
    public const string StateTrue = "state-true";
    public const string SubscriptionIsLog = "subscription-is-log";

    public static void Check(IReadOnlyList<Operation> history, FinalLog log, Findings findings)
    {
        foreach (var operation in history.Where(o => o.Failure is null))
        {
            switch (operation)
            {
                case ReadAttempt read:
                    CheckRead(read, log, findings);
                    break;
                case HeadAttempt head:
                    CheckHead(head, log, findings);
                    break;
                case StateAttempt state:
                    CheckState(state, log, findings);
                    break;
            }
        }

        CheckNeverBack(history, findings);
        foreach (var subscription in history.OfType<Delivery>().Where(d => d.Failure is null).GroupBy(d => d.Client))
        {
            CheckSubscription(subscription.Key, [.. subscription], log, findings);
        }
    }

    private static void CheckRead(ReadAttempt read, FinalLog log, Findings findings)
    {
        findings.Require(read.Head <= log.Head, ReadTrue, () => $"the head {read.Head} was shown, and the log ends at {log.Head}: {read}");
        findings.Require(
            read.Level != Level.AtLeast || read.Head >= read.AtLeast,
            ReadAtLeast,
            () => $"asked for position {read.AtLeast} and was shown the head {read.Head}: {read}");
        var last = read.Stream is null ? read.Head : log.VersionAt(read.Stream, read.Head);
        findings.Require(
            read.Stream is null || read.LastVersion == last,
            ReadTrue,
            () => $"{read.Stream} is said to be at version {read.LastVersion}, and at position {read.Head} it was {last}: {read}");

        // Version or position that must come next; the range is what lies inside of [0, last].
        var next = read.IsBackwards ? (read.From < 0 ? last : Math.Min(read.From, last)) : Math.Max(read.From, 0);
        var step = read.IsBackwards ? -1 : 1;
        foreach (var e in read.Events)
        {
            var expected = next;
            if (!findings.Require(next >= 0 && next <= last && Shows(e, Position(read, next, log), log), ReadTrue, () => $"{Show(e)} was shown where {expected} belongs: {read}"))
            {
                return;
            }

            next += step;
        }

        var isDone = next < 0 || next > last || (read.Limit > 0 && read.Events.Count == read.Limit);
        findings.Require(isDone, ReadTrue, () => $"{read.Events.Count} of {read.Limit} events were shown, and {next} was not: {read}");
    }

    private static long Position(ReadAttempt read, long next, FinalLog log)
    {
        var positions = read.Stream is null ? null : log.Positions(read.Stream);
        return positions is null ? next : next < positions.Count ? positions[(int)next] : -1;
    }

    private static bool Shows(SeenEvent seen, long position, FinalLog log)
    {
        if (position < 0 || position > log.Head)
        {
            return false;
        }

        var e = log.Events[(int)position];
        return seen.Position == position && seen.Version == e.Version && seen.RecordedAt == e.RecordedAt && seen.Digest == e.Digest;
    }

    private static string Show(SeenEvent e) => $"position {e.Position}, version {e.Version}, digest {e.Digest:x}";

    private static void CheckHead(HeadAttempt head, FinalLog log, Findings findings)
    {
        var when = log.When(head.Stream, head.LastVersion);
        findings.Require(
            when is { } w && (head.LastVersion < 0 || w.Low == head.LastPosition),
            ReadTrue,
            () => $"{head.Stream} is said to be at version {head.LastVersion}, position {head.LastPosition}: {head}");
        findings.Require(
            head.Level != Level.AtLeast || head.LastVersion >= log.VersionAt(head.Stream, head.AtLeast),
            ReadAtLeast,
            () => $"at position {head.AtLeast} {head.Stream} was at {log.VersionAt(head.Stream, head.AtLeast)}, and {head.LastVersion} was shown: {head}");
    }

    private static void CheckState(StateAttempt state, FinalLog log, Findings findings)
    {
        var version = log.VersionAt(state.Stream, state.AsOf);
        findings.Require(
            state.Version == version && state.Count == version + 1,
            StateTrue,
            () => $"{state.Stream} as of position {state.AsOf} was at version {version}; shown was version {state.Version} of {state.Count} events: {state}");
    }

    // Among reads that did not overlap, by the same process.
    private static void CheckNeverBack(IReadOnlyList<Operation> history, Findings findings)
    {
        foreach (var node in history.OfType<ReadAttempt>().Where(r => r.Failure is null).GroupBy(r => (r.Node, r.Start)))
        {
            var ends = node.OrderBy(r => r.Completed).ToList();
            var (ended, known) = (0, -1L);
            foreach (var read in node.OrderBy(r => r.Invoked))
            {
                for (; ended < ends.Count && ends[ended].Completed < read.Invoked; ended++)
                {
                    known = Math.Max(known, ends[ended].Head);
                }

                var before = known;
                findings.Require(read.Head >= before, ReadNeverBack, () => $"the node had shown position {before}, and now {read.Head} is its head: {read}");
            }
        }
    }

    private static void CheckSubscription(string name, List<Delivery> deliveries, FinalLog log, Findings findings)
    {
        var stream = deliveries[0].Stream;
        var next = 0L;
        foreach (var (delivery, e) in deliveries.OrderBy(d => d.Completed).SelectMany(d => d.Events.Select(e => (d, e))))
        {
            var positions = stream is null ? null : log.Positions(stream);
            var position = positions is null ? next : next < positions.Count ? positions[(int)next] : -1;
            if (!findings.Require(Shows(e, position, log), SubscriptionIsLog, () => $"{Show(e)} came where position {position} belongs: {delivery}"))
            {
                return;
            }

            next++;
        }

        var all = stream is null ? log.Head + 1 : log.Positions(stream).Count;
        findings.Require(next == all, SubscriptionIsLog, () => $"{name} was given {next} events, and there are {all}");
    }
}
