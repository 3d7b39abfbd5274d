// Memory for pages that a large event made larger than their share, while their clients have not taken them: of all reads and
// subscriptions together. A client is a connection, and holds no more than it leaves for the others; when some comes back, who
// holds least is given first, and of those who hold as much, who was given longest ago. A call that takes nothing would keep its
// part for ever, and others from theirs: while somebody waits, whoever has held a part for long loses its call, and its client
// goes on from where it is.
using EventVault.Rpc;

namespace EventVault.Node.Services;

/// <summary>Bounds pages of large events. Thread-safe.</summary>
internal sealed class LargePages(TimeProvider clock)
{
    /// <summary>Bytes of all such pages; a connection gets half of them at the most. One page alone may be larger.</summary>
    public const long MostBytes = 128L * 1024 * 1024;

    /// <summary>Who holds memory that others wait for may take this long to send it: 64 KiB of it at 6 KiB/s.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);

    private readonly Lock _lock = new();
    private readonly LinkedList<Part> _held = new(); // In the order in which they were given.
    private readonly Dictionary<object, Client> _clients = new(ReferenceEqualityComparer.Instance); // Who holds or waits.
    private readonly SortedSet<Client> _waiting = new(Comparer<Client>.Create(static (a, b) => (a.HeldBytes, a.Turn).CompareTo((b.HeldBytes, b.Turn))));
    private readonly Dictionary<object, long> _answers = new(ReferenceEqualityComparer.Instance); // Bytes of answers that wait, of each connection.
    private long _answersBytes;
    private long _heldBytes;
    private long _turns;

    /// <summary>Bytes that are held.</summary>
    public long HeldBytes
    {
        get
        {
            lock (_lock)
            {
                return _heldBytes;
            }
        }
    }

    /// <summary>Takes memory for a page at once; null if others come first or there is none.</summary>
    /// <param name="bytes">Of the page.</param>
    /// <param name="connection">Whose page.</param>
    /// <param name="cut">Ends the call of the page; from any thread.</param>
    public Part? TryTake(int bytes, object connection, Action cut)
    {
        lock (_lock)
        {
            var client = ClientOf(connection);
            if (!IsNext(client) || !HasRoomFor(client, bytes))
            {
                return null;
            }

            var part = new Part(client, bytes, cut);
            Give(part);
            return part;
        }
    }

    /// <summary>Waits for memory for a page.</summary>
    /// <param name="bytes">Of the page.</param>
    /// <param name="connection">Whose page.</param>
    /// <param name="cut">Ends the call of the page; from any thread.</param>
    /// <param name="cancellation">Of the call.</param>
    /// <exception cref="OperationCanceledException">The call has ended meanwhile.</exception>
    public async ValueTask<Part> TakeAsync(int bytes, object connection, Action cut, CancellationToken cancellation)
    {
        Part part;
        lock (_lock)
        {
            var client = ClientOf(connection);
            part = new Part(client, bytes, cut);
            if (IsNext(client) && HasRoomFor(client, bytes))
            {
                Give(part);
                return part;
            }

            client.Waiting.AddLast(part.Place);
            Keep(client);
        }

        try
        {
            await part.Given.Task.WaitAsync(cancellation);
            return part;
        }
        catch
        {
            GiveBack(part);
            throw;
        }
    }

    /// <summary>
    /// Waits for memory for the answer of a call, until it is disposed. Unlike a page the answer is there while it waits: so all that wait have as much memory, too.
    /// </summary>
    /// <exception cref="RpcException">OVERLOADED: as many wait as may.</exception>
    /// <exception cref="OperationCanceledException">The call has ended meanwhile.</exception>
    public async ValueTask<IDisposable> HoldAsync(int bytes, object connection, Action cut, CancellationToken cancellation)
    {
        if (!TryWait(bytes, connection))
        {
            throw Errors.AnswersWait().ToException();
        }

        try
        {
            return new Holding(this, await TakeAsync(bytes, connection, cut, cancellation));
        }
        finally
        {
            StopWaiting(bytes, connection);
        }
    }

