namespace EventVault.Storage.Log;

/// <summary>To what a retention rule applies. The numbers are those of the state table.</summary>
public enum RetentionScope : byte
{
    /// <summary>Every stream of a category: the part of a stream's name before the first <c>-</c>, all of it if there is none.</summary>
    Category = 1,

    /// <summary>One stream.</summary>
    Stream = 2,
}

/// <summary>How long events are kept. An event is due if any of the limits says so. The default says nothing.</summary>
public sealed record RetentionRule
{
    /// <summary>100 years. What is longer is a mistake: <see cref="Forever"/> is there to be said.</summary>
    public const long MostAgeSeconds = 3_155_760_000;

    /// <summary>
    /// Keeps events this long after they were recorded, in seconds, 1 to <see cref="MostAgeSeconds"/>, and by
    /// <see cref="RetentionWork.MostAgeSlack"/> or a tenth longer at most. Null: no limit.
    /// </summary>
    public long? MaxAgeSeconds { get; init; }

    /// <summary>Keeps a stream's last so many events, at least 1. Null: no limit.</summary>
    public long? MaxEvents { get; init; }

    /// <summary>
    /// Keeps a stream's last events as long as they take no more than this, in bytes of <c>EventData</c>, at least 1; the last
    /// one whatever its size. Null: no limit.
    /// </summary>
    public long? MaxBytes { get; init; }

    /// <summary>Keeps everything, whatever the category's rule says. Not together with a limit.</summary>
    public bool Forever { get; init; }

    /// <summary>While it holds, nothing is deleted, tombstoned, truncated, due or scavenged.</summary>
    public bool LegalHold { get; init; }

    /// <summary>Whether it makes events due.</summary>
    public bool HasLimits => MaxAgeSeconds is not null || MaxEvents is not null || MaxBytes is not null;

    /// <summary>Whether it says something, and nothing impossible.</summary>
    public bool IsValid =>
        MaxAgeSeconds is null or (>= 1 and <= MostAgeSeconds) && MaxEvents is null or >= 1 && MaxBytes is null or >= 1
        && (HasLimits || Forever || LegalHold) && !(HasLimits && Forever);
}

/// <summary>A rule that was set.</summary>
/// <param name="Scope">To what it applies.</param>
/// <param name="Name">Of the stream or category, UTF-8; not to be changed.</param>
/// <param name="Rule">The rule.</param>
/// <param name="SetAt">Position of the event that set it.</param>
public sealed record RetentionEntry(RetentionScope Scope, byte[] Name, RetentionRule Rule, Position SetAt);
