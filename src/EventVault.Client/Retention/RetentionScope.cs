namespace EventVault.Client;

/// <summary>To what a retention rule applies: a stream, or every stream of a category. Made by <see cref="Stream"/> and <see cref="Category"/>.</summary>
public readonly record struct RetentionScope
{
    private readonly string? _name;

    private RetentionScope(string name, bool isCategory)
    {
        _name = name;
        IsCategory = isCategory;
    }

    /// <summary>Name of the stream or the category; empty: this is the default value, which names nothing.</summary>
    public string Name => _name ?? "";

    /// <summary>Whether <see cref="Name"/> is that of a category.</summary>
    public bool IsCategory { get; }

    /// <summary>One stream. It need not exist yet.</summary>
    /// <param name="name">Name of the stream; not one of the vault's own, which begin with <c>$</c>.</param>
    public static RetentionScope Stream(string name)
    {
        ArgumentNullException.ThrowIfNull(name);
        return new RetentionScope(name, isCategory: false);
    }

    /// <summary>Every stream of a category, also those that are written later.</summary>
    /// <param name="name">What stands before the first <c>-</c> of the streams' names, or all of it if there is none.</param>
    public static RetentionScope Category(string name)
    {
        ArgumentNullException.ThrowIfNull(name);
        return new RetentionScope(name, isCategory: true);
    }

    /// <summary>The scope in words.</summary>
    public override string ToString() => _name is null ? "unspecified" : IsCategory ? $"category {_name}" : $"stream {_name}";

    internal static RetentionScope? From(Protocol.RetentionScope? message) => message?.ScopeCase switch
    {
        null => null,
        Protocol.RetentionScope.ScopeOneofCase.Stream => Stream(message.Stream),
        Protocol.RetentionScope.ScopeOneofCase.Category => Category(message.Category),
        _ => throw VaultErrors.ProtocolViolation("a retention scope names neither a stream nor a category"),
    };

    internal Protocol.RetentionScope ToMessage() =>
        IsCategory ? new Protocol.RetentionScope { Category = Name } : new Protocol.RetentionScope { Stream = Name };
}
