using System.Diagnostics;
using EventVault.Rpc.Server.Health;
using EventVault.Rpc.Server.Reflection;
using EventVault.Rpc.Tests.Support;
using Xunit.Abstractions;

namespace EventVault.Rpc.Tests;

/// <summary>Clients nobody here wrote: Debian's grpcio and npm's grpc-js, by the scripts in tests/interop.</summary>
public class InteropTests(ITestOutputHelper output)
{
    [InteropTheory("python")]
    [InlineData(false)]
    [InlineData(true)]
    public Task Grpcio_passes_all_cases(bool tls) => RunAsync("/usr/bin/python3", Path.Combine(InteropTheoryAttribute.Folder, "python", "transport.py"), tls);

    [InteropTheory("node")]
    [InlineData(false)]
    [InlineData(true)]
    public Task Grpc_js_passes_all_cases(bool tls) => RunAsync("node", Path.Combine(InteropTheoryAttribute.Folder, "node", "transport.js"), tls);

    private async Task RunAsync(string program, string script, bool tls)
    {
        var health = new HealthService();
        health.SetStatus(string.Empty, HealthStatus.Serving);
        await using var host = await TestHost.StartAsync(tls, configure: server =>
        {
            health.AddTo(server);
            ReflectionService.AddTo(server);
        });
        var folder = Directory.CreateTempSubdirectory("eventvault-interop");
        try
        {
            var certificate = Path.Combine(folder.FullName, "ca.pem");
            await File.WriteAllTextAsync(certificate, TestHost.Certificate.ExportCertificatePem());
            var (exitCode, text) = await RunProgramAsync(program, [script, "--address", $"127.0.0.1:{host.Address.Port}", .. tls ? new[] { "--ca", certificate } : []], TimeSpan.FromMinutes(2));
            output.WriteLine(text);
            Assert.True(exitCode == 0, text);
            await Wait.UntilAsync(() => host.Server.ActiveCalls == 0, "all calls to end");
            Assert.Empty(host.Log.Problems);
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    internal static async Task<(int ExitCode, string Text)> RunProgramAsync(string program, IEnumerable<string> arguments, TimeSpan limit)
    {
        using var process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true })!;
        var output = process.StandardOutput.ReadToEndAsync();
        var errors = process.StandardError.ReadToEndAsync();
        using var timeout = new CancellationTokenSource(limit);
        try
        {
            await process.WaitForExitAsync(timeout.Token);
        }
        catch (OperationCanceledException)
        {
            process.Kill(entireProcessTree: true);
            return (-1, $"{program} did not end within {limit}.\n{await output}\n{await errors}");
        }

        return (process.ExitCode, await output + await errors);
    }
}
