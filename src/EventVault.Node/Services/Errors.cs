// The only file that turns outcomes and exceptions into gRPC statuses and typed details. The same table, for readers,
// is in docs/PROTOCOL.md.
using System.Globalization;
using EventVault.Protocol;
using EventVault.Rpc;
using EventVault.Rpc.Server;
using EventVault.Storage;
using EventVault.Storage.Index;
using EventVault.Storage.Log;
using Damage = EventVault.Protocol.Damage;
using StreamVersion = EventVault.Storage.StreamVersion;

namespace EventVault.Node.Services;

/// <summary>Every way in which a call can fail.</summary>
internal static class Errors
{
    /// <summary>When it makes sense to try again after an overload: a full queue is written in less.</summary>
    private const uint RetryAfterOverloadMs = 50;

    public static Refusal InvalidRequest(string field, string why) => new(RpcCode.InvalidArgument, new Failure
    {
        Reason = Reason.InvalidRequest,
        Message = field.Length == 0 ? $"The request {why}." : $"The field {field} {why}.",
        Field = field,
        Why = why,
    });

    public static Refusal UnknownField(string field, string why = "is not known to this server") => new(RpcCode.InvalidArgument, new Failure
    {
        Reason = Reason.UnknownField,
        Message = $"The field {field} {why}. Fields are refused rather than ignored: use a server that serves it, or leave it out.",
        Field = field,
        Why = why,
    });

    public static Refusal InvalidName(string field, int? index, string why)
    {
        var failure = new Failure { Reason = Reason.InvalidName, Message = $"The stream name in {field} {why}.", Field = field, Why = why };
        if (index is { } i)
        {
            failure.Index = (uint)i;
        }

        return new Refusal(RpcCode.InvalidArgument, failure);
    }

    public static Refusal ReservedName(string field, string stream) => new(RpcCode.InvalidArgument, new Failure
    {
        Reason = Reason.ReservedName,
        Message = $"The stream name {stream} in {field} starts with $: such streams are the vault's own. Choose another name.",
        Field = field,
        Stream = stream,
    });

    public static Refusal LimitExceeded(NodeLimit limit, long value, string field, string stream = "", int? index = null)
    {
        var remedy = limit.Setting.Length > 0 ? $"Send less, or raise the setting {limit.Setting} of the node." : "The limit is fixed.";
        var failure = new Failure
        {
            Reason = Reason.LimitExceeded,
            Message = Text($"{(field.Length == 0 ? "The request" : field)} is over the limit {limit.Name}: {value}, allowed are {limit.Allowed}. {remedy}"),
            Field = field,
            Stream = stream,
            Limit = new LimitExceeded { Limit = limit.Name, Value = (ulong)value, Allowed = (ulong)limit.Allowed, Setting = limit.Setting },
        };
        if (index is { } i)
        {
            failure.Index = (uint)i;
        }

        return new Refusal(RpcCode.InvalidArgument, failure);
    }

    /// <summary>An event that Storage has refused.</summary>
    public static Refusal Event(in EventProblem problem, string path, string stream, int index, NodeLimits limits)
    {
        var field = problem.Field.Length == 0 ? path : $"{path}.{problem.Field}";
        switch (problem.Kind)
        {
            case EventProblemKind.UnknownField:
                return UnknownField(field);
            case EventProblemKind.LimitExceeded when problem.Limit == NodeLimits.AppendBytes:
                return LimitExceeded(limits[problem.Limit], problem.Value, "streams");
            case EventProblemKind.LimitExceeded:
                return LimitExceeded(limits[problem.Limit], problem.Value, field, stream, index);
            default:
                return new Refusal(RpcCode.InvalidArgument, new Failure
                {
                    Reason = Reason.InvalidEvent,
                    Message = $"{field} {problem.Why}.",
                    Stream = stream,
                    Field = field,
                    Index = (uint)index,
                    Why = problem.Why,
                });
        }
    }

