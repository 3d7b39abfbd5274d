using Npgsql;

namespace EventVault.Peers.Servers;

/// <summary>
/// PostgreSQL as an event store the way Marten and message-db do it: one table, unique (stream, version), the check of the version inside
/// the insert, so that an append is one round trip and one transaction.
/// </summary>
/// <param name="name">In the tables.</param>
/// <param name="gathers">Whether the client gathers waiting appends of many streams into one set-based insert.</param>
internal sealed class PostgresPeer(string name, bool gathers) : IPeer
{
    private const int MostConnections = 64;

    // Two that insert in turn, one for everything else.
    private const int GatheringConnections = 3;

    private const string Schema = """
        create table events(
          global_position bigserial primary key, stream text not null, version bigint not null, id uuid not null,
          type text not null, data bytea not null, metadata bytea, ts timestamptz not null default now(),
          unique (stream, version));
        create function notify_events() returns trigger language plpgsql as $$ begin notify events; return null; end $$;
        """;

    private static readonly string[] Settings =
    [
        "shared_buffers=2GB", "max_wal_size=8GB", "min_wal_size=1GB", "checkpoint_timeout=30min", "max_connections=300", "synchronous_commit=on",
        "listen_addresses=127.0.0.1", "unix_socket_directories=", "jit=off", "random_page_cost=1.1",
    ];

    private readonly PeerServer _server = new(name);

    public string Name => name;

    public bool IsDurable => true;

    public string? Program => PeerServer.Find("postgres", Bins());

    public string? Missing => PeerServer.Find("initdb", Bins()) is null || Program is null ? "postgres is not installed (postgresql)" : null;

    public int ProcessId => _server.ProcessId;

    public string SetUp => "PostgreSQL, synchronous_commit=on, shared_buffers=2GB, max_wal_size=8GB, Npgsql with prepared statements, bytea data, "
        + (gathers ? "client gathers waiting appends into one set-based insert (2 connections)" : $"one append = one transaction = one round trip, up to {MostConnections} connections");

    private string ConnectionString => $"Host=127.0.0.1;Port={_server.Port};Username=postgres;Database=postgres;Pooling=false;SSL Mode=Disable;GSS Encryption Mode=Disable";

    public string? Skips(Workload workload) => gathers && workload != Workload.ManyAppenders ? "the same as pg" : null;

    public async Task StartAsync(bool fresh)
    {
        var data = Path.Combine(_server.Folder, "data");
        if (fresh)
        {
            _server.Empty();
            if (Environment.UserName == "root")
            {
                await PeerServer.RunToolAsync("chown", "postgres:postgres", _server.Folder);
            }

            var (tool, arguments) = AsPostgres("initdb", "-D", data, "-U", "postgres", "-A", "trust", "--locale=C", "-E", "UTF8");
            await PeerServer.RunToolAsync(tool, arguments);
        }

        var (program, flags) = AsPostgres("postgres", ["-D", data, .. Settings.Append($"port={_server.Port}").SelectMany(s => new[] { "-c", s })]);
        await _server.StartAsync(program, flags, async () =>
        {
            await using var connection = new NpgsqlConnection(ConnectionString);
            await connection.OpenAsync();
            await RunAsync(connection, fresh ? Schema : "select 1 from events limit 1");
        });
    }

    /// <summary>SIGINT is PostgreSQL's fast shutdown: it ends open sessions and writes a checkpoint.</summary>
    public Task StopAsync(bool kill) => _server.StopAsync(kill, signal: "INT");

    public async Task<IEventLog> ConnectAsync(int inFlight)
    {
        var connections = new NpgsqlConnection[gathers ? GatheringConnections : Math.Min(inFlight, MostConnections)];
        for (var i = 0; i < connections.Length; i++)
        {
            connections[i] = new NpgsqlConnection(ConnectionString);
            await connections[i].OpenAsync();
        }

        return new PostgresLog(connections, gathers, ConnectionString);
    }

    internal static async Task RunAsync(NpgsqlConnection connection, string sql)
    {
        await using var command = new NpgsqlCommand(sql, connection);
        await command.ExecuteNonQueryAsync();
    }

    // Debian keeps the server's programs out of PATH, a folder for each version; the newest first.
    private static string[] Bins()
    {
        const string Versions = "/usr/lib/postgresql";
        return Directory.Exists(Versions) ? [.. Directory.EnumerateDirectories(Versions).OrderDescending().Select(v => Path.Combine(v, "bin"))] : [];
    }

    // PostgreSQL refuses to run as root.
    private static (string Program, string[] Arguments) AsPostgres(string tool, params string[] arguments)
    {
        var path = PeerServer.Find(tool, Bins())!;
        return Environment.UserName == "root" ? ("setpriv", ["--reuid=postgres", "--regid=postgres", "--init-groups", path, .. arguments]) : (path, arguments);
    }
}
