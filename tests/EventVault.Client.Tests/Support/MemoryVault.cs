using EventVault.Rpc;
using Google.Protobuf;

namespace EventVault.Client.Tests.Support;

/// <summary>The contract's meaning in the simplest form: a list. The node is tested elsewhere; this is what the client is tested against.</summary>
public sealed class MemoryVault
{
    private readonly Lock _lock = new();
    private readonly List<Protocol.RecordedEvent> _events = [];
    private readonly Dictionary<string, List<int>> _streams = new(StringComparer.Ordinal);
    private readonly Dictionary<string, ulong> _firstVersions = new(StringComparer.Ordinal);
    private readonly HashSet<string> _tombstoned = new(StringComparer.Ordinal);
    private readonly Dictionary<ByteString, (Protocol.AppendRequest Content, Protocol.AppendResponse Response)> _operations = [];
    private readonly List<SeenHead?> _attemptedAfters = [];
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

    /// <summary>The retention rules; for one thread at a time.</summary>
    public MemoryRetention Retention { get; } = new();

    /// <summary>Appends whose last position is at or before it are no longer remembered; null: all are.</summary>
    public ulong? OperationFloor { get; set; }

    /// <summary>What appends and changes said of earlier attempts, in the order in which they came; null: nothing.</summary>
    public IReadOnlyList<SeenHead?> AttemptedAfters
    {
        get
        {
            lock (_lock)
            {
                return _attemptedAfters.ToArray();
            }
        }
    }

    public Protocol.AppendSessionResult Append(ulong requestId, Protocol.AppendRequest request)
    {
        lock (_lock)
        {
            (Protocol.AppendResponse? response, RpcCode code, Protocol.ErrorDetail? detail) = Append(request);
            return response is not null
                ? new Protocol.AppendSessionResult { RequestId = requestId, Result = response }
                : Failed(requestId, code, detail!);
        }
    }

    /// <summary>Ends a stream, or takes away its oldest events: as the contract has it, an append to <c>$streams</c>.</summary>
    /// <param name="operationId">Names the change.</param>
    /// <param name="stream">Name of the stream.</param>
    /// <param name="expected">What its last version must be.</param>
    /// <param name="before">The first version that is kept; null: none.</param>
    /// <param name="tombstone">For ever.</param>
    /// <param name="attemptedAfter">What a retry says.</param>
    public (Protocol.AppendResponse? Response, RpcCode Code, Protocol.ErrorDetail? Detail) Change(
        ByteString operationId, string stream, Protocol.ExpectedVersion expected, ulong? before, bool tombstone, Protocol.SeenHead? attemptedAfter)
    {
        lock (_lock)
        {
            // The id is part of the content, so it must not differ from attempt to attempt.
            var change = new Protocol.EventData { Id = operationId, Type = $"{(before is null ? tombstone ? "$stream-tombstoned" : "$stream-deleted" : "$stream-truncated")}" };
            var request = new Protocol.AppendRequest { OperationId = operationId, AttemptedAfter = attemptedAfter };
            request.Streams.Add(new Protocol.StreamAppend { Stream = "$streams", Expected = new Protocol.ExpectedVersion { Any = new Protocol.Empty() }, Events = { change } });
            request.Requires.Add(new Protocol.StreamRequirement { Stream = stream, Expected = expected });
            if (!_operations.ContainsKey(operationId) && Retention.Holds(stream))
            {
                return (null, RpcCode.FailedPrecondition, Detail(Protocol.Reason.StreamHeld, stream));
            }

            bool endsDeleted = tombstone && _streams.ContainsKey(stream) && !_tombstoned.Contains(stream);
            if (!_operations.ContainsKey(operationId) && Visible(stream) is null && !endsDeleted)
            {
                return _tombstoned.Contains(stream)
                    ? (null, RpcCode.FailedPrecondition, Detail(Protocol.Reason.StreamTombstoned, stream))
                    : (null, RpcCode.NotFound, Detail(Protocol.Reason.StreamNotFound, stream));
            }

            ulong first = before ?? (ulong)_streams[stream].Count;
            var result = Append(request);
            if (result.Response is { Deduplicated: false })
            {
                _firstVersions[stream] = Math.Max(first, _firstVersions.GetValueOrDefault(stream));
                if (tombstone)
                {
                    _tombstoned.Add(stream);
                }
            }

            return result;
        }
    }

