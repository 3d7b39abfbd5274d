using EventVault.FaultLab.History;
using EventVault.Protocol;
using Google.Protobuf;

namespace EventVault.FaultLab.Workload;

/// <summary>An append that a writer means to make: the request, and what the history keeps of it.</summary>
internal sealed class AppendPlan
{
    public AppendPlan(Guid operationId)
    {
        OperationId = operationId;
        Request = new AppendRequest { OperationId = ByteString.CopyFrom(operationId.ToByteArray(bigEndian: true)) };
    }

    public Guid OperationId { get; }

    public AppendRequest Request { get; }

    public List<StreamWrite> Writes { get; } = [];

    public List<Requirement> Requires { get; } = [];

    public TagCondition? Condition { get; private set; }

    public void Write(string stream, Expected expected, IReadOnlyList<EventData> events)
    {
        Writes.Add(new StreamWrite(stream, expected, [.. events.Select(e => EventDigest.Of(stream, e.ToByteArray()))]));
        Request.Streams.Add(new StreamAppend { Stream = stream, Expected = Message(expected), Events = { events } });
    }

    public void Require(string stream, Expected expected)
    {
        Requires.Add(new Requirement(stream, expected));
        Request.Requires.Add(new StreamRequirement { Stream = stream, Expected = Message(expected) });
    }

    public void AllowNoTag(string tag, long after)
    {
        Condition = new TagCondition(tag, after);
        var condition = new AppendCondition { Query = new Query { Items = { new QueryItem { Tags = { tag } } } } };
        if (after >= 0)
        {
            condition.After = (ulong)after;
        }

        Request.Conditions.Add(condition);
    }

    private static ExpectedVersion Message(Expected expected) => expected.Kind switch
    {
        ExpectedKind.NoStream => new ExpectedVersion { NoStream = new Empty() },
        ExpectedKind.Exists => new ExpectedVersion { Exists = new Empty() },
        ExpectedKind.Exact => new ExpectedVersion { Version = (ulong)expected.Version },
        _ => new ExpectedVersion { Any = new Empty() },
    };
}
