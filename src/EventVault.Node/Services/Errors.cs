// The only file that turns outcomes and exceptions into gRPC statuses and typed details. The same table, for readers,
// is in docs/PROTOCOL.md.
using System.Globalization;
using EventVault.Protocol;
using EventVault.Rpc;
using EventVault.Storage;
using EventVault.Storage.Index;
using EventVault.Storage.Log;
using EventVault.Temporal;
using EventVault.Temporal.Reducers;
using Damage = EventVault.Protocol.Damage;
using StreamVersion = EventVault.Storage.StreamVersion;

namespace EventVault.Node.Services;

/// <summary>Every way in which a call can fail.</summary>
internal static class Errors
{
    /// <summary>When it makes sense to try again after an overload: a full queue is written in less.</summary>
    private const uint RetryAfterOverloadMs = 50;

    /// <summary>When a place for a long fold may be free: some hundred thousand events are folded in this time.</summary>
    private const uint RetryAfterLongFoldMs = 200;

    /// <summary>One is checked in some 100 ms.</summary>
    private const uint RetryAfterPasswordMs = 200;

    /// <summary>When another backup may have come to the end of its segment.</summary>
    private const uint RetryAfterBackupMs = 500;

    /// <summary>A change of the members takes some heartbeats.</summary>
    private const uint RetryAfterChangeMs = 500;

