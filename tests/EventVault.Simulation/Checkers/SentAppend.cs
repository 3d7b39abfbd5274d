using EventVault.Storage;
using EventVault.Storage.Log;
using EventVault.Storage.Scavenging;

namespace EventVault.Simulation.Checkers;

/// <summary>What an append expects of a stream.</summary>
internal enum Expectation
{
    Any,
    NoStream,
    Exists,
    Exact,
}

/// <summary>One stream of an append as a client sent it: digests stand for the events.</summary>
internal sealed record SentStream(string Name, Expectation Expected, long Version, ulong[] Digests)
{
    /// <summary>Whether it may be written behind this last version of a stream that is whole (−1: no events).</summary>
    public bool Allows(long lastVersion) => Allows(new StreamState(lastVersion, 0, IsTombstoned: false));

    /// <summary>Whether what is expected holds for a stream.</summary>
    public bool Allows(in StreamState stream) => Expected switch
    {
        Expectation.Any => true,
        Expectation.NoStream => !stream.HasEvents,
        Expectation.Exists => stream.HasEvents,
        _ => stream.Last == Version,
    };

    public override string ToString() => $"{Name}({(Expected == Expectation.Exact ? Version : Expected)}) +{Digests.Length}";
}

/// <summary>What there is of a stream at some moment.</summary>
/// <param name="Last">Last version that was written; −1: none.</param>
/// <param name="First">First version that can be read.</param>
/// <param name="IsTombstoned">Whether it must not be written any more.</param>
internal readonly record struct StreamState(long Last, long First, bool IsTombstoned)
{
    /// <summary>Whether it has events that can be read.</summary>
    public bool HasEvents => Last >= First;
}

/// <summary>What an event can be found by: the number of its type and of its tag, as clients here name them; −1: none of these.</summary>
internal readonly record struct EventLabel(int Type, int Tag)
{
    /// <summary>Whether an event has what is asked for; −1 asks for nothing.</summary>
    public bool Matches(EventLabel asked) => (asked.Type < 0 || asked.Type == Type) && (asked.Tag < 0 || asked.Tag == Tag);
}

/// <summary>No event behind a position may have this label.</summary>
internal readonly record struct SentCondition(long After, EventLabel Asked);

/// <summary>What becomes of a stream.</summary>
internal enum ChangeKind
{
    Delete,
    Tombstone,
    Truncate,
}

/// <summary>A change of a stream's life: what is expected of it, and with a truncation the first version that is kept.</summary>
internal sealed record SentChange(ChangeKind Kind, SentStream Target, long Before);

/// <summary>A retention rule that is set; one that says nothing takes the last one back.</summary>
internal sealed record SentRule(bool IsCategory, string Name, long? MaxAgeSeconds, long? MaxEvents, bool IsForever, bool IsHold)
{
    /// <summary>Whether it takes the last one back.</summary>
    public bool IsRemoval => MaxAgeSeconds is null && MaxEvents is null && !IsForever && !IsHold;
}

/// <summary>
/// One append as a client means it: sent once or, if the outcome is not known, several times. A client may also send
/// another content under the same operation id, which is another one of these.
/// </summary>
internal sealed class SentAppend(UInt128 id, SentStream[] streams)
{
    public UInt128 Id => id;

    public SentStream[] Streams => streams;

    /// <summary>Streams that it does not write and yet expects something of.</summary>
    public SentStream[] Requires { get; init; } = [];

    /// <summary>What must not match.</summary>
    public SentCondition[] Conditions { get; init; } = [];

    /// <summary>Not null: it changes the life of a stream, by one event of <c>$streams</c>.</summary>
    public SentChange? Change { get; init; }

    /// <summary>Not null: it sets a retention rule, by one event of <c>$streams</c>.</summary>
    public SentRule? Rule { get; init; }

    /// <summary>Not null: it starts or stops a scavenge, by one event of <c>$streams</c>.</summary>
    public ScavengeChange? Scavenge { get; init; }

    /// <summary>A leader's truncation: for which rules, by the positions that set them, and by which time at the latest.</summary>
    public Dictionary<long, long> DueBy { get; } = [];

    /// <summary>Attempts that are, or may still be, the ones that write it.</summary>
    public int OpenAttempts { get; set; }

    /// <summary>The attempt that was answered Appended.</summary>
    public AppendAttempt? AppendedBy { get; set; }

    /// <summary>Whether some client was told that it is written.</summary>
    public bool IsAcknowledged { get; set; }

    /// <summary>Position of its first event in the log; null: it is not there.</summary>
    public long? First { get; set; }

    /// <summary>Makes its bytes once more, for a node; they are not kept.</summary>
    public Func<VaultStorage, AppendContent>? Content { get; init; }

    /// <summary>How many events it has.</summary>
    public int EventCount { get; } = streams.Sum(s => s.Digests.Length);

    public override string ToString() => $"{id:x32} {(Change is { } change ? $"{change.Kind} {change.Target} before {change.Before}" : string.Join(' ', streams.Select(s => s.ToString())))}{string.Concat(Requires.Select(r => $" requires {r}"))}{string.Concat(Conditions.Select(c => $" if none behind {c.After} is {c.Asked}"))}";
}

/// <summary>One attempt at an append.</summary>
internal sealed class AppendAttempt(int client, uint node, SentAppend append) : Operation(client, node)
{
    public SentAppend Append => append;

    /// <summary>A leader's truncation: the rule that it is for, by the position that set it.</summary>
    public long? DueBy { get; init; }

    /// <summary>Whether its answer says that this attempt has not written the append and never will.</summary>
    public bool IsExcluded { get; set; }

    protected override string What => $"append {append}";
}

/// <summary>What a node held a conflicting append against.</summary>
/// <param name="Streams">Those it writes, in the order of the request.</param>
/// <param name="Requires">Those it requires something of; of a change: the stream that was to be changed.</param>
/// <param name="Matches">For each condition the position of a match; −1: it holds.</param>
/// <param name="IsUnchangeable">Of a change: the stream can't be changed so, whatever was expected of it.</param>
/// <param name="IsHeld">Of a change: because of a legal hold.</param>
/// <param name="IsNotDue">Of a leader's truncation: because another rule counts, or nothing is left to do.</param>
internal sealed record ConflictTold(StreamState[] Streams, StreamState[] Requires, long[] Matches, bool IsUnchangeable = false, bool IsHeld = false, bool IsNotDue = false)
{
    /// <summary>Streams that are whole, and nothing else.</summary>
    public static ConflictTold Of(long[] lastVersions) => new([.. lastVersions.Select(v => new StreamState(v, 0, IsTombstoned: false))], [], []);

    public override string ToString() => $"{string.Join(',', Streams.Concat(Requires).Select(s => $"{s.First}–{s.Last}{(s.IsTombstoned ? "†" : "")}"))} {string.Join(',', Matches)}";
}

/// <summary>What a node answered to an append that is in the log.</summary>
/// <param name="First">Position of its first event.</param>
/// <param name="Last">Position of its last event.</param>
/// <param name="RecordedAt">When.</param>
/// <param name="Versions">Last version of each stream, in the order of the request.</param>
internal sealed record AppendedAnswer(long First, long Last, long RecordedAt, long[] Versions)
{
    public override string ToString() => $"{First}–{Last}, versions {string.Join(',', Versions)}";
}
