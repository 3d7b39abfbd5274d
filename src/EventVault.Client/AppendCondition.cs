namespace EventVault.Client;

/// <summary>
/// What must not have happened for an append to be written: any event behind a position that matches a query. Read what
/// the decision rests on, decide, and append on condition that nothing of the kind came since:
/// <code>
/// ReadResult read = client.ReadAllAsync(new ReadOptions { Filter = EventFilter.Of(query) });
/// ReadHead head = await read.GetHeadAsync();
/// …
/// new AppendOptions { Conditions = [AppendCondition.FailIfMatch(query, head.LastPosition)] }
/// </code>
/// </summary>
public sealed class AppendCondition
{
    private AppendCondition(EventQuery query, ulong? after)
    {
        Query = query;
        After = after;
    }

    /// <summary>What must not match.</summary>
    public EventQuery Query { get; }

    /// <summary>Only events behind this position count; null: all events.</summary>
    public ulong? After { get; }

    /// <summary>The append fails with <see cref="ConditionFailedException"/> if an event behind a position matches.</summary>
    /// <param name="query">The query. Events of the vault's own streams never match.</param>
    /// <param name="after">
    /// <see cref="ReadHead.LastPosition"/> of the read that the decision rests on, not the position of the last event that
    /// matched. Null, as of a vault that was empty: no event at all may match.
    /// </param>
    public static AppendCondition FailIfMatch(EventQuery query, ulong? after = null)
    {
        ArgumentNullException.ThrowIfNull(query);
        return new AppendCondition(query, after);
    }
}

/// <summary>What must hold of a stream that the append does not write.</summary>
/// <param name="Stream">Name of the stream.</param>
/// <param name="Expected">What its last version must be.</param>
public sealed record StreamRequirement(string Stream, ExpectedVersion Expected);
