// The leader's retention work in one life of a node: what RetentionLoop does in the product, by events instead of tasks, and what it
// finds is held against the rules. Its clock is the node's own, believed whatever it says: RetentionClock has tests of its own.
using System.Text;
using EventVault.Node;
using EventVault.Simulation.Checkers;
using EventVault.Simulation.Cluster;
using EventVault.Storage;
using EventVault.Storage.Log;

namespace EventVault.Simulation.Workload;

/// <summary>The retention work of one life of a node.</summary>
internal sealed class NodeRetention(ClientWorkload clients, Simulation simulation, SimulatedNode node, NodeGate gate)
{
    /// <summary>The client that leaders are to themselves.</summary>
    private const int Itself = 0;

    private readonly RetentionWork _work = new(node.Storage);
    private readonly HashSet<AppendAttempt> _open = [];
    private bool _isStopped;

    /// <summary>Looks from now on, again and again.</summary>
    public void Start() => simulation.After(clients.Options.RetentionInterval.Ticks, Look);

    /// <summary>The node ended: what became of its truncations, nobody was told.</summary>
    public void Stop()
    {
        _isStopped = true;
        foreach (var attempt in _open)
        {
            clients.Referee.Appends.Unknown(attempt, "the node ended");
        }
    }

    private void Look()
    {
        if (_isStopped)
        {
            return;
        }

        if (!node.IsPaused)
        {
            node.Guard(Pass);
        }

        Start();
    }

    private void Pass()
    {
        if (!node.Loop.Leads)
        {
            _work.Reset();
            return;
        }

        if (_open.Count > 0)
        {
            return; // The loop goes on when all are decided.
        }

        var (head, now, due) = (node.Storage.Head.Value, VaultLoop.Now(node.Clock), new List<DueEvents>());
        clients.Referee.Stepped(node);
        _work.Begin(now);
        while (_work.Step(due))
        {
        }

        if (_work.Damage is null && !_work.HasMore)
        {
            clients.Referee.Retention.Found(node.Number, head, now, due.Select(d => (Encoding.UTF8.GetString(d.Stream), d.Before.Value, d.Rule.Value)));
        }

        due.ForEach(d => Truncate(d, now));
    }

    private void Truncate(DueEvents due, long now)
    {
        if (!clients.Due.TryGetValue(due.OperationId, out var append))
        {
            var target = new SentStream(Encoding.UTF8.GetString(due.Stream), Expectation.Any, 0, []);
            append = new SentAppend(due.OperationId, [new SentStream("$streams", Expectation.Any, 0, [0])])
            {
                Change = new SentChange(ChangeKind.Truncate, target, due.Before.Value),
                Content = storage => Content(storage, due),
            };
            clients.Due.Add(due.OperationId, append);
        }

        append.DueBy[due.Rule.Value] = Math.Max(now, append.DueBy.GetValueOrDefault(due.Rule.Value, long.MinValue));
        var attempt = clients.Referee.Appends.Begin(Itself, (uint)node.Number, append, due.Rule.Value);
        _open.Add(attempt);
        gate.Append(attempt, Content(node.Storage, due), clients.Options.Patience, reply => OnReply(attempt, due, reply));
    }

    private void OnReply(AppendAttempt attempt, DueEvents due, AppendReply reply)
    {
        _open.Remove(attempt);
        var appends = clients.Referee.Appends;
        switch (reply.Outcome)
        {
            case OperationOutcome.Appended:
                appends.Appended(attempt, reply.Answer!);
                return;
            case OperationOutcome.Duplicate:
                appends.Duplicate(attempt, reply.Answer!);
                return;
            case OperationOutcome.Conflict:
                appends.Conflict(attempt, reply.Told!);
                break;
            case OperationOutcome.Unknown:
                appends.Unknown(attempt, reply.Why);
                break;
            case OperationOutcome.Reused:
                appends.Reused(attempt);
                break;
            default:
                appends.Refused(attempt, reply.Why);
                break;
        }

        _work.Refused(due);
    }

    private static AppendContent Content(VaultStorage storage, DueEvents due)
    {
        var content = new AppendContent(storage) { OperationId = due.OperationId };
        content.SetChange(new StreamChange(StreamChangeKind.Truncate, due.Before) { DueBy = due.Rule }, due.Stream, ExpectedKind.Any, default);
        return content;
    }
}
