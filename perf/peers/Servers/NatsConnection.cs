using System.Buffers.Text;
using System.Collections.Concurrent;
using System.Text;
using System.Text.Json;

namespace EventVault.Peers.Servers;

/// <summary>A connection that speaks the NATS protocol, as far as JetStream's publishing and push consumers need it.</summary>
internal sealed class NatsConnection : Wire
{
    // The subscription of the inbox, which all answers come to.
    private const long InboxId = 1;
    private static int Connections;

    private readonly string _inbox = $"_I{Interlocked.Increment(ref Connections)}.";
    private readonly ConcurrentDictionary<long, TaskCompletionSource<byte[]>> _requests = new();
    private readonly ConcurrentDictionary<long, TaskCompletionSource<long>> _publishes = new();
    private readonly ConcurrentDictionary<long, NatsConsumer> _consumers = new();
    private long _ids = InboxId;

    public static async Task<NatsConnection> OpenAsync(int port)
    {
        var connection = new NatsConnection();
        await connection.DialAsync(port);
        connection.Send(connection._inbox, static (b, inbox) =>
        {
            b.Add("CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true,\"lang\":\"peers\",\"version\":\"1\",\"protocol\":1}\r\nSUB ");
            b.Add(inbox);
            b.Add($"* {InboxId}\r\n");
        });
        return connection;
    }

    /// <summary>Publishes one event; returns its sequence. Expecting less than 0 means no check.</summary>
    public Task<long> PublishAsync(string stream, long expected, PeerEvent e)
    {
        var id = Interlocked.Increment(ref _ids);
        var done = new TaskCompletionSource<long>(TaskCreationOptions.RunContinuationsAsynchronously);
        _publishes[id] = done;
        Send((Inbox: _inbox, stream, expected, e, id), static (b, s) =>
        {
            Span<byte> header = stackalloc byte[512];
            var length = WriteHeader(header, s.expected, s.e);
            b.Add("HPUB ev."u8);
            b.Add(s.stream);
            b.Add(" "u8);
            b.Add(s.Inbox);
            b.Add(s.id);
            b.Add(" "u8);
            b.Add(length);
            b.Add(" "u8);
            b.Add(length + s.e.Data.Length);
            b.Add("\r\n"u8);
            b.Add(header[..length]);
            b.Add(s.e.Data.Span);
            b.Add("\r\n"u8);
        });
        return done.Task;
    }

    /// <exception cref="IOException">The answer is an error.</exception>
    public async Task<string> RequestAsync(string subject, string body)
    {
        var id = Interlocked.Increment(ref _ids);
        var done = new TaskCompletionSource<byte[]>(TaskCreationOptions.RunContinuationsAsynchronously);
        _requests[id] = done;
        Publish(subject, _inbox + id, body);
        var reply = Encoding.UTF8.GetString(await done.Task);
        return reply.Length > 0 && !reply.Contains("\"error\":", StringComparison.Ordinal) ? reply : throw new IOException($"{subject}: {reply}");
    }

    /// <summary>A push consumer that ends with the connection, without acknowledgements: the ordered consumer of the client libraries.</summary>
    public async Task<NatsConsumer> ConsumeAsync(string filter, bool fromStart, bool flowControl, EventSink sink)
    {
        var id = Interlocked.Increment(ref _ids);
        var deliver = $"_D{_inbox}{id}";
        var consumer = new NatsConsumer(this, id, sink);
        _consumers[id] = consumer;
        Send((deliver, id), static (b, s) =>
        {
            b.Add("SUB "u8);
            b.Add(s.deliver);
            b.Add(" "u8);
            b.Add(s.id);
            b.Add("\r\n"u8);
        });
        var reply = await RequestAsync(
            "$JS.API.CONSUMER.CREATE.EV",
            $"{{\"stream_name\":\"EV\",\"config\":{{\"deliver_policy\":\"{(fromStart ? "all" : "new")}\",\"ack_policy\":\"none\",\"replay_policy\":\"instant\"," +
            (filter.Length > 0 ? $"\"filter_subject\":\"{filter}\"," : "") +
            (flowControl ? "\"flow_control\":true,\"idle_heartbeat\":5000000000," : "") +
            $"\"deliver_subject\":\"{deliver}\",\"mem_storage\":true,\"num_replicas\":1,\"max_deliver\":1}}}}");
        using var json = JsonDocument.Parse(reply);
        consumer.Created(
            json.RootElement.GetProperty("name").GetString()!,
            json.RootElement.GetProperty("num_pending").GetInt64() + json.RootElement.GetProperty("delivered").GetProperty("consumer_seq").GetInt64());
        return consumer;
    }

