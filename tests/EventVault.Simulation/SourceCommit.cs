using System.ComponentModel;
using System.Diagnostics;

namespace EventVault.Simulation;

/// <summary>Which sources a seed belongs to: with others it is another run.</summary>
internal static class SourceCommit
{
    /// <summary>The commit checked out here, marked if files differ from it; "unknown" without git.</summary>
    public static string Read()
    {
        var commit = Git("rev-parse", "HEAD");
        return commit is null ? "unknown" : Git("status", "--porcelain", "--untracked-files=no") is { Length: > 0 } ? $"{commit} with changes" : commit;
    }

    private static string? Git(params string[] arguments)
    {
        try
        {
            using var git = Process.Start(new ProcessStartInfo("git", arguments) { RedirectStandardOutput = true, RedirectStandardError = true, WorkingDirectory = AppContext.BaseDirectory });
            var output = git?.StandardOutput.ReadToEnd().Trim();
            git?.WaitForExit();
            return git?.ExitCode == 0 ? output : null;
        }
        catch (Win32Exception)
        {
            return null;
        }
    }
}
