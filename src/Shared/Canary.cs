// Mistakes that the simulation must catch: each breaks one rule on purpose, to prove that the checkers see it.
//
// In a product build every switch is a constant false that the compiler drops. Only tests/EventVault.Simulation, which
// compiles the product's sources once more with CANARIES defined, can turn one on (`--canary NAME`).
namespace EventVault;

/// <summary>Rules that can be broken on purpose, in simulation builds only.</summary>
internal static class Canary
{
#if CANARIES
    [System.ThreadStatic]
    private static string? ActiveHere;

    /// <summary>Name of the rule that is broken in this run; null: none. A run has a thread of its own, and so has this.</summary>
    public static string? Active
    {
        get => ActiveHere;
        set => ActiveHere = value;
    }

    /// <summary>Whether the rule of this name is broken.</summary>
    public static bool Is(string name) => ActiveHere is { } active && active == name;
#else
    /// <summary>False: product builds keep all rules.</summary>
    [System.Runtime.CompilerServices.MethodImpl(System.Runtime.CompilerServices.MethodImplOptions.AggressiveInlining)]
    public static bool Is(string name) => false;
#endif

    // One line for each: what is not done. The name is what --canary takes.
    public const string VoteNotPersisted = "vote-not-persisted";
    public const string AckBeforeFlush = "ack-before-flush";
    public const string OldTermByCounting = "old-term-by-counting";
    public const string NoAbaFence = "no-aba-fence";
    public const string TailNotFlushed = "tail-not-flushed";
    public const string GroupChecksumSkipped = "group-checksum-skipped";
    public const string CutNotRecorded = "cut-not-recorded";
    public const string DuplicateNotChecked = "duplicate-not-checked";
    public const string OverlayIgnored = "overlay-ignored";
    public const string ConditionOverlayIgnored = "condition-overlay-ignored";
    public const string DeletedIsShown = "deleted-is-shown";
    public const string HoldIgnored = "hold-ignored";
    public const string RuleNotChecked = "rule-not-checked";
    public const string ConflictFromUncommitted = "conflict-from-uncommitted";
    public const string TruncatedIsRefused = "truncated-is-refused";
    public const string NoPreVote = "no-prevote";
    public const string NoCheckQuorum = "no-check-quorum";
    public const string MatchNotChecked = "match-not-checked";
    public const string CommitBeyondMatch = "commit-beyond-match";
    public const string ReadWithoutQuorum = "read-without-quorum";
    public const string ReadBeforeFirstCommit = "read-before-first-commit";
    public const string JointByOneMajority = "joint-by-one-majority";
    public const string WipedDiskVotes = "wiped-disk-votes";
    public const string ShippedUnverified = "shipped-unverified";
    public const string OwnGroupsKept = "own-groups-kept";
    public const string InstalledOverHeld = "installed-over-held";
    public const string ScavengedByNow = "scavenged-by-now";
    public const string ShownBeforeWhole = "shown-before-whole";
}
