using System.Diagnostics;
using System.Threading.Channels;
using Npgsql;
using NpgsqlTypes;

namespace EventVault.Peers.Servers;

/// <summary>The table of events through Npgsql.</summary>
internal sealed class PostgresLog : IEventLog
{
    private const string InsertOne = """
        insert into events(stream,version,id,type,data) select $1,$2+1,$3,$4,$5
        where coalesce((select max(version) from events where stream=$1),-1)=$2 returning global_position
        """;

    private const string InsertMany = """
        insert into events(stream,version,id,type,data) select $1,$2+u.n,u.id,u.type,u.data
        from unnest($3,$4,$5) with ordinality as u(id,type,data,n)
        where coalesce((select max(version) from events where stream=$1),-1)=$2
        """;

    private const string SelectStream = "select version,type,data from events where stream=$1 order by version";
    private const string SelectAll = "select global_position,stream,version,type,data from events where global_position>$1 order by global_position limit $2";
    private const int Page = 5_000;

    // Milliseconds that a subscriber waits at a gap in the positions: whoever took the missing one has committed by then, or has failed. With
    // 100 it lost events on a busy machine.
    private const int GapMilliseconds = 1_000;

    private readonly NpgsqlConnection[] _connections;
    private readonly Channel<PostgresSession> _free = Channel.CreateUnbounded<PostgresSession>();
    private readonly PostgresGatherer? _gatherer;
    private readonly string _connectionString;

    /// <param name="connections">Open; this owns them.</param>
    /// <param name="gathers">Whether waiting appends are gathered, on all connections but one.</param>
    /// <param name="connectionString">For subscribers.</param>
    public PostgresLog(NpgsqlConnection[] connections, bool gathers, string connectionString)
    {
        _connections = connections;
        _connectionString = connectionString;
        var sessions = connections.Select(c => new PostgresSession(c)).ToList();
        _gatherer = gathers ? new PostgresGatherer(sessions[1..]) : null;
        foreach (var session in gathers ? sessions[..1] : sessions)
        {
            _free.Writer.TryWrite(session);
        }
    }

    public long NoStream => -1;

    public async Task<long> AppendAsync(string stream, long expected, PeerEvent[] events)
    {
        if (_gatherer is not null)
        {
            return await _gatherer.AppendAsync(stream, expected, events);
        }

        var session = await _free.Reader.ReadAsync();
        try
        {
            if (events.Length == 1)
            {
                var one = await session.CommandAsync(InsertOne, NpgsqlDbType.Text, NpgsqlDbType.Bigint, NpgsqlDbType.Uuid, NpgsqlDbType.Text, NpgsqlDbType.Bytea);
                PostgresSession.Set(one, stream, expected, events[0].Id, events[0].Type, events[0].Data);
                return await one.ExecuteScalarAsync() is not null ? expected + 1 : throw new WrongVersionException(stream);
            }

            var many = await session.CommandAsync(
                InsertMany, NpgsqlDbType.Text, NpgsqlDbType.Bigint, NpgsqlDbType.Array | NpgsqlDbType.Uuid, NpgsqlDbType.Array | NpgsqlDbType.Text, NpgsqlDbType.Array | NpgsqlDbType.Bytea);
            PostgresSession.Set(many, stream, expected, events.Select(e => e.Id).ToArray(), events.Select(e => e.Type).ToArray(), events.Select(e => e.Data).ToArray());
            return await many.ExecuteNonQueryAsync() == events.Length ? expected + events.Length : throw new WrongVersionException(stream);
        }
        catch (PostgresException e) when (e.SqlState == PostgresErrorCodes.UniqueViolation)
        {
            throw new WrongVersionException(e.Message);
        }
        finally
        {
            _free.Writer.TryWrite(session);
        }
    }

    public async Task<long> ReadStreamAsync(string stream, EventSink sink)
    {
        var session = await _free.Reader.ReadAsync();
        try
        {
            var command = await session.CommandAsync(SelectStream, NpgsqlDbType.Text);
            PostgresSession.Set(command, stream);
            var count = 0L;
            await using var reader = await command.ExecuteReaderAsync();
            for (; await reader.ReadAsync(); count++)
            {
                sink(reader.GetInt64(0), reader.GetFieldValue<byte[]>(2));
            }

            return count;
        }
        finally
        {
            _free.Writer.TryWrite(session);
        }
    }

    public async Task<long> ReadAllAsync(long most, EventSink sink)
    {
        var session = await _free.Reader.ReadAsync();
        try
        {
            var total = 0L;
            for (var from = 0L; total < most;)
            {
                var (count, last, _) = await ReadPageAsync(session, from, sink, stopAtGap: false);
                total += count;
                from = last;
                if (count < Page)
                {
                    break;
                }
            }

            return total;
        }
        finally
        {
            _free.Writer.TryWrite(session);
        }
    }

