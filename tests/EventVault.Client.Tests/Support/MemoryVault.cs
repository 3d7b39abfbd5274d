using EventVault.Rpc;
using Google.Protobuf;

namespace EventVault.Client.Tests.Support;

/// <summary>The contract's meaning in the simplest form: a list. The node is tested elsewhere; this is what the client is tested against.</summary>
public sealed class MemoryVault
{
    private readonly Lock _lock = new();
    private readonly List<Protocol.RecordedEvent> _events = [];
    private readonly Dictionary<string, List<int>> _streams = new(StringComparer.Ordinal);
    private readonly Dictionary<ByteString, Protocol.AppendResponse> _operations = [];
    private readonly List<Guid> _operationOrder = [];
    private TaskCompletionSource _changed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private long _time = DateTimeOffset.UtcNow.UtcTicks - DateTimeOffset.UnixEpoch.Ticks;

    public IReadOnlyList<Protocol.RecordedEvent> Events
    {
        get
        {
            lock (_lock)
            {
                return _events.ToArray();
            }
        }
    }

    /// <summary>Operation ids in the order in which they were done.</summary>
    public IReadOnlyList<Guid> Operations
    {
        get
        {
            lock (_lock)
            {
                return _operationOrder.ToArray();
            }
        }
    }

    public Task Changed
    {
        get
        {
            lock (_lock)
            {
                return _changed.Task;
            }
        }
    }

    public Protocol.AppendSessionResult Append(ulong requestId, Protocol.AppendRequest request)
    {
        lock (_lock)
        {
            if (_operations.TryGetValue(request.OperationId, out Protocol.AppendResponse? before))
            {
                Protocol.AppendResponse again = before.Clone();
                again.Deduplicated = true;
                return new Protocol.AppendSessionResult { RequestId = requestId, Result = again };
            }

            Protocol.ErrorDetail detail = Check(request);
            if (detail.Failures.Count > 0)
            {
                return Failed(requestId, RpcCode.Aborted, detail);
            }

            Protocol.AppendResponse response = Write(request);
            _operations.Add(request.OperationId, response);
            _operationOrder.Add(new Guid(request.OperationId.Span, bigEndian: true));
            _changed.TrySetResult();
            _changed = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            return new Protocol.AppendSessionResult { RequestId = requestId, Result = response };
        }
    }

    public static Protocol.AppendSessionResult Refused(ulong requestId, RpcCode code, Protocol.Reason reason, uint? retryAfterMs = null)
    {
        var failure = new Protocol.Failure { Reason = reason, Message = $"Refused on cue: {reason}." };
        if (retryAfterMs is { } after)
        {
            failure.RetryAfterMs = after;
        }

        return Failed(requestId, code, new Protocol.ErrorDetail { Failures = { failure } });
    }

    public Protocol.ReadHead Head(string? stream)
    {
        lock (_lock)
        {
            var head = new Protocol.ReadHead();
            if (_events.Count > 0)
            {
                head.LastPosition = _events[^1].Position;
                head.RecordedAt = _events[^1].RecordedAt;
            }

            if (stream is not null && _streams.TryGetValue(stream, out List<int>? places))
            {
                head.LastVersion = (ulong)places.Count - 1;
            }

            return head;
        }
    }

    /// <summary>What a read returns, as the contract defines it, from what there is at this moment.</summary>
    public List<Protocol.RecordedEvent> Read(
        string? stream, Protocol.ReadBound? from, Protocol.ReadBound? until, Protocol.Direction direction, ulong limit)
    {
        bool backwards = direction == Protocol.Direction.Backwards;
        lock (_lock)
        {
            IEnumerable<Protocol.RecordedEvent> events = _events.Where(e => stream is null || e.Stream == stream);
            (Protocol.ReadBound? low, Protocol.ReadBound? high) = backwards ? (until, from) : (from, until);
            events = events.Where(e => (low is null || Place(e, low) >= Value(low)) && (high is null || Place(e, high) <= Value(high)));
            events = backwards ? events.Reverse() : events;
            return (limit == 0 ? events : events.Take((int)limit)).ToList();
        }
    }

