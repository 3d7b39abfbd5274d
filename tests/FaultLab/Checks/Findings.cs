namespace EventVault.FaultLab.Checks;

/// <summary>A rule that was broken, and where.</summary>
/// <param name="Rule">Its name, as in docs/TESTING.md.</param>
/// <param name="Text">What was seen and what should have been.</param>
internal sealed record Finding(string Rule, string Text)
{
    public override string ToString() => $"{Rule}: {Text}";
}

/// <summary>Gathers what is wrong, and stops counting where nobody would read on.</summary>
internal sealed class Findings
{
    // Of each rule; what broke it a thousand times more says no more.
    private const int MostOfARule = 20;

    private readonly List<Finding> _all = [];
    private readonly Dictionary<string, int> _counts = [];

    public IReadOnlyList<Finding> All => _all;

    public void Add(string rule, string text)
    {
        var count = _counts[rule] = _counts.GetValueOrDefault(rule) + 1;
        if (count <= MostOfARule)
        {
            _all.Add(new Finding(rule, text));
        }
    }

    /// <summary>Adds a finding unless the rule holds. The text is made only if it is needed.</summary>
    public bool Require(bool holds, string rule, Func<string> text)
    {
        if (!holds)
        {
            Add(rule, text());
        }

        return holds;
    }
}