    /// <summary>Sets or takes back a retention rule: as the contract has it, an append to <c>$streams</c>.</summary>
    /// <param name="request">What was asked for.</param>
    public (Protocol.AppendResponse? Response, RpcCode Code, Protocol.ErrorDetail? Detail) SetRetention(Protocol.SetRetentionRequest request)
    {
        lock (_lock)
        {
            var set = new Protocol.EventData { Id = request.OperationId, Type = request.Rule is null ? "$retention-removed" : "$retention-set" };
            var append = new Protocol.AppendRequest { OperationId = request.OperationId, AttemptedAfter = request.AttemptedAfter };
            append.Streams.Add(new Protocol.StreamAppend { Stream = "$streams", Expected = new Protocol.ExpectedVersion { Any = new Protocol.Empty() }, Events = { set } });
            var result = Append(append);
            if (result.Response is { Deduplicated: false } written)
            {
                Retention.Set(request.Scope, request.Rule, written.FirstPosition);
            }

            return result;
        }
    }

    public Protocol.AppendResponse? Operation(ByteString operationId)
    {
        lock (_lock)
        {
            return _operations.TryGetValue(operationId, out (Protocol.AppendRequest _, Protocol.AppendResponse Response) found) ? found.Response : null;
        }
    }

    public ulong Count(Protocol.EventFilter filter, Protocol.ReadBound? from, Protocol.ReadBound? until) =>
        (ulong)Read(null, from, until, Protocol.Direction.Forwards, 0, filter).Count(e => e.Stream[0] != '$');

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

            if (stream is not null && Visible(stream) is { } versions)
            {
                head.LastVersion = versions.Last;
            }