    internal void EndConsumer(long id, string name)
    {
        _consumers.TryRemove(id, out _);
        Send(id, static (b, s) =>
        {
            b.Add("UNSUB "u8);
            b.Add(s);
            b.Add("\r\n"u8);
        });
        Publish("$JS.API.CONSUMER.DELETE.EV." + name, "", "");
    }

    protected override int Consume(ReadOnlySpan<byte> bytes)
    {
        Span<Range> words = stackalloc Range[6];
        for (var used = 0; ;)
        {
            var rest = bytes[used..];
            var end = rest.IndexOf((byte)'\n');
            if (end < 0)
            {
                return used;
            }

            var line = rest[..(end - 1)];
            if (line.StartsWith("MSG "u8) || line.StartsWith("HMSG "u8))
            {
                // MSG subject id [reply] size, or HMSG subject id [reply] header-size size.
                var count = Split(line, words);
                var hasHeader = line[0] == 'H';
                var total = (int)Number(line[words[count - 1]]);
                var size = end + 1 + total + 2;
                if (rest.Length < size)
                {
                    return used;
                }

                var header = hasHeader ? (int)Number(line[words[count - 2]]) : 0;
                var reply = count > (hasHeader ? 5 : 4) ? line[words[3]] : default;
                OnMessage(line[words[1]], Number(line[words[2]]), reply, rest.Slice(end + 1, header), rest.Slice(end + 1 + header, total - header));
                used += size;
                continue;
            }

            if (line.StartsWith("PING"u8))
            {
                Send(0, static (b, _) => b.Add("PONG\r\n"u8));
            }
            else if (line.StartsWith("-ERR"u8))
            {
                throw new IOException(Encoding.ASCII.GetString(line));
            }

            used += end + 1;
        }
    }

    protected override void OnClosed(Exception e)
    {
        foreach (var request in _requests.Values)
        {
            request.TrySetException(e);
        }

        foreach (var publish in _publishes.Values)
        {
            publish.TrySetException(e);
        }

        foreach (var consumer in _consumers.Values)
        {
            consumer.Fail(e);
        }
    }

    private static int WriteHeader(Span<byte> header, long expected, PeerEvent e)
    {
        var length = 0;
        Put("NATS/1.0\r\nId: "u8, header, ref length);
        e.Id.TryFormat(header[length..], out var written, "N");
        length += written;
        Put("\r\nType: "u8, header, ref length);
        length += Encoding.ASCII.GetBytes(e.Type, header[length..]);
        if (expected >= 0)
        {
            Put("\r\nNats-Expected-Last-Subject-Sequence: "u8, header, ref length);
            expected.TryFormat(header[length..], out written);
            length += written;
        }

        Put("\r\n\r\n"u8, header, ref length);
        return length;

        static void Put(ReadOnlySpan<byte> text, Span<byte> to, ref int at)
        {
            text.CopyTo(to[at..]);
            at += text.Length;
        }
    }

    private static int Split(ReadOnlySpan<byte> line, Span<Range> words)
    {
        var (count, start) = (0, 0);
        for (var i = 0; i <= line.Length; i++)
        {
            if (i == line.Length || line[i] == ' ')
            {
                words[count++] = start..i;
                start = i + 1;
            }
        }

        return count;
    }

