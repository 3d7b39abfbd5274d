using System.Globalization;

namespace EventVault.Simulation.Checkers;

/// <summary>How an operation of a client ended.</summary>
internal enum OperationOutcome
{
    /// <summary>Not answered yet.</summary>
    Pending,

    /// <summary>Written by this attempt.</summary>
    Appended,

    /// <summary>Written before, by another attempt; this one got its answer.</summary>
    Duplicate,

    /// <summary>The operation id stands in the log with other content. Not written.</summary>
    Reused,

    /// <summary>An expected version did not hold. Not written.</summary>
    Conflict,

    /// <summary>Refused for another reason. Not written, not read.</summary>
    Refused,

    /// <summary>The client gave up waiting, or was told so: it may be written yet.</summary>
    Unknown,

    /// <summary>A read that was answered.</summary>
    Read,
}

/// <summary>One call of a client to one node.</summary>
internal abstract class Operation(int client, uint node)
{
    /// <summary>1, 2, 3 … in the order of invocation.</summary>
    public long Number { get; internal set; }

    public int Client => client;

    public uint Node => node;

    /// <summary>Virtual time when it was sent.</summary>
    public long InvokedAt { get; internal set; }

    /// <summary>
    /// The ledger's head when it was sent: what was committed by then precedes it. Stronger than what clients alone can
    /// tell, and why no sweep over sorted times is needed: the interval in which it takes effect begins here.
    /// </summary>
    public long HeadBefore { get; internal set; }

    /// <summary>Virtual time of its answer.</summary>
    public long CompletedAt { get; internal set; }

    public OperationOutcome Outcome { get; internal set; }

    /// <summary>The answer, or why it was refused.</summary>
    public string Answer { get; internal set; } = "";

    protected abstract string What { get; }

    public override string ToString()
    {
        var answer = Outcome == OperationOutcome.Pending ? "pending" : $"{Outcome} {Answer} at {Time(CompletedAt)}";
        return $"#{Number} client {client} → node {node} at {Time(InvokedAt)}, head {HeadBefore}: {What} → {answer}";
    }

    private static string Time(long ticks) => (ticks / (double)TimeSpan.TicksPerSecond).ToString("0.000000", CultureInfo.InvariantCulture) + " s";
}
