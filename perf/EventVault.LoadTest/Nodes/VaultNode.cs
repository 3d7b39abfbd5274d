using System.Diagnostics;
using System.Reflection;
using EventVault.Client;

namespace EventVault.LoadTest.Nodes;

/// <summary>A node of ours as a process, on a folder of its own.</summary>
internal sealed class VaultNode : IAsyncDisposable
{
    // A vault of any size opens within a second; this is for machines that are busy.
    private static readonly TimeSpan StartPatience = TimeSpan.FromMinutes(2);

    private readonly ServerProcess _process;

    private VaultNode(ServerProcess process, string address)
    {
        _process = process;
        Address = address;
    }

    public string Address { get; }

    public int ProcessId => _process.Id;

    /// <summary>The node that was built with this program.</summary>
    public static string BuiltNode { get; } = typeof(VaultNode).Assembly.GetCustomAttributes<AssemblyMetadataAttribute>().Single(a => a.Key == "NodeAssembly").Value!;

    /// <summary>Starts a node and waits until it answers.</summary>
    /// <param name="directory">Its data; also where its log goes.</param>
    /// <param name="program">Its assembly, or a published program.</param>
    /// <param name="port">Its gRPC port.</param>
    public static async Task<VaultNode> StartAsync(string directory, string program, int port)
    {
        Directory.CreateDirectory(directory);
        string[] arguments = ["--data", Path.Combine(directory, "data"), "--port", $"{port}", "--http-port", "0", "--dev", "--log-level", "warning"];
        var start = program.EndsWith(".dll", StringComparison.Ordinal)
            ? new ProcessStartInfo("dotnet", [program, .. arguments])
            : new ProcessStartInfo(program, arguments);

        // Nothing that the caller has set for its own nodes; and no settings file in the working directory.
        foreach (var variable in start.Environment.Keys.Where(name => name.StartsWith("EVENTVAULT_", StringComparison.Ordinal)).ToList())
        {
            start.Environment.Remove(variable);
        }

        start.WorkingDirectory = directory;
        var address = $"eventvault://127.0.0.1:{port}";
        var process = await ServerProcess.StartAsync(start, Path.Combine(directory, "node.out"), () => AskAsync(address), StartPatience);
        return new VaultNode(process, address);
    }

    public Task StopAsync(bool kill = false) => _process.StopAsync(kill);

    public ValueTask DisposeAsync() => _process.DisposeAsync();

    private static async Task AskAsync(string address)
    {
        await using var client = VaultClient.Connect(address, new VaultClientOptions { Retry = RetryPolicy.None, CallTimeout = TimeSpan.FromSeconds(2) });
        await client.GetStatusAsync();
    }
}
