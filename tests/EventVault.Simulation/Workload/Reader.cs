using EventVault.Simulation.Checkers;

namespace EventVault.Simulation.Workload;

/// <summary>Reads this and that, in every way, from any node.</summary>
internal sealed class Reader(ClientWorkload clients, ClientView view, Random random)
{
    private static readonly ReadKind[] Kinds = Enum.GetValues<ReadKind>();
    private static readonly Consistency[] Consistencies = Enum.GetValues<Consistency>();

    private ReadOperation? _current;
    private bool _isOfLiveness;
    private long _time;

    /// <summary>Whether a read of after the faults was answered, and nothing is under way.</summary>
    public bool IsDone { get; private set; }

    public override string ToString() => $"reader of client {view.Client}: {_current}";

    public void Start() => clients.After(Think(), Begin);

    private void Begin()
    {
        var node = clients.Choose(view, random, wanders: 0.5);
        var read = clients.Referee.Reads.Begin(view.Client, (uint)node, Request());
        _current = read;
        _isOfLiveness = clients.IsLiveness;
        clients.Send(view, node, gate => gate.Read(read, answer => OnAnswer(read, answer)), () => OnAnswer(read, null));
        clients.After((long)(clients.Options.Patience.Ticks * (0.25 + (1.5 * random.NextDouble()))), () => OnDeadline(read));
    }

    private ReadRequest Request()
    {
        var kind = Kinds[random.Next(Kinds.Length)];
        if (kind == ReadKind.List && random.Next(4) > 0)
        {
            kind = ReadKind.Events; // A list looks at every segment, and here they are many and small.
        }

        var consistency = Consistencies[random.Next(Consistencies.Length)];
        var stream = kind == ReadKind.List ? random.Next(2) == 0 ? "" : clients.Made.StreamName() : clients.Made.StreamName();
        var isBackwards = random.Next(2) == 0;
        var from = kind switch
        {
            ReadKind.Time => _time + random.Next(-2, 3),
            ReadKind.Events when random.Next(3) > 0 => Math.Max(0, view.Version(stream) - random.Next(10)),
            ReadKind.All when random.Next(3) > 0 => Math.Max(0, view.Highest - random.Next(40)),
            _ => isBackwards ? long.MaxValue : 0,
        };
        return new ReadRequest(kind, consistency, view.Highest, stream, from, random.Next(1, 40), isBackwards);
    }

    private void OnAnswer(ReadOperation read, ReadAnswer? answer)
    {
        if (answer is not null)
        {
            clients.Referee.Reads.Answered(read, answer);
            Learn(read.Request, answer);
            IsDone |= _isOfLiveness && _current == read;
        }
        else if (_current == read)
        {
            clients.Referee.Reads.Refused(read, "not now");
        }

        if (_current == read)
        {
            Next();
        }
    }

    private void OnDeadline(ReadOperation read)
    {
        if (_current == read)
        {
            clients.Referee.Reads.Refused(read, "deadline");
            Next();
        }
    }

    private void Next()
    {
        _current = null;
        if (IsDone)
        {
            return;
        }

        clients.After(Think(), Begin);
    }

    private void Learn(ReadRequest request, ReadAnswer answer)
    {
        view.Learn(answer.Head);
        foreach (var seen in answer.Events)
        {
            _time = seen.RecordedAt;
            if (request.Kind == ReadKind.StreamHead)
            {
                view.Learn(seen.Stream, seen.Version);
            }
        }
    }

    private long Think() => ClientWorkloadOptions.Think(clients.Options.RequestsPerSecond * clients.Options.ReadsPerAppend, clients.Options.Clients, random);
}
