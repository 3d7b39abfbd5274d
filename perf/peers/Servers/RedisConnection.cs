using System.Buffers.Text;
using System.Text;

namespace EventVault.Peers.Servers;

/// <summary>A connection that speaks Redis's protocol, pipelined: requests go out as they come, answers come in their order.</summary>
internal sealed class RedisConnection : Wire
{
    private readonly Queue<Pending> _pending = new();

    // How far the answer at the front was looked at, and how many of its parts are still to come.
    private int _scanned;
    private long _open = 1;

    public static async Task<RedisConnection> OpenAsync(int port)
    {
        var connection = new RedisConnection();
        await connection.DialAsync(port);
        return connection;
    }

    public Task<long> NumberAsync<TState>(TState state, Action<WireBuffer, TState> write) => Enqueue(new Reply<long>(static c => c.Head(out _)), state, write);

    public Task CallAsync(string[] words) => NumberAsync(words, Words);

    public Task<string> TextAsync(string[] words) => Enqueue(new Reply<string>(static c => Encoding.ASCII.GetString(c.Text())), words, Words);

    public Task AddAsync(string key, string? source, PeerEvent e) => Enqueue(new Reply<int>(static _ => 0), (key, source, e), static (b, s) =>
    {
        Array(b, s.source is null ? 9 : 11);
        Bulk(b, "XADD");
        Bulk(b, s.key);
        Bulk(b, "*");
        if (s.source is not null)
        {
            Bulk(b, "s");
            Bulk(b, s.source);
        }

        Bulk(b, "i");
        Bulk(b, s.e.Id.ToByteArray());
        Bulk(b, "t");
        Bulk(b, s.e.Type);
        Bulk(b, "d");
        Bulk(b, s.e.Data.Span);
    });

    /// <summary>XRANGE, XREVRANGE or XREAD of one key: hands the entries to the sink; returns their count and the last id.</summary>
    public Task<(int Count, string Last)> EntriesAsync(string[] words, EventSink sink)
    {
        var isRead = words[0] == "XREAD";
        return Enqueue(new Reply<(int, string)>(c => Entries(c, isRead, sink)), words, Words);
    }

    public static void Array(WireBuffer b, int count) => Line(b, (byte)'*', count);

    public static void Bulk(WireBuffer b, ReadOnlySpan<byte> bytes)
    {
        Line(b, (byte)'$', bytes.Length);
        b.Add(bytes);
        b.Add("\r\n"u8);
    }

    public static void Bulk(WireBuffer b, string ascii)
    {
        Line(b, (byte)'$', ascii.Length);
        b.Add(ascii);
        b.Add("\r\n"u8);
    }

    public static void Bulk(WireBuffer b, long number)
    {
        Span<byte> digits = stackalloc byte[20];
        number.TryFormat(digits, out var count);
        Bulk(b, digits[..count]);
    }

    protected override int Consume(ReadOnlySpan<byte> bytes)
    {
        var start = 0;
        while (IsWhole(bytes))
        {
            Pending next;
            lock (_pending)
            {
                next = _pending.Dequeue();
            }

            next.Complete(bytes[start.._scanned]);
            start = _scanned;
            _open = 1;
        }

        _scanned -= start;
        return start;
    }

    protected override void OnClosed(Exception e)
    {
        lock (_pending)
        {
            while (_pending.TryDequeue(out var pending))
            {
                pending.Fail(e);
            }
        }
    }

    private static (int Count, string Last) Entries(Cursor cursor, bool isRead, EventSink sink)
    {
        if (isRead)
        {
            // One key, and its name, stand around the entries.
            cursor.Head(out _);
            cursor.Head(out _);
            cursor.Text();
        }

        var count = (int)cursor.Head(out _);
        var id = "0-0"u8;
        for (var i = 0; i < count; i++)
        {
            cursor.Head(out _);
            id = cursor.Text();
            var fields = cursor.Head(out _);
            for (var f = 0; f < fields; f += 2)
            {
                var name = cursor.Text();
                var value = cursor.Text();
                if (name[0] == 'd')
                {
                    sink(i, value);
                }
            }
        }

        return (count, Encoding.ASCII.GetString(id));
    }

    private static void Line(WireBuffer b, byte kind, long number)
    {
        b.Add([kind]);
        b.Add(number);
        b.Add("\r\n"u8);
    }

    private static void Words(WireBuffer b, string[] words)
    {
        Array(b, words.Length);
        foreach (var word in words)
        {
            Bulk(b, word);
        }
    }

    private Task<T> Enqueue<TState, T>(Reply<T> reply, TState state, Action<WireBuffer, TState> write)
    {
        // Under the lock of the sender: the order of what waits is that of what was sent.
        Send((this, reply, state, write), static (b, s) =>
        {
            lock (s.Item1._pending)
            {
                s.Item1._pending.Enqueue(s.reply);
            }

            s.write(b, s.state);
        });
        return reply.Task;
    }

    // An id or an error has no number where one may stand: it counts as 0, and nobody uses it.
    private static long Number(ReadOnlySpan<byte> text) => Utf8Parser.TryParse(text, out long value, out _) ? value : 0;

    /// <summary>Moves over whole parts until the answer at the front is complete; goes on where it stopped.</summary>
    private bool IsWhole(ReadOnlySpan<byte> bytes)
    {
        while (_open > 0)
        {
            var rest = bytes[_scanned..];
            var end = rest.IndexOf((byte)'\n');
            if (end < 0)
            {
                return false;
            }

            var size = end + 1;
            var value = Number(rest[1..(end - 1)]);
            size += rest[0] == '$' && value >= 0 ? (int)value + 2 : 0;
            if (rest.Length < size)
            {
                return false;
            }

            _open += rest[0] == '*' && value > 0 ? value : 0;
            _open--;
            _scanned += size;
        }

        return true;
    }

    /// <summary>Walks over a whole answer.</summary>
    private ref struct Cursor(ReadOnlySpan<byte> bytes)
    {
        private ReadOnlySpan<byte> _rest = bytes;

        public long Head(out byte kind)
        {
            kind = _rest[0];
            var end = _rest.IndexOf((byte)'\n');
            var value = Number(_rest[1..(end - 1)]);
            _rest = _rest[(end + 1)..];
            return value;
        }

        public ReadOnlySpan<byte> Text()
        {
            var length = (int)Head(out _);
            var text = _rest[..length];
            _rest = _rest[(length + 2)..];
            return text;
        }
    }

    private delegate T Parse<out T>(Cursor cursor);

    private abstract class Pending
    {
        public abstract void Complete(ReadOnlySpan<byte> reply);

        public abstract void Fail(Exception e);
    }

    private sealed class Reply<T>(Parse<T> parse) : Pending
    {
        private readonly TaskCompletionSource<T> _done = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public Task<T> Task => _done.Task;

        public override void Complete(ReadOnlySpan<byte> reply)
        {
            if (reply[0] != '-')
            {
                _done.SetResult(parse(new Cursor(reply)));
                return;
            }

            var text = Encoding.ASCII.GetString(reply);
            _done.SetException(text.Contains("WRONGVERSION", StringComparison.Ordinal) ? new WrongVersionException(text) : new IOException(text));
        }

        public override void Fail(Exception e) => _done.TrySetException(e as IOException ?? new IOException(e.Message, e));
    }
}
