using EventVault.Storage;
using EventVault.Storage.Log;

namespace EventVault.Node;

/// <summary>What became of an append.</summary>
internal enum AppendOutcome
{
    /// <summary>Not decided yet.</summary>
    None,

    /// <summary>Written and committed.</summary>
    Appended,

    /// <summary>
    /// An expected version, a requirement or a condition did not hold; what it was held against is committed. Not written.
    /// </summary>
    Conflict,

    /// <summary>Its operation id is in the log: the answer stands there.</summary>
    Known,

    /// <summary>Its operation id may be forgotten, but its very events are in the log: the answer was worked out from them.</summary>
    Proven,

    /// <summary>Its operation id may be forgotten: whether its first attempt was written, nobody can say. This one was not.</summary>
    TooOld,

    /// <summary>It speaks of a position that did not exist when this node was sure to lead. Not written.</summary>
    Ahead,

    /// <summary>What matched a condition was deleted while it was queued: its caller has to look again. Not written.</summary>
    LookAgain,

    /// <summary>What it had to be checked against can't be read. Not written.</summary>
    Damaged,

    /// <summary>It waited longer in the queue than its caller allowed. Not written.</summary>
    TimedOut,

    /// <summary>The queue is full. Not written.</summary>
    Overloaded,

    /// <summary>The disk is full. Not written.</summary>
    Full,

    /// <summary>The node is stopping. Not written.</summary>
    Draining,

    /// <summary>An append before it in its session was refused, and it with it. Not written.</summary>
    RefusedBefore,

    /// <summary>
    /// It was being written when the disk failed, or proposed when its caller stopped waiting: it may or may not be there.
    /// </summary>
    Unknown,

    /// <summary>This node does not lead, or led and another one's group stands in its place. Not written.</summary>
    NotLeader,
}

/// <summary>
/// One append on its way through the node. Its maker fills <see cref="Content"/>, the sequencer decides it, and it is
/// completed behind the sequencer's step. Reusable once completed.
/// </summary>
internal abstract class QueuedAppend(AppendContent content)
{
    /// <summary>What is to be appended.</summary>
    public AppendContent Content { get; } = content;

    /// <summary>Who asks for it; null: the node itself.</summary>
    public AppendClient? Client { get; set; }

    /// <summary>When it gives up waiting in the queue, in VaultLoop.NowMs milliseconds; never: long.MaxValue.</summary>
    public long Deadline { get; set; } = long.MaxValue;

    /// <summary>When its request arrived, by Stopwatch; 0: nobody measures it.</summary>
    public long Arrived { get; set; }

    /// <summary>Bytes it holds on to while it waits; bounds the queue.</summary>
    public int QueuedBytes { get; set; }

    /// <summary>What became of it.</summary>
    public AppendOutcome Outcome { get; set; }

    /// <summary>Appended: position of the first event.</summary>
    public Position First { get; set; }

    /// <summary>Appended: when it was recorded, 100 ns ticks since 1970.</summary>
    public long RecordedAt { get; set; }

    /// <summary>Known: where it stands.</summary>
    public OperationPlace Place { get; set; }

    /// <summary>Damaged: what can't be read.</summary>
    public Exception? Damage { get; set; }

    /// <summary>How many of its group were completed before it, on the same thread.</summary>
    public int CompletedBefore { get; set; }

    /// <summary>Whether a refusal of this append refuses those behind it too; asked on the sequencer's thread.</summary>
    public virtual bool IsRefusedByEarlier => false;

    internal QueuedAppend? Next { get; set; }

    /// <summary>The sequencer has refused it without writing: sessions refuse what follows.</summary>
    public virtual void OnRefused()
    {
    }

    /// <summary>It is decided. Runs on a thread of the pool or of a caller, many in one item: must neither block nor throw.</summary>
    public abstract void Complete();

    /// <summary>
    /// All appends of its group are complete: a session answers them together now. May come when the append is in use
    /// again, so it may only wake whoever looks for completed ones.
    /// </summary>
    public virtual void Announce()
    {
    }
}
