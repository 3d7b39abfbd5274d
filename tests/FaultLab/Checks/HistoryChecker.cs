using EventVault.FaultLab.History;

namespace EventVault.FaultLab.Checks;

/// <summary>
/// Holds what clients did and saw against the logs that the nodes were left with. Needs no search: the log gives the order of all
/// writes, so each operation has the places of the log at which it can have happened, and one walk over the times at which
/// operations began and ended shows whether those fit (<see cref="RealTime"/>).
/// </summary>
internal static class HistoryChecker
{
    /// <summary>Every rule by name, with what it demands: docs/TESTING.md has the same table.</summary>
    public static IReadOnlyDictionary<string, string> Rules { get; } = new Dictionary<string, string>
    {
        [LogRules.PositionsDense] = "positions in the log have no gap",
        [LogRules.VersionsDense] = "versions of a stream have no gap",
        [LogRules.TimesRise] = "recorded times rise from append to append",
        [TimeRules.TimesReal] = "recorded times are the clock's, within a minute, unless a leader's clock was set wrong: then only until another leads, who goes on from there",
        [LogRules.AppendWhole] = "the events of an append stand together",
        [LogRules.LogsEqual] = "all nodes hold the same bytes up to what is committed",
        [LogRules.TermsRise] = "terms in a log never fall, and its indexes have no gap",
        [AppendRules.OnlyWhatWasSent] = "nothing stands in the log that no client sent",
        [AppendRules.WrittenWhole] = "an append stands there with all its events, in its order, or not at all",
        [AppendRules.AckedIsThere] = "what any attempt was told was written stands where the answer says, with its versions and its time",
        [AppendRules.WrittenOnce] = "of an append's attempts one at most is told that it wrote it, and its events stand there once",
        [AppendRules.RefusedIsGone] = "what every attempt was refused never stands in the log",
        [AppendRules.RepeatIsKnown] = "what stands in the log is known to each later attempt: no conflict, and no refusal for good",
        [AppendRules.SessionOrder] = "what one session was told was written stands in the order in which it was sent",
        [AppendRules.ExpectationHeld] = "expected versions and requirements held where the append stands",
        [AppendRules.ConditionHeld] = "no event matched a condition where the append stands",
        [AppendRules.ConflictFounded] = "a conflict names what breaks the expectation, and what the log has",
        [RealTime.Rule] = "every answer was true at one moment between question and answer",
        [ReadRules.ReadTrue] = "a read shows the log up to its head, and nothing else, backwards the reverse",
        [ReadRules.ReadAtLeast] = "a read at a position shows all up to it",
        [ReadRules.ReadNeverBack] = "a running node never shows less than before",
        [ReadRules.StateTrue] = "a state as of a position counts the events up to it",
        [ReadRules.SubscriptionIsLog] = "a subscription is the log from its start: no gap, no repeat, over all its connections",
        [StatusRules.OneLeaderPerTerm] = "no two nodes lead one term",
        [StatusRules.TermRises] = "a node's term never goes back, over restarts too",
        [StatusRules.CommitRises] = "a running node's commit index never goes back",
        [StatusRules.CommittedStays] = "what a node calls committed is in the final log",
        [Coverage.Rule] = "after healing every node answers reads of every level, and says how it stands",
        [StatusRules.Answered] = "no call lasts longer than its time-out",
    };

    /// <summary>Checks everything.</summary>
    /// <param name="history">All operations, in any order.</param>
    /// <param name="logs">The log of each node that is still a member.</param>
    /// <param name="committed">Log index up to which all of them had committed when the last client had gone.</param>
    public static IReadOnlyList<Finding> Check(IReadOnlyList<Operation> history, IReadOnlyList<NodeLog> logs, ulong committed)
    {
        var findings = new Findings();
        var log = LogRules.Check(logs, committed, findings);
        AppendRules.Check([.. history.OfType<AppendAttempt>()], log, findings);
        ReadRules.Check(history, log, findings);
        RealTime.Check(history, log, findings);
        TimeRules.Check(history, findings);
        Coverage.Check(history, logs.Select(l => l.Node), findings);
        StatusRules.Check(history, logs, committed, findings);
        return findings.All;
    }
}
