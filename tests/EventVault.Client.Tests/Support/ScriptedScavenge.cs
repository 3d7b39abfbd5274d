using Google.Protobuf;

namespace EventVault.Client.Tests.Support;

/// <summary>The calls about scavenging, which remember what was started and answer what a test tells them to.</summary>
public sealed class ScriptedScavenge
{
    private readonly HashSet<ByteString> _done = [];

    /// <summary>What GetScavenge answers.</summary>
    public Protocol.ScavengeStatus Status { get; set; } = new() { State = "never" };

    /// <summary>What ExplainScavenge answers, in pages.</summary>
    public List<Protocol.SegmentScavenge> Segments { get; } = [];

    /// <summary>How many were started.</summary>
    public int Started { get; private set; }

    /// <summary>What a page is asked for, in the order of the calls.</summary>
    public List<Protocol.ExplainScavengeRequest> Explained { get; } = [];

    public Protocol.ScavengeStatus Start(ByteString operationId)
    {
        if (_done.Add(operationId))
        {
            Started++;
            Status = new Protocol.ScavengeStatus { State = "running", Point = 41, StartedAt = 7, SegmentsTotal = 3 };
        }

        return Status;
    }

    public Protocol.ScavengeStatus Stop(ByteString operationId)
    {
        if (_done.Add(operationId) && Status.State == "running")
        {
            Status.State = "stopped";
        }

        return Status;
    }

    public Protocol.ExplainScavengeResponse Explain(Protocol.ExplainScavengeRequest request)
    {
        Explained.Add(request);
        var response = new Protocol.ExplainScavengeResponse();
        Protocol.SegmentScavenge[] left = [.. Segments.Where(s => s.Segment >= request.FromSegment)];
        response.Segments.AddRange(left.Take((int)request.PageSize));
        if (left.Length > (int)request.PageSize)
        {
            response.NextSegment = left[request.PageSize].Segment;
        }

        return response;
    }
}
