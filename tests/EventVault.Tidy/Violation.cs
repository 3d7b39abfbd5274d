namespace EventVault.Tidy;

/// <summary>A place that breaks a rule of the house.</summary>
/// <param name="File">Path from the root, with forward slashes.</param>
/// <param name="Line">1-based; 0: the file as a whole.</param>
/// <param name="What">What is wrong and what to do.</param>
internal sealed record Violation(string File, int Line, string What)
{
    public override string ToString() => Line == 0 ? $"{File}: {What}" : $"{File}:{Line}: {What}";
}
