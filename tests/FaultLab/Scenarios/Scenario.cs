using EventVault.FaultLab.Workload;

namespace EventVault.FaultLab.Scenarios;

/// <summary>Something that is done to a cluster while clients work.</summary>
/// <param name="Name">For the command line.</param>
/// <param name="What">For people, in a line.</param>
/// <param name="Body">Does it, and ends when the cluster can heal by itself.</param>
internal sealed record Scenario(string Name, string What, Func<ScenarioRun, Task> Body)
{
    /// <summary>How many nodes form the vault at first.</summary>
    public int Nodes { get; init; } = 3;

    /// <summary>Whether it makes sense with one node: <c>--alone</c>.</summary>
    public bool WorksAlone { get; init; }

    /// <summary>Whether it belongs to the short set, which CI runs.</summary>
    public bool IsShort { get; init; }

    /// <summary>What the clients do.</summary>
    public WorkOptions Work { get; init; } = new();

    /// <summary>What the nodes need before they are started, such as small disks.</summary>
    public Func<ScenarioRun, Task> Prepare { get; init; } = _ => Task.CompletedTask;
}