    /// <summary>
    /// LISTEN wakes the subscriber, which then reads behind its last position. Positions are taken before the commit, so a later one may
    /// become visible first: the subscriber waits at a gap a little instead of skipping events.
    /// </summary>
    public async Task<IAsyncDisposable> SubscribeAsync(bool fromStart, EventSink sink)
    {
        var connection = new NpgsqlConnection(_connectionString);
        await connection.OpenAsync();
        await PostgresPeer.RunAsync(connection, "create or replace trigger notify_events after insert on events for each statement execute function notify_events(); listen events");
        var from = 0L;
        if (!fromStart)
        {
            await using var last = new NpgsqlCommand("select coalesce(max(global_position),0) from events", connection);
            from = (long)(await last.ExecuteScalarAsync())!;
        }

        var end = new CancellationTokenSource();
        return new Follower(connection, end, Task.Run(() => FollowAsync(connection, from, sink, end.Token)));
    }

    public async Task LoadAsync(IEnumerable<(string Stream, PeerEvent Event)> events)
    {
        var session = await _free.Reader.ReadAsync();
        var versions = new Dictionary<string, long>();
        await using (var writer = await session.Connection.BeginBinaryImportAsync("copy events(stream,version,id,type,data) from stdin (format binary)"))
        {
            foreach (var (stream, e) in events)
            {
                var version = versions[stream] = versions.GetValueOrDefault(stream, -1) + 1;
                await writer.StartRowAsync();
                await writer.WriteAsync(stream, NpgsqlDbType.Text);
                await writer.WriteAsync(version, NpgsqlDbType.Bigint);
                await writer.WriteAsync(e.Id, NpgsqlDbType.Uuid);
                await writer.WriteAsync(e.Type, NpgsqlDbType.Text);
                await writer.WriteAsync(e.Data, NpgsqlDbType.Bytea);
            }

            await writer.CompleteAsync();
        }

        await PostgresPeer.RunAsync(session.Connection, "vacuum analyze events");
        _free.Writer.TryWrite(session);
    }

    /// <summary>The table with its indexes; the write-ahead log is not counted, because its files are used again.</summary>
    public async Task<long> DiskBytesAsync()
    {
        var session = await _free.Reader.ReadAsync();
        try
        {
            await using var command = new NpgsqlCommand("select pg_total_relation_size('events')", session.Connection);
            return (long)(await command.ExecuteScalarAsync())!;
        }
        finally
        {
            _free.Writer.TryWrite(session);
        }
    }

    public async ValueTask DisposeAsync()
    {
        await (_gatherer?.EndAsync() ?? Task.CompletedTask);
        foreach (var connection in _connections)
        {
            await connection.DisposeAsync();
        }
    }

    private static async Task<(int Count, long Last, bool AtGap)> ReadPageAsync(PostgresSession session, long from, EventSink sink, bool stopAtGap)
    {
        var command = await session.CommandAsync(SelectAll, NpgsqlDbType.Bigint, NpgsqlDbType.Integer);
        PostgresSession.Set(command, from, Page);
        var count = 0;
        await using var reader = await command.ExecuteReaderAsync();
        for (; await reader.ReadAsync(); count++)
        {
            var position = reader.GetInt64(0);
            if (stopAtGap && position != from + 1)
            {
                return (count, from, true);
            }

            from = position;
            sink(from, reader.GetFieldValue<byte[]>(4));
        }

        return (count, from, false);
    }

    private static async Task FollowAsync(NpgsqlConnection connection, long from, EventSink sink, CancellationToken end)
    {
        var session = new PostgresSession(connection);
        var atGap = Stopwatch.StartNew();
        try
        {
            while (!end.IsCancellationRequested)
            {
                (var count, from, var gap) = await ReadPageAsync(session, from, sink, stopAtGap: atGap.ElapsedMilliseconds < GapMilliseconds);
                if (!gap || count > 0)
                {
                    atGap.Restart();
                }

                if (gap)
                {
                    await Task.Delay(1, end);
                }
                else if (count < Page)
                {
                    await connection.WaitAsync(end);
                    atGap.Restart();
                }
            }
        }
        catch (OperationCanceledException)
        {
        }
    }

    private sealed class Follower(NpgsqlConnection connection, CancellationTokenSource end, Task loop) : IAsyncDisposable
    {
        public async ValueTask DisposeAsync()
        {
            await end.CancelAsync();
            await loop;
            await connection.DisposeAsync();
            end.Dispose();
        }
    }
}

/// <summary>A connection and the statements prepared on it.</summary>
internal sealed class PostgresSession(NpgsqlConnection connection)
{
    private readonly Dictionary<string, NpgsqlCommand> _commands = [];

    public NpgsqlConnection Connection => connection;

    public static void Set(NpgsqlCommand command, params object[] values)
    {
        for (var i = 0; i < values.Length; i++)
        {
            command.Parameters[i].Value = values[i];
        }
    }

    public async ValueTask<NpgsqlCommand> CommandAsync(string sql, params NpgsqlDbType[] types)
    {
        if (_commands.TryGetValue(sql, out var prepared))
        {
            return prepared;
        }

        var command = new NpgsqlCommand(sql, connection);
        foreach (var type in types)
        {
            command.Parameters.Add(new NpgsqlParameter { NpgsqlDbType = type });
        }

        await command.PrepareAsync();
        return _commands[sql] = command;
    }
}