    public Protocol.StreamInfo? Stream(string name)
    {
        lock (_lock)
        {
            if (!_streams.TryGetValue(name, out List<int>? places))
            {
                return null;
            }

            Protocol.RecordedEvent last = _events[places[^1]];
            return new Protocol.StreamInfo { Stream = name, LastVersion = last.Version, LastPosition = last.Position, LastRecordedAt = last.RecordedAt };
        }
    }

    public List<string> StreamNames(string prefix)
    {
        lock (_lock)
        {
            return _streams.Keys.Where(k => k.StartsWith(prefix, StringComparison.Ordinal)).Order(StringComparer.Ordinal).ToList();
        }
    }

    private static Protocol.AppendSessionResult Failed(ulong requestId, RpcCode code, Protocol.ErrorDetail detail) => new()
    {
        RequestId = requestId,
        Error = new Protocol.AppendError { Code = (int)code, Message = detail.Failures[0].Message, Detail = detail },
    };

    private static long Place(Protocol.RecordedEvent e, Protocol.ReadBound bound) => bound.BoundCase switch
    {
        Protocol.ReadBound.BoundOneofCase.Version => (long)e.Version,
        Protocol.ReadBound.BoundOneofCase.Position => (long)e.Position,
        _ => e.RecordedAt,
    };

    private static long Value(Protocol.ReadBound bound) => bound.BoundCase switch
    {
        Protocol.ReadBound.BoundOneofCase.Version => (long)bound.Version,
        Protocol.ReadBound.BoundOneofCase.Position => (long)bound.Position,
        _ => bound.Time,
    };

    private Protocol.ErrorDetail Check(Protocol.AppendRequest request)
    {
        var detail = new Protocol.ErrorDetail();
        foreach (Protocol.StreamAppend stream in request.Streams)
        {
            long actual = _streams.TryGetValue(stream.Stream, out List<int>? places) ? places.Count - 1 : -1;
            (bool holds, string expected) = stream.Expected.ExpectedCase switch
            {
                Protocol.ExpectedVersion.ExpectedOneofCase.Any => (true, "any"),
                Protocol.ExpectedVersion.ExpectedOneofCase.NoStream => (actual < 0, "no-stream"),
                Protocol.ExpectedVersion.ExpectedOneofCase.Exists => (actual >= 0, "exists"),
                Protocol.ExpectedVersion.ExpectedOneofCase.Version => (actual == (long)stream.Expected.Version, $"{stream.Expected.Version}"),
                _ => throw new InvalidOperationException("expected is not set"),
            };
            if (holds)
            {
                continue;
            }

            var conflict = new Protocol.VersionConflict { Expected = expected };
            if (actual >= 0)
            {
                conflict.Actual = (ulong)actual;
            }

            detail.Failures.Add(new Protocol.Failure
            {
                Reason = Protocol.Reason.WrongExpectedVersion,
                Message = $"Stream {stream.Stream}: expected {expected}, is at {actual}.",
                Stream = stream.Stream,
                VersionConflict = conflict,
            });
        }

        return detail;
    }

    private Protocol.AppendResponse Write(Protocol.AppendRequest request)
    {
        var response = new Protocol.AppendResponse { FirstPosition = (ulong)_events.Count, RecordedAt = ++_time };
        foreach (Protocol.StreamAppend stream in request.Streams)
        {
            if (!_streams.TryGetValue(stream.Stream, out List<int>? places))
            {
                _streams.Add(stream.Stream, places = []);
            }

            foreach (Protocol.EventData e in stream.Events)
            {
                places.Add(_events.Count);
                _events.Add(new Protocol.RecordedEvent
                {
                    Stream = stream.Stream,
                    Version = (ulong)places.Count - 1,
                    Position = (ulong)_events.Count,
                    RecordedAt = _time,
                    Event = e,
                });
            }

            response.Streams.Add(new Protocol.StreamVersion { Stream = stream.Stream, Version = (ulong)places.Count - 1 });
        }

        response.LastPosition = (ulong)_events.Count - 1;
        return response;
    }
}
