using EventVault.Simulation.Checkers;

namespace EventVault.Simulation.Workload;

/// <summary>One subscription. Goes to another node when it hears nothing, now and then also without a reason.</summary>
internal sealed class Subscriber(ClientWorkload clients, ClientView view, int number, Random random)
{
    /// <summary>Of pages, after which it reconnects although all is well.</summary>
    private const double Moves = 0.02;

    private SubscriptionChecker? _checker;
    private ServedSubscription? _connection;
    private int _silences;

    public long Delivered => _checker?.Delivered ?? 0;

    /// <summary>Whether it has everything up to a position.</summary>
    public bool IsAt(long position) => _checker is { } checker && checker.IsAt(position);

    public override string ToString() => $"{(_checker is null ? $"subscription of client {view.Client}" : $"{_checker}")}";

    public void Start()
    {
        // From the beginning, or from anywhere that is committed, some time after the start.
        clients.After(random.NextInt64(TimeSpan.FromSeconds(20).Ticks), () =>
        {
            var stream = random.Next(2) == 0 ? clients.Made.StreamName() : null;
            var from = random.Next(2) == 0 ? 0 : random.NextInt64(clients.Referee.Ledger.Head + 2);
            _checker = new SubscriptionChecker(clients.Referee.Ledger, view.Client, stream, from);
            Connect();
        });
    }

    private void Connect()
    {
        var node = clients.Choose(view, random, wanders: 1);
        ServedSubscription? connection = null;
        connection = new ServedSubscription(view.Client, number, _checker!.Stream, _checker.Next, (events, caughtUp, head) => OnPage(node, connection!, events, caughtUp, head));
        _connection = connection;
        clients.Send(view, node, gate => gate.Subscribe(connection), () => OnLost(connection));
        Watch(connection);
    }

    private void OnPage(int node, ServedSubscription connection, IReadOnlyList<SeenEvent> events, long caughtUp, long head)
    {
        if (_connection != connection)
        {
            return; // Of a connection that the client has left.
        }

        foreach (var seen in events)
        {
            _checker!.Deliver((uint)node, seen, head);
        }

        _checker!.CaughtUp((uint)node, caughtUp, head);
        view.Learn(caughtUp);
        if (random.NextDouble() < Moves)
        {
            Connect();
            return;
        }

        clients.Send(view, node, gate => gate.Acknowledge(connection), () => OnLost(connection));
        Watch(connection);
    }

    // Hearing nothing may mean that there is nothing: then another node has nothing, either.
    private void Watch(ServedSubscription connection)
    {
        var heard = ++_silences;
        clients.After((long)(clients.Options.Patience.Ticks * (1 + random.NextDouble())), () =>
        {
            if (_connection == connection && _silences == heard)
            {
                Connect();
            }
        });
    }

    private void OnLost(ServedSubscription connection)
    {
        if (_connection == connection)
        {
            _connection = null;
            clients.After((long)(TimeSpan.FromMilliseconds(100).Ticks * random.NextDouble()) + 1, Connect);
        }
    }
}
