namespace EventVault.Client;

/// <summary>What a streaming read asks for, what it has delivered, and from there what is left to ask for.</summary>
/// <typeparam name="TRequest">The request of its method.</typeparam>
internal abstract class ReadPlan<TRequest>
{
    /// <summary>Nothing is left.</summary>
    public abstract bool IsComplete { get; }

    /// <summary>A subscription: an end, even a friendly one, is a failure.</summary>
    public virtual bool IsEndless => false;

    /// <summary>How long failures may last; null: the plan leaves that to the retry policy.</summary>
    public virtual TimeSpan? GiveUpAfter => null;

    /// <summary>Told of a failure, before it is tried again; null: nobody is.</summary>
    public virtual Action<VaultException>? Interrupted => null;

    /// <summary>What the last request must have seen; null: no position.</summary>
    public ulong? AwaitedPosition { get; private set; }

    /// <summary>What the client had seen when it last asked for all there is; null: it asked otherwise, or had seen nothing.</summary>
    public ulong? SeenBefore { get; private set; }

    /// <summary>The request for what is left.</summary>
    public abstract TRequest NextRequest();

    /// <summary>The first head has come.</summary>
    /// <param name="head">As the node told it.</param>
    /// <returns>As the reader is told it.</returns>
    public abstract ReadHead Begin(ReadHead head);

    /// <summary>
    /// What the next request must have seen. One that resumes a read goes to a node that may be behind the first one: without
    /// what the read rests on, it would end early and look complete.
    /// </summary>
    protected Protocol.Consistency? ConsistencyOf(Consistency asked, ReadHead? head, SeenPosition seen)
    {
        Protocol.Consistency? consistency = (head?.LastPosition is { } position ? Consistency.AtLeast(position) : asked).ToMessage(seen);
        AwaitedPosition = consistency is { HasAtLeast: true } ? consistency.AtLeast : null;
        SeenBefore = consistency is null ? seen.Position : null;
        return consistency;
    }

    /// <summary>Drops from the page what was delivered before or is out of range, and counts the rest as delivered.</summary>
    public abstract void Accept(EventPage page);

    /// <summary>Everything up to here was delivered or did not match.</summary>
    /// <returns>False: that is old, told by a node which is behind the one before.</returns>
    public virtual bool AcceptProgress(ulong? position) => true;
}
