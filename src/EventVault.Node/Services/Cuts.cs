// From a moment that a client names to one position. A time that nothing was recorded behind yet is closed first, by the leader:
// behind that nothing can be recorded at or before it, so the position is the answer for ever, whatever clocks do.
using EventVault.Protocol;
using EventVault.Rpc.Server;
using EventVault.Storage;
using EventVault.Temporal;
using EventVault.Temporal.Reducers;
using Google.Protobuf;
using Position = EventVault.Storage.Position;

namespace EventVault.Node.Services;

/// <summary>A moment, resolved.</summary>
/// <param name="Position">The last position inside it; <see cref="Position.None"/>: before the vault's first event.</param>
/// <param name="Time">The time that it stands for, as <see cref="StateOptions.CutTime"/>; null: it was not given by time.</param>
/// <param name="Occurred">The second axis, 100 ns ticks since 1970; null: not on it.</param>
internal readonly record struct ResolvedCut(Position Position, long? Time, long? Occurred);

/// <summary>The stream and reducer for which a cut is resolved.</summary>
/// <param name="Stream">The one stream; null: there are many.</param>
/// <param name="StreamName">Its name, for errors.</param>
/// <param name="Reducer">That a token must be of; null: tokens of all are taken.</param>
internal readonly record struct CutScope(StreamReference? Stream, string StreamName, Reducer? Reducer);

/// <summary>Resolves cuts. Thread-safe.</summary>
internal sealed class Cuts(VaultStorage storage, VaultLoop loop, StateReader states, ConsistentReads consistent, TimeProvider clock)
{
    private readonly EventReader _reader = storage.Reader;

    /// <summary>Checks what a cut says by itself.</summary>
    /// <param name="asOf">The cut; null: the head.</param>
    /// <param name="field">Its place in the request.</param>
    /// <param name="ofOneStream">Whether it is of one stream.</param>
    /// <param name="takesOccurred">Whether the second axis makes sense.</param>
    /// <exception cref="Rpc.RpcException">INVALID_ARGUMENT.</exception>
    public void Check(AsOf? asOf, string field, bool ofOneStream, bool takesOccurred)
    {
        if (asOf is null)
        {
            return;
        }

        if (asOf.CutCase == AsOf.CutOneofCase.Version && !ofOneStream)
        {
            throw Errors.InvalidRequest(field + ".version", "belongs to a single stream: use a position or a time for many").ToException();
        }

        if (asOf.HasOccurred && !takesOccurred)
        {
            throw Errors.InvalidRequest(field + ".occurred", "is not served here: the events come in the order of the log").ToException();
        }

        if (asOf.CutCase == AsOf.CutOneofCase.Token)
        {
            var token = ReadToken(asOf.Token, field);
            if ((asOf.HasOccurred && asOf.Occurred != token.Occurred) || (token.Occurred is not null && !takesOccurred))
            {
                throw Errors.InvalidRequest(field + ".occurred", "is not the token's: leave it out beside a token, which has it").ToException();
            }
        }
    }

    /// <summary>Resolves a cut that was checked, behind the head that the call's consistency asks for.</summary>
    /// <exception cref="HistoryTruncatedException">A version is gone, and with it where it stood; and what else <see cref="Errors.OfState"/> knows.</exception>
    /// <exception cref="Rpc.RpcException">OUT_OF_RANGE, FAILED_PRECONDITION: it is not reached yet. UNAVAILABLE, RESOURCE_EXHAUSTED: the time can't be closed.</exception>
    public async ValueTask<ResolvedCut> ResolveAsync(AsOf? asOf, string field, CutScope scope, RpcContext context)
    {
        long? occurred = asOf is { HasOccurred: true } ? asOf.Occurred : null;
        switch (asOf?.CutCase)
        {
            case AsOf.CutOneofCase.Version:
                return new ResolvedCut(await ReachVersionAsync(asOf, field + ".version", scope, context), null, occurred);
            case AsOf.CutOneofCase.Position:
                return new ResolvedCut(await ReachPositionAsync(asOf.Position, asOf.Wait, field + ".position", context), null, occurred);
            case AsOf.CutOneofCase.Time:
                return new ResolvedCut(await ReachTimeAsync(asOf.Time, asOf.Wait, field + ".time", context), asOf.Time, occurred);
            case AsOf.CutOneofCase.BeforeTime:
                var before = JustBefore(asOf.BeforeTime);
                return new ResolvedCut(await ReachTimeAsync(before, asOf.Wait, field + ".before_time", context), before, occurred);
            case AsOf.CutOneofCase.Token:
                var token = ReadToken(asOf.Token, field);
                if (scope.Reducer is { } reducer && !token.IsOf(reducer))
                {
                    throw Errors.InvalidRequest(field + ".token", "belongs to an answer of another reducer: ask with the one that it was made with").ToException();
                }

                return await ReachTokenAsync(token, asOf.Wait, field + ".token", context);
            default:
                return new ResolvedCut(_reader.Head, null, occurred);
        }
    }

