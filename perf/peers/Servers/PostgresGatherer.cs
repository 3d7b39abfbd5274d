using System.Threading.Channels;
using NpgsqlTypes;

namespace EventVault.Peers.Servers;

/// <summary>Gathers appends that wait into one statement and transaction, as a careful application on PostgreSQL could.</summary>
internal sealed class PostgresGatherer
{
    // Events in a statement: beyond them it only gets longer.
    private const int MostEvents = 1_000;

    private const string InsertGathered = """
        insert into events(stream,version,id,type,data) select u.stream,u.expected+u.n,u.id,u.type,u.data
        from unnest($1,$2,$3,$4,$5,$6) as u(stream,expected,n,id,type,data)
        where coalesce((select max(version) from events e where e.stream=u.stream),-1)=u.expected
        on conflict do nothing returning stream
        """;

    private readonly Channel<Waiting> _waiting = Channel.CreateUnbounded<Waiting>();
    private readonly Task _loops;

    /// <param name="sessions">One statement at a time on each.</param>
    public PostgresGatherer(IEnumerable<PostgresSession> sessions) => _loops = Task.WhenAll(sessions.Select(s => Task.Run(() => GatherAsync(s))));

    public Task<long> AppendAsync(string stream, long expected, PeerEvent[] events)
    {
        var waiting = new Waiting(stream, expected, events, new TaskCompletionSource<long>(TaskCreationOptions.RunContinuationsAsynchronously));
        _waiting.Writer.TryWrite(waiting);
        return waiting.Done.Task;
    }

    public Task EndAsync()
    {
        _waiting.Writer.Complete();
        return _loops;
    }

    private async Task GatherAsync(PostgresSession session)
    {
        var gathered = new Dictionary<string, Waiting>();
        while (await _waiting.Reader.WaitToReadAsync())
        {
            gathered.Clear();
            for (var events = 0; events < MostEvents && _waiting.Reader.TryRead(out var next);)
            {
                if (gathered.TryAdd(next.Stream, next))
                {
                    events += next.Events.Length;
                }
                else
                {
                    next.Done.SetException(new WrongVersionException(next.Stream)); // Two for one stream at once: the second can't be right.
                }
            }

            if (gathered.Count > 0)
            {
                await InsertAsync(session, gathered.Values);
            }
        }
    }

    private static async Task InsertAsync(PostgresSession session, IReadOnlyCollection<Waiting> gathered)
    {
        try
        {
            var rows = gathered.SelectMany(w => w.Events.Select((e, i) => (w.Stream, w.Expected, Ordinal: i + 1L, e.Id, e.Type, e.Data))).ToArray();
            var command = await session.CommandAsync(
                InsertGathered, NpgsqlDbType.Array | NpgsqlDbType.Text, NpgsqlDbType.Array | NpgsqlDbType.Bigint, NpgsqlDbType.Array | NpgsqlDbType.Bigint,
                NpgsqlDbType.Array | NpgsqlDbType.Uuid, NpgsqlDbType.Array | NpgsqlDbType.Text, NpgsqlDbType.Array | NpgsqlDbType.Bytea);
            PostgresSession.Set(
                command, rows.Select(r => r.Stream).ToArray(), rows.Select(r => r.Expected).ToArray(), rows.Select(r => r.Ordinal).ToArray(),
                rows.Select(r => r.Id).ToArray(), rows.Select(r => r.Type).ToArray(), rows.Select(r => r.Data).ToArray());
            var stored = new HashSet<string>();
            await using (var reader = await command.ExecuteReaderAsync())
            {
                while (await reader.ReadAsync())
                {
                    stored.Add(reader.GetString(0));
                }
            }

            foreach (var append in gathered)
            {
                if (stored.Contains(append.Stream))
                {
                    append.Done.SetResult(append.Expected + append.Events.Length);
                }
                else
                {
                    append.Done.SetException(new WrongVersionException(append.Stream));
                }
            }
        }
        catch (Exception e)
        {
            // Whatever it was, all that were in the statement failed; their callers are told.
            foreach (var append in gathered)
            {
                append.Done.TrySetException(e);
            }
        }
    }

    private sealed record Waiting(string Stream, long Expected, PeerEvent[] Events, TaskCompletionSource<long> Done);
}
