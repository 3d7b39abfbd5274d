using System.ComponentModel;
using System.Diagnostics;

namespace EventVault.Rpc.Tests.Support;

/// <summary>
/// A theory that needs a foreign gRPC client. Skipped, saying why, where the tool is missing; with CI=true it runs and
/// fails instead, so that CI can't lose it silently.
/// </summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class InteropTheoryAttribute : TheoryAttribute
{
    public InteropTheoryAttribute(string tool)
    {
        if (Environment.GetEnvironmentVariable("CI") != "true" && !IsInstalled(tool))
        {
            Skip = $"INTEROP NOT CHECKED: the {tool} gRPC client is not installed. Run tests/interop/setup.sh. (CI=true makes this a failure.)";
        }
    }

    public static string Folder { get; } = Path.Combine(RepositoryRoot(), "tests", "interop");

    private static bool IsInstalled(string tool) => tool == "python"
        ? Runs("/usr/bin/python3", "-c", "import grpc, google.protobuf") && Runs("protoc", "--version")
        : Runs("node", "--version") && Directory.Exists(Path.Combine(Folder, "node", "node_modules", "@grpc", "grpc-js"));

    private static bool Runs(string program, params string[] arguments)
    {
        try
        {
            using var process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true })!;
            return process.WaitForExit(TimeSpan.FromSeconds(30)) && process.ExitCode == 0;
        }
        catch (Win32Exception)
        {
            return false;
        }
    }

    private static string RepositoryRoot()
    {
        var folder = new DirectoryInfo(AppContext.BaseDirectory);
        while (folder is not null && !File.Exists(Path.Combine(folder.FullName, "EventVault.sln")))
        {
            folder = folder.Parent;
        }

        return folder?.FullName ?? throw new InvalidOperationException($"No EventVault.sln above {AppContext.BaseDirectory}.");
    }
}
