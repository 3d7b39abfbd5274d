using System.Globalization;
using System.Text;
using EventVault.Rpc;
using Google.Protobuf;

namespace EventVault.Client;

/// <summary>The one place that turns statuses and details of the wire into the client's exceptions.</summary>
internal static class VaultErrors
{
    public const string DetailTrailer = "eventvault-error-bin";

    public static VaultException From(RpcException failure)
    {
        Protocol.ErrorDetail? detail = null;
        if (failure.Trailers.TryGetBinary(DetailTrailer, out ReadOnlyMemory<byte> bytes))
        {
            try
            {
                detail = Protocol.ErrorDetail.Parser.ParseFrom(bytes.Span);
            }
            catch (InvalidProtocolBufferException)
            {
                // The status alone still says enough to go on.
            }
        }

        // A reset call ended without a status: whatever the reset's reason, the peer has said nothing about the request.
        return From(IsReset(failure) ? RpcCode.Unavailable : failure.Code, failure.Status.Message, detail, failure);
    }

    // Also where a later use of the call tells what ended it.
    private static bool IsReset(Exception failure)
    {
        Exception? e = failure;
        while (e is not (null or HttpProtocolException))
        {
            e = e.InnerException;
        }

        return e is not null;
    }

    public static VaultException From(RpcCode status, string message, Protocol.ErrorDetail? detail, Exception? inner = null)
    {
        if (detail is null || detail.Failures.Count == 0)
        {
            VaultErrorCode code = CodeOf(status);
            string advice = code == VaultErrorCode.Unreachable ? " Check that the node runs and that the address is right." : "";
            return new VaultException(code, $"{status}: {message.TrimEnd('.')}.{advice}", inner: inner);
        }

        var failures = new VaultFailure[detail.Failures.Count];
        for (int i = 0; i < failures.Length; i++)
        {
            failures[i] = From(detail.Failures[i]);
        }

        return From(failures, inner);
    }

    public static VaultException From(IReadOnlyList<VaultFailure> failures, Exception? inner = null)
    {
        List<VersionConflict>? conflicts = null;
        List<FailedCondition>? conditions = null;
        var message = new StringBuilder();
        foreach (VaultFailure failure in failures)
        {
            message.Append(message.Length == 0 ? "" : " ").Append(failure.Message);
            if (failure.Conflict is { } conflict)
            {
                (conflicts ??= []).Add(conflict);
            }
            else if (failure is { Code: VaultErrorCode.ConditionFailed, Index: <= int.MaxValue, Position: { } position })
            {
                (conditions ??= []).Add(new FailedCondition((int)failure.Index, position));
            }
        }

        VaultFailure first = failures[0];
        return first.Code switch
        {
            VaultErrorCode.WrongExpectedVersion when conflicts is not null =>
                new WrongExpectedVersionException(message.ToString(), failures, conflicts, conditions ?? []),
            VaultErrorCode.ConditionFailed when conditions is not null =>
                Conflict(message.ToString(), failures, conflicts, conditions),
            VaultErrorCode.LimitExceeded when first.Limit is { } limit => new LimitExceededException(message.ToString(), failures, limit),
            VaultErrorCode.StreamNotFound => new StreamNotFoundException(message.ToString(), failures),
            VaultErrorCode.RetryTooOld => new RetryTooOldException(message.ToString(), failures),
            VaultErrorCode.StreamTombstoned => new StreamTombstonedException(message.ToString(), failures),
            VaultErrorCode.StreamHeld => new StreamHeldException(message.ToString(), failures),
            _ => OfStates(first, message.ToString(), failures) ?? OfNodes(first, message.ToString(), failures, inner) ?? new VaultException(first.Code, message.ToString(), failures, inner),
        };
    }

    /// <summary>What an append or a state of many was refused with.</summary>
    public static VaultException From(Protocol.AppendError? error) =>
        From((RpcCode)(error?.Code ?? 0), error?.Message ?? "", error?.Detail);

