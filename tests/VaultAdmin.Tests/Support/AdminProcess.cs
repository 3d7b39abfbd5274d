using System.Diagnostics;

namespace EventVault.Admin.Tests.Support;

/// <summary>Runs vault-admin as a process, as scripts do.</summary>
public static class AdminProcess
{
    private static readonly TimeSpan Limit = TimeSpan.FromMinutes(2);

    private static DirectoryInfo Own { get; } = new(AppContext.BaseDirectory.TrimEnd(Path.DirectorySeparatorChar));

    /// <summary>Root of the repository: the tests are built to <c>tests/PROJECT/bin/CONFIGURATION/FRAMEWORK/</c>.</summary>
    public static string Root { get; } = Own.Parent!.Parent!.Parent!.Parent!.Parent!.FullName;

    public static string Dotnet { get; } = Environment.GetEnvironmentVariable("DOTNET_HOST_PATH") ?? "dotnet";

    public static string Assembly { get; } = Built("tools/vault-admin", "vault-admin");

    public static string Built(string project, string assembly) =>
        Path.Combine(Root, project, "bin", Own.Parent!.Name, Own.Name, assembly + ".dll");

    public static string TestData(string name) => Path.Combine(Root, "tests", "data", name);

    public static Process Start(params string[] arguments) => StartWith(endpointVariable: null, arguments);

    public static Process StartWith(string? endpointVariable, params string[] arguments)
    {
        var start = new ProcessStartInfo(Dotnet, [Assembly, .. arguments])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        if (endpointVariable is not null)
        {
            start.Environment["EVENTVAULT_ENDPOINT"] = endpointVariable;
        }

        return Process.Start(start)!;
    }

    /// <summary>Runs it with variables of the environment.</summary>
    public static async Task<AdminResult> RunWithAsync(IReadOnlyDictionary<string, string> variables, params string[] arguments)
    {
        var start = new ProcessStartInfo(Dotnet, [Assembly, .. arguments]) { RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true };
        foreach (var (name, value) in variables)
        {
            start.Environment[name] = value;
        }

        using var process = Process.Start(start)!;
        process.StandardInput.Close();
        return await EndAsync(process);
    }

    public static async Task<AdminResult> RunAsync(params string[] arguments)
    {
        using var process = Start(arguments);
        process.StandardInput.Close();
        return await EndAsync(process);
    }

    public static async Task<AdminResult> EndAsync(Process process)
    {
        using var limit = new CancellationTokenSource(Limit);
        try
        {
            var stdout = process.StandardOutput.ReadToEndAsync(limit.Token);
            var stderr = process.StandardError.ReadToEndAsync(limit.Token);
            await process.WaitForExitAsync(limit.Token);
            return new AdminResult(process.ExitCode, await stdout, await stderr);
        }
        catch (OperationCanceledException)
        {
            process.Kill();
            throw;
        }
    }
}
