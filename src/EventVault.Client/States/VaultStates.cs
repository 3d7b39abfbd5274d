using System.Runtime.CompilerServices;

namespace EventVault.Client;

/// <summary>
/// States of streams as of any moment: <see cref="VaultClient.States"/>. A state is the fold of a stream's events up to a cut, and
/// stays what it is: asked for as of the same moment again it has the same bytes, of whichever node and however much later.
/// docs/TEMPORAL.md says what deleting and truncating do to that. Thread-safe.
/// </summary>
public sealed class VaultStates
{
    private readonly VaultCalls _calls;
    private readonly StreamedCalls _streamed;
    private readonly SeenPosition _seen;
    private readonly Func<VaultLimits> _limits;

    internal VaultStates(VaultCalls calls, StreamedCalls streamed, SeenPosition seen, Func<VaultLimits> limits) =>
        (_calls, _streamed, _seen, _limits) = (calls, streamed, seen, limits);

    /// <summary>The state of one stream.</summary>
    /// <param name="stream">Name of the stream.</param>
    /// <param name="asOf">The moment; by default the newest state.</param>
    /// <param name="reducer">How it is made; null: <see cref="Reducer.MergePatch"/>.</param>
    /// <param name="options">What it must rest on; null: the defaults.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>The state; a moment before the stream's first event, or behind its deletion, is an answer as well.</returns>
    /// <exception cref="StreamNotFoundException">The vault never had such a stream.</exception>
    /// <exception cref="StreamTombstonedException">The stream was ended for ever, and with it all its states.</exception>
    /// <exception cref="HistoryTruncatedException">The moment lies before what is left of the stream.</exception>
    /// <exception cref="IncompleteHistoryException">Events that went into the state are gone, and nothing stands in for them.</exception>
    /// <exception cref="VersionNotReachedException">The stream has no such version yet.</exception>
    /// <exception cref="PositionNotReachedException">The vault has no such position yet.</exception>
    /// <exception cref="AsOfInFutureException">The time is not over yet.</exception>
    /// <exception cref="BadReducerException">The text of the slots breaks the rules.</exception>
    /// <exception cref="ReducerNotFoundException">There is no reducer of that name.</exception>
    /// <exception cref="VaultException">The call failed.</exception>
    public async Task<StreamState> GetAsync(
        string stream, AsOf asOf = default, Reducer? reducer = null, StateOptions? options = null, CancellationToken cancellationToken = default)
    {
        CheckStream(stream);
        var request = new Protocol.GetStateRequest
        {
            Stream = stream,
            Reducer = reducer?.ToMessage(),
            AsOf = asOf.ToMessage(),
            Consistency = (options?.Consistency ?? default).ToMessage(_seen),
            AllowPartial = options?.AllowPartial ?? false,
        };
        Protocol.State state = await _calls.ReadAsync(VaultMethods.GetState, request, asOf.Wait, static r => r.AsOf.Wait = false, cancellationToken).ConfigureAwait(false);
        return StreamState.From(state, Seen(state.Cut));
    }

    /// <summary>
    /// The states of the streams of a category, all as of one cut, in the order of their names. Streams that do not exist there are
    /// left out.
    /// </summary>
    /// <param name="category">What stands before the first <c>-</c> of their names.</param>
    /// <param name="asOf">The moment, which can't be a version; by default the newest states.</param>
    /// <param name="reducer">How they are made; null: <see cref="Reducer.MergePatch"/>.</param>
    /// <param name="options">Which streams, and what their states must rest on; null: all, the defaults.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    /// <returns>The states; one that can't be told does not keep the others back.</returns>
    /// <exception cref="VaultException">The category is not valid or the moment a version; enumerating it: the call failed.</exception>
    public IAsyncEnumerable<StateResult> OfCategoryAsync(
        string category, AsOf asOf = default, Reducer? reducer = null, CategoryStateOptions? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(category);
        CheckMany(asOf);
        QueryChecks.CheckCategory(category, "category", _limits());
        options ??= new CategoryStateOptions();
        ArgumentNullException.ThrowIfNull(options.After, nameof(options));
        var request = new Protocol.GetStatesRequest { Category = category, Limit = options.Limit, After = options.After };
        return ManyAsync(request, asOf, reducer, options, cancellationToken);
    }