    // Null: not about states.
    private static VaultException? OfStates(VaultFailure first, string message, IReadOnlyList<VaultFailure> failures) => first.Code switch
    {
        VaultErrorCode.HistoryTruncated => new HistoryTruncatedException(message, failures),
        VaultErrorCode.IncompleteHistory => new IncompleteHistoryException(message, failures),
        VaultErrorCode.VersionNotReached => new VersionNotReachedException(message, failures),
        VaultErrorCode.PositionNotReached => new PositionNotReachedException(message, failures),
        VaultErrorCode.AsOfInFuture => new AsOfInFutureException(message, failures),
        VaultErrorCode.BadReducer => new BadReducerException(message, failures),
        VaultErrorCode.ReducerNotFound => new ReducerNotFoundException(message, failures),
        VaultErrorCode.DefinitionConflict => new DefinitionConflictException(message, failures),
        _ => null,
    };

    // Null: not about the nodes of a vault.
    private static VaultException? OfNodes(VaultFailure first, string message, IReadOnlyList<VaultFailure> failures, Exception? inner) => first.Code switch
    {
        VaultErrorCode.NotLeader => new NotLeaderException(message, failures, inner),
        VaultErrorCode.NoQuorum => new NoQuorumException(message, failures, inner),
        VaultErrorCode.NotJoined => new NotJoinedException(message, failures, inner),
        VaultErrorCode.ChangePending => new ChangePendingException(message, failures),
        VaultErrorCode.UnsafeChange => new UnsafeChangeException(message, failures),
        VaultErrorCode.NodeUnusable => new NodeUnusableException(message, failures),
        VaultErrorCode.NodeNotFound => new NodeNotFoundException(message, failures),
        _ => null,
    };

    // A node lists versions before conditions. Should one not, the exception must still be the one whose lists are filled.
    private static AppendConflictException Conflict(
        string message, IReadOnlyList<VaultFailure> failures, List<VersionConflict>? conflicts, List<FailedCondition> conditions) => conflicts is null
        ? new ConditionFailedException(message, failures, conditions)
        : new WrongExpectedVersionException(message, failures, conflicts, conditions);

    public static VaultException InvalidName(string field, string name, string why) => Failed(new VaultFailure
    {
        Code = VaultErrorCode.InvalidName,
        Message = $"The name in {field}, {Quoted(name)}, {why}. Nothing was sent.",
        Field = field,
        Why = why,
    });

    public static VaultException ReservedName(string field, string name) => Failed(new VaultFailure
    {
        Code = VaultErrorCode.ReservedName,
        Message = $"The name in {field}, {Quoted(name)}, starts with '$'; such streams belong to the vault. Choose another name.",
        Field = field,
        Stream = name,
    });

    public static VaultException InvalidEvent(string stream, int index, string why) => Failed(new VaultFailure
    {
        Code = VaultErrorCode.InvalidEvent,
        Message = $"Event {index} for stream {Quoted(stream)} {why}. Nothing was sent.",
        Stream = stream,
        Index = (uint)index,
        Why = why,
    });

    public static VaultException InvalidRequest(string field, string why) => Failed(new VaultFailure
    {
        Code = VaultErrorCode.InvalidRequest,
        Message = $"The request's {field} {why}. Nothing was sent.",
        Field = field,
        Why = why,
    });

    public static VaultException LimitExceeded(VaultLimit limit, ulong value, string what) => Failed(new VaultFailure
    {
        Code = VaultErrorCode.LimitExceeded,
        Message = $"{what}: {limit.Name} is {value}, allowed are {limit.Allowed}"
            + (limit.Setting.Length == 0 ? " (fixed). Nothing was sent." : $" (setting {limit.Setting}). Nothing was sent."),
        Limit = new ExceededLimit(limit.Name, value, limit.Allowed, limit.Setting),
    });

