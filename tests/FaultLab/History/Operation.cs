using System.Text.Json.Serialization;
using EventVault.Protocol;

namespace EventVault.FaultLab.History;

/// <summary>
/// Something a client of the lab did or saw, with the times at which it began and ended, in ticks of one monotonic clock
/// (<see cref="System.Diagnostics.Stopwatch"/>): all clients live in one process, so real-time order is what these say.
/// </summary>
[JsonDerivedType(typeof(AppendAttempt), "append")]
[JsonDerivedType(typeof(ReadAttempt), "read")]
[JsonDerivedType(typeof(HeadAttempt), "head")]
[JsonDerivedType(typeof(StateAttempt), "state")]
[JsonDerivedType(typeof(Delivery), "delivery")]
[JsonDerivedType(typeof(StatusSample), "status")]
[JsonDerivedType(typeof(WrongClock), "clock")]
[JsonDerivedType(typeof(Mark), "mark")]
internal abstract record Operation
{
    /// <summary>Who did it, such as <c>writer-3</c>.</summary>
    public string Client { get; init; } = "";

    /// <summary>The node that was asked, from 1.</summary>
    public int Node { get; init; }

    /// <summary>Which process of that node: how often the lab had started it.</summary>
    public int Start { get; init; }

    /// <summary>When it began.</summary>
    public long Invoked { get; init; }

    /// <summary>When it ended.</summary>
    public long Completed { get; init; }

    /// <summary>Why it came to nothing; null: it was answered.</summary>
    public string? Failure { get; init; }

    /// <summary>For people.</summary>
    public override string ToString() =>
        $"{GetType().Name} of {Client} on node {Node}.{Start} at {Clock.Milliseconds(Invoked)}–{Clock.Milliseconds(Completed)} ms";
}

/// <summary>How an attempt to append ended.</summary>
internal enum AppendOutcome
{
    /// <summary>Written by this attempt.</summary>
    Written,

    /// <summary>An earlier attempt had written it.</summary>
    Duplicate,

    /// <summary>A stream or a condition was not as expected: not written by this attempt.</summary>
    Conflict,

    /// <summary>Definitely not written by this attempt.</summary>
    Refused,

    /// <summary>Nobody said.</summary>
    Unknown,
}

/// <summary>What is expected of a stream: <c>any</c>, <c>no-stream</c>, <c>exists</c> or an exact version.</summary>
/// <param name="Kind">One of the four.</param>
/// <param name="Version">Of <c>exact</c>.</param>
internal readonly record struct Expected(ExpectedKind Kind, long Version = -1)
{
    public static Expected Any => new(ExpectedKind.Any);

    public static Expected NoStream => new(ExpectedKind.NoStream);

    public static Expected Exists => new(ExpectedKind.Exists);

    public static Expected Exactly(long version) => version < 0 ? NoStream : new(ExpectedKind.Exact, version);

    /// <summary>Whether a stream's last version, -1 if it has none, is what was expected.</summary>
    public bool IsMetBy(long lastVersion) => Kind switch
    {
        ExpectedKind.NoStream => lastVersion < 0,
        ExpectedKind.Exists => lastVersion >= 0,
        ExpectedKind.Exact => lastVersion == Version,
        _ => true,
    };
}

/// <summary>The kinds of <see cref="Expected"/>.</summary>
internal enum ExpectedKind
{
    Any,
    NoStream,
    Exists,
    Exact,
}

/// <summary>What an append writes to a stream.</summary>
/// <param name="Stream">The stream.</param>
/// <param name="Expected">What its last version must be.</param>
/// <param name="Events">Digests of the events (<see cref="EventDigest"/>).</param>
internal sealed record StreamWrite(string Stream, Expected Expected, ulong[] Events);

/// <summary>A stream that is not written, and what must hold of it.</summary>
/// <param name="Stream">The stream.</param>
/// <param name="Expected">What its last version must be.</param>
internal sealed record Requirement(string Stream, Expected Expected);

/// <summary>No event behind a position may have the tag.</summary>
/// <param name="Tag">The tag.</param>
/// <param name="After">The position; -1: none at all.</param>
internal sealed record TagCondition(string Tag, long After);

/// <summary>What a conflict said of a stream.</summary>
/// <param name="Stream">The stream.</param>
/// <param name="Actual">Its last version; -1: it has none.</param>
internal sealed record ToldVersion(string Stream, long Actual);

/// <summary>One attempt to append. A repeat has the same operation id and the same content.</summary>
internal sealed record AppendAttempt : Operation
{
    public Guid OperationId { get; init; }

