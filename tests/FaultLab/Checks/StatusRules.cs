using EventVault.FaultLab.History;

namespace EventVault.FaultLab.Checks;

/// <summary>What holds of how nodes say they stand, and of calls as such.</summary>
internal static class StatusRules
{
    public const string OneLeaderPerTerm = "one-leader-per-term";
    public const string TermRises = "term-rises";
    public const string CommitRises = "commit-rises";
    public const string CommittedStays = "committed-stays";
    public const string Answered = "answered";

    // Every call of the lab has a time-out of a few seconds; the rest is for a machine that is busy with other things.
    private static readonly TimeSpan LongestCall = TimeSpan.FromSeconds(60);

    public static void Check(IReadOnlyList<Operation> history, IReadOnlyList<NodeLog> logs, ulong committed, Findings findings)
    {
        var samples = history.OfType<StatusSample>().Where(s => s.Failure is null).OrderBy(s => s.Completed).ToList();
        var leaders = new Dictionary<ulong, int>();
        var last = new Dictionary<(int Node, string Incarnation), StatusSample>();
        var end = Math.Max(committed, (ulong)logs.Max(l => l.Groups.Count));
        foreach (var sample in samples)
        {
            if (sample.IsLeader && !leaders.TryAdd(sample.Term, sample.Node))
            {
                findings.Require(leaders[sample.Term] == sample.Node, OneLeaderPerTerm, () => $"nodes {leaders[sample.Term]} and {sample.Node} both lead term {sample.Term}: {sample}");
            }

            findings.Require(sample.CommitIndex <= end, CommittedStays, () => $"index {sample.CommitIndex} was committed, and the logs end at {end}: {sample}");
            if (last.TryGetValue((sample.Node, sample.Incarnation), out var before) && before.Completed < sample.Invoked)
            {
                findings.Require(sample.Term >= before.Term, TermRises, () => $"term {before.Term} was followed by {sample.Term}: {sample}");
                findings.Require(
                    sample.Start != before.Start || sample.CommitIndex >= before.CommitIndex,
                    CommitRises,
                    () => $"commit index {before.CommitIndex} was followed by {sample.CommitIndex}: {sample}");
            }

            last[(sample.Node, sample.Incarnation)] = sample;
        }

        foreach (var operation in history.Where(o => o is not (Mark or Delivery or WrongClock)))
        {
            findings.Require(operation.Completed - operation.Invoked < Clock.Ticks(LongestCall), Answered, () => $"lasted too long: {operation}");
        }
    }
}