    /// <summary>
    /// Whether a refusal of a repeat tells of the earlier attempts, too. It does if the node decides it only behind the operation id: had an earlier attempt been
    /// written, that would have been the answer. The request, its limits and rights are looked at before; damage is met on the way.
    /// </summary>
    /// <param name="failure">What the repeat was refused with.</param>
    public static bool HoldsForEarlierAttempts(VaultException failure) => failure is
    {
        Failures.Count: > 0,
        Code: VaultErrorCode.WrongExpectedVersion or VaultErrorCode.ConditionFailed or VaultErrorCode.DefinitionConflict
            or VaultErrorCode.OperationIdReused or VaultErrorCode.RetryTooOld or VaultErrorCode.StreamTombstoned or VaultErrorCode.StreamHeld,
    };

    /// <summary>Refuses what says how old the first attempt is, and not which: it would be taken for another append.</summary>
    /// <param name="operationId">Of the options.</param>
    /// <param name="attemptedAfter">Of the options.</param>
    /// <exception cref="ArgumentException">The second comes without the first.</exception>
    public static void CheckRepeat(Guid? operationId, SeenHead? attemptedAfter)
    {
        if (attemptedAfter is not null && operationId is null)
        {
            throw new ArgumentException("AttemptedAfter goes with the OperationId of the first attempt: without it nothing is repeated. The exception of an unknown outcome has both.");
        }
    }

    /// <summary>A change of the vault other than an append got no answer that says whether it was done.</summary>
    public static VaultException ChangeUnknown(Guid operationId, SeenHead? attemptedAfter, VaultException last)
    {
        string message = $"Whether it was done is unknown: an attempt had no answer. Send it again with operation id {operationId}: "
            + $"a repeat does nothing twice. The last failure was: {last.Message}";
        var failure = new VaultFailure { Code = VaultErrorCode.OutcomeUnknown, Message = message, OperationId = operationId, AttemptedAfter = attemptedAfter };
        return From([failure], last);
    }

    /// <summary>The same failure in an exception of its own, of the same kind.</summary>
    /// <param name="failure">The failure.</param>
    /// <param name="message">What to say of it.</param>
    /// <param name="inner">What it is raised from.</param>
    public static VaultException Again(VaultException failure, string message, VaultException inner) =>
        failure.Failures.Count > 0 && OfNodes(failure.Failures[0], message, failure.Failures, inner) is { } typed
            ? typed
            : new VaultException(failure.Code, message, failure.Failures, inner);

    /// <summary>A change of the vault's nodes got no answer that says whether it was done.</summary>
    public static VaultException ClusterChangeUnknown(VaultException last) => new(
        VaultErrorCode.OutcomeUnknown,
        $"Whether the vault's nodes were changed is unknown: an attempt had no answer. Look at their status, and send it again: what is done already changes nothing. The last failure was: {last.Message}",
        inner: last);

    /// <summary>A read got no head in time. Ends it: it has waited as long as any call may.</summary>
    /// <param name="method">What was called.</param>
    /// <param name="position">What the node had to reach first; null: nothing.</param>
    /// <param name="timeout">How long the read waited.</param>
    public static VaultException NoHead(string method, ulong? position, TimeSpan timeout) => position is { } p
        ? Failed(new VaultFailure
        {
            Code = VaultErrorCode.TimedOutBehind,
            Message = string.Create(
                CultureInfo.InvariantCulture,
                $"The node has not shown position {p}, which the read must have seen, within {timeout.TotalSeconds} s. It is behind or hangs, or the vault at this ")
                + "address was replaced by one with fewer events. Look at its head; for another vault make a new client, which has seen nothing yet.",
        })
        : new VaultException(VaultErrorCode.TimedOut, string.Create(
            CultureInfo.InvariantCulture, $"The node took {method} and did not answer within {timeout.TotalSeconds} s. Look at its log; restart it if it hangs."));

    /// <summary>A node takes so long that another one is asked.</summary>
    /// <param name="node">The node.</param>
    /// <param name="method">What was called.</param>
    public static VaultException KeepsWaiting(Uri node, string method) => new(
        VaultErrorCode.TimedOutBehind, $"The node at {node.Host}:{node.Port} took {method} and kept it waiting: it is behind, or hangs. Look at vault-admin cluster status.");

