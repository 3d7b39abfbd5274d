namespace EventVault.Node.Security;

/// <summary>Who calls. Its rights are looked up when they are needed: they may change while it calls.</summary>
/// <param name="name">Name of the user.</param>
internal sealed class Caller(string name)
{
    /// <summary>The user that is an administrator whatever the vault says, and that every node knows.</summary>
    public const string AdminName = "admin";

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

    /// <summary>When its token or certificate ends, ms of Unix time.</summary>
    public long EndsAt { get; init; } = long.MaxValue;
}
