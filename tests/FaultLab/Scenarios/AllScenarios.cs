namespace EventVault.FaultLab.Scenarios;

/// <summary>The list.</summary>
internal static class AllScenarios
{
    public static IReadOnlyList<Scenario> List { get; } = [.. CrashScenarios.All, .. NetworkScenarios.All, .. DiskScenarios.All, .. DamageScenarios.All, .. MemberScenarios.All];
}
