using System.Diagnostics;
using EventVault.LoadTest.Nodes;

namespace EventVault.Peers;

/// <summary>The process of a peer, with its data in a folder of its own. Ended by its process id.</summary>
/// <param name="name">Of the folder.</param>
internal sealed class PeerServer(string name)
{
    // Redis reads gigabytes at its start.
    private static readonly TimeSpan StartPatience = TimeSpan.FromMinutes(3);

    private ServerProcess? _process;

    /// <summary>Where all peers have their folders; made and set before the first start.</summary>
    public static string Root { get; set; } = "";

    public string Folder => Path.Combine(Root, name);

    public int Port { get; private set; }

    public int ProcessId => _process is { HasEnded: false } process ? process.Id : 0;

    /// <summary>Where a program of a server lies, or null.</summary>
    public static string? Find(string program, params string[] folders) =>
        folders.Concat((Environment.GetEnvironmentVariable("PATH") ?? "").Split(':')).Where(f => f.Length > 0).Select(f => Path.Combine(f, program)).FirstOrDefault(File.Exists);

    public void Empty()
    {
        if (Directory.Exists(Folder))
        {
            Directory.Delete(Folder, recursive: true);
        }

        Directory.CreateDirectory(Folder);
        Port = ServerProcess.FreePort();
    }

    /// <summary>Starts it and asks until it answers.</summary>
    public async Task StartAsync(string program, IEnumerable<string> arguments, Func<Task> isReady) => _process = await ServerProcess.StartAsync(
        new ProcessStartInfo(program, arguments) { WorkingDirectory = Folder }, Path.Combine(Root, name + ".out"), isReady, StartPatience);

    public async Task StopAsync(bool kill, string signal = "TERM")
    {
        if (_process is not null)
        {
            await _process.StopAsync(kill, signal);
            _process = null;
        }
    }

    /// <summary>Runs a tool to its end.</summary>
    /// <exception cref="InvalidOperationException">It failed.</exception>
    public static async Task RunToolAsync(string program, params string[] arguments)
    {
        using var process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true })!;
        var (output, error) = (process.StandardOutput.ReadToEndAsync(), process.StandardError.ReadToEndAsync());
        await process.WaitForExitAsync();
        if (process.ExitCode != 0)
        {
            throw new InvalidOperationException($"{program} {string.Join(' ', arguments)} ended with exit code {process.ExitCode}: {await output}{await error}");
        }
    }

    /// <summary>Sizes of all files of a folder together.</summary>
    public static long FolderBytes(string folder) => new DirectoryInfo(folder).EnumerateFiles("*", SearchOption.AllDirectories).Sum(SizeOf);

    private static long SizeOf(FileInfo file)
    {
        try
        {
            return file.Length;
        }
        catch (IOException)
        {
            return 0; // Removed by the server between two looks.
        }
    }
}