    /// <summary>The states of some streams, all as of one cut, in the order of the list, each with an answer.</summary>
    /// <param name="streams">Their names, at most 1,000.</param>
    /// <param name="asOf">The moment, which can't be a version; by default the newest states.</param>
    /// <param name="reducer">How they are made; null: <see cref="Reducer.MergePatch"/>.</param>
    /// <param name="options">What the states must rest on; null: the defaults.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    /// <returns>The states; one that can't be told does not keep the others back.</returns>
    /// <exception cref="VaultException">A name is not valid or the moment a version; enumerating it: the call failed.</exception>
    public IAsyncEnumerable<StateResult> OfStreamsAsync(
        IReadOnlyList<string> streams, AsOf asOf = default, Reducer? reducer = null, StateOptions? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(streams);
        CheckMany(asOf);
        if (streams.Count == 0)
        {
            throw VaultErrors.InvalidRequest("streams", "is empty; name at least one stream");
        }

        foreach (string stream in streams)
        {
            CheckStream(stream);
        }

        var request = new Protocol.GetStatesRequest();
        request.Streams.AddRange(streams);
        return ManyAsync(request, asOf, reducer, options ?? new StateOptions(), cancellationToken);
    }

    /// <summary>The states of one stream along a range of its history, oldest first.</summary>
    /// <param name="stream">Name of the stream.</param>
    /// <param name="options">Which range, and where on the way; null: all of it, each change.</param>
    /// <param name="reducer">How they are made; null: <see cref="Reducer.MergePatch"/>.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    /// <exception cref="VaultException">The name is not valid; enumerating it: the call failed, for the same reasons as <see cref="GetAsync"/>.</exception>
    public IAsyncEnumerable<StateStep> HistoryAsync(
        string stream, StateHistoryOptions? options = null, Reducer? reducer = null, CancellationToken cancellationToken = default)
    {
        CheckStream(stream);
        options ??= new StateHistoryOptions();
        var request = new Protocol.GetStateHistoryRequest
        {
            Stream = stream,
            Reducer = reducer?.ToMessage(),
            From = options.From?.ToMessage(),
            Until = options.Until.ToMessage(),
            Limit = options.Limit,
            AllowPartial = options.AllowPartial,
        };
        options.Step.Put(request);
        return StepsAsync(request, options, cancellationToken);
    }

    /// <summary>What a time stands for: the last position recorded by then.</summary>
    /// <param name="time"><see cref="AsOf.Time"/> or <see cref="AsOf.BeforeTime"/>.</param>
    /// <param name="consistency">What the answer must have seen.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <exception cref="ArgumentException">It is another moment.</exception>
    /// <exception cref="AsOfInFutureException">The time is not over yet.</exception>
    /// <exception cref="VaultException">The call failed.</exception>
    public async Task<Cut> ResolveAsync(AsOf time, Consistency consistency = default, CancellationToken cancellationToken = default)
    {
        Protocol.AsOf asked = time.ToMessage() ?? new Protocol.AsOf();
        var request = new Protocol.ResolveTimeRequest { Wait = asked.Wait, Consistency = consistency.ToMessage(_seen) };
        switch (asked.CutCase)
        {
            case Protocol.AsOf.CutOneofCase.Time when !asked.HasOccurred:
                request.Time = asked.Time;
                break;
            case Protocol.AsOf.CutOneofCase.BeforeTime when !asked.HasOccurred:
                request.BeforeTime = asked.BeforeTime;
                break;
            default:
                throw new ArgumentException($"Only AsOf.Time and AsOf.BeforeTime are resolved, not {time}.", nameof(time));
        }

        return Seen(await _calls.ReadAsync(VaultMethods.ResolveTime, request, time.Wait, static r => r.Wait = false, cancellationToken).ConfigureAwait(false));
    }

