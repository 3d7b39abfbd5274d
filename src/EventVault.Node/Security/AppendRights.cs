using EventVault.Node.Services;
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
