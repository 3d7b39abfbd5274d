using Google.Protobuf;

namespace EventVault.Client;

/// <summary>
/// How far a history was delivered, and what is asked for once its call was cut: the range from the last state on. That one must
/// come again as it was; otherwise events were truncated meanwhile, and what follows would not belong to what was delivered.
/// </summary>
/// <param name="asked">The whole history.</param>
internal sealed class HistoryProgress(Protocol.GetStateHistoryRequest asked)
{
    /// <summary>The contract's limit, <c>history_states</c>: for all attempts together.</summary>
    private const ulong MostSteps = 10_000;

    private readonly ulong _most = asked.Limit == 0 ? MostSteps : Math.Min(asked.Limit, MostSteps);
    private readonly bool _isByTime = asked.StepCase == Protocol.GetStateHistoryRequest.StepOneofCase.Ticks;
    private ulong _delivered;
    private Mark? _last;

    // The last step with which a call can begin, and the version of the one before. Ends of lives have no version; by time all have an instant.
    private Mark? _state;
    private ulong? _versionBefore;
    private Mark? _awaited;

    /// <summary>Whether as many were delivered as were wanted.</summary>
    public bool IsAtLimit => _delivered >= _most;

    /// <summary>The next request, but for its end and consistency.</summary>
    /// <param name="waits">Whether it may still wait for the moments that were asked for.</param>
    public Protocol.GetStateHistoryRequest Next(bool waits)
    {
        _awaited = _state ?? _last;
        Protocol.GetStateHistoryRequest next = asked.Clone();
        next.From = Begin() ?? PinnedCut.Again(asked.From, waits);
        if (_awaited is not null)
        {
            // Some come again, so the end is found here.
            next.Limit = 0;
        }

        return next;
    }

    /// <summary>Looks at a step that came.</summary>
    /// <returns>Whether it is the next one; false: it was delivered before.</returns>
    /// <exception cref="IncompleteHistoryException">What was delivered last did not come again.</exception>
    public bool IsNext(Protocol.StateStep step)
    {
        var mark = Mark.Of(step);
        if (_awaited is { } awaited)
        {
            // Of steps by events, ends of lives come before the state that they lead to.
            bool isBefore = !_isByTime && mark.Version is null && mark.Position < awaited.Position;
            _awaited = mark == awaited ? null : isBefore ? awaited : throw Changed();
            return false;
        }

        if (!_isByTime && mark.Position <= _last?.Position)
        {
            return false;
        }

        _delivered++;
        _last = mark;
        if (_isByTime || mark.Version is not null)
        {
            (_versionBefore, _state) = (_state?.Version, mark);
        }

        return true;
    }

    /// <summary>The call ended.</summary>
    /// <inheritdoc cref="IsNext" path="/exception"/>
    public void CheckEnd()
    {
        if (_awaited is not null)
        {
            throw Changed();
        }
    }

    // Null: as it was asked for. Every n-th event is counted from the range's first one: right behind the step before the last.
    private Protocol.AsOf? Begin() => asked.StepCase switch
    {
        Protocol.GetStateHistoryRequest.StepOneofCase.Ticks when _state is { } state => new Protocol.AsOf { Time = state.Time },
        Protocol.GetStateHistoryRequest.StepOneofCase.Events when _versionBefore is { } before => new Protocol.AsOf { Version = before + 1 },
        Protocol.GetStateHistoryRequest.StepOneofCase.EachChange when _state is { Version: { } version } => new Protocol.AsOf { Version = version },
        _ => null,
    };

    private VaultException Changed() => VaultErrors.From([new VaultFailure
    {
        Code = VaultErrorCode.IncompleteHistory,
        Stream = asked.Stream,
        Message = $"Events of {asked.Stream} were truncated while its history was read, and the connection was lost. Ask again.",
    }]);

    /// <summary>What tells a step from all others.</summary>
    private readonly record struct Mark(long Time, ulong? Version, ulong? Position, bool Deleted, ulong? PartialFrom, ByteString Hash)
    {
        public static Mark Of(Protocol.StateStep step) => new(
            step.Time,
            step.State.HasVersion ? step.State.Version : null,
            step.State.HasPosition ? step.State.Position : null,
            step.State.Deleted,
            step.State.HasPartialFromVersion ? step.State.PartialFromVersion : null,
            step.State.StateHash);
    }
}
