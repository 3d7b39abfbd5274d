using EventVault.FaultLab.History;

namespace EventVault.FaultLab.Checks;

/// <summary>What holds between recorded times and the machine's clock, which the nodes have unless the lab gives them another.</summary>
internal static class TimeRules
{
    public const string TimesReal = "times-real";

    // docs/OPERATIONS.md: a node whose clock is further off does not lead. The rest is for how it is measured.
    private static readonly long MostOff = (TimeSpan.FromSeconds(60) + TimeSpan.FromSeconds(10)).Ticks;

    // Times rise by a tick from group to group where a clock stands behind them: far less than this in a run. A wrong clock that gave
    // times would pass it within seconds.
    private static readonly long MostCarried = TimeSpan.FromSeconds(5).Ticks;

    public static void Check(IReadOnlyList<Operation> history, Findings findings)
    {
        var written = history.OfType<AppendAttempt>().Where(a => a.Outcome == AppendOutcome.Written).ToList();
        var wrong = history.OfType<WrongClock>()
            .Select(w => (Clock: w, Carried: written.Where(a => a.Invoked <= w.Completed).Select(a => a.RecordedAt).DefaultIfEmpty(0).Max() + MostCarried)).ToList();
        foreach (var append in written)
        {
            var (earliest, latest) = (Clock.RealTime(append.Invoked) - MostOff, Clock.RealTime(append.Completed) + MostOff);

            // While a node with a wrong clock may still lead it gives wrong times, and those who lead after it can only go on from there.
            foreach (var (clock, carried) in wrong.Where(w => w.Clock.Invoked <= append.Completed))
            {
                latest = Math.Max(latest, append.Invoked > clock.Completed ? carried : Clock.RealTime(append.Completed) + clock.Ahead + MostOff);
            }

            findings.Require(
                append.RecordedAt >= earliest && append.RecordedAt <= latest,
                TimesReal,
                () => $"recorded at {append.RecordedAt}, which should lie within {earliest} and {latest}: {append}");
        }
    }
}
