using EventVault.Node.Security;
using EventVault.Protocol;
using EventVault.Rpc.Server;
using EventVault.Storage;
using EventVault.Storage.Log;

namespace EventVault.Node.Services;

/// <summary>Appends of which each has a caller of its own: sees to it that they are decided, and says what to answer.</summary>
internal sealed class SingleAppends(VaultStorage storage, VaultLoop loop, NodeOptions options)
{
    /// <summary>Looks whether the vault knows the append already; if not, queues it and waits until it is decided.</summary>
    /// <returns>Why it was not even queued; null: <see cref="QueuedAppend.Outcome"/> says what became of it.</returns>
    public async ValueTask<Refusal?> DecideAsync(SingleAppend append)
    {
        AppendRights.LookUp(storage.Reader, append, rights: null);
        if (append.Outcome == AppendOutcome.Known)
        {
            return null;
        }

        if (Queue(append) is { } refused)
        {
            return refused;
        }

        await append.WaitAsync();
        return null;
    }

    /// <summary>Queues an append that the vault does not know. It may be decided by now; wait for it.</summary>
    /// <param name="append">The append.</param>
    /// <returns>Why it was not queued; null: it was.</returns>
    public Refusal? Queue(SingleAppend append)
    {
        append.QueuedBytes = append.Content.Bytes.Length + append.Content.HeldBytes;
        var refused = loop.Enqueue(append, append, 1, append.QueuedBytes);
        return refused == AppendOutcome.None ? null : Errors.NotDone(refused, loop.LeaderAddress);
    }

    /// <summary>Why an append was refused that was.</summary>
    public Refusal Refused(SingleAppend append) => AppendAnswers.Answer(storage.Reader, append, loop.LeaderAddress, out _)!;

    /// <summary>Appends what the vault records about a stream or about itself: one event that the node has written.</summary>
    /// <param name="append">The append, its content filled.</param>
    /// <exception cref="Rpc.RpcException">It was refused.</exception>
    public async ValueTask<AppendResponse> RecordAsync(SingleAppend append)
    {
        var problem = append.Content.Check(out _, out _);
        Invariant.Check(problem.Kind == EventProblemKind.None, "What we write ourselves breaks no rule.");
        return Answer(append, await DecideAsync(append));
    }

    /// <summary>What to answer behind <see cref="DecideAsync"/>.</summary>
    /// <param name="append">The append.</param>
    /// <param name="refusal">Why it was not even queued; null: it was decided.</param>
    /// <exception cref="Rpc.RpcException">It was refused.</exception>
    public AppendResponse Answer(SingleAppend append, Refusal? refusal)
    {
        AppendResponse? response = null;
        refusal ??= AppendAnswers.Answer(storage.Reader, append, loop.LeaderAddress, out response);
        return response ?? throw refusal!.ToException();
    }

    /// <summary>Refuses what only the leader does, before anything else is looked at.</summary>
    /// <exception cref="Rpc.RpcException">UNAVAILABLE: this node follows another one, or nobody leads.</exception>
    public void RequireLeader()
    {
        if (loop.Standing.Role != Raft.Role.Leader)
        {
            throw Errors.NotDone(AppendOutcome.NotLeader, loop.LeaderAddress).ToException();
        }
    }

    /// <summary>A new append on behalf of a call, one that has more to do than to append.</summary>
    /// <param name="context">The call; its deadline is the append's.</param>
    /// <exception cref="Rpc.RpcException">UNAVAILABLE: this node does not lead.</exception>
    public SingleAppend New(RpcContext context)
    {
        RequireLeader();
        var append = new SingleAppend(storage);
        Begin(append, context);
        return append;
    }

    /// <summary>Notes whose append it is, and until when it may wait.</summary>
    /// <param name="append">The append.</param>
    /// <param name="context">The call.</param>
    public void Begin(SingleAppend append, RpcContext context)
    {
        append.Client = context.Connection.State<AppendClient>();
        append.Deadline = DeadlineOf(context);
        append.Arrived = System.Diagnostics.Stopwatch.GetTimestamp();
    }

    /// <summary>Until when an append may wait in the queue, as <see cref="VaultLoop.NowMs"/> counts.</summary>
    private long DeadlineOf(RpcContext context) =>
        context.TimeLeft is { } left ? VaultLoop.NowMs(options.Clock) + (long)left.TotalMilliseconds : long.MaxValue;
}
