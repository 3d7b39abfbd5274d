namespace EventVault.Simulation.Checkers;

/// <summary>A rule of <see cref="Rules"/> does not hold: what a run is looking for.</summary>
internal sealed class ViolationException(string rule, string what) : Exception($"{rule}: {what}")
{
    /// <summary>Name of the rule.</summary>
    public string Rule => rule;
}