    /// <summary>
    /// The state of a stream as of a moment, folded here by code of the application. The vault keeps such states on the way, so that
    /// the next call reads fewer events.
    /// </summary>
    /// <typeparam name="TState">Type of the state.</typeparam>
    /// <param name="fold">How it is made.</param>
    /// <param name="stream">Name of the stream.</param>
    /// <param name="asOf">The moment, without a second axis; by default the newest state.</param>
    /// <param name="options">What it must rest on; null: the defaults.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <exception cref="VaultException">The call failed, for the same reasons as <see cref="GetAsync"/>.</exception>
    public Task<FoldedState<TState>> FoldAsync<TState>(
        Fold<TState> fold, string stream, AsOf asOf = default, StateOptions? options = null, CancellationToken cancellationToken = default)
    {
        CheckFold(fold, stream, asOf);
        return new FoldRun<TState>(_calls, _streamed, _seen, fold, stream, asOf, options ?? new StateOptions()).ToEndAsync(cancellationToken);
    }

    /// <summary>
    /// The states of a stream after each event of it, oldest first, folded here by code of the application.
    /// </summary>
    /// <typeparam name="TState">Type of the state.</typeparam>
    /// <param name="fold">How they are made.</param>
    /// <param name="stream">Name of the stream.</param>
    /// <param name="from">The first version after which a state is wanted. The events before it are read, but for those of a kept state.</param>
    /// <param name="until">Up to which moment, without a second axis; by default the newest state.</param>
    /// <param name="options">What the states must rest on; null: the defaults.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    /// <exception cref="VaultException">The name is not valid; enumerating it: the call failed, for the same reasons as <see cref="GetAsync"/>.</exception>
    public IAsyncEnumerable<FoldStep<TState>> StepAsync<TState>(
        Fold<TState> fold, string stream, ulong from = 0, AsOf until = default, StateOptions? options = null, CancellationToken cancellationToken = default)
    {
        CheckFold(fold, stream, until);
        return FoldStepsAsync(fold, stream, from, until, options ?? new StateOptions(), cancellationToken);
    }

    // A run for each enumeration.
    private async IAsyncEnumerable<FoldStep<TState>> FoldStepsAsync<TState>(
        Fold<TState> fold, string stream, ulong from, AsOf until, StateOptions options, [EnumeratorCancellation] CancellationToken cancellation)
    {
        var run = new FoldRun<TState>(_calls, _streamed, _seen, fold, stream, until, options);
        await foreach (FoldStep<TState> step in run.StepAsync(from, cancellation).ConfigureAwait(false))
        {
            yield return step;
        }
    }

