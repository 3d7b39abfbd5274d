namespace EventVault.Node.Security;

/// <summary>Who calls. Its rights are looked up when they are needed: they may change while it calls.</summary>
/// <param name="name">Name of the user.</param>
internal sealed class Caller(string name)
{
    /// <summary>The user that is an administrator whatever the vault says, and that every node knows.</summary>
    public const string AdminName = "admin";

    private volatile KnownRights? _rights;

    /// <summary>Whoever reaches a node that asks nobody for credentials.</summary>
    public static Caller Anybody { get; } = new("anybody") { IsBuiltIn = true };

    /// <summary>Name of the user.</summary>
    public string Name { get; } = name;

    /// <summary>Whether it is an administrator by what the node was started with.</summary>
    public bool IsBuiltIn { get; init; }

    /// <summary>Roles that its token gives it beside those of the user.</summary>
    public IReadOnlyList<string> TokenRoles { get; init; } = [];

    /// <summary>The hash that its password was checked against; null: it has shown something else. Another one means that the password was changed.</summary>
    public PasswordHash? Password { get; init; }

    /// <summary>The keys that its token was checked with; null: it has shown something else.</summary>
    public object? TokenKeys { get; init; }

    /// <summary>The certificate that its connection has shown; null: it has shown something else.</summary>
    public ShownCertificate? Certificate { get; init; }

    /// <summary>When its token or certificate ends, ms of Unix time.</summary>
    public long EndsAt { get; init; } = long.MaxValue;

    /// <summary>What it may do by users and roles; worked out anew only when those have changed. Not for who is built in.</summary>
    public Rights RightsBy(AccessState state)
    {
        if (_rights is { } known && known.Through == state.Through)
        {
            return known.Rights;
        }

        var own = state.Users.TryGetValue(Name, out var user) ? user.Roles : [];
        var rights = state.Of(own.Concat(TokenRoles));
        _rights = new KnownRights(state.Through, rights);
        return rights;
    }

    private sealed record KnownRights(Storage.StreamVersion Through, Rights Rights);
}