    /// <summary>An opening of which anybody hears takes a second at the least.</summary>
    private const uint RetryAfterOpeningMs = 1000;

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
        StreamChangeProblem.BehindEnd => BehindEnd(name, change.Before, stream.Actual),
        StreamChangeProblem.LookAgain => NotDone(AppendOutcome.LookAgain),
        StreamChangeProblem.TooMany => LimitExceeded(NodeLimits.ChangedStreams, NodeLimits.ChangedStreams.Allowed + 1, "stream"),
        _ => throw new InvariantException($"{change.Problem} is no problem."),
    };

    /// <summary>A truncation of more than there is.</summary>
    public static Refusal BehindEnd(string stream, StreamVersion before, StreamVersion last) => InvalidRequest(
        "before", Text($"is {before}, which is behind the end of the stream {stream}: {last + 1} leaves no event and is the largest allowed"));

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

    /// <summary>A definition that breaks the rules of the language, or one that this node can't read.</summary>
    public static Refusal BadReducer(string field, string why, int? offset)
    {
        var failure = new Failure
        {
            Reason = Reason.BadReducer,
            Message = Text($"The reducer in {field} can't be used{(offset is { } at ? Text($", character {at}") : string.Empty)}: {why}"),
            Field = field,
            Why = why,
        };
        if (offset is { } o)
        {
            failure.TextOffset = (uint)o;
        }

        return new Refusal(RpcCode.InvalidArgument, failure);
    }

    public static Refusal ReducerNotFound(string field, string name, uint version) => new(RpcCode.NotFound, new Failure
    {
        Reason = Reason.ReducerNotFound,
        Message = version == 0
            ? $"There is no reducer named {name}: DefineReducer makes one, ListReducers tells which there are."
            : Text($"The reducer {name} has no version {version}: GetReducer tells which is the newest."),
        Field = field,
    });

    /// <summary>A definition that was not expected to be, or to be another one.</summary>
    public static Refusal DefinitionConflict(string name, uint newest)
    {
        var failure = new Failure
        {
            Reason = Reason.DefinitionConflict,
            Message = newest == 0
                ? $"There is no reducer named {name} yet. Look at what is there and decide anew."
                : Text($"The newest version of the reducer {name} is {newest}, which was not expected. Look at it and decide anew."),
            Field = "expected_version",
        };
        if (newest > 0)
        {
            failure.Version = newest;
        }

        return new Refusal(RpcCode.Aborted, failure);
    }

    /// <summary>A cut at a version that the stream does not have yet.</summary>
    public static Refusal VersionNotReached(string stream, string field, ulong? wanted, StreamVersion last)
    {
        var failure = new Failure
        {
            Reason = Reason.VersionNotReached,
            Message = Text($"The stream {stream} does not have {(wanted is { } version ? Text($"version {version}") : "the version")} yet: {(last == StreamVersion.None ? "it has no events" : Text($"its last one is {last}"))}. Ask later, or set wait."),
            Stream = stream,
            Field = field,
        };
        if (last != StreamVersion.None)
        {
            failure.Version = (ulong)last.Value;
        }

        return new Refusal(RpcCode.OutOfRange, failure);
    }

    /// <summary>A cut at a position that the vault does not have yet.</summary>
    public static Refusal PositionNotReached(string field, ulong wanted, Position head)
    {
        var failure = new Failure
        {
            Reason = Reason.PositionNotReached,
            Message = Text($"There is no position {wanted} yet: the last one is {(head == Position.None ? "before the first event" : Text($"{head}"))}. Ask later, or set wait."),
            Field = field,
        };
        if (head != Position.None)
        {
            failure.Position = (ulong)head.Value;
        }

        return new Refusal(RpcCode.OutOfRange, failure);
    }

    /// <summary>A cut at a time that has not come yet.</summary>
    public static Refusal AsOfInFuture(string field, long wanted, long closed) => new(RpcCode.FailedPrecondition, new Failure
    {
        Reason = Reason.AsOfInFuture,
        Message = Text($"The time {TimeText(wanted)} in {field} has not passed by the leader's clock, so what will be recorded up to it is not known yet. Ask later, or set wait."),
        Field = field,
        ClosedTime = closed,
    });

    /// <summary>A time of which can't be made sure that it is closed.</summary>
    public static Refusal NotClosed(CloseOutcome outcome, string leader) => outcome switch
    {
        CloseOutcome.NotLeader => NotLeader("The time is later than all that this node has seen, and only the leader can record that it has passed.", leader),
        CloseOutcome.Full => new Refusal(RpcCode.ResourceExhausted, new Failure
        {
            Reason = Reason.StoreFull,
            Message = "The node's disk is too full to record that the time has passed. Ask for an earlier time, or when space has returned.",
            Why = "no space for a fence",
        }),
        CloseOutcome.Draining => Draining("the time was not closed"),
        CloseOutcome.TimedOut => new Refusal(RpcCode.Unavailable, new Failure
        {
            Reason = Reason.NoQuorum,
            Message = "No majority has confirmed within the call's time that the time has passed. Try again, or ask for an earlier time.",
        }),
        CloseOutcome.Overloaded => new Refusal(RpcCode.ResourceExhausted, new Failure
        {
            Reason = Reason.Overloaded,
            Message = "As many calls as may wait for a time to be closed do so already. Try again, after a wait that grows.",
            RetryAfterMs = RetryAfterOverloadMs,
        }),
        _ => throw new InvariantException($"{outcome} is not a refusal."),
    };

    /// <summary>Why the state of a stream can't be told; null if this is no such reason.</summary>
    public static Refusal? OfState(Exception e, string stream, NodeLimits limits) => e switch
    {
        StreamNotFoundException => StreamNotFound(stream),
        StreamTombstonedException => new Refusal(RpcCode.FailedPrecondition, TombstonedState(stream)),
        HistoryTruncatedException gone => new Refusal(RpcCode.OutOfRange, NotTold(Reason.HistoryTruncated, stream, gone.Earliest, "the events up to there were truncated, or deleted and scavenged")),
        IncompleteHistoryException partial => new Refusal(
            RpcCode.FailedPrecondition,
            NotTold(Reason.IncompleteHistory, stream, partial.Earliest, "events that went into it were truncated, and no anchor of this reducer stands in for them. allow_partial folds what is left")),
        StateTooLargeException large => StateTooLarge(limits[NodeLimits.StateBytes], large.Bytes, stream),
        FoldTooLongException @long => ScanLimit(limits[NodeLimits.FoldEvents], @long.Events, stream),
        StreamChangedException => StreamChanges(stream),
        VersionNotReachedException early => VersionNotReached(stream, "as_of.version", null, early.Last),
        InvalidDataException or UnsupportedFormatException => UnreadableAnchor(stream, e.Message),
        _ => null,
    };

    private static Refusal UnreadableAnchor(string stream, string what) => new(RpcCode.DataLoss, new Failure
    {
        Reason = Reason.Damaged,
        Message = $"The state of the stream {stream} can't be told: {what} Ask another node, and run vault-admin verify.",
        Stream = stream,
    });

    private static Failure TombstonedState(string stream) => new()
    {
        Reason = Reason.StreamTombstoned,
        Message = $"The stream {stream} was deleted for ever: its states are gone, as of every moment.",
        Stream = stream,
        Field = "stream",
    };

    private static Failure NotTold(Reason reason, string stream, EarliestMoment earliest, string why)
    {
        var told = new Earliest { Version = (ulong)earliest.Version.Value, Time = earliest.Time };
        if (earliest.Position != Position.None)
        {
            told.Position = (ulong)earliest.Position.Value;
        }

        return new Failure
        {
            Reason = reason,
            Message = Text($"The state of the stream {stream} as of that moment can't be told: {why}. The earliest moment that can: version {earliest.Version}{(earliest.Position == Position.None ? ", once it is written" : Text($", position {earliest.Position}"))}."),
            Stream = stream,
            Earliest = told,
        };
    }

    /// <summary>A state that grew beyond its limit.</summary>
    public static Refusal StateTooLarge(NodeLimit limit, long bytes, string stream) => new(RpcCode.ResourceExhausted, new Failure
    {
        Reason = Reason.StateTooLarge,
        Message = Text($"The state of the stream {stream} takes {bytes} bytes, more than the {limit.Allowed} that are allowed. Keep less of each event, fold fewer keys, or raise the setting {limit.Setting} of the node."),
        Stream = stream,
        Limit = new LimitExceeded { Limit = limit.Name, Value = (ulong)bytes, Allowed = (ulong)limit.Allowed, Setting = limit.Setting },
    });

    /// <summary>A state that takes more events than one call may fold.</summary>
    public static Refusal ScanLimit(NodeLimit limit, long events, string stream) => new(RpcCode.ResourceExhausted, new Failure
    {
        Reason = Reason.ScanLimit,
        Message = Text($"The state of the stream {stream} would take {events} events to fold, more than the {limit.Allowed} that one call may. Ask for an earlier moment first: states kept on the way shorten the rest. Or raise the setting {limit.Setting} of the node."),
        Stream = stream,
        Limit = new LimitExceeded { Limit = limit.Name, Value = (ulong)events, Allowed = (ulong)limit.Allowed, Setting = limit.Setting },
    });

    /// <summary>Too many long folds wait already.</summary>
    public static Refusal FoldsWait() => new(RpcCode.ResourceExhausted, new Failure
    {
        Reason = Reason.Overloaded,
        Message = "As many states that take long to fold as may wait do so already. Try again, after a wait that grows.",
        RetryAfterMs = RetryAfterLongFoldMs,
    });

    /// <summary>Too many large answers wait for clients to take those before.</summary>
    public static Refusal AnswersWait() => new(RpcCode.ResourceExhausted, new Failure
    {
        Reason = Reason.Overloaded,
        Message = "As many bytes of answers as may wait for their clients do so already. Take the answers to the calls before; then try again, after a wait that grows.",
        RetryAfterMs = RetryAfterOverloadMs,
    });

    /// <summary>As many backups are read from the node as may be.</summary>
    public static Refusal BackupsRun() => new(RpcCode.ResourceExhausted, new Failure
    {
        Reason = Reason.Overloaded,
        Message = "As many backups as may read from a node at once do so already. Try again, after a wait that grows, or ask another node.",
        RetryAfterMs = RetryAfterBackupMs,
    });

    /// <summary>Events of a stream were taken away while they were read, more than once.</summary>
    public static Refusal StreamChanges(string stream) => new(RpcCode.ResourceExhausted, new Failure
    {
        Reason = Reason.Overloaded,
        Message = $"Events of the stream {stream} were deleted, truncated or scavenged while they were read. Ask again: the answer will be by what is left.",
        Stream = stream,
        RetryAfterMs = RetryAfterOverloadMs,
    });

    /// <summary>An append that was not written, or of which nobody knows.</summary>
    /// <param name="outcome">What became of it.</param>
    /// <param name="leader">Where clients reach the leader; empty: nobody knows.</param>
    public static Refusal NotDone(AppendOutcome outcome, string leader = "") => outcome switch
    {
        AppendOutcome.Overloaded => new Refusal(RpcCode.ResourceExhausted, new Failure
        {
            Reason = Reason.Overloaded,
            Message = "The node's queue of appends is full, or has as much of this connection as it leaves for others; the append was definitely not written. Try again, after a wait that grows.",
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
        AppendOutcome.NotLeader => NotLeader("This node does not lead the vault; the append was definitely not written.", leader),
        AppendOutcome.Draining or AppendOutcome.RefusedBefore => Draining("the append was definitely not written"),
        _ => throw new InvariantException($"{outcome} is not a refusal."),
    };

    /// <summary>Something that only the leader does.</summary>
    /// <param name="what">A sentence that says what was not done.</param>
    /// <param name="leader">Where clients reach the leader; empty: nobody knows.</param>
    public static Refusal NotLeader(string what, string leader) => new(RpcCode.Unavailable, new Failure
    {
        Reason = Reason.NotLeader,
        Message = leader.Length > 0 ? $"{what} Ask the leader, at {leader}." : $"{what} Who leads is not known here, or being decided: ask another node, or again in a moment.",
        Address = leader,
    });

    /// <summary>The node belongs to no vault.</summary>
    public static Refusal NotJoined() => new(RpcCode.Unavailable, new Failure
    {
        Reason = Reason.NotJoined,
        Message = "This node belongs to no vault yet; nothing was done. Make one here with InitCluster, or add the node to one with AddNode there (vault-admin cluster init, add).",
    });

    /// <summary>A change of the members while another one is under way.</summary>
    public static Refusal ChangePending() => new(RpcCode.FailedPrecondition, new Failure
    {
        Reason = Reason.ChangePending,
        Message = "Another change of the vault's members is under way, or the leader is new; nothing was changed. Try again in a moment; GetCluster tells when it has ended.",
        RetryAfterMs = RetryAfterChangeMs,
    });

    /// <summary>A change of the members that was begun and has not ended within the call's time.</summary>
    public static Refusal ChangeNotEnded() => new(RpcCode.Unavailable, new Failure
    {
        Reason = Reason.NoQuorum,
        Message = "The change has not ended within the call's time: too few voters have confirmed it. It may still happen. Look with GetCluster, and repeat the call: that does no harm.",
    });

    /// <summary>A change of the members that could leave the vault without a majority.</summary>
    public static Refusal UnsafeChange(string field, string why) => new(RpcCode.FailedPrecondition, new Failure
    {
        Reason = Reason.UnsafeChange,
        Message = $"The change is not safe, and was not made: {why}.",
        Field = field,
        Why = why,
    });

    /// <summary>A node that can't be what is asked of it.</summary>
    public static Refusal NodeUnusable(string field, string why) => new(RpcCode.FailedPrecondition, new Failure
    {
        Reason = Reason.NodeUnusable,
        Message = $"The node can't be used, and nothing was changed: {why}.",
        Field = field,
        Why = why,
    });

    public static Refusal NodeNotFound(string field, uint node) => new(RpcCode.NotFound, new Failure
    {
        Reason = Reason.NodeNotFound,
        Message = Text($"No member of the vault has the number {node}. GetCluster tells who has which."),
        Field = field,
    });

    /// <summary>A call without credentials.</summary>
    public static Refusal NoCredentials() => Unauthenticated(
        Reason.NotAuthenticated, "No credentials came with the call. Send a user's name and password, a token, or show a certificate.");

    /// <summary>Wrong ones. Whether there is such a user is not told.</summary>
    public static Refusal BadCredentials() => Unauthenticated(Reason.NotAuthenticated, "The credentials are not right. Check name and password, or the certificate.");

    /// <summary>A token that does not count. Whoever has it can read what stands in it, so it may be said what is wrong.</summary>
    public static Refusal BadToken(string why) => Unauthenticated(Reason.NotAuthenticated, $"The token does not count: {why}. Get a new one.");

    /// <summary>A call that was let in, and would not be any more.</summary>
    public static Refusal CredentialsEnded() => Unauthenticated(
        Reason.CredentialsEnded, "The credentials of the call have ended, or what they allow was changed. Call again with what there is now.");

    /// <summary>Somebody who is known, and may not do that. Nothing is said of what it would have met.</summary>
    public static Refusal NotAllowed(string user, string grant) => new(RpcCode.PermissionDenied, new Failure
    {
        Reason = Reason.NotAllowed,
        Message = $"The user {user} is not allowed to do that: it takes {grant}. An administrator can give a role that has it.",
        Why = grant,
    });

    /// <summary>Users and roles may have changed where the node does not hear of it.</summary>
    public static Refusal CutOff() => new(RpcCode.Unavailable, new Failure
    {
        Reason = Reason.NoQuorum,
        Message = "This node has been out of touch with the others for too long to go on by the users and roles that it knows: it lets in the built-in administrator alone. Ask another node.",
    });

    /// <summary>Too many passwords wait to be checked.</summary>
    public static Refusal PasswordsWait() => new(RpcCode.ResourceExhausted, new Failure
    {
        Reason = Reason.Overloaded,
        Message = "As many passwords as may wait to be checked do so already. Try again, after a wait that grows.",
        RetryAfterMs = RetryAfterPasswordMs,
    });

    /// <summary>A user has given itself another password a moment ago.</summary>
    /// <param name="wait">Until it may again.</param>
    public static Refusal PasswordChangedJustNow(TimeSpan wait) => new(RpcCode.ResourceExhausted, new Failure
    {
        Reason = Reason.Overloaded,
        Message = "The password was changed a moment ago, and stays for a minute. Try again later, or have an administrator set it.",
        RetryAfterMs = (uint)wait.TotalMilliseconds + 1,
    });

    private static Refusal Unauthenticated(Reason reason, string message) => new(RpcCode.Unauthenticated, new Failure { Reason = reason, Message = message });

    /// <summary>The node is stopping.</summary>
    public static Refusal Draining(string consequence) => new(RpcCode.Unavailable, new Failure
    {
        Reason = Reason.Draining,
        Message = $"The node is stopping: {consequence}. Try again when it is back.",
    });

    /// <summary>The node's storage is being opened.</summary>
    /// <param name="doing">What that is at; null: whoever calls has not shown that it concerns him.</param>
    public static Refusal Opening(string? doing) => new(RpcCode.Unavailable, new Failure
    {
        Reason = Reason.Opening,
        Message = $"The node is opening its vault, and has done nothing of this call. {(doing is null ? string.Empty : $"It {doing}. ")}Ask another node, or again in a moment.",
        RetryAfterMs = RetryAfterOpeningMs,
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

    /// <summary>What a client is told of what was thrown, with a typed detail wherever there is something to say; null: as it stands.</summary>
    /// <param name="thrown">By the handler of a call, or by the transport.</param>
    /// <param name="limits">The limits.</param>
    public static RpcException? Explain(Exception thrown, NodeLimits limits)
    {
        switch (thrown)
        {
            case DamageException e:
                return Damaged(e).ToException(e);
            case IndexDamageException e:
                return Damaged(e).ToException(e);
            case RpcException { Code: RpcCode.ResourceExhausted } e when !e.Trailers.TryGetBinary(Refusal.TrailerKey, out _):
                // The transport refuses a message by its announced length, before there is anything to look at.
                var (bytes, allowed) = e.OverLimit ?? (0, limits[NodeLimits.MessageBytes].Allowed);
                var limit = limits[allowed == NodeLimits.MostRequestBytes ? NodeLimits.RequestBytes : NodeLimits.MessageBytes];
                return limit.Allowed == allowed ? LimitExceeded(limit, Math.Max(bytes, allowed + 1), string.Empty).ToException(e) : null; // Health checks have a limit of their own.
            case RpcException { Code: RpcCode.Unavailable } e when !e.Trailers.TryGetBinary(Refusal.TrailerKey, out _):
                return Draining("the call was cut short").ToException(e);
            default:
                return null;
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

    // A request may name times that no calendar here reaches.
    private static string TimeText(long time) => time >= DateTime.MinValue.Ticks - DateTime.UnixEpoch.Ticks && time <= DateTime.MaxValue.Ticks - DateTime.UnixEpoch.Ticks
        ? DateTime.UnixEpoch.AddTicks(time).ToString("O", CultureInfo.InvariantCulture)
        : AppendFields.Number(time);
}