    // What is left is asked for as of the same moment, so that all states stand for it whatever was appended meanwhile.
    private async IAsyncEnumerable<StateResult> ManyAsync(
        Protocol.GetStatesRequest request, AsOf asOf, Reducer? reducer, StateOptions options, [EnumeratorCancellation] CancellationToken cancellation)
    {
        request = request.Clone(); // It says what is left: another enumeration has all before it.
        var pinned = new PinnedCut(asOf.ToMessage(), options.Consistency, _seen);
        request.Reducer = reducer?.ToMessage();
        request.AllowPartial = options.AllowPartial;
        Protocol.GetStatesRequest NextRequest(bool waits)
        {
            Protocol.GetStatesRequest next = request.Clone();
            next.AsOf = pinned.Next(waits);
            next.Consistency = pinned.Consistency();
            return next;
        }

        bool isList = request.Streams.Count > 0;
        bool isLimited = request.Limit > 0;
        await foreach (ReadOnlyMemory<byte> message in _streamed.RunAsync(VaultMethods.GetStates, NextRequest, asOf.Wait, cancellation).ConfigureAwait(false))
        {
            Protocol.GetStatesResponse answer = StreamedCalls.Parse(Protocol.GetStatesResponse.Parser, message);
            string name;
            switch (answer.ContentCase)
            {
                case Protocol.GetStatesResponse.ContentOneofCase.Cut:
                    pinned.Set(Seen(answer.Cut));
                    continue;
                case Protocol.GetStatesResponse.ContentOneofCase.LookedUntil:
                    request.After = answer.LookedUntil;
                    continue;
                case Protocol.GetStatesResponse.ContentOneofCase.State:
                    pinned.SetReducer(answer.State.ReducerHash);
                    name = answer.State.Stream;
                    yield return new StateResult(name, StreamState.From(answer.State, pinned.Cut), Failure: null);
                    break;
                case Protocol.GetStatesResponse.ContentOneofCase.Failure:
                    name = answer.Failure.Stream;
                    yield return new StateResult(name, State: null, VaultErrors.From(answer.Failure.Error));
                    break;
                default:
                    continue;
            }

            if (isList)
            {
                request.Streams.RemoveAt(0);
            }
            else
            {
                request.After = name;
            }

            // No stream is left, or none of those that were wanted: a call that is cut now has nothing more to say.
            if ((isLimited && --request.Limit == 0) || (isList && request.Streams.Count == 0))
            {
                yield break;
            }
        }
    }

    private async IAsyncEnumerable<StateStep> StepsAsync(
        Protocol.GetStateHistoryRequest request, StateHistoryOptions options, [EnumeratorCancellation] CancellationToken cancellation)
    {
        var pinned = new PinnedCut(request.Until, options.Consistency, _seen);
        TimeSpan wait = options.Until.Wait + (options.From?.Wait ?? TimeSpan.Zero);
        var progress = new HistoryProgress(request);
        Protocol.GetStateHistoryRequest NextRequest(bool waits)
        {
            Protocol.GetStateHistoryRequest next = progress.Next(waits);
            next.Until = pinned.Next(waits);
            next.Consistency = pinned.Consistency();
            return next;
        }

        await foreach (ReadOnlyMemory<byte> message in _streamed.RunAsync(VaultMethods.GetStateHistory, NextRequest, wait, cancellation).ConfigureAwait(false))
        {
            Protocol.GetStateHistoryResponse answer = StreamedCalls.Parse(Protocol.GetStateHistoryResponse.Parser, message);
            if (answer.ContentCase == Protocol.GetStateHistoryResponse.ContentOneofCase.Cut)
            {
                pinned.Set(Seen(answer.Cut));
            }
            else if (answer.Step?.State is { } state)
            {
                pinned.SetReducer(state.ReducerHash);
                if (!progress.IsNext(answer.Step))
                {
                    continue;
                }

                yield return new StateStep(StreamState.From(state, pinned.Cut), VaultTime.FromTicksOrNone(answer.Step.Time));
                if (progress.IsAtLimit)
                {
                    yield break;
                }
            }
        }

        progress.CheckEnd();
    }

    private Cut Seen(Protocol.Cut? cut)
    {
        var seen = Cut.From(cut);
        _seen.Observe(seen.Position);
        return seen;
    }

    private void CheckStream(string stream)
    {
        ArgumentNullException.ThrowIfNull(stream);
        VaultNames.CheckStream(stream, index: -1, _limits());
    }

    private static void CheckMany(AsOf asOf)
    {
        if (asOf.IsVersion)
        {
            throw VaultErrors.InvalidRequest("as_of", "is a version, which only one stream can have; use a position or a time");
        }
    }

    private void CheckFold<TState>(Fold<TState> fold, string stream, AsOf asOf)
    {
        ArgumentNullException.ThrowIfNull(fold);
        CheckStream(stream);
        if (asOf.HasOccurred)
        {
            throw VaultErrors.InvalidRequest("as_of", "has a second axis, on which only the vault's own reducers fold");
        }
    }
}
