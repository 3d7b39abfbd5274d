namespace EventVault.Demo;

/// <summary>Where things lie, found from where the demo itself was built to: <c>tools/demo/bin/CONFIGURATION/FRAMEWORK/</c>.</summary>
internal static class Places
{
    private static readonly DirectoryInfo Own = new(AppContext.BaseDirectory.TrimEnd(Path.DirectorySeparatorChar));

    public static string History => Path.Combine(Root.FullName, "tests", "data", "redis-history.jsonl.gz");

    public static string Truth => Path.Combine(Root.FullName, "tests", "data", "redis-history.truth.tsv");

    public static string Node => Built("src", "EventVault.Node", "EventVault.Node");

    public static string Admin => Built("tools", "vault-admin", "vault-admin");

    private static DirectoryInfo Root => Own.Parent?.Parent?.Parent?.Parent?.Parent
        ?? throw new DirectoryNotFoundException($"'{Own}' is not where this project builds to. Run it with: dotnet run -c Release --project tools/demo");

    private static string Built(string folder, string project, string assembly)
    {
        var path = Path.Combine(Root.FullName, folder, project, "bin", Own.Parent!.Name, Own.Name, assembly + ".dll");
        return File.Exists(path)
            ? path
            : throw new FileNotFoundException($"'{path}' is not built. Run the demo with: dotnet run -c Release --project tools/demo");
    }
}
