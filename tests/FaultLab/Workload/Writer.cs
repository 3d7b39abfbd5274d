using EventVault.FaultLab.Calls;
using EventVault.FaultLab.History;
using EventVault.FaultLab.Machine;
using EventVault.Protocol;
using EventVault.Rpc;
using Google.Protobuf;

namespace EventVault.FaultLab.Workload;

/// <summary>
/// Appends with every kind of expectation, right and wrong; sends again, with the same operation id, what came to nothing, and now and
/// then what was answered. Most writers follow the leader; a stubborn one stays with one node for seconds, also when that was deposed.
/// </summary>
internal sealed class Writer(int number, WorkState state) : LabClient($"writer-{number}", state)
{
    private const int SharedStreams = 5;

    // Attempts at one append: a fail-over takes some tens of refusals, with pauses.
    private const int MostAttempts = 60;

    private readonly Dictionary<string, long> _known = new(StringComparer.Ordinal);
    private readonly bool _isStubborn = number % 4 == 3;
    private LabNode? _node;
    private long _stayUntil;

    public override async Task RunAsync(CancellationToken stop)
    {
        while (!stop.IsCancellationRequested)
        {
            await AppendAsync(Draw(), stop);
            await PauseAsync(State.Options.PauseMilliseconds, stop);
        }
    }

    private async Task AppendAsync(AppendPlan plan, CancellationToken stop)
    {
        for (var i = 0; i < MostAttempts && (i == 0 || !stop.IsCancellationRequested); i++)
        {
            var attempt = await AttemptAsync(plan);
            await State.AddAsync(attempt);
            Learn(attempt);
            switch (attempt.Outcome)
            {
                case AppendOutcome.Written or AppendOutcome.Duplicate when Random.Next(30) > 0:
                case AppendOutcome.Conflict when Random.Next(10) > 0:
                case AppendOutcome.Refused when _isStubborn:
                case AppendOutcome.Unknown when Random.Next(8) == 0:
                    await PauseAsync(_isStubborn ? 50 : 0, stop);
                    return;
                case AppendOutcome.Refused or AppendOutcome.Unknown:
                    await PauseAsync(100, stop);
                    break;
            }
        }

        if (!stop.IsCancellationRequested)
        {
            State.Abandon();
        }
    }

    private async Task<AppendAttempt> AttemptAsync(AppendPlan plan)
    {
        var node = Choose();
        var attempt = new AppendAttempt
        {
            Client = Name,
            Node = node.Number,
            Start = node.Starts,
            OperationId = plan.OperationId,
            Writes = plan.Writes,
            Requires = plan.Requires,
            Condition = plan.Condition,
            Invoked = Clock.Now,
        };
        try
        {
            var answer = await To(node).AppendAsync(plan.Request);
            return attempt with
            {
                Completed = Clock.Now,
                Outcome = answer.Deduplicated ? AppendOutcome.Duplicate : AppendOutcome.Written,
                FirstPosition = (long)answer.FirstPosition,
                LastPosition = (long)answer.LastPosition,
                Versions = [.. answer.Streams.Select(s => (long)s.Version)],
                RecordedAt = answer.RecordedAt,
            };
        }
        catch (RpcException e)
        {
            var failure = new CallFailure(e);
            Move(failure);
            var isConflict = failure.Outcome == AppendOutcome.Conflict;
            return attempt with
            {
                Completed = Clock.Now,
                Outcome = failure.Outcome,
                Reason = failure.Reason,
                Failure = isConflict ? null : failure.Text,
                Conflicts = [.. failure.Failures.Where(f => f.VersionConflict is not null).Select(f => new ToldVersion(f.Stream, f.VersionConflict.HasActual ? (long)f.VersionConflict.Actual : -1))],
                MatchingPosition = failure.Failures.Where(f => f.Reason == Reason.ConditionFailed && f.HasPosition).Select(f => (long)f.Position).DefaultIfEmpty(-1).Max(),
            };
        }
    }

    private LabNode Choose()
    {
        if (_isStubborn && Clock.Now > _stayUntil)
        {
            _node = AnyNode();
            _stayUntil = Clock.Now + Clock.Ticks(TimeSpan.FromMilliseconds(Random.Next(500, 4000)));
        }

        return _node ??= AnyNode();
    }

    private void Move(CallFailure failure)
    {
        if (_isStubborn || failure.Outcome == AppendOutcome.Conflict)
        {
            return;
        }

        var hint = failure.LeaderAddress;
        _node = State.Cluster.Nodes.FirstOrDefault(n => $"{n.Address}:{LabNode.Port}" == hint) ?? AnyNode();
    }

    private void Learn(AppendAttempt attempt)
    {
        for (var i = 0; i < attempt.Versions.Count; i++)
        {
            _known[attempt.Writes[i].Stream] = attempt.Versions[i];
        }

        foreach (var told in attempt.Conflicts)
        {
            _known[told.Stream] = told.Actual;
        }
    }

    private AppendPlan Draw()
    {
        var plan = new AppendPlan(NewId());
        var own = $"own-{number}-{Random.Next(3)}";
        var shared = $"shared-{Random.Next(SharedStreams)}";
        switch (Random.Next(20))
        {
            case < 6:
                plan.Write(own, Known(own), Events());
                break;
            case < 8:
                plan.Write(own, Expected.Any, Events());
                break;
            case < 11:
                plan.Write(shared, Known(shared), Events());
                break;
            case < 13:
                plan.Write(own, Random.Next(2) == 0 ? Known(own) : Expected.Any, Events());
                plan.Write(shared, Random.Next(2) == 0 ? Known(shared) : Expected.Any, Events());
                break;
            case 13:
                plan.Write($"race-{State.NextRace}", Expected.NoStream, Events());
                break;
            case 14:
                plan.Write(Random.Next(2) == 0 ? shared : $"race-{State.NextRace}", Expected.Exists, Events());
                break;
            case 15:
                plan.Write(shared, Expected.Exactly(Math.Max(0, _known.GetValueOrDefault(shared) + Random.Next(-4, 5))), Events());
                break;
            case 16:
                plan.Write(shared, Expected.Any, Events());
                plan.Require(own, Known(own));
                break;
            case 17:
                var only = $"only-{State.NextRace}";
                plan.Write(own, Expected.Any, Events(only));
                plan.AllowNoTag(only, after: -1);
                break;
            default:
                var tag = $"tag-{Random.Next(10)}";
                plan.Write(shared, Expected.Any, Events(tag));
                plan.AllowNoTag(tag, Math.Max(-1, State.Seen - Random.Next(40)));
                break;
        }

        return plan;
    }

    private Expected Known(string stream) => _known.TryGetValue(stream, out var version) ? Expected.Exactly(version) : Expected.Any;

    private List<EventData> Events(string? tag = null)
    {
        var events = new List<EventData>();
        do
        {
            var e = new EventData { Id = ByteString.CopyFrom(NewId().ToByteArray(bigEndian: true)), Type = "Tested" };
            e.Data = ByteString.CopyFromUtf8($"{{\"n\":{Random.Next()},\"text\":\"{new string('x', Random.Next(State.Options.TextBytes))}\"}}");
            if (tag is not null)
            {
                e.Tags.Add(tag);
            }

            events.Add(e);
        }
        while (events.Count < 4 && Random.Next(3) == 0);
        return events;
    }

    // From the writer's own chance, so that a run with the same seed sends the same ids.
    private Guid NewId()
    {
        Span<byte> bytes = stackalloc byte[16];
        Random.NextBytes(bytes);
        return new Guid(bytes);
    }
}
