namespace EventVault.LocalCluster;

/// <summary>Where what the repository built lies, found from where this was built to: <c>tools/cluster/bin/CONFIGURATION/FRAMEWORK/</c>.</summary>
internal static class Places
{
    private static readonly DirectoryInfo Own = new(AppContext.BaseDirectory.TrimEnd(Path.DirectorySeparatorChar));

    public static string Node => Built("src", "EventVault.Node", "EventVault.Node");

    public static string Admin => Built("tools", "vault-admin", "vault-admin");

    private static string Built(string folder, string project, string assembly)
    {
        var root = Own.Parent?.Parent?.Parent?.Parent?.Parent;
        var path = root is null ? "" : Path.Combine(root.FullName, folder, project, "bin", Own.Parent!.Name, Own.Name, assembly + ".dll");
        return File.Exists(path)
            ? path
            : throw new StartException($"{assembly} is not built beside this. Run it with: dotnet run -c Release --project tools/cluster -- --data DIR");
    }
}