    /// <summary>An append whose checks do not all hold: all that fail, together, in the order of the request.</summary>
    public static Refusal Conflict(AppendContent append)
    {
        if (append.Change is { Problem: not StreamChangeProblem.None } change)
        {
            return CannotChange(change, append.Requires[0], Name(append.Name(append.Requires[0])));
        }

        if (append.Retention is { IsOverLimit: true } setting)
        {
            return LimitExceeded(NodeLimits.RetentionRules, NodeLimits.RetentionRules.Allowed + 1, setting.Scope == Storage.Log.RetentionScope.Stream ? "scope.stream" : "scope.category");
        }

        var detail = new ErrorDetail();
        var isTombstoned = AddTombstoned(detail, append);
        AddConflicts(detail, append, append.Streams, "streams");
        AddConflicts(detail, append, append.Requires, append.Change is null ? "requires" : null);
        for (var i = 0; i < append.ConditionCount; i++)
        {
            var condition = append.Conditions[i];
            if (condition.Match != Position.None)
            {
                var field = Text($"conditions[{i}]");
                detail.Failures.Add(new Failure
                {
                    Reason = Reason.ConditionFailed,
                    Message = Text($"The event at position {condition.Match} matches {field}, which allows none{(condition.After == Position.None ? string.Empty : Text($" behind {condition.After}"))}. Read again from there and decide anew."),
                    Field = field,
                    Index = (uint)i,
                    Position = (ulong)condition.Match.Value,
                });
            }
        }

        // Whatever else fails: to read a tombstoned stream again and decide anew does not help.
        return new Refusal(isTombstoned ? RpcCode.FailedPrecondition : RpcCode.Aborted, detail);
    }

    // Without a list: a change of a stream's life, whose request has one stream and one `expected`.
    private static void AddConflicts(ErrorDetail detail, AppendContent append, ReadOnlySpan<AppendStream> streams, string? list)
    {
        for (var i = 0; i < streams.Length; i++)
        {
            ref readonly var stream = ref streams[i];
            if (LogTail.Holds(stream))
            {
                continue;
            }

            var name = Name(append.Name(stream));
            var conflict = new VersionConflict { Expected = ExpectedText(stream) };
            if (stream.Actual != StreamVersion.None)
            {
                conflict.Actual = (ulong)stream.Actual.Value;
            }

            var actual = stream.Actual == StreamVersion.None ? "it has no events"
                : stream.HasEvents ? Text($"its last version is {stream.Actual}")
                : Text($"it was deleted, its last version being {stream.Actual}");
            detail.Failures.Add(new Failure
            {
                Reason = Reason.WrongExpectedVersion,
                Message = $"Stream {name} was expected at {conflict.Expected}, but {actual}. Read it again and decide anew.",
                Stream = name,
                Field = list is null ? "expected" : Text($"{list}[{i}].expected"),
                VersionConflict = conflict,
            });
        }
    }

    private static bool AddTombstoned(ErrorDetail detail, AppendContent append)
    {
        for (var i = 0; i < append.StreamCount; i++)
        {
            if (append.Streams[i].IsTombstoned)
            {
                detail.Failures.Add(Tombstoned(Name(append.Name(append.Streams[i])), Text($"streams[{i}].stream")));
            }
        }

        return detail.Failures.Count > 0;
    }

    // A stream that can't be deleted or truncated, whatever was expected of it.
    private static Refusal CannotChange(StreamChange change, in AppendStream stream, string name) => change.Problem switch
    {
        StreamChangeProblem.NotFound => StreamNotFound(name),
        StreamChangeProblem.Tombstoned => new Refusal(RpcCode.FailedPrecondition, Tombstoned(name, "stream")),
        StreamChangeProblem.Held => new Refusal(RpcCode.FailedPrecondition, new Failure
        {
            Reason = Reason.StreamHeld,
            Message = $"The stream {name} is under a legal hold, its own or its category's, which forbids to delete or truncate it. GetRetention says whose.",
            Stream = name,
            Field = "stream",
        }),
        StreamChangeProblem.BehindEnd => InvalidRequest(
            "before", Text($"is {change.Before}, which is behind the end of the stream {name}: {stream.Actual + 1} leaves no event and is the largest allowed")),
        StreamChangeProblem.LookAgain => NotDone(AppendOutcome.LookAgain),
        StreamChangeProblem.TooMany => LimitExceeded(NodeLimits.ChangedStreams, NodeLimits.ChangedStreams.Allowed + 1, "stream"),
        _ => throw new InvariantException($"{change.Problem} is no problem."),
    };

