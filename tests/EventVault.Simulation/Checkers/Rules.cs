namespace EventVault.Simulation.Checkers;

/// <summary>
/// What must hold in every run, by name. docs/TESTING.md lists the same names; each has a planted violation in
/// EventVault.Simulation.Tests that must be caught.
/// </summary>
internal static class Rules
{
    // Replicas, after every event.
    public const string OneLeaderPerTerm = "one-leader-per-term";
    public const string LeaderHasVotes = "leader-has-votes";
    public const string VoteAfterPreVote = "vote-after-pre-vote";
    public const string LeaderComplete = "leader-complete";
    public const string LeaderAppendsOnly = "leader-appends-only";
    public const string LogsMatch = "logs-match";
    public const string CommitAgrees = "commit-agrees";
    public const string CommitRises = "commit-rises";
    public const string CommitHasQuorum = "commit-has-quorum";
    public const string CommitOfOwnTerm = "commit-of-own-term";
    public const string CommitWithinLog = "commit-within-log";
    public const string VisibleIsCommitted = "visible-is-committed";
    public const string TermRises = "term-rises";
    public const string VoteOncePerTerm = "vote-once-per-term";
    public const string VoteFlushedFirst = "vote-flushed-first";
    public const string AckFlushedFirst = "ack-flushed-first";
    public const string AckMatchesLeader = "ack-matches-leader";
    public const string AckedSurvives = "acked-survives";
    public const string MembershipIsLast = "membership-is-last";

    // The log itself, as it grows.
    public const string IndexesDense = "indexes-dense";
    public const string ChainIntact = "chain-intact";
    public const string TermsRise = "terms-rise";
    public const string PositionsDense = "positions-dense";
    public const string VersionsDense = "versions-dense";
    public const string TimesRise = "times-rise";
    public const string TimeFromClock = "time-from-clock";
    public const string TimeStaysClosed = "time-stays-closed";
    public const string OnlyWhatWasSent = "only-what-was-sent";
    public const string AppendWhole = "append-whole";
    public const string WrittenOnce = "written-once";
    public const string RefusedNeverWritten = "refused-never-written";
    public const string RefusedIsGone = "refused-is-gone";
    public const string ExpectationHeld = "expectation-held";
    public const string ConditionHeld = "condition-held";
    public const string HoldKept = "hold-kept";
    public const string TakenByRule = "taken-by-rule";

    // Answers to clients.
    public const string AckedIsCommitted = "acked-is-committed";
    public const string AnswerTrue = "answer-true";
    public const string AnsweredAppendedOnce = "answered-appended-once";
    public const string DuplicateFounded = "duplicate-founded";
    public const string RetryRecognised = "retry-recognised";
    public const string ReuseFounded = "reuse-founded";
    public const string ConflictFounded = "conflict-founded";
    public const string AheadFounded = "ahead-founded";
    public const string ReadTrue = "read-true";
    public const string ReadCommitted = "read-committed";
    public const string ReadFresh = "read-fresh";
    public const string ReadAtLeast = "read-at-least";
    public const string ReadForward = "read-never-back";
    public const string ListTrue = "list-true";
    public const string TimeLookupTrue = "time-lookup-true";
    public const string SubscriptionIsLog = "subscription-is-log";

    // What was scavenged.
    public const string ScavengedIsCommitted = "scavenged-is-committed";
    public const string ScavengedEqual = "scavenged-equal";

    // The leader's retention work.
    public const string DueFound = "due-found";

    // At the end of a run.
    public const string LogsEqual = "logs-equal";
    public const string NothingLost = "nothing-lost";
    public const string IndexEqualsLog = "index-equals-log";
    public const string OperationsKnown = "operations-known";
}
