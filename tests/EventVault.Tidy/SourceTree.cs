using System.Reflection;

namespace EventVault.Tidy;

/// <summary>The repository's own text files, without what builds and tools leave behind.</summary>
internal sealed class SourceTree
{
    private static readonly HashSet<string> NotOurs =
    [
        ".git", ".vs", ".idea", ".venv", "bin", "obj", "artifacts", "TestResults", "BenchmarkDotNet.Artifacts",
        "node_modules", "__pycache__",
    ];

    private static readonly HashSet<string> TextExtensions =
    [
        ".cs", ".csproj", ".props", ".targets", ".proto", ".md", ".json", ".yml", ".yaml", ".sh", ".py", ".js", ".mjs",
        ".cjs", ".xml", ".sln", ".txt", ".editorconfig", ".gitignore", ".gitattributes", ".npmrc", ".config", ".conf", "",
    ];

    private SourceTree(string root, IReadOnlyList<SourceFile> files, IReadOnlySet<string> paths)
    {
        Root = root;
        Files = files;
        Paths = paths;
    }

    /// <summary>The tree that this test was built in.</summary>
    public static SourceTree Repository { get; } = Load(
        typeof(SourceTree).Assembly.GetCustomAttributes<AssemblyMetadataAttribute>().Single(a => a.Key == "RepoRoot").Value!);

    public string Root { get; }

    public IReadOnlyList<SourceFile> Files { get; }

    /// <summary>Every file and folder, binary ones too, from the root, with forward slashes; the root is empty.</summary>
    public IReadOnlySet<string> Paths { get; }

    /// <summary>C# written by hand, in these folders.</summary>
    public IEnumerable<SourceFile> CSharp(params string[] folders) => Files.Where(f => f.Is(".cs") && f.IsUnder(folders));

    public SourceFile File(string path) =>
        Files.SingleOrDefault(f => f.Path == path)
        ?? throw new FileNotFoundException($"{path} is missing from the repository; other rules are checked against it.");

    private static SourceTree Load(string root)
    {
        var files = new List<SourceFile>();
        var paths = new HashSet<string>(StringComparer.Ordinal) { string.Empty };
        var folders = new Stack<string>([root]);
        while (folders.TryPop(out var folder))
        {
            foreach (var child in Directory.EnumerateDirectories(folder))
            {
                if (!NotOurs.Contains(Path.GetFileName(child)))
                {
                    folders.Push(child);
                    paths.Add(FromRoot(child));
                }
            }

            foreach (var file in Directory.EnumerateFiles(folder))
            {
                paths.Add(FromRoot(file));
                if (TextExtensions.Contains(Path.GetExtension(file)) && Path.GetFileName(file) != ".git")
                {
                    files.Add(new SourceFile(FromRoot(file), System.IO.File.ReadAllText(file).ReplaceLineEndings("\n")));
                }
            }
        }

        return new SourceTree(root, [.. files.OrderBy(f => f.Path, StringComparer.Ordinal)], paths);

        string FromRoot(string path) => Path.GetRelativePath(root, path).Replace('\\', '/');
    }
}