    private static Failure Tombstoned(string stream, string field) => new()
    {
        Reason = Reason.StreamTombstoned,
        Message = $"The stream {stream} was deleted for ever and can't be written. Choose another name.",
        Stream = stream,
        Field = field,
    };

    public static Refusal OperationIdReused(Position first) => new(RpcCode.AlreadyExists, new Failure
    {
        Reason = Reason.OperationIdReused,
        Message = Text($"The operation id belongs to another append, the one at position {first}, whose content differs. Use a new id for every append."),
        FirstPosition = (ulong)first.Value,
    });

    /// <summary>A retry whose first attempt is older than what is remembered.</summary>
    public static Refusal RetryTooOld(Position floor)
    {
        var failure = new Failure
        {
            Reason = Reason.RetryTooOld,
            Message = Text($"Operation ids up to position {floor} are no longer kept, and the first attempt may lie before it: whether it was written can't be told any more, and this attempt was not. Read, and decide anew with a new id."),
        };
        if (floor != Position.None)
        {
            failure.Floor = (ulong)floor.Value;
        }

        return new Refusal(RpcCode.FailedPrecondition, failure);
    }

    /// <summary>An append that rests on a position which does not exist.</summary>
    public static Refusal Ahead(AppendContent append)
    {
        var (condition, last) = append.Ahead;
        var (field, position) = condition is { } i ? (Text($"conditions[{i}].after"), append.Conditions[i].After) : ("attempted_after.position", append.AttemptedAfter);
        return InvalidRequest(field, Text($"is {position}, behind the last event{(last == Position.None ? ": there is none yet" : Text($", {last}"))}: send the head of the read that the append rests on"));
    }

    public static Refusal OperationNotFound() => new(RpcCode.NotFound, new Failure
    {
        Reason = Reason.OperationNotFound,
        Message = "No append with this operation id is committed, or it lies at or before GetInfo's operation_floor and is forgotten.",
    });

    /// <summary>A read that asks for more than this node has got within its time.</summary>
    public static Refusal TimedOutBehind(Position head, ulong wanted)
    {
        var failure = new Failure
        {
            Reason = Reason.TimedOutBehind,
            Message = Text($"The node has not got to position {wanted} within the call's time: its head is {(head == Position.None ? "before the first event" : Text($"{head}"))}. Try again, or read from another node."),
        };
        if (head != Position.None)
        {
            failure.Position = (ulong)head.Value;
        }

        return new Refusal(RpcCode.DeadlineExceeded, failure);
    }

    /// <summary>A linearizable read that nobody could confirm.</summary>
    public static Refusal NotConfirmed() => new(RpcCode.Unavailable, new Failure
    {
        Reason = Reason.NoQuorum,
        Message = "The node can't make sure that it is up to date: nobody leads, or leadership changed meanwhile. Try again, or read with consistency local.",
    });

    public static Refusal StreamNotFound(string stream) => new(RpcCode.NotFound, new Failure
    {
        Reason = Reason.StreamNotFound,
        Message = $"The stream {stream} has no events, or none that can be read.",
        Stream = stream,
    });

