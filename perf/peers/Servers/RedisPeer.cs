namespace EventVault.Peers.Servers;

/// <summary>
/// Redis Streams: a stream key for each of our streams. What an append expects is the length of the stream, checked by a Lua script. With
/// a log of all events the script also adds a copy to one more key, without which Redis has no order over all events and nothing to
/// subscribe to.
/// </summary>
/// <param name="name">In the tables.</param>
/// <param name="fsync">The setting appendfsync.</param>
/// <param name="hasAll">Whether there is a log of all events.</param>
internal sealed class RedisPeer(string name, string fsync, bool hasAll) : IPeer
{
    private readonly PeerServer _server = new(name);

    public string Name => name;

    public bool IsDurable => fsync == "always";

    public string? Program => PeerServer.Find("redis-server");

    public string? Missing => Program is null ? "redis-server is not installed" : null;

    public int ProcessId => _server.ProcessId;

    public string SetUp => $"Redis Streams, appendonly, appendfsync {fsync}{(IsDurable ? "" : " (an acknowledgement is NOT durable)")}, version check in Lua, "
        + (hasAll ? "second copy in a stream of all events" : "no order over all events") + ", no rewriting of the file, own pipelining client on up to 8 connections";

    public string? Skips(Workload workload) => hasAll ? null : workload switch
    {
        Workload.ReadAll or Workload.Subscribe => "no order over all events",
        Workload.ReadStream or Workload.Start => "the same as redis-always-all",
        _ => null,
    };

    public Task StartAsync(bool fresh)
    {
        if (fresh)
        {
            _server.Empty();
        }

        return _server.StartAsync(
            Program!,
            ["--port", $"{_server.Port}", "--bind", "127.0.0.1", "--dir", _server.Folder, "--save", "", "--appendonly", "yes", "--appendfsync", fsync, "--auto-aof-rewrite-percentage", "0"],
            async () =>
            {
                await using var connection = await RedisConnection.OpenAsync(_server.Port);
                await connection.CallAsync(["XLEN", "none"]);
            });
    }

    public Task StopAsync(bool kill) => _server.StopAsync(kill);

    public async Task<IEventLog> ConnectAsync(int inFlight)
    {
        var connections = new RedisConnection[Math.Clamp(inFlight / 8, 1, 8)];
        for (var i = 0; i < connections.Length; i++)
        {
            connections[i] = await RedisConnection.OpenAsync(_server.Port);
        }

        return new RedisLog(connections, _server, hasAll);
    }
}

internal sealed class RedisLog(RedisConnection[] connections, PeerServer server, bool hasAll) : IEventLog
{
    private const string All = "$all";
    private const int Page = 1_000;
    private const int LoadInFlight = 4_000;

    private const string Script = """
        if redis.call('XLEN',KEYS[1]) ~= tonumber(ARGV[1]) then return redis.error_reply('WRONGVERSION') end
        for i=2,#ARGV,3 do redis.call('XADD',KEYS[1],'*','i',ARGV[i],'t',ARGV[i+1],'d',ARGV[i+2]) end
        return ARGV[1]+(#ARGV-1)/3
        """;

    private const string ScriptAll = """
        if redis.call('XLEN',KEYS[1]) ~= tonumber(ARGV[1]) then return redis.error_reply('WRONGVERSION') end
        for i=2,#ARGV,3 do
          redis.call('XADD',KEYS[1],'*','i',ARGV[i],'t',ARGV[i+1],'d',ARGV[i+2])
          redis.call('XADD',KEYS[2],'*','s',KEYS[1],'i',ARGV[i],'t',ARGV[i+1],'d',ARGV[i+2])
        end
        return ARGV[1]+(#ARGV-1)/3
        """;

    private readonly Lazy<Task<string>> _script = new(() => connections[0].TextAsync(["SCRIPT", "LOAD", hasAll ? ScriptAll : Script]));

    public long NoStream => 0;

    public async Task<long> AppendAsync(string stream, long expected, PeerEvent[] events)
    {
        var script = await _script.Value;
        return await For(stream).NumberAsync((script, stream, expected, events, hasAll), static (b, s) =>
        {
            var keys = s.hasAll ? 2 : 1;
            RedisConnection.Array(b, 3 + keys + 1 + (3 * s.events.Length));
            RedisConnection.Bulk(b, "EVALSHA");
            RedisConnection.Bulk(b, s.script);
            RedisConnection.Bulk(b, keys);
            RedisConnection.Bulk(b, s.stream);
            if (s.hasAll)
            {
                RedisConnection.Bulk(b, All);
            }

            RedisConnection.Bulk(b, s.expected);
            Span<byte> id = stackalloc byte[16];
            foreach (var e in s.events)
            {
                e.Id.TryWriteBytes(id);
                RedisConnection.Bulk(b, id);
                RedisConnection.Bulk(b, e.Type);
                RedisConnection.Bulk(b, e.Data.Span);
            }
        });
    }

    public Task<long> ReadStreamAsync(string stream, EventSink sink) => ReadAsync(For(stream), stream, long.MaxValue, sink);

    public Task<long> ReadAllAsync(long most, EventSink sink) => ReadAsync(connections[0], All, most, sink);

    public async Task<IAsyncDisposable> SubscribeAsync(bool fromStart, EventSink sink)
    {
        var connection = await RedisConnection.OpenAsync(server.Port);
        var last = fromStart ? "0-0" : (await connection.EntriesAsync(["XREVRANGE", All, "+", "-", "COUNT", "1"], static (_, _) => { })).Last;
        _ = Task.Run(async () =>
        {
            try
            {
                while (true)
                {
                    (_, last) = await connection.EntriesAsync(["XREAD", "COUNT", $"{Page}", "BLOCK", "0", "STREAMS", All, last], sink);
                }
            }
            catch (IOException)
            {
                // The connection was disposed: the end of the subscription.
            }
        });
        return connection;
    }

    public async Task LoadAsync(IEnumerable<(string Stream, PeerEvent Event)> events)
    {
        var window = new Queue<Task>();
        foreach (var (stream, e) in events)
        {
            window.Enqueue(connections[0].AddAsync(stream, null, e));
            if (hasAll)
            {
                window.Enqueue(connections[0].AddAsync(All, stream, e));
            }

            while (window.Count > LoadInFlight)
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

    private static async Task<long> ReadAsync(RedisConnection connection, string key, long most, EventSink sink)
    {
        var total = 0L;
        for (var from = "-"; total < most;)
        {
            var (count, last) = await connection.EntriesAsync(["XRANGE", key, from, "+", "COUNT", $"{Page}"], sink);
            total += count;
            if (count < Page)
            {
                break;
            }

            from = "(" + last;
        }

        return total;
    }

    private RedisConnection For(string stream) => connections[(uint)stream.GetHashCode(StringComparison.Ordinal) % connections.Length];
}
