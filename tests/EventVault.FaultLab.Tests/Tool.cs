using System.ComponentModel;
using System.Diagnostics;

namespace EventVault.FaultLab.Tests;

/// <summary>Programs of the system that some tests need: without them a test says so, or fails under CI=true.</summary>
internal static class Tool
{
    /// <summary>Whether a program is there; says so if it is not.</summary>
    public static bool IsInstalled(string name)
    {
        var found = Environment.GetEnvironmentVariable("PATH")!.Split(':').Any(folder => File.Exists(Path.Combine(folder, name)));
        if (!found)
        {
            Skip($"{name} is not installed");
        }

        return found;
    }

    /// <summary>Whether file systems may be mounted; says so if not.</summary>
    public static bool CanMount()
    {
        if (Environment.UserName == "root" && IsInstalled("mount"))
        {
            return true;
        }

        Skip("needs root to mount a small file system");
        return false;
    }

    /// <summary>Mounts a disk of 24 MiB; says so if that is not allowed.</summary>
    public static bool MountsSmallDisk(string folder)
    {
        if (Runs("mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", folder))
        {
            return true;
        }

        Skip("mounting a tmpfs is not allowed here");
        return false;
    }

    /// <summary>Whether a command can be run and succeeds.</summary>
    public static bool Runs(string command, params string[] arguments)
    {
        try
        {
            using var process = Process.Start(new ProcessStartInfo(command, arguments) { RedirectStandardOutput = true, RedirectStandardError = true })!;
            return process.WaitForExit(TimeSpan.FromSeconds(60)) && process.ExitCode == 0;
        }
        catch (Win32Exception)
        {
            return false;
        }
    }

    /// <summary>Runs a command that has to succeed.</summary>
    public static void MustRun(string command, params string[] arguments)
    {
        using var process = Process.Start(new ProcessStartInfo(command, arguments) { RedirectStandardOutput = true, RedirectStandardError = true })!;
        var output = process.StandardOutput.ReadToEndAsync();
        var error = process.StandardError.ReadToEnd();
        process.WaitForExit();
        Assert.True(process.ExitCode == 0, $"{command} {string.Join(' ', arguments)}: {output.Result}{error}");
    }

    public static void Skip(string why)
    {
        Assert.False(Settings.IsCi, $"In CI this may not be skipped: {why}.");
        Console.Error.WriteLine($"SKIPPED: {why}.");
    }
}
