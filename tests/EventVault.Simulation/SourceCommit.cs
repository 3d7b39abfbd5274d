using System.Reflection;

namespace EventVault.Simulation;

/// <summary>Which sources a seed belongs to: with others it is another run.</summary>
internal static class SourceCommit
{
    /// <summary>The commit that was built, as the SDK notes it; "unknown" without git. Changes behind it are not noted.</summary>
    public static string Name { get; } =
        typeof(SourceCommit).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion.Split('+') is [_, var commit] ? commit : "unknown";
}
