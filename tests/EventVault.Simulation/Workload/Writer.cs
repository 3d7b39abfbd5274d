using EventVault.Simulation.Checkers;

namespace EventVault.Simulation.Workload;

/// <summary>
/// Appends, one after the other. Tries an append again, at whatever node, until it is decided; what it does not know it
/// sends again under the same operation id, or leaves.
/// </summary>
internal sealed class Writer(ClientWorkload clients, ClientView view, Random random)
{
    private static readonly long Pause = TimeSpan.FromMilliseconds(50).Ticks;

    /// <summary>The pause doubles with each refusal in a row, up to 1.6 s: without that, most of a long outage's events are refusals.</summary>
    private const int MostDoublings = 5;

    private (AppendPlan Plan, SentAppend Sent)? _current;
    private AppendAttempt? _attempt;
    private bool _isOfLiveness;
    private int _refusals;

    /// <summary>Whether an append of after the faults got through, and nothing is under way.</summary>
    public bool IsDone { get; private set; }

    public override string ToString() => $"writer of client {view.Client}: {_attempt}";

    public void Start() => clients.After(Think(), Begin);

    private void Begin()
    {
        if (!clients.IsLiveness && clients.Made.Count >= clients.Options.Requests)
        {
            clients.After(Think(), Begin); // Until the faults are over there are only reads.
            return;
        }

        var append = clients.Made.Next(view);
        _current = append;
        _isOfLiveness = clients.IsLiveness;
        _refusals = 0;
        clients.Made.Keep(append);
        Send();
    }

    private void Send()
    {
        if (_current is not { } append)
        {
            return;
        }

        var node = clients.Choose(view, random, clients.Options.Wanders);
        var attempt = clients.Referee.Appends.Begin(view.Client, (uint)node, append.Sent);
        _attempt = attempt;
        var patience = clients.Options.Patience * (0.25 + (1.5 * random.NextDouble()));
        clients.Send(
            view,
            node,
            gate => gate.Append(attempt, append.Plan, patience, reply => OnReply(attempt, reply)),
            () => OnReply(attempt, new AppendReply(OperationOutcome.Refused, null, null, "node is down", 0)));

        // The client's own patience is a little longer or shorter than what it tells the node.
        clients.After((long)(patience.Ticks * (0.5 + random.NextDouble())), () => OnDeadline(attempt));
    }

    private void OnReply(AppendAttempt attempt, AppendReply reply)
    {
        var appends = clients.Referee.Appends;
        switch (reply.Outcome)
        {
            case OperationOutcome.Appended:
                appends.Appended(attempt, reply.Answer!);
                Learn(attempt.Append, reply.Answer!.Versions);
                view.Learn(reply.Answer.Last);
                break;
            case OperationOutcome.Duplicate:
                appends.Duplicate(attempt, reply.Answer!);
                view.Learn(reply.Answer!.Last);
                break;
            case OperationOutcome.Reused:
                appends.Reused(attempt);
                break;
            case OperationOutcome.Conflict:
                appends.Conflict(attempt, reply.Told!);
                Learn(attempt.Append, [.. reply.Told!.Streams.Select(s => s.Last)]);
                break;
            case OperationOutcome.Refused when reply.Why == NodeGate.Ahead:
                appends.Ahead(attempt);
                break;
            case OperationOutcome.Unknown:
                appends.Unknown(attempt, reply.Why);
                break;
            default:
                appends.Refused(attempt, reply.Why);
                break;
        }

        view.Leader = reply.Leader;
        if (_attempt != attempt)
        {
            return; // It was late: the client has gone on.
        }

        _attempt = null;
        if (reply.Outcome is OperationOutcome.Refused or OperationOutcome.Unknown)
        {
            Again(isKnown: reply.Outcome == OperationOutcome.Refused);
        }
        else
        {
            IsDone = _isOfLiveness && reply.Outcome == OperationOutcome.Appended;
            Next();
        }
    }

    private void OnDeadline(AppendAttempt attempt)
    {
        if (_attempt != attempt)
        {
            return;
        }

        clients.Referee.Appends.Unknown(attempt, "deadline");
        _attempt = null;
        view.Leader = 0;
        Again(isKnown: false);
    }

    private void Again(bool isKnown)
    {
        if (!isKnown && random.NextDouble() < clients.Options.GivesUp)
        {
            Next();
        }
        else
        {
            var longest = Pause << (isKnown ? Math.Min(_refusals++, MostDoublings) : 0);
            clients.After((long)(longest * random.NextDouble()) + 1, Send);
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

    private void Learn(SentAppend append, long[] versions)
    {
        for (var i = 0; i < versions.Length; i++)
        {
            view.Learn(append.Streams[i].Name, versions[i]);
        }
    }

    private long Think() => ClientWorkloadOptions.Think(clients.Options.RequestsPerSecond, clients.Options.Clients * clients.Options.Pipeline, random);
}
