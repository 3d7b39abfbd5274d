using System.Diagnostics;
using System.Globalization;
using EventVault.Client;
using EventVault.Protocol;
using EventVault.Rpc;
using Google.Protobuf;

namespace EventVault.Benchmarks;

/// <summary>
/// A node as a process of its own under more than it can do: subscriptions that take nothing, writers that flood with large
/// events, and one modest writer beside them. Samples the node's memory.
/// </summary>
internal sealed class OverloadBenchmarks(Report report, string directory)
{
    private const int EventBytes = 1 << 20;
    private const int PendingPerWriter = 4;
    private const int SubscriptionsPerConnection = 500;
    private readonly byte[] _large = new byte[EventBytes];
    private readonly List<double> _modest = [];
    private long _written;
    private long _refused;
    private long _otherFailures;
    private long _modestFailures;

    public async Task RunAsync(int subscriptions, int writers, TimeSpan length)
    {
        using var node = StartNode(out var address);
        using var stop = new CancellationTokenSource();
        try
        {
            var idle = Memory(node.Id);
            await using var readers = new RpcChannel(address, new RpcChannelOptions { InitialStreamWindow = 65_535, Connections = Math.Clamp(subscriptions / SubscriptionsPerConnection, 1, 64) });
            await OpenAsync(readers, subscriptions);
            await Task.Delay(TimeSpan.FromSeconds(3));
            var open = Memory(node.Id);
            var peak = (Rss: 0.0, Own: 0.0);
            var sampling = Task.Run(async () =>
            {
                while (!stop.IsCancellationRequested)
                {
                    var now = Memory(node.Id);
                    peak = (Math.Max(peak.Rss, now.Rss), Math.Max(peak.Own, now.Own));
                    await Task.Delay(100);
                }
            });
            var alone = await ModestAsync(address, length / 4);
            var flood = Enumerable.Range(0, writers).Select(i => Task.Run(() => FloodAsync(address, i, stop.Token))).ToList();
            var modest = await ModestAsync(address, length);
            await stop.CancelAsync();
            await Task.WhenAll(flood.Append(sampling));
            await Task.Delay(TimeSpan.FromSeconds(5));
            var after = Memory(node.Id);
            report.Section("Overload", $"{subscriptions:#,0} subscriptions to all that take nothing, {writers} writers with {PendingPerWriter} appends of {EventBytes >> 20} MiB each on their way at any time, {length.TotalSeconds:0} s. Memory of the node's process in MiB: all of it (mapped log included), and its own.");
            report.Head("idle", "subscriptions open", "highest", "5 s after", "large appends written", "refused as OVERLOADED", "failed otherwise", "modest writer alone: appends, p50 / p99 ms", "in the flood", "failures");
            report.Row(
                Text(idle), Text(open), Text(peak), Text(after), $"{_written:#,0}", $"{_refused:#,0}", $"{_otherFailures:#,0}", alone, modest, $"{_modestFailures:#,0}");
        }
        finally
        {
            await stop.CancelAsync();
            node.Kill();
            await node.WaitForExitAsync();
        }
    }

    private static string Text((double Rss, double Own) memory) => string.Create(CultureInfo.InvariantCulture, $"{memory.Rss:0} ({memory.Own:0})");

    private Process StartNode(out Uri address)
    {
        var start = new ProcessStartInfo(
            Path.Combine(AppContext.BaseDirectory, "EventVault.Node"), ["--data", Path.Combine(directory, "overload"), "--port", "0", "--http-port", "0", "--dev", "--segment-size", "64MiB"])
        { RedirectStandardOutput = true };
        var node = Process.Start(start)!;
        var ready = node.StandardOutput.ReadLine() ?? throw new InvalidOperationException("The node did not start.");
        address = new Uri("http://" + ready.Split(' ')[3].TrimEnd(','));
        return node;
    }

    // Their calls stay open, and what they are sent is never read.
    private static async Task OpenAsync(RpcChannel channel, int subscriptions)
    {
        var subscribe = RpcMethod<SubscribeRequest, ReadResponse>.Of(StreamsReflection.Descriptor.Services[0], "Subscribe");
        for (var i = 0; i < subscriptions; i++)
        {
            var call = channel.Start(subscribe, new SubscribeRequest { All = new Empty() }, default, CancellationToken.None);
            if (i % 100 == 99)
            {
                await call.ResponseHeadersAsync();
            }
        }
    }

    private async Task FloodAsync(Uri address, int writer, CancellationToken stop)
    {
        await using var channel = new RpcChannel(address);
        var append = RpcMethod<AppendRequest, AppendResponse>.Of(StreamsReflection.Descriptor.Services[0], "Append");
        await Task.WhenAll(Enumerable.Range(0, PendingPerWriter).Select(async i =>
        {
            while (!stop.IsCancellationRequested)
            {
                try
                {
                    await channel.UnaryAsync(append, Request($"flood-{writer}-{i}"), default, stop);
                    Interlocked.Increment(ref _written);
                }
                catch (RpcException e) when (e.Status.Code == RpcCode.ResourceExhausted)
                {
                    Interlocked.Increment(ref _refused);
                    await Task.Delay(100, CancellationToken.None); // As the refusal asks for.
                }
                catch (OperationCanceledException)
                {
                    return;
                }
                catch (RpcException) when (!stop.IsCancellationRequested)
                {
                    Interlocked.Increment(ref _otherFailures);
                }
                catch (RpcException)
                {
                    return;
                }
            }
        }));
    }

    private async Task<string> ModestAsync(Uri address, TimeSpan length)
    {
        await using var client = VaultClient.Connect(address.ToString());
        _modest.Clear();
        for (var begun = Stopwatch.GetTimestamp(); Stopwatch.GetElapsedTime(begun) < length;)
        {
            var before = Stopwatch.GetTimestamp();
            try
            {
                await client.AppendAsync("modest-1", Client.ExpectedVersion.Any, new Client.EventData("ItemRecorded", new byte[1000]), cancellationToken: CancellationToken.None);
                _modest.Add(Stopwatch.GetElapsedTime(before).TotalMilliseconds);
            }
            catch (VaultException)
            {
                _modestFailures++;
            }

            await Task.Delay(20);
        }

        _modest.Sort();
        return _modest.Count == 0 ? "none" : $"{_modest.Count:#,0}, {Report.Figure(_modest[_modest.Count / 2])} / {Report.Figure(_modest[(int)(_modest.Count * 0.99)])}";
    }

    private AppendRequest Request(string stream) => new()
    {
        OperationId = ByteString.CopyFrom(Guid.CreateVersion7().ToByteArray(bigEndian: true)),
        Streams =
        {
            new Protocol.StreamAppend
            {
                Stream = stream,
                Expected = new Protocol.ExpectedVersion { Any = new Empty() },
                Events = { new Protocol.EventData { Id = ByteString.CopyFrom(Guid.CreateVersion7().ToByteArray(bigEndian: true)), Type = "Large", Data = UnsafeByteOperations.UnsafeWrap(_large) } },
            },
        },
    };

    private static (double Rss, double Own) Memory(int process)
    {
        var lines = File.ReadAllLines($"/proc/{process}/status");
        double Of(string name) => long.Parse(lines.First(l => l.StartsWith(name, StringComparison.Ordinal)).Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture) / 1024.0;
        return (Of("VmRSS:"), Of("RssAnon:"));
    }
}