    /// <summary>The last position recorded at or before a time, once nothing can be recorded there any more.</summary>
    /// <inheritdoc cref="ResolveAsync" path="/exception"/>
    public async ValueTask<Position> ReachTimeAsync(long time, bool wait, string field, RpcContext context)
    {
        if (_reader.ClosedTime < time)
        {
            await CloseAsync(time, wait, field, context);
        }

        Invariant.Check(_reader.ClosedTime >= time, "A time is closed before it is looked up.");
        return _reader.LastAtOrBefore(time);
    }

    /// <summary>The time just before another one.</summary>
    public static long JustBefore(long time) => time == long.MinValue ? time : time - 1;

    /// <summary>
    /// A cut as answers tell it. Of an event that a scavenge removed nobody knows when it was recorded and what it was appended with.
    /// </summary>
    public Cut ToMessage(Position position)
    {
        var closed = _reader.ClosedTime;
        var cut = new Cut { ClosedTime = closed };
        if (position != Position.None)
        {
            cut.Position = (ulong)position.Value;
            if (!_reader.IsThere(position))
            {
                return cut;
            }

            cut.RecordedAt = _reader.RecordedAt(position);

            // Appends differ in when they were recorded, the events of one don't.
            cut.SplitsAppend = position < _reader.Head && _reader.RecordedAt(position + 1) == cut.RecordedAt;
        }

        return cut;
    }

    private StateToken ReadToken(ByteString token, string field) =>
        StateToken.TryRead(token.Span, storage.VaultId) ?? throw Errors.InvalidRequest(field + ".token", "is no token of this vault").ToException();

    private async ValueTask<Position> ReachVersionAsync(AsOf asOf, string field, CutScope scope, RpcContext context)
    {
        var version = asOf.Version;
        var stream = scope.Stream!.Value;
        bool HasReached() => _reader.LastVersion(stream) is { Value: >= 0 } last && (ulong)last.Value >= version;
        if (!HasReached() && !(asOf.Wait && await consistent.ReachAsync(HasReached, context)))
        {
            var last = _reader.LastVersion(stream);
            throw (last == Storage.StreamVersion.None && !asOf.Wait
                ? Errors.StreamNotFound(scope.StreamName)
                : Errors.VersionNotReached(scope.StreamName, field, version, last)).ToException();
        }

        // On the second axis no anchor stands in, so none tells where the last version stood that was truncated.
        return states.CutOf(stream, new Storage.StreamVersion((long)version), asOf.HasOccurred ? null : scope.Reducer);
    }

    // Of a time the position is only how far the node must be: where a scavenge removed events it lies before them, and on a node that
    // still has them behind.
    private async ValueTask<ResolvedCut> ReachTokenAsync(StateToken token, bool wait, string field, RpcContext context)
    {
        if (token.Position != Position.None)
        {
            await ReachPositionAsync((ulong)token.Position.Value, wait, field, context);
        }

        return new ResolvedCut(token.Time is { } time ? await ReachTimeAsync(time, wait, field, context) : token.Position, token.Time, token.Occurred);
    }

    private async ValueTask<Position> ReachPositionAsync(ulong position, bool wait, string field, RpcContext context)
    {
        bool HasReached() => _reader.Head is { Value: >= 0 } head && (ulong)head.Value >= position;
        return HasReached() || (wait && await consistent.ReachAsync(HasReached, context))
            ? new Position((long)position)
            : throw Errors.PositionNotReached(field, position, _reader.Head).ToException();
    }

    // Ends once nothing can be recorded at or before a time any more.
    private async ValueTask CloseAsync(long time, bool wait, string field, RpcContext context)
    {
        if (!loop.Leads)
        {
            throw Errors.NotClosed(CloseOutcome.NotLeader, loop.LeaderAddress).ToException();
        }

        bool HasPassed() => VaultLoop.Now(clock) >= time || _reader.ClosedTime >= time;
        if (!HasPassed() && !(wait && await consistent.ReachAsync(HasPassed, context, () => TimeSpan.FromTicks(Math.Max(1, time - VaultLoop.Now(clock))))))
        {
            throw Errors.AsOfInFuture(field, time, Math.Max(VaultLoop.Now(clock), _reader.ClosedTime)).ToException();
        }

        var deadline = context.TimeLeft is { } left ? VaultLoop.NowMs(clock) + (long)left.TotalMilliseconds : long.MaxValue;
        var outcome = await loop.CloseTimeAsync(time, deadline).WaitAsync(context.Cancellation);
        if (outcome != CloseOutcome.Closed)
        {
            throw (outcome == CloseOutcome.InFuture ? Errors.AsOfInFuture(field, time, Math.Max(VaultLoop.Now(clock), _reader.ClosedTime)) : Errors.NotClosed(outcome, loop.LeaderAddress)).ToException();
        }
    }
}
