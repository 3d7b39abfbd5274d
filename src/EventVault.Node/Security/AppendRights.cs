using EventVault.Node.Services;
using EventVault.Storage;
using EventVault.Storage.Log;

namespace EventVault.Node.Security;

/// <summary>
/// What the appends of one call may write. The rights are looked up once and again when users or roles have changed, so that an append costs a
/// comparison for each of its streams. For one thread at a time.
/// </summary>
internal sealed class AppendRights(AccessGuard guard, Caller caller)
{
    private AccessState? _state = guard.State;
    private Rights _rights = guard.RightsOf(caller);

    /// <summary>Takes what has changed; call it for each read of requests.</summary>
    public void Renew()
    {
        if (guard.State is var state && !ReferenceEquals(state, _state))
        {
            (_state, _rights) = (state, guard.RightsOf(caller));
        }
    }

    /// <summary>
    /// Looks up what the vault knows of an append that was read. If it is written already, it is decided (<see cref="AppendOutcome.Known"/>), whatever its caller may
    /// write by now: it was allowed then, and "not allowed" would say that it is not written.
    /// </summary>
    /// <param name="reader">The vault.</param>
    /// <param name="append">The append.</param>
    /// <param name="rights">What its caller may write; null: everything.</param>
    /// <returns>Why it is refused; null: it is decided, or to be queued.</returns>
    /// <exception cref="DamageException">Bytes on the way are damaged.</exception>
    public static Refusal? LookUp(EventReader reader, QueuedAppend append, AppendRights? rights)
    {
        OperationPlace place;
        if (rights?.WhyNot(append.Content) is { } refusal)
        {
            // Rights first: to whom neither the streams nor the very content is known, an operation id tells nothing, and no condition is looked at for him.
            if (!reader.TryFindOperation(append.Content.OperationId, out place) || reader.ReadAnswer(place, append.Content) is not { SameContent: true })
            {
                return append.Content.AttemptedAfter < reader.OperationFloor ? Errors.RetryTooOld(reader.OperationFloor) : refusal;
            }
        }
        else if (!reader.LookUp(append.Content, out place))
        {
            return null; // The sequencer looks at what is not sealed yet.
        }

        append.Place = place;
        append.Outcome = AppendOutcome.Known;
        return null;
    }

    /// <summary>Why an append is refused that was read; null: it is allowed.</summary>
    public Refusal? WhyNot(AppendContent content)
    {
        if (_rights.IsAdmin)
        {
            return null;
        }

        foreach (ref readonly var stream in content.Streams)
        {
            if (!_rights.Allow(Operations.Append, content.Name(stream)))
            {
                return NotAllowed(Operations.Append, content.Name(stream));
            }
        }

        // What is required of a stream tells where it is.
        foreach (ref readonly var stream in content.Requires)
        {
            if (!_rights.Allow(Operations.Read, content.Name(stream)))
            {
                return NotAllowed(Operations.Read, content.Name(stream));
            }
        }

        // A condition looks at all events.
        var all = new Grant(Operations.Read, Grant.Everything);
        return content.ConditionCount == 0 || _rights.Allow(all) ? null : Errors.NotAllowed(caller.Name, all.ToString());
    }

    private Refusal NotAllowed(Operations operation, ReadOnlySpan<byte> stream) =>
        Errors.NotAllowed(caller.Name, new Grant(operation, Grant.CategoryOf(Errors.Name(stream))).ToString());
}
