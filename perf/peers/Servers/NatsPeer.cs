using System.Diagnostics;
using System.Text.RegularExpressions;

namespace EventVault.Peers.Servers;

/// <summary>
/// NATS JetStream: one stream in files, with a subject for each of our streams. What an append expects is the sequence of its subject's
/// last message. Many events are as many messages in flight at once, not all or none.
/// </summary>
/// <param name="name">In the tables.</param>
/// <param name="synchronous">Whether an acknowledgement means that the message is on disk.</param>
internal sealed partial class NatsPeer(string name, bool synchronous) : IPeer
{
    private readonly PeerServer _server = new(name);

    public string Name => name;

    public bool IsDurable => synchronous;

    public string? Program => PeerServer.Find("nats-server", "/usr/sbin");

    public string? Missing => Program is null ? "nats-server is not installed"
        : synchronous && !KnowsSyncAlways && Environment.UserName != "root" ? "this version needs chattr +S to be durable, which only root may set" : null;

    public int ProcessId => _server.ProcessId;

    public string SetUp => "NATS JetStream, file storage, 1 replica, " + (!synchronous ? "default sync (fsync every 2 min, an acknowledgement is NOT durable)"
        : KnowsSyncAlways ? "sync_interval: always"
        : "folder with chattr +S (every write is synchronous; stands in for sync_interval: always, which needs 2.10)")
        + ", expected last sequence of the subject, many events not atomic, own client on 1 to 2 connections";

    public string? Skips(Workload workload) => synchronous && workload is (Workload.ReadStream or Workload.ReadAll or Workload.Start) ? "the same as nats" : null;

    private bool KnowsSyncAlways => Program is { } program && Version().Match(PrintedBy(program)) is { Success: true } match
        && new Version(int.Parse(match.Groups[1].ValueSpan), int.Parse(match.Groups[2].ValueSpan)) >= new Version(2, 10);

    public async Task StartAsync(bool fresh)
    {
        var settings = Path.Combine(_server.Folder, "nats.conf");
        if (fresh)
        {
            _server.Empty();
            if (synchronous && !KnowsSyncAlways)
            {
                await PeerServer.RunToolAsync("chattr", "+S", _server.Folder);
            }

            await File.WriteAllTextAsync(
                settings,
                $$"""
                listen: "127.0.0.1:{{_server.Port}}"
                jetstream { store_dir: "{{_server.Folder}}/js", max_file_store: 60G, max_mem_store: 1G{{(synchronous && KnowsSyncAlways ? ", sync_interval: always" : "")}} }
                """);
        }

        await _server.StartAsync(Program!, ["-c", settings], async () =>
        {
            await using var connection = await NatsConnection.OpenAsync(_server.Port);
            if (fresh)
            {
                await connection.RequestAsync(
                    "$JS.API.STREAM.CREATE.EV",
                    """{"name":"EV","subjects":["ev.>"],"storage":"file","retention":"limits","discard":"old","num_replicas":1,"max_consumers":-1,"max_msgs":-1,"max_bytes":-1,"max_age":0,"allow_direct":true}""");
            }
            else
            {
                await connection.RequestAsync("$JS.API.STREAM.INFO.EV", "");
            }
        });
    }

    public Task StopAsync(bool kill) => _server.StopAsync(kill);

    public async Task<IEventLog> ConnectAsync(int inFlight)
    {
        var connections = new NatsConnection[inFlight >= 16 ? 2 : 1];
        for (var i = 0; i < connections.Length; i++)
        {
            connections[i] = await NatsConnection.OpenAsync(_server.Port);
        }

        return new NatsLog(connections, _server);
    }

    private static string PrintedBy(string program)
    {
        using var process = Process.Start(new ProcessStartInfo(program, ["--version"]) { RedirectStandardOutput = true })!;
        return process.StandardOutput.ReadToEnd();
    }

    [GeneratedRegex(@"v(\d+)\.(\d+)")]
    private static partial Regex Version();
}

internal sealed class NatsLog(NatsConnection[] connections, PeerServer server) : IEventLog
{
    private const int LoadInFlight = 2_000;
    private int _next;

    public long NoStream => 0;

    public async Task<long> AppendAsync(string stream, long expected, PeerEvent[] events)
    {
        var connection = connections[(uint)stream.GetHashCode(StringComparison.Ordinal) % connections.Length];
        if (events.Length == 1)
        {
            return await connection.PublishAsync(stream, expected, events[0]);
        }

        var sequences = await Task.WhenAll(events.Select((e, i) => connection.PublishAsync(stream, i == 0 ? expected : -1, e)));
        return sequences[^1];
    }

    public async Task<long> ReadStreamAsync(string stream, EventSink sink)
    {
        var connection = connections[(uint)Interlocked.Increment(ref _next) % connections.Length];
        await using var consumer = await connection.ConsumeAsync("ev." + stream, fromStart: true, flowControl: false, sink);
        return await consumer.CaughtUp;
    }

    public async Task<long> ReadAllAsync(long most, EventSink sink)
    {
        await using var connection = await NatsConnection.OpenAsync(server.Port);
        await using var consumer = await connection.ConsumeAsync("", fromStart: true, flowControl: true, sink);
        return await consumer.CaughtUp;
    }

    public async Task<IAsyncDisposable> SubscribeAsync(bool fromStart, EventSink sink)
    {
        var connection = await NatsConnection.OpenAsync(server.Port);
        await connection.ConsumeAsync("", fromStart, flowControl: true, sink);
        return connection;
    }

    public async Task LoadAsync(IEnumerable<(string Stream, PeerEvent Event)> events)
    {
        var window = new Queue<Task>();
        foreach (var (stream, e) in events)
        {
            window.Enqueue(connections[0].PublishAsync(stream, -1, e));
            if (window.Count > LoadInFlight)
            {
                await window.Dequeue();
            }
        }

        await Task.WhenAll(window);
    }

    public Task<long> DiskBytesAsync() => Task.FromResult(PeerServer.FolderBytes(server.Folder));

    public async ValueTask DisposeAsync()
    {
        foreach (var connection in connections)
        {
            await connection.DisposeAsync();
        }
    }
}
