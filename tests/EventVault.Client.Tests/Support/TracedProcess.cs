using System.Diagnostics;
using OpenTelemetry;
using OpenTelemetry.Trace;

namespace EventVault.Client.Tests.Support;

/// <summary>
/// An application as users write it, in a process of its own: this assembly, started by itself, with OpenTelemetry's SDK, which sends the client's spans to
/// where the environment says. It appends an event, or is told of one.
/// </summary>
internal static class TracedProcess
{
    private const string Append = "append";
    private const string Subscribe = "subscribe";

    /// <summary>What the reader says when it has been told of all events that there are.</summary>
    private const string CaughtUp = "caught up";

    /// <summary>Where the process begins; the test runner does not come by here.</summary>
    /// <param name="arguments">What to do, and the node's address.</param>
    public static async Task<int> Main(string[] arguments)
    {
        // Disposed, and so all sent, before the process ends.
        using TracerProvider tracing = Sdk.CreateTracerProviderBuilder().AddSource(VaultTracing.SourceName).AddOtlpExporter().Build();
        await using VaultClient client = VaultClient.Connect(arguments[1]);
        switch (arguments[0])
        {
            case Append:
                await client.AppendAsync("order-1", ExpectedVersion.NoStream, EventData.JsonText("placed", "{}"));
                return 0;
            case Subscribe:
                return await ProcessOneAsync(client) ? 0 : 1;
            default:
                throw new ArgumentException($"There is no {arguments[0]}.", nameof(arguments));
        }
    }

    /// <summary>Appends an event in a process that ends then.</summary>
    /// <param name="service">What the process calls itself in its spans.</param>
    /// <param name="node">The node's address.</param>
    /// <param name="collector">Who takes the spans.</param>
    public static async Task AppendAsync(string service, string node, Uri collector)
    {
        using Process process = Start(Append, service, node, collector);
        await EndAsync(process);
    }

    /// <summary>Starts a process that processes one event and ends. Returns when its subscription has caught up.</summary>
    /// <param name="service">What the process calls itself in its spans.</param>
    /// <param name="node">The node's address.</param>
    /// <param name="collector">Who takes the spans.</param>
    /// <returns>Ends with the process.</returns>
    public static async Task<Task> SubscribeAsync(string service, string node, Uri collector)
    {
        Process process = Start(Subscribe, service, node, collector);
        try
        {
            string? line = await process.StandardOutput.ReadLineAsync(Wait.Token);
            Assert.True(line == CaughtUp, $"The reader said '{line}' and ended: {(line is null ? await process.StandardError.ReadToEndAsync(Wait.Token) : "")}");
        }
        catch
        {
            process.Kill();
            process.Dispose();
            throw;
        }

        return UntilEndAsync();

        async Task UntilEndAsync()
        {
            using (process)
            {
                await EndAsync(process);
            }
        }
    }

    private static async Task<bool> ProcessOneAsync(VaultClient client)
    {
        await foreach (SubscriptionMessage message in client.SubscribeToAllAsync())
        {
            if (message.Kind == SubscriptionMessageKind.CaughtUp)
            {
                Console.WriteLine(CaughtUp);
            }

            if (message.Event is { } e)
            {
                using Activity? processing = VaultTracing.StartProcessing(e);
                return processing is not null;
            }
        }

        return false;
    }

    private static Process Start(string what, string service, string node, Uri collector)
    {
        var start = new ProcessStartInfo("dotnet", [typeof(TracedProcess).Assembly.Location, what, node]) { RedirectStandardOutput = true, RedirectStandardError = true };
        start.Environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = collector.AbsoluteUri;
        start.Environment["OTEL_EXPORTER_OTLP_PROTOCOL"] = "http/protobuf";
        start.Environment["OTEL_SERVICE_NAME"] = service;
        return Process.Start(start)!;
    }

    private static async Task EndAsync(Process process)
    {
        try
        {
            string errors = await process.StandardError.ReadToEndAsync(Wait.Token);
            await process.WaitForExitAsync(Wait.Token);
            Assert.True(process.ExitCode == 0, $"It ended with {process.ExitCode}: {errors}");
        }
        finally
        {
            if (!process.HasExited)
            {
                process.Kill();
            }
        }
    }
}