    /// <summary>The client was disposed before a call had its answer.</summary>
    public static VaultException Closed() => new(VaultErrorCode.Closed, "The call was cut short: its client was disposed.");

    public static VaultException ProtocolViolation(string what) =>
        new(VaultErrorCode.ProtocolViolation, $"The peer broke the protocol: {what}. Check that the address is that of an EventVault node of this generation.");

    private static VaultException Failed(VaultFailure failure) => From([failure]);

    // Long names would bury the sentence they stand in, and control characters break its line.
    private static string Quoted(string name)
    {
        var text = new StringBuilder("\"");
        foreach (char c in name.AsSpan(0, Math.Min(name.Length, 80)))
        {
            if (char.IsControl(c))
            {
                text.Append(CultureInfo.InvariantCulture, $"\\u{(int)c:X4}");
            }
            else
            {
                text.Append(c);
            }
        }

        return text.Append(name.Length > 80 ? "…\"" : "\"").ToString();
    }

    private static VaultFailure From(Protocol.Failure failure)
    {
        VaultErrorCode code = Enum.IsDefined((VaultErrorCode)failure.Reason) && (int)failure.Reason < 100
            ? (VaultErrorCode)failure.Reason
            : VaultErrorCode.Unknown;
        return new VaultFailure
        {
            Code = code,
            Message = failure.Message.Length > 0 ? failure.Message : code.ToString(),
            Stream = NullIfEmpty(failure.Stream),
            Field = NullIfEmpty(failure.Field),
            Why = NullIfEmpty(failure.Why),
            Address = NullIfEmpty(failure.Address),
            Index = failure.HasIndex ? failure.Index : null,
            Limit = failure.Limit is { } l ? new ExceededLimit(l.Limit, l.Value, l.Allowed, l.Setting) : null,
            Conflict = failure.VersionConflict is { } c ? ConflictOf(failure, c) : null,
            RetryAfter = failure.HasRetryAfterMs ? TimeSpan.FromMilliseconds(failure.RetryAfterMs) : null,
            DamagedSegment = failure.Damage?.Segment,
            DamagedOffset = failure.Damage?.Offset,
            FirstPosition = failure.HasFirstPosition ? failure.FirstPosition : null,
            Position = failure.HasPosition ? failure.Position : null,
            Floor = failure.HasFloor ? failure.Floor : null,
            Earliest = failure.Earliest is { } e ? new EarliestState(e.Version, e.Position, VaultTime.FromTicks(e.Time)) : null,
            Version = failure.HasVersion ? failure.Version : null,
            ClosedTime = failure.HasClosedTime ? VaultTime.FromTicks(failure.ClosedTime) : null,
            TextOffset = failure.HasTextOffset ? failure.TextOffset : null,
        };
    }

    private static VersionConflict ConflictOf(Protocol.Failure failure, Protocol.VersionConflict conflict)
    {
        // A text that does not parse stays unspecified: the conflict itself is what matters.
        _ = ExpectedVersion.TryParse(conflict.Expected, out ExpectedVersion expected);
        bool isRequirement = failure.Field.StartsWith("requires", StringComparison.Ordinal);
        return new VersionConflict(failure.Stream, expected, conflict.HasActual ? conflict.Actual : null, isRequirement);
    }

    private static string? NullIfEmpty(string text) => text.Length == 0 ? null : text;

    // A status without detail comes from the transport or from a proxy, not from the vault's own checks.
    private static VaultErrorCode CodeOf(RpcCode status) => status switch
    {
        RpcCode.Unavailable or RpcCode.Cancelled => VaultErrorCode.Unreachable,
        RpcCode.DeadlineExceeded => VaultErrorCode.TimedOut,
        RpcCode.DataLoss => VaultErrorCode.Damaged,
        RpcCode.Unauthenticated => VaultErrorCode.NotAuthenticated,
        RpcCode.PermissionDenied => VaultErrorCode.NotAllowed,
        _ => VaultErrorCode.Unknown,
    };
}
