using System.Diagnostics;

namespace EventVault.Demo;

/// <summary>Starts what the repository built.</summary>
internal static class ChildProcess
{
    /// <summary>Starts an assembly with the runtime that runs the demo.</summary>
    /// <param name="assembly">The assembly.</param>
    /// <param name="arguments">Its arguments.</param>
    public static Process Start(string assembly, params string[] arguments)
    {
        var start = new ProcessStartInfo(Environment.GetEnvironmentVariable("DOTNET_HOST_PATH") ?? "dotnet")
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            UseShellExecute = false,
        };
        start.ArgumentList.Add(assembly);
        foreach (var argument in arguments)
        {
            start.ArgumentList.Add(argument);
        }

        return Process.Start(start)!;
    }

    /// <summary>Runs vault-admin to its end.</summary>
    /// <param name="arguments">Its arguments.</param>
    /// <returns>Exit code and what it printed.</returns>
    public static async Task<(int ExitCode, string Output)> AdminAsync(params string[] arguments)
    {
        using var process = Start(Places.Admin, arguments);
        var output = process.StandardOutput.ReadToEndAsync();
        var error = process.StandardError.ReadToEndAsync();
        await process.WaitForExitAsync();
        return (process.ExitCode, (await output).Trim() is { Length: > 0 } text ? text : (await error).Trim());
    }
}
