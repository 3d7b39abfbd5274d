using EventVault.Storage;
using EventVault.Storage.Log;

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
    /// <summary>Whether it may be written behind this last version (−1: no events).</summary>
    public bool Allows(long lastVersion) => Expected switch
    {
        Expectation.Any => true,
        Expectation.NoStream => lastVersion < 0,
        Expectation.Exists => lastVersion >= 0,
        _ => lastVersion == Version,
    };

    public override string ToString() => $"{Name}({(Expected == Expectation.Exact ? Version : Expected)}) +{Digests.Length}";
}

/// <summary>
/// One append as a client means it: sent once or, if the outcome is not known, several times. A client may also send
/// another content under the same operation id, which is another one of these.
/// </summary>
internal sealed class SentAppend(UInt128 id, SentStream[] streams)
{
    public UInt128 Id => id;

    public SentStream[] Streams => streams;

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

    public override string ToString() => $"{id:x32} {string.Join(' ', streams.Select(s => s.ToString()))}";
}

/// <summary>One attempt at an append.</summary>
internal sealed class AppendAttempt(int client, uint node, SentAppend append) : Operation(client, node)
{
    public SentAppend Append => append;

    /// <summary>Whether its answer says that this attempt has not written the append and never will.</summary>
    public bool IsExcluded { get; set; }

    protected override string What => $"append {append}";
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
