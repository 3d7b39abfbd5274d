namespace EventVault.Client;

/// <summary>Which streams to list. The default is all but the vault's own.</summary>
public sealed record ListStreamsOptions
{
    /// <summary>How the names begin; empty: all but the vault's own, whose prefix is <c>$</c>.</summary>
    public string Prefix { get; init; } = "";

    /// <summary>
    /// Only streams of this category: what stands before the first <c>-</c> of a name, or all of it if there is none. Instead
    /// of a prefix. Null: of every category.
    /// </summary>
    public string? Category { get; init; }

    /// <summary>Streams to a page, 1 to 1,000.</summary>
    public int PageSize { get; init; } = 1000;

    /// <summary>What the listing must have seen. The default is what <see cref="VaultClientOptions.ReadFrom"/> says.</summary>
    public Consistency Consistency { get; init; }
}
