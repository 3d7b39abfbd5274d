namespace EventVault.Client;

/// <summary>What a state must rest on.</summary>
public record StateOptions
{
    /// <summary>
    /// If events that went into the state are truncated and nothing stands in for them: fold what is left
    /// (<see cref="StreamState.PartialFromVersion"/>) instead of failing with <see cref="IncompleteHistoryException"/>.
    /// </summary>
    public bool AllowPartial { get; init; }

    /// <summary>What the answer must have seen. The default is what <see cref="VaultClientOptions.ReadFrom"/> says.</summary>
    public Consistency Consistency { get; init; }
}

/// <summary>Which states of a category are wanted.</summary>
public sealed record CategoryStateOptions : StateOptions
{
    /// <summary>At most this many streams; 0: all.</summary>
    public ulong Limit { get; init; }

    /// <summary>Only streams whose names come behind this one; empty: from the first one on.</summary>
    public string After { get; init; } = "";
}

/// <summary>Which states of a stream's history are wanted.</summary>
public sealed record StateHistoryOptions : StateOptions
{
    /// <summary>Begin of the range, inclusive. Null: the stream's first event.</summary>
    public AsOf? From { get; init; }

    /// <summary>End of the range, inclusive. The default is the newest state.</summary>
    public AsOf Until { get; init; }

    /// <summary>Where on the way. The default is <see cref="HistoryStep.EachChange"/>.</summary>
    public HistoryStep Step { get; init; }

    /// <summary>At most this many states; 0: as many as the vault allows in one call, which is 10,000.</summary>
    public ulong Limit { get; init; }
}