    /// <summary>An append that was not written, or of which nobody knows.</summary>
    public static Refusal NotDone(AppendOutcome outcome) => outcome switch
    {
        AppendOutcome.Overloaded => new Refusal(RpcCode.ResourceExhausted, new Failure
        {
            Reason = Reason.Overloaded,
            Message = "The node's queue of appends is full; the append was definitely not written. Try again, after a wait that grows.",
            RetryAfterMs = RetryAfterOverloadMs,
        }),
        AppendOutcome.LookAgain => new Refusal(RpcCode.ResourceExhausted, new Failure
        {
            Reason = Reason.Overloaded,
            Message = "What matched a condition was deleted while the append was queued; it was definitely not written. Send it again: it will be checked anew.",
            RetryAfterMs = 1,
        }),
        AppendOutcome.Full => new Refusal(RpcCode.ResourceExhausted, new Failure
        {
            Reason = Reason.StoreFull,
            Message = "The node's disk is full; the append was definitely not written. Reads go on; appends resume when space returns.",
            Why = "no space for another segment",
        }),
        AppendOutcome.TimedOut => new Refusal(RpcCode.DeadlineExceeded, new Failure
        {
            Reason = Reason.TimedOutInQueue,
            Message = "The append waited in the node's queue for longer than its caller allowed; it was definitely not written.",
        }),
        AppendOutcome.Unknown => new Refusal(RpcCode.Unavailable, new Failure
        {
            Reason = Reason.OutcomeUnknown,
            Message = "The append was on its way when the node's disk failed, or its majority stayed silent. Retry with the same operation id: it is written once at most.",
        }),
        AppendOutcome.NotLeader => new Refusal(RpcCode.Unavailable, new Failure
        {
            Reason = Reason.NotLeader,
            Message = "This node does not lead the vault; the append was definitely not written. Send it to the leader.",
        }),
        AppendOutcome.Draining or AppendOutcome.RefusedBefore => Draining("the append was definitely not written"),
        _ => throw new InvariantException($"{outcome} is not a refusal."),
    };

    /// <summary>The node is stopping.</summary>
    public static Refusal Draining(string consequence) => new(RpcCode.Unavailable, new Failure
    {
        Reason = Reason.Draining,
        Message = $"The node is stopping: {consequence}. Try again when it is back.",
    });

    public static Refusal Damaged(DamageException e) => new(RpcCode.DataLoss, new Failure
    {
        Reason = Reason.Damaged,
        Message = e.Message,
        Damage = new Damage { Segment = e.File, Offset = (ulong)e.Offset, Expected = e.Expected },
    });

    /// <summary>A file that is rebuildable, and says so in its message.</summary>
    public static Refusal Damaged(IndexDamageException e) => new(RpcCode.DataLoss, new Failure
    {
        Reason = Reason.Damaged,
        Message = e.Message,
        Damage = new Damage { Segment = Path.GetFileName(e.Path), Offset = (ulong)e.Offset, Expected = "a whole index file" },
    });

    /// <summary>Either kind of damage.</summary>
    public static Refusal Damaged(Exception e) => e is DamageException damage ? Damaged(damage) : Damaged((IndexDamageException)e);

    /// <summary>
    /// Stands around every call: gives its detail to what fails below it, so that no failure of ours is without one.
    /// </summary>
    public static async ValueTask AddDetail(RpcContext context, RpcHandler next, NodeLimits limits)
    {
        try
        {
            await next(context);
        }
        catch (DamageException e)
        {
            throw Damaged(e).ToException(e);
        }
        catch (IndexDamageException e)
        {
            throw Damaged(e).ToException(e);
        }
        catch (RpcException e) when (e.Code == RpcCode.ResourceExhausted && !e.Trailers.TryGetBinary(Refusal.TrailerKey, out _))
        {
            // The transport refuses a message by its announced length, before there is anything to look at.
            var limit = limits[NodeLimits.MessageBytes];
            throw LimitExceeded(limit, limit.Allowed + 1, string.Empty).ToException(e);
        }
        catch (RpcException e) when (e.Code == RpcCode.Unavailable && !e.Trailers.TryGetBinary(Refusal.TrailerKey, out _))
        {
            throw Draining("the call was cut short").ToException(e);
        }
    }

    /// <summary>A name for people and details; what is not UTF-8 shows as the replacement character.</summary>
    public static string Name(ReadOnlySpan<byte> name) => System.Text.Encoding.UTF8.GetString(name);

    private static string ExpectedText(in AppendStream stream) => stream.Expected switch
    {
        ExpectedKind.Any => "any",
        ExpectedKind.NoStream => "no-stream",
        ExpectedKind.Exists => "exists",
        _ => stream.ExpectedVersion.ToString(),
    };

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