    /// <summary>Gives a part back, or takes back that it was asked for.</summary>
    public void GiveBack(Part part)
    {
        var given = new List<Part>();
        lock (_lock)
        {
            var client = part.Client;
            _waiting.Remove(client); // Its place among them changes.
            if (part.Place.List == client.Waiting)
            {
                client.Waiting.Remove(part.Place);
            }
            else
            {
                _held.Remove(part.Place);
                _heldBytes -= part.Bytes;
                client.HeldBytes -= part.Bytes;
            }

            Keep(client);
            Invariant.Check(_heldBytes >= 0 && (_held.Count > 0) == (_heldBytes > 0));
            while (_waiting.Min is { } next && HasRoomFor(next, next.Waiting.First!.Value.Bytes))
            {
                _waiting.Remove(next);
                var first = next.Waiting.First!.Value;
                next.Waiting.RemoveFirst();
                Give(first);
                given.Add(first);
            }
        }

        given.ForEach(static next => next.Given.TrySetResult());
    }

    /// <summary>Ends the calls that hold others up. Call it now and then.</summary>
    /// <returns>How many.</returns>
    public int CutSlow()
    {
        var slow = new HashSet<Part>();
        lock (_lock)
        {
            var held = _held.TakeWhile(part => clock.GetElapsedTime(part.Since) >= Patience).ToList();
            foreach (var client in _waiting)
            {
                slow.UnionWith(held.Where(part => HoldsUp(part, client)));
            }
        }

        foreach (var part in slow)
        {
            part.Cut();
        }

        return slow.Count;
    }

    private bool TryWait(int bytes, object connection)
    {
        lock (_lock)
        {
            var ofConnection = _answers.GetValueOrDefault(connection);
            if (ofConnection > 0 && (ofConnection + bytes > MostBytes / 2 || _answersBytes + bytes > MostBytes))
            {
                return false;
            }

            _answers[connection] = ofConnection + bytes;
            _answersBytes += bytes;
            return true;
        }
    }

    private void StopWaiting(int bytes, object connection)
    {
        lock (_lock)
        {
            _answersBytes -= bytes;
            if ((_answers[connection] -= bytes) == 0)
            {
                _answers.Remove(connection);
            }
        }
    }

    private Client ClientOf(object connection) => _clients.TryGetValue(connection, out var known) ? known : new Client(connection) { Turn = _turns++ };

    // Nobody waits who holds as little.
    private bool IsNext(Client client) => client.Waiting.Count == 0 && (_waiting.Min is not { } first || client.HeldBytes < first.HeldBytes);

    private bool HasRoomFor(Client client, int bytes) => _heldBytes == 0 || client.HeldBytes + bytes <= MostBytes - _heldBytes - bytes;

    // Whether a client that waits could go on for a part: its own, or, if its own are not what it waits for, that of one who holds as much.
    private static bool HoldsUp(Part part, Client waiting)
    {
        var bytes = waiting.Waiting.First!.Value.Bytes;
        var waitsForItself = waiting.HeldBytes > 0 && waiting.HeldBytes + bytes > MostBytes - waiting.HeldBytes - bytes;
        return waitsForItself ? part.Client == waiting : part.Client.HeldBytes >= waiting.HeldBytes;
    }

    // The client does not stand among those who wait.
    private void Give(Part part)
    {
        part.Since = clock.GetTimestamp();
        _held.AddLast(part.Place);
        _heldBytes += part.Bytes;
        part.Client.HeldBytes += part.Bytes;
        part.Client.Turn = _turns++;
        Keep(part.Client);
    }

    // Puts a client where it belongs by what it holds and waits for.
    private void Keep(Client client)
    {
        if (client.Waiting.Count > 0)
        {
            _waiting.Add(client);
        }

        if (client.Waiting.Count > 0 || client.HeldBytes > 0)
        {
            _clients[client.Connection] = client;
        }
        else
        {
            _clients.Remove(client.Connection);
        }
    }

    /// <summary>What the calls of one connection hold and wait for.</summary>
    internal sealed class Client(object connection)
    {
        public object Connection => connection;

        public long HeldBytes { get; set; }

        /// <summary>Different for each; the least has waited longest.</summary>
        public long Turn { get; set; }

        public LinkedList<Part> Waiting { get; } = new();
    }

    private sealed class Holding(LargePages pages, Part part) : IDisposable
    {
        public void Dispose() => pages.GiveBack(part);
    }

    /// <summary>The memory of one page.</summary>
    internal sealed class Part
    {
        public Part(Client client, int bytes, Action cut)
        {
            Client = client;
            Bytes = bytes;
            Cut = cut;
            Place = new LinkedListNode<Part>(this);
        }

        public Client Client { get; }

        public int Bytes { get; }

        public Action Cut { get; }

        public LinkedListNode<Part> Place { get; }

        public TaskCompletionSource Given { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public long Since { get; set; }
    }
}
