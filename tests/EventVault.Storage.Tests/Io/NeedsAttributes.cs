using System.ComponentModel;
using System.Diagnostics;

namespace EventVault.Storage.Tests.Io;

/// <summary>
/// A test that needs a tool of the machine. Without it the test is skipped and says so; where CI=true it runs and
/// fails, so that a proof cannot drop out of CI unnoticed.
/// </summary>
public abstract class NeedsToolAttribute : FactAttribute
{
    protected NeedsToolAttribute(string what, string tool, params string[] arguments)
    {
        if (Environment.GetEnvironmentVariable("CI") != "true" && !Works(tool, arguments))
        {
            Skip = $"NOT PROVEN HERE: '{tool} {string.Join(' ', arguments)}' does not work on this machine, so {what} cannot be tested.";
        }
    }

    private static bool Works(string tool, string[] arguments)
    {
        try
        {
            using var process = Process.Start(new ProcessStartInfo(tool, arguments) { RedirectStandardError = true, RedirectStandardOutput = true })!;
            return process.WaitForExit(TimeSpan.FromSeconds(30)) && process.ExitCode == 0;
        }
        catch (Win32Exception)
        {
            return false;
        }
    }
}

[AttributeUsage(AttributeTargets.Method)]
public sealed class NeedsStraceAttribute() : NeedsToolAttribute("injected system call errors", "strace", "-f", "-qq", "-o", "/dev/null", "true");

[AttributeUsage(AttributeTargets.Method)]
public sealed class NeedsMountAttribute() : NeedsToolAttribute("a full file system", Unshare[0], [.. Unshare[1..], "true"])
{
    /// <summary>The start of a command that may mount, unseen by the rest of the machine.</summary>
    internal static string[] Unshare { get; } = Environment.UserName == "root" ? ["unshare", "-m"] : ["unshare", "-rm"];
}

[AttributeUsage(AttributeTargets.Method)]
public sealed class NeedsLoopDeviceAttribute() : NeedsToolAttribute(
    "a disk that fails while it writes back", NeedsMountAttribute.Unshare[0], [.. NeedsMountAttribute.Unshare[1..], "sh", "-c", "losetup -f && command -v mkfs.ext4"]);
