using EventVault.FaultLab.History;

namespace EventVault.FaultLab.Checks;

/// <summary>
/// Whether enough was seen of every node, leader and followers, after all was healed: rules over reads hold for nothing where every read
/// fails. A run goes on until it is enough, and the checker counts again.
/// </summary>
internal sealed class Coverage(long since)
{
    public const string Rule = "all-was-seen";

    /// <summary>Text of the mark from which on it counts.</summary>
    public const string Healed = "all is healed";

    // Of each level at each node: more than one that came through by chance.
    private const int LeastReads = 3;

    private readonly Lock _lock = new();
    private readonly Dictionary<(int Node, string What), int> _counts = [];

    /// <summary>Holds a history against what it must have.</summary>
    /// <param name="history">All operations.</param>
    /// <param name="nodes">The members at the end.</param>
    /// <param name="findings">Gets what is missing.</param>
    public static void Check(IReadOnlyList<Operation> history, IEnumerable<int> nodes, Findings findings)
    {
        var healed = history.OfType<Mark>().LastOrDefault(m => m.Text == Healed);
        var coverage = new Coverage(healed?.Invoked ?? long.MaxValue);
        foreach (var operation in history)
        {
            coverage.Add(operation);
        }

        foreach (var missing in coverage.Missing(nodes))
        {
            findings.Add(Rule, missing);
        }
    }

    /// <summary>Counts an operation, if it counts.</summary>
    public void Add(Operation operation)
    {
        if (operation.Failure is not null || operation.Invoked < since || WhatOf(operation) is not { } what)
        {
            return;
        }

        lock (_lock)
        {
            _counts[(operation.Node, what)] = _counts.GetValueOrDefault((operation.Node, what)) + 1;
        }
    }

    /// <summary>What is not enough yet, for people.</summary>
    public List<string> Missing(IEnumerable<int> nodes)
    {
        lock (_lock)
        {
            return
            [
                .. from node in nodes
                   from needed in Enum.GetNames<Level>().Select(level => (What: level, Least: LeastReads)).Append((What: nameof(StatusSample), Least: 1))
                   let count = _counts.GetValueOrDefault((node, needed.What))
                   where count < needed.Least
                   select $"node {node} answered {count} of {needed.Least}: {needed.What}",
            ];
        }
    }

    private static string? WhatOf(Operation operation) => operation switch
    {
        ReadAttempt read => read.Level.ToString(),
        HeadAttempt head => head.Level.ToString(),
        StatusSample => nameof(StatusSample),
        _ => null,
    };
}