    public IReadOnlyList<StreamWrite> Writes { get; init; } = [];

    public IReadOnlyList<Requirement> Requires { get; init; } = [];

    public TagCondition? Condition { get; init; }

    public AppendOutcome Outcome { get; init; }

    /// <summary>Of a client that does not wait for answers: how many it had sent before, to the same stream; -1: of others.</summary>
    public long Sequence { get; init; } = -1;

    /// <summary>Why it was refused; unspecified: the call was lost, or was not.</summary>
    public Reason Reason { get; init; }

    /// <summary>Of an answer that it is written.</summary>
    public long FirstPosition { get; init; } = -1;

    public long LastPosition { get; init; } = -1;

    /// <summary>The last version of each written stream, in the order of <see cref="Writes"/>.</summary>
    public IReadOnlyList<long> Versions { get; init; } = [];

    /// <summary>100 ns ticks since 1970.</summary>
    public long RecordedAt { get; init; }

    /// <summary>Of a conflict: the streams that are not as expected.</summary>
    public IReadOnlyList<ToldVersion> Conflicts { get; init; } = [];

    /// <summary>Of a conflict: an event that matches the condition; -1: none was named.</summary>
    public long MatchingPosition { get; init; } = -1;
}

/// <summary>What a read has to have seen.</summary>
internal enum Level
{
    Linearizable,
    AtLeast,
    Local,
}

/// <summary>An event as somebody was shown it.</summary>
/// <param name="Position">Its position.</param>
/// <param name="Version">Its version.</param>
/// <param name="RecordedAt">Its time.</param>
/// <param name="Digest">Of stream and content (<see cref="EventDigest"/>).</param>
internal readonly record struct SeenEvent(long Position, long Version, long RecordedAt, ulong Digest);

/// <summary>A read of a stream, or of all.</summary>
internal sealed record ReadAttempt : Operation
{
    /// <summary>Null: all streams, those of the vault too.</summary>
    public string? Stream { get; init; }

    public Level Level { get; init; }

    /// <summary>With <see cref="Level.AtLeast"/>.</summary>
    public long AtLeast { get; init; } = -1;

    public bool IsBackwards { get; init; }

    /// <summary>Version or position to begin at; -1: the end where the direction begins.</summary>
    public long From { get; init; } = -1;

    /// <summary>Most events.</summary>
    public int Limit { get; init; }

    /// <summary>The vault's last position that the answer rests on; -1: it was empty.</summary>
    public long Head { get; init; } = -1;

    /// <summary>The stream's last version; -1: it has none.</summary>
    public long LastVersion { get; init; } = -1;

    public IReadOnlyList<SeenEvent> Events { get; init; } = [];
}

/// <summary>A question for the last version of a stream.</summary>
internal sealed record HeadAttempt : Operation
{
    public string Stream { get; init; } = "";

    public Level Level { get; init; }

    public long AtLeast { get; init; } = -1;

    /// <summary>-1: the stream has no events.</summary>
    public long LastVersion { get; init; } = -1;

    public long LastPosition { get; init; } = -1;
}

/// <summary>A question for a stream's state as of a position.</summary>
internal sealed record StateAttempt : Operation
{
    public string Stream { get; init; } = "";

    public long AsOf { get; init; }

    /// <summary>-1: the stream had no events then.</summary>
    public long Version { get; init; } = -1;

    /// <summary>How many events went into it.</summary>
    public long Count { get; init; }
}

/// <summary>Events that came to a subscription in one message.</summary>
internal sealed record Delivery : Operation
{
    /// <summary>Null: to all streams.</summary>
    public string? Stream { get; init; }

    public IReadOnlyList<SeenEvent> Events { get; init; } = [];
}

/// <summary>How a node said it stands.</summary>
internal sealed record StatusSample : Operation
{
    /// <summary>Of its disk: another one has terms of its own.</summary>
    public string Incarnation { get; init; } = "";

    public ulong Term { get; init; }

    public ulong CommitIndex { get; init; }

    public ulong LastIndex { get; init; }

    public bool IsLeader { get; init; }
}

/// <summary>A node's clock was set wrong. Begins when it was set, and ends once the node was seen not to lead; never, if there is no other.</summary>
internal sealed record WrongClock : Operation
{
    /// <summary>How far ahead of the machine's, 100 ns ticks.</summary>
    public long Ahead { get; init; }
}

/// <summary>What the lab did, for people who read the history.</summary>
internal sealed record Mark : Operation
{
    public string Text { get; init; } = "";
}
