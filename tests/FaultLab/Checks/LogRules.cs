namespace EventVault.FaultLab.Checks;

/// <summary>What holds of the logs themselves. Gives the one log that all else is held against.</summary>
internal static class LogRules
{
    public const string PositionsDense = "positions-dense";
    public const string VersionsDense = "versions-dense";
    public const string TimesRise = "times-rise";
    public const string AppendWhole = "append-whole";
    public const string LogsEqual = "logs-equal";
    public const string TermsRise = "terms-rise";

    public static FinalLog Check(IReadOnlyList<NodeLog> logs, ulong committed, Findings findings)
    {
        // The longest one: what the others lack behind `committed` nobody was told of.
        var truth = logs.MaxBy(l => l.Groups.Count) ?? throw new ArgumentException("There is no log to check against.", nameof(logs));
        foreach (var log in logs)
        {
            CheckGroups(log, findings);
            Compare(truth, log, committed, findings);
        }

        CheckEvents(truth.Events, findings);
        return new FinalLog(truth.Events);
    }

    private static void CheckGroups(NodeLog log, Findings findings)
    {
        for (var i = 0; i < log.Groups.Count; i++)
        {
            var group = log.Groups[i];
            var before = i == 0 ? 0 : log.Groups[i - 1].Term;
            findings.Require(
                group.Index == (ulong)i + 1 && group.Term >= before,
                TermsRise,
                () => $"node {log.Node} has group {group.Index} of term {group.Term} in place {i + 1}, behind term {before}");
        }
    }

    private static void Compare(NodeLog truth, NodeLog log, ulong committed, Findings findings)
    {
        findings.Require(
            (ulong)log.Groups.Count >= committed,
            LogsEqual,
            () => $"node {log.Node} ends at index {log.Groups.Count}, and {committed} is committed");
        for (var i = 0; i < log.Groups.Count && (ulong)i < committed; i++)
        {
            if (log.Groups[i] != truth.Groups[i])
            {
                findings.Add(LogsEqual, $"index {i + 1} is {log.Groups[i]} on node {log.Node} and {truth.Groups[i]} on node {truth.Node}");
                return;
            }
        }
    }

    private static void CheckEvents(IReadOnlyList<LogEvent> events, Findings findings)
    {
        var versions = new Dictionary<string, long>(StringComparer.Ordinal);
        var ended = new HashSet<Guid>();
        for (var i = 0; i < events.Count; i++)
        {
            var e = events[i];
            var position = i;
            findings.Require(e.Position == position, PositionsDense, () => $"position {e.Position} stands where {position} should");
            var expected = versions.GetValueOrDefault(e.Stream, -1) + 1;
            findings.Require(e.Version == expected, VersionsDense, () => $"position {e.Position} is version {e.Version} of {e.Stream}; {expected} should follow");
            versions[e.Stream] = e.Version;
            if (i == 0)
            {
                continue;
            }

            var before = events[i - 1];
            var isSame = before.OperationId == e.OperationId;
            findings.Require(
                isSame ? e.RecordedAt == before.RecordedAt : e.RecordedAt > before.RecordedAt,
                TimesRise,
                () => $"position {e.Position} is recorded at {e.RecordedAt}, the one before at {before.RecordedAt}");
            if (!isSame)
            {
                ended.Add(before.OperationId);
                findings.Require(!ended.Contains(e.OperationId), AppendWhole, () => $"append {e.OperationId} goes on at position {e.Position}, behind another one");
            }
        }
    }
}
