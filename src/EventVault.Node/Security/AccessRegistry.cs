// The users and roles of the vault: what the events of `$access` say. Followed by version, so that nothing is read twice; a look when nothing
// came since costs one look-up of the stream's head.
using System.Collections.Immutable;
using EventVault.Storage;
using EventVault.Storage.Log;

namespace EventVault.Node.Security;

/// <summary>A user of the vault.</summary>
/// <param name="Name">The name.</param>
/// <param name="Roles">Names of its roles; one that is not there allows nothing.</param>
/// <param name="Password">Null: it has none, and comes by certificate or token.</param>
/// <param name="ChangedItselfAt">When it last gave itself another password, and nobody else has since: 100 ns ticks since 1970. 0: never.</param>
internal sealed record VaultUser(string Name, ImmutableArray<string> Roles, PasswordHash? Password, long ChangedItselfAt = 0);

/// <summary>A role.</summary>
/// <param name="Name">The name.</param>
/// <param name="Grants">What it allows.</param>
internal sealed record VaultRole(string Name, ImmutableArray<Grant> Grants)
{
    /// <summary>Roles that are always there, and nobody can change.</summary>
    public static ImmutableDictionary<string, VaultRole> BuiltIn { get; } = new[]
    {
        new VaultRole("admin", [new(Operations.Admin, Grant.Everything)]),
        new VaultRole("manager", [new(Operations.Read, Grant.Everything), new(Operations.Append, Grant.Everything), new(Operations.Manage, Grant.Everything)]),
        new VaultRole("writer", [new(Operations.Read, Grant.Everything), new(Operations.Append, Grant.Everything)]),
        new VaultRole("reader", [new(Operations.Read, Grant.Everything)]),
        new VaultRole("auditor", [new(Operations.Read, "$audit"), new(Operations.Read, "$access")]),
    }.ToImmutableDictionary(r => r.Name, StringComparer.Ordinal);
}

/// <summary>The users and roles as of a version of <c>$access</c>. Nobody changes it.</summary>
/// <param name="Through">The last version that is in it; <see cref="StreamVersion.None"/>: none is.</param>
/// <param name="Users">By name.</param>
/// <param name="Roles">By name, without those that are always there.</param>
/// <param name="IsReadable">False: a later version wrote what this one can't understand.</param>
internal sealed record AccessState(
    StreamVersion Through, ImmutableSortedDictionary<string, VaultUser> Users, ImmutableSortedDictionary<string, VaultRole> Roles, bool IsReadable)
{
    /// <summary>As of the vault's beginning.</summary>
    public static AccessState None { get; } = new(
        StreamVersion.None,
        ImmutableSortedDictionary.Create<string, VaultUser>(StringComparer.Ordinal),
        ImmutableSortedDictionary.Create<string, VaultRole>(StringComparer.Ordinal),
        IsReadable: true);

    /// <summary>What roles allow, together.</summary>
    public Rights Of(IEnumerable<string> roles) => !IsReadable ? Rights.None : new Rights(roles.SelectMany(GrantsOf));

    /// <summary>What a role allows; nothing, if there is none of that name.</summary>
    public IEnumerable<Grant> GrantsOf(string role) =>
        VaultRole.BuiltIn.TryGetValue(role, out var known) || Roles.TryGetValue(role, out known) ? known.Grants : [];
}

/// <summary>Follows <c>$access</c>. Safe for concurrent use.</summary>
internal sealed class AccessRegistry
{
    private readonly EventReader _reader;
    private readonly StreamReference _stream;
    private readonly Lock _following = new();
    private volatile AccessState _known = AccessState.None;

    public AccessRegistry(EventReader reader)
    {
        _reader = reader;
        _stream = reader.Reference(AccessEvent.Stream);
    }

    /// <summary>All that is committed now.</summary>
    /// <exception cref="DamageException">An event is damaged.</exception>
    public AccessState Current()
    {
        var last = _reader.LastVersion(_stream);
        if (_known.Through >= last)
        {
            return _known;
        }

        lock (_following)
        {
            if (_known.Through < last)
            {
                var sink = new Sink { State = _known };
                for (var next = _known.Through + 1; next <= last;)
                {
                    next += _reader.ReadStream(_stream, next, last, backwards: false, ref sink);
                }

                _known = sink.State with { Through = last };
            }

            return _known;
        }
    }

    private struct Sink : IEventSink
    {
        public AccessState State { get; set; }

        public bool Accept(in EventView e)
        {
            State = AccessEvent.Apply(State, e);
            return true;
        }
    }
}