            return head;
        }
    }

    /// <summary>What a read returns, as the contract defines it, from what there is at this moment.</summary>
    public List<Protocol.RecordedEvent> Read(
        string? stream,
        Protocol.ReadBound? from,
        Protocol.ReadBound? until,
        Protocol.Direction direction,
        ulong limit,
        Protocol.EventFilter? filter = null,
        bool includeSystem = true)
    {
        bool backwards = direction == Protocol.Direction.Backwards;
        lock (_lock)
        {
            IEnumerable<Protocol.RecordedEvent> events = _events.Where(e =>
                (stream is null ? includeSystem || e.Stream[0] != '$' : e.Stream == stream) && IsVisible(e) && MemoryFilter.Matches(filter, e));
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
            if (Visible(name) is not { } versions)
            {
                return null;
            }

            Protocol.RecordedEvent last = _events[_streams[name][^1]];
            return new Protocol.StreamInfo
            {
                Stream = name,
                LastVersion = last.Version,
                LastPosition = last.Position,
                LastRecordedAt = last.RecordedAt,
                FirstVersion = versions.First,
                EventCount = versions.Last - versions.First + 1,
            };
        }
    }

    public List<string> StreamNames(string prefix, string category)
    {
        lock (_lock)
        {
            return _streams.Keys.Where(k => k.StartsWith(prefix, StringComparison.Ordinal)
                && (category.Length == 0 || MemoryFilter.Category(k) == category)
                && (prefix.StartsWith('$') || k[0] != '$')
                && Visible(k) is not null).Order(StringComparer.Ordinal).ToList();
        }
    }

    public static Protocol.AppendSessionResult Failed(ulong requestId, RpcCode code, Protocol.ErrorDetail detail) => new()
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

    private (Protocol.AppendResponse? Response, RpcCode Code, Protocol.ErrorDetail? Detail) Append(Protocol.AppendRequest request)
    {
        _attemptedAfters.Add(request.AttemptedAfter is { } said ? new SeenHead(said.HasPosition ? said.Position : null) : null);
        Protocol.AppendRequest content = request.Clone();
        content.AttemptedAfter = null;
        if (_operations.TryGetValue(request.OperationId, out (Protocol.AppendRequest Content, Protocol.AppendResponse Response) before)
            && !(before.Response.LastPosition <= OperationFloor))
        {
            // The messages' own Equals takes an absent position for 0.
            if (!before.Content.ToByteString().Equals(content.ToByteString()))
            {
                return (null, RpcCode.AlreadyExists, Detail(Protocol.Reason.OperationIdReused, ""));
            }

            Protocol.AppendResponse again = before.Response.Clone();
            again.Deduplicated = true;
            return (again, RpcCode.Ok, null);
        }

        if (request.AttemptedAfter is { } seen && OperationFloor is { } floor && (!seen.HasPosition || seen.Position < floor))
        {
            Protocol.ErrorDetail tooOld = Detail(Protocol.Reason.RetryTooOld, "");
            tooOld.Failures[0].Floor = floor;
            return (null, RpcCode.FailedPrecondition, tooOld);
        }

        if (request.Streams.FirstOrDefault(s => _tombstoned.Contains(s.Stream)) is { } ended)
        {
            return (null, RpcCode.FailedPrecondition, Detail(Protocol.Reason.StreamTombstoned, ended.Stream));
        }

        var detail = new Protocol.ErrorDetail();
        CheckVersions(request, detail);
        CheckConditions(request, detail);
        if (detail.Failures.Count > 0)
        {
            return (null, RpcCode.Aborted, detail);
        }

        Protocol.AppendResponse response = Write(request);
        _operations[request.OperationId] = (content, response);
        _operationOrder.Add(new Guid(request.OperationId.Span, bigEndian: true));
        _changed.TrySetResult();
        _changed = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        return (response, RpcCode.Ok, null);
    }

    private static Protocol.ErrorDetail Detail(Protocol.Reason reason, string stream) => new()
    {
        Failures = { new Protocol.Failure { Reason = reason, Message = $"{reason}: {stream}.", Stream = stream } },
    };

    // The versions of a stream that can be read; null: it counts as having no events.
    private (ulong First, ulong Last)? Visible(string stream)
    {
        ulong first = _firstVersions.GetValueOrDefault(stream);
        return _streams.TryGetValue(stream, out List<int>? places) && (ulong)places.Count > first ? (first, (ulong)places.Count - 1) : null;
    }

    private bool IsVisible(Protocol.RecordedEvent e) => e.Version >= _firstVersions.GetValueOrDefault(e.Stream);

    private void CheckVersions(Protocol.AppendRequest request, Protocol.ErrorDetail detail)
    {
        for (int i = 0; i < request.Streams.Count; i++)
        {
            CheckVersion(request.Streams[i].Stream, request.Streams[i].Expected, $"streams[{i}].expected", detail);
        }

        for (int i = 0; i < request.Requires.Count; i++)
        {
            CheckVersion(request.Requires[i].Stream, request.Requires[i].Expected, $"requires[{i}].expected", detail);
        }
    }

    private void CheckVersion(string stream, Protocol.ExpectedVersion wanted, string field, Protocol.ErrorDetail detail)
    {
        ulong? actual = Visible(stream)?.Last;
        (bool holds, string expected) = wanted.ExpectedCase switch
        {
            Protocol.ExpectedVersion.ExpectedOneofCase.Any => (true, "any"),
            Protocol.ExpectedVersion.ExpectedOneofCase.NoStream => (actual is null, "no-stream"),
            Protocol.ExpectedVersion.ExpectedOneofCase.Exists => (actual is not null, "exists"),
            Protocol.ExpectedVersion.ExpectedOneofCase.Version => (actual == wanted.Version, $"{wanted.Version}"),
            _ => throw new InvalidOperationException("expected is not set"),
        };
        if (holds)
        {
            return;
        }

        var conflict = new Protocol.VersionConflict { Expected = expected };
        if (_streams.TryGetValue(stream, out List<int>? places))
        {
            // Also of a deleted stream.
            conflict.Actual = (ulong)places.Count - 1;
        }

        detail.Failures.Add(new Protocol.Failure
        {
            Reason = Protocol.Reason.WrongExpectedVersion,
            Message = $"Stream {stream}: expected {expected}, is at {(actual is null ? "none" : actual)}.",
            Stream = stream,
            Field = field,
            VersionConflict = conflict,
        });
    }

    private void CheckConditions(Protocol.AppendRequest request, Protocol.ErrorDetail detail)
    {
        for (int i = 0; i < request.Conditions.Count; i++)
        {
            Protocol.AppendCondition condition = request.Conditions[i];
            Protocol.RecordedEvent? match = _events.Find(e =>
                (!condition.HasAfter || e.Position > condition.After) && e.Stream[0] != '$' && IsVisible(e) && MemoryFilter.Matches(condition.Query, e));
            if (match is not null)
            {
                detail.Failures.Add(new Protocol.Failure
                {
                    Reason = Protocol.Reason.ConditionFailed,
                    Message = $"Condition {i}: the event at position {match.Position} matches.",
                    Index = (uint)i,
                    Position = match.Position,
                });
            }
        }
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
