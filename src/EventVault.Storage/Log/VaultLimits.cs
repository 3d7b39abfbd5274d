namespace EventVault.Storage.Log;

/// <summary>What one event and one append may hold. Checked before any work starts; served by GetInfo.</summary>
public sealed record VaultLimits
{
    /// <summary>Longest stream name, bytes of UTF-8. Fixed by the format.</summary>
    public const int StreamNameBytes = RecordFormat.MaxNameBytes;

    /// <summary>Longest event type, bytes of UTF-8.</summary>
    public const int TypeBytes = 256;

    /// <summary>Longest content type, bytes of UTF-8.</summary>
    public const int ContentTypeBytes = 256;

    /// <summary>Longest tag, bytes of UTF-8.</summary>
    public const int TagBytes = 128;

    /// <summary>Most tags on one event.</summary>
    public const int Tags = 16;

    /// <summary>Most metadata on one event, keys and values together, in bytes.</summary>
    public const int MetadataBytes = 64 * 1024;

    /// <summary>Most metadata entries on one event: their bytes are bounded too, but thousands are a mistake.</summary>
    public const int MetadataEntries = 1024;

    /// <summary>A group takes further appends up to this size; a larger append stands alone in its group.</summary>
    public const int GroupBytes = 1024 * 1024;

    /// <summary>The most that <see cref="AppendBytes"/> can be set to: it bounds what a crash can tear.</summary>
    public const int MostAppendBytes = 28 * 1024 * 1024;

    /// <summary>Largest event: all of its encoded <c>EventData</c>, in bytes. Default 4 MiB.</summary>
    public int EventBytes { get; init; } = 4 * 1024 * 1024;

    /// <summary>Largest append, all its events together, in bytes, up to <see cref="MostAppendBytes"/>. Default 16 MiB.</summary>
    public int AppendBytes { get; init; } = 16 * 1024 * 1024;

    /// <summary>Most events in one append. Default 50,000.</summary>
    public int AppendEvents { get; init; } = 50_000;
}

/// <summary>Why an event was refused.</summary>
public enum EventProblemKind
{
    /// <summary>The event is fine.</summary>
    None,

    /// <summary>It breaks a rule of <c>EventData</c>.</summary>
    Invalid,

    /// <summary>It has a field that this version does not know.</summary>
    UnknownField,

    /// <summary>It is over a limit.</summary>
    LimitExceeded,
}

/// <summary>Why an event was refused, and where.</summary>
/// <param name="Kind">What kind of problem.</param>
/// <param name="Field">Field of <c>EventData</c>, such as <c>type</c> or <c>tags[3]</c>.</param>
/// <param name="Why">In a few words.</param>
/// <param name="Limit">LimitExceeded: the limit's name as in GetInfo.</param>
/// <param name="Value">LimitExceeded: what was asked for.</param>
/// <param name="Allowed">LimitExceeded: what is allowed.</param>
public readonly record struct EventProblem(
    EventProblemKind Kind, string Field, string Why, string Limit = "", long Value = 0, long Allowed = 0)
{
    /// <summary>The event is fine.</summary>
    public static EventProblem None => default;
}
