namespace EventVault.Client;

/// <summary>
/// The reducers of a vault that have names: <see cref="VaultClient.Reducers"/>. Whoever names one can change it in one place, and
/// have its states survive that old events are truncated. Thread-safe.
/// </summary>
public sealed class VaultReducers
{
    private readonly VaultCalls _calls;
    private readonly VaultChanges _changes;
    private readonly SeenPosition _seen;

    internal VaultReducers(VaultCalls calls, VaultChanges changes, SeenPosition seen) => (_calls, _changes, _seen) = (calls, changes, seen);

    /// <summary>
    /// Gives a reducer a name. A definition other than the newest one of that name becomes its next version; the same one changes
    /// nothing. Recorded as an event of the stream <c>$reducers</c>. Retried as an append is.
    /// </summary>
    /// <param name="name">1 to 128 of a-z, 0-9, <c>-</c>, <c>_</c>, <c>.</c>; begins with a letter.</param>
    /// <param name="definition">What it does: <see cref="Reducer.MergePatch"/> or <see cref="Reducer.Slots"/>.</param>
    /// <param name="options">What else it is defined with; null: nothing.</param>
    /// <param name="cancellationToken">Cancels the waiting, not the change.</param>
    /// <exception cref="ArgumentException">The definition is only a name.</exception>
    /// <exception cref="BadReducerException">Its text breaks the rules.</exception>
    /// <exception cref="DefinitionConflictException">The newest version is not the expected one.</exception>
    /// <exception cref="VaultException">It failed; with <see cref="VaultErrorCode.OutcomeUnknown"/> it may have been done.</exception>
    public async Task<DefineReducerResult> DefineAsync(
        string name, Reducer definition, DefineReducerOptions? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(name);
        ArgumentNullException.ThrowIfNull(definition);
        options ??= new DefineReducerOptions();
        var request = new Protocol.DefineReducerRequest { Name = name, Definition = definition.ToDefinition(), Eager = options.Eager };
        request.Categories.AddRange(options.Categories);
        if (options.ExpectedVersion is { } expected)
        {
            request.ExpectedVersion = expected;
        }

        Protocol.DefineReducerResponse answer = await _changes.RunAsync(
            VaultMethods.DefineReducer,
            request,
            options.Change,
            static (r, id) => r.OperationId = id,
            static (r, seen) => r.AttemptedAfter = seen,
            cancellationToken).ConfigureAwait(false);
        return new DefineReducerResult(
            Seen(answer.Reducer ?? throw VaultErrors.ProtocolViolation("a definition was answered without the reducer")), answer.Changed);
    }

    /// <summary>A reducer.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="version">Its version; 0: the newest.</param>
    /// <param name="consistency">What the answer must have seen.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <exception cref="ReducerNotFoundException">There is none of that name, or no such version of it.</exception>
    /// <exception cref="VaultException">The call failed.</exception>
    public async Task<NamedReducer> GetAsync(
        string name, uint version = 0, Consistency consistency = default, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(name);
        var request = new Protocol.GetReducerRequest { Name = name, Version = version, Consistency = consistency.ToMessage(_seen) };
        return Seen(await _calls.ReadAsync(VaultMethods.GetReducer, request, cancellationToken).ConfigureAwait(false));
    }

    /// <summary>The newest version of each, in the order of their names. At most 1,000 names there are.</summary>
    /// <param name="consistency">What the answer must have seen.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <exception cref="VaultException">The call failed.</exception>
    public async Task<IReadOnlyList<NamedReducer>> ListAsync(Consistency consistency = default, CancellationToken cancellationToken = default)
    {
        var request = new Protocol.ListReducersRequest { Consistency = consistency.ToMessage(_seen) };
        Protocol.ListReducersResponse answer = await _calls.ReadAsync(VaultMethods.ListReducers, request, cancellationToken).ConfigureAwait(false);
        return [.. answer.Reducers.Select(Seen)];
    }

    private NamedReducer Seen(Protocol.NamedReducer reducer)
    {
        _seen.Observe(reducer.Position);
        return NamedReducer.From(reducer);
    }
}
