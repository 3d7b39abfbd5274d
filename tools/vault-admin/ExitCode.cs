namespace EventVault.Admin;

/// <summary>What scripts can rely on. The same list stands in the help text and in this tool's README.</summary>
internal static class ExitCode
{
    public const int Done = 0;
    public const int Failed = 1;
    public const int Usage = 2;
    public const int Conflict = 3;
    public const int Damage = 4;
    public const int Unreachable = 5;
    public const int Degraded = 6;
}
