using System.Diagnostics;

namespace EventVault.FaultLab.Machine;

/// <summary>Runs programs of the system.</summary>
internal static class Command
{
    // None of them does more than change a setting of the kernel.
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(60);

    /// <summary>Runs one to its end.</summary>
    /// <exception cref="InvalidOperationException">It failed; the message has its words.</exception>
    public static async Task RunAsync(string program, params string[] arguments)
    {
        var (code, output) = await TryAsync(null, program, arguments);
        if (code != 0)
        {
            throw new InvalidOperationException($"{program} {string.Join(' ', arguments)}: exit code {code}: {output}");
        }
    }

    /// <summary>Runs one with something on its standard input.</summary>
    public static async Task FeedAsync(string input, string program, params string[] arguments)
    {
        var (code, output) = await TryAsync(input, program, arguments);
        if (code != 0)
        {
            throw new InvalidOperationException($"{program} {string.Join(' ', arguments)}: exit code {code}: {output}\n{input}");
        }
    }

    /// <summary>Runs one and tells its exit code and what it printed.</summary>
    public static async Task<(int Code, string Output)> TryAsync(string? input, string program, params string[] arguments)
    {
        using var process = Process.Start(new ProcessStartInfo(program, arguments)
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        })!;
        var output = process.StandardOutput.ReadToEndAsync();
        var errors = process.StandardError.ReadToEndAsync();
        if (input is not null)
        {
            await process.StandardInput.WriteAsync(input);
        }

        process.StandardInput.Close();
        using var limit = new CancellationTokenSource(Limit);
        await process.WaitForExitAsync(limit.Token);
        return (process.ExitCode, (await output) + (await errors));
    }
}
