using System.Xml.Linq;

namespace EventVault.Tidy.Rules;

/// <summary>Who may know whom. Tests and benchmarks may know everything; nothing may know them.</summary>
internal static class ProjectReferences
{
    private static readonly Dictionary<string, string[]> Allowed = new(StringComparer.Ordinal)
    {
        ["EventVault.Protocol"] = [],
        ["EventVault.Storage"] = [],
        ["EventVault.Raft"] = [],
        ["EventVault.Temporal"] = ["EventVault.Storage"],
        ["EventVault.Rpc"] = [],
        ["EventVault.Rpc.Server"] = ["EventVault.Rpc"],
        ["EventVault.Client"] = ["EventVault.Rpc", "EventVault.Protocol"],
        ["EventVault.Node"] = ["EventVault.Temporal", "EventVault.Storage", "EventVault.Raft", "EventVault.Rpc.Server", "EventVault.Rpc", "EventVault.Protocol"],
        ["vault-admin"] = ["EventVault.Client", "EventVault.Storage", "EventVault.Raft"],
        // These start the node as a process of its own: they are built with it, but do not see its types.
        ["demo"] = ["EventVault.Client", "EventVault.Node", "vault-admin"],
        ["cluster"] = ["EventVault.Node", "vault-admin"],
    };

    /// <summary>The source files that several projects compile.</summary>
    private static readonly string[] LinkedFiles = ["src/Shared/Invariant.cs", "src/Shared/Canary.cs"];

    public static IEnumerable<Violation> Check(SourceFile project)
    {
        var name = Path.GetFileNameWithoutExtension(project.Name);
        if (!project.IsUnder("src/", "tools/"))
        {
            yield break;
        }

        if (!Allowed.TryGetValue(name, out var allowed))
        {
            yield return new Violation(
                project.Path, 0, $"the project {name} is not in the dependency graph. Add it to docs/ARCHITECTURE.md and to ProjectReferences.Allowed.");
            yield break;
        }

        var xml = XDocument.Parse(project.Text, LoadOptions.SetLineInfo);
        foreach (var reference in xml.Descendants("ProjectReference"))
        {
            var target = Path.GetFileNameWithoutExtension(Include(reference));
            if (!allowed.Contains(target))
            {
                yield return new Violation(
                    project.Path, Line(reference), $"{name} must not know {target}; it may reference: {List(allowed)}. Move the code, or record a decision and change the graph.");
            }
        }

        var folder = Path.GetDirectoryName(project.Path)!;
        foreach (var compile in xml.Descendants("Compile"))
        {
            var file = Path.GetRelativePath(".", Path.Combine(folder, Include(compile))).Replace('\\', '/');
            if (compile.Attribute("Link") is not null && !LinkedFiles.Contains(file))
            {
                yield return new Violation(project.Path, Line(compile), $"compiles {file} of another project; only {List(LinkedFiles)} are shared that way.");
            }
        }
    }

    /// <summary>Every project is built and tested by the solution.</summary>
    public static IEnumerable<Violation> CheckSolution(IEnumerable<SourceFile> projects, SourceFile solution)
    {
        var listed = solution.Text.Replace('\\', '/');
        return projects
            .Where(project => !listed.Contains($"\"{project.Path}\"", StringComparison.Ordinal))
            .Select(project => new Violation(project.Path, 0, $"is not in {solution.Path}: run `dotnet sln add {project.Path}`."));
    }

    private static string Include(XElement element) => ((string?)element.Attribute("Include") ?? string.Empty).Replace('\\', '/');

    private static int Line(XElement element) => ((System.Xml.IXmlLineInfo)element).LineNumber;

    private static string List(string[] names) => names.Length == 0 ? "nothing" : string.Join(", ", names);
}