    private static long Number(ReadOnlySpan<byte> text) => Utf8Parser.TryParse(text, out long value, out _) ? value : throw new IOException($"{Encoding.ASCII.GetString(text)} is not a number.");

    private void Publish(string subject, string reply, string body) => Send((subject, reply, body), static (b, s) =>
    {
        b.Add("PUB "u8);
        b.Add(s.subject);
        b.Add(" "u8);
        if (s.reply.Length > 0)
        {
            b.Add(s.reply);
            b.Add(" "u8);
        }

        b.Add(s.body.Length);
        b.Add("\r\n"u8);
        b.Add(s.body);
        b.Add("\r\n"u8);
    });

    private void OnMessage(ReadOnlySpan<byte> subject, long id, ReadOnlySpan<byte> reply, ReadOnlySpan<byte> header, ReadOnlySpan<byte> data)
    {
        if (id == InboxId)
        {
            OnAnswer(Number(subject[_inbox.Length..]), header, data);
        }
        else if (_consumers.TryGetValue(id, out var consumer))
        {
            // Status 100 is not an event: flow control that wants an answer, or a heartbeat that says where to send one.
            if (!header.StartsWith("NATS/1.0 100"u8))
            {
                consumer.Deliver(data);
            }
            else if (!reply.IsEmpty)
            {
                Publish(Encoding.ASCII.GetString(reply), "", "");
            }
            else if (header.IndexOf("Nats-Consumer-Stalled: "u8) is >= 0 and var at)
            {
                var to = header[(at + "Nats-Consumer-Stalled: ".Length)..];
                Publish(Encoding.ASCII.GetString(to[..to.IndexOf((byte)'\r')]), "", "");
            }
        }
    }

    private void OnAnswer(long id, ReadOnlySpan<byte> header, ReadOnlySpan<byte> data)
    {
        if (_requests.TryRemove(id, out var request))
        {
            request.SetResult(data.ToArray());
            return;
        }

        if (!_publishes.TryRemove(id, out var publish))
        {
            return;
        }

        var at = data.IndexOf("\"seq\":"u8);
        if (at >= 0 && data.IndexOf("\"error\""u8) < 0 && Utf8Parser.TryParse(data[(at + "\"seq\":".Length)..].TrimStart((byte)' '), out long sequence, out _))
        {
            publish.SetResult(sequence);
            return;
        }

        var text = Encoding.UTF8.GetString(data) + Encoding.UTF8.GetString(header);
        publish.SetException(text.Contains("wrong last sequence", StringComparison.Ordinal) ? new WrongVersionException(text) : new IOException(text));
    }
}

/// <summary>What a push consumer delivers.</summary>
internal sealed class NatsConsumer(NatsConnection connection, long id, EventSink sink) : IAsyncDisposable
{
    private readonly TaskCompletionSource<long> _caughtUp = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private long _wanted = long.MaxValue;
    private long _received;
    private string _name = "";

    /// <summary>Completes with the count once all that was stored when the consumer was made has come.</summary>
    public Task<long> CaughtUp => _caughtUp.Task;

    public ValueTask DisposeAsync()
    {
        connection.EndConsumer(id, _name);
        return ValueTask.CompletedTask;
    }

    internal void Created(string name, long stored)
    {
        _name = name;
        Volatile.Write(ref _wanted, stored);
        if (Volatile.Read(ref _received) >= stored)
        {
            _caughtUp.TrySetResult(stored);
        }
    }

    internal void Deliver(ReadOnlySpan<byte> data)
    {
        sink(_received, data);
        Volatile.Write(ref _received, _received + 1);
        if (_received == Volatile.Read(ref _wanted))
        {
            _caughtUp.TrySetResult(_received);
        }
    }

    internal void Fail(Exception e) => _caughtUp.TrySetException(e);
}
