// What is too expensive after every event: everything that a node holds, read in every way there is.
using EventVault.Simulation.Cluster;
using EventVault.Storage;
using EventVault.Storage.Log;
using EventVault.Storage.Scavenging;

namespace EventVault.Simulation.Checkers;

/// <summary>Checks what nodes hold at the end against the ledger.</summary>
internal sealed class FinalCheck(Ledger ledger, AppendChecker appends)
{
    private const int PageEvents = 500;

    /// <param name="nodes">Nodes of a core that has converged.</param>
    /// <param name="reopen">Stops a node cleanly, deletes all that can be rebuilt, and opens its storage again.</param>
    public void Run(IReadOnlyList<SimulatedNode> nodes, Func<SimulatedNode, VaultStorage> reopen)
    {
        CheckNothingLost(nodes.Select(node => node.Storage));
        var membership = nodes.MaxBy(node => node.Storage.CommitIndex.Value)!.Replica.Membership;
        var members = nodes.Where(node => membership.RoleOf(node.Id!.Value) != 0).Select(node => node.Number).ToHashSet();
        foreach (var node in nodes)
        {
            CheckNode(node.Number, node.Storage, "as it ran");
            RequireWhole(node.Number, node.Storage, "as it ran");
        }

        foreach (var node in nodes)
        {
            var commit = node.Storage.CommitIndex.Value;
            using var storage = reopen(node);
            Require.That(Rules.NothingLost, storage.Tail.LastIndex.Value >= commit, $"node {node.Number} had entries up to {commit}, after a clean stop {storage.Tail.LastIndex}.");
            if (storage.CommitIndex.Value < commit)
            {
                storage.Commit(new(commit)); // The log does not prove it all; the others do.
            }

            CheckNode(node.Number, storage, "with its index rebuilt");
            RequireWhole(node.Number, storage, "with its index rebuilt");
        }

        void RequireWhole(int node, VaultStorage storage, string what) => Require.That(
            Rules.IndexEqualsLog, storage.IsWhole || !members.Contains(node), $"node {node}, {what}: it shows nothing before {storage.WholeFrom}, and all that there is ends at {storage.Head}.");
    }

    /// <summary>Some node has everything that was ever committed.</summary>
    public void CheckNothingLost(IEnumerable<VaultStorage> storages)
    {
        var furthest = storages.Max(storage => storage.CommitIndex.Value);
        Require.That(Rules.NothingLost, furthest >= ledger.LastIndex, $"entries up to {ledger.LastIndex} were committed, the nodes have {furthest}.");
    }

    /// <summary>What a node holds is what was committed, byte by byte, and every way to read it shows that.</summary>
    public void CheckNode(int node, VaultStorage storage, string what)
    {
        CheckLog(node, storage);
        if (storage.IsWhole)
        {
            CheckReads(node, storage, what); // Otherwise nobody is shown anything: who was removed in the midst of an install stays so.
        }

        CheckOperations(node, storage);
    }

    private void CheckLog(int node, VaultStorage storage)
    {
        for (var index = 1UL; index <= storage.CommitIndex.Value; index++)
        {
            byte[] group;
            try
            {
                group = storage.ReadGroup(new(index));
            }
            catch (ScavengedGroupException)
            {
                continue; // ScavengeChecker has looked at it.
            }

            Require.That(Rules.LogsEqual, GroupDecoder.Mark(group) == ledger.Group(index).Mark, $"node {node} has entry {index} as {GroupDecoder.Mark(group)}, committed was {ledger.Group(index).Mark}.");
        }
    }

    /// <summary>Every way to read a node shows what was committed up to its head.</summary>
    public void CheckReads(int node, VaultStorage storage, string what)
    {
        var head = storage.Head.Value;
        Require.That(Rules.IndexEqualsLog, head == ledger.PositionAt(storage.CommitIndex.Value), $"node {node}, {what}: head {head}, the log ends at {ledger.PositionAt(storage.CommitIndex.Value)}.");
        var reads = new ReadChecker(ledger, new History(() => 0, ledger));
        for (var from = 0L; from <= head; from += PageEvents)
        {
            Check(new ReadRequest(ReadKind.All, Consistency.Local, From: from, Most: PageEvents));
            Check(new ReadRequest(ReadKind.All, Consistency.Local, From: head - from, Most: PageEvents, Backwards: true));
            Check(new ReadRequest(ReadKind.Time, Consistency.Local, From: ledger.Event(from).RecordedAt));
            Check(new ReadRequest(ReadKind.Time, Consistency.Local, From: ledger.Event(from).RecordedAt + 1));
        }

        foreach (var stream in ledger.Streams)
        {
            Check(new ReadRequest(ReadKind.Events, Consistency.Local, Stream: stream, Most: int.MaxValue));
            Check(new ReadRequest(ReadKind.Events, Consistency.Local, Stream: stream, From: long.MaxValue, Most: int.MaxValue, Backwards: true));
            Check(new ReadRequest(ReadKind.StreamHead, Consistency.Local, Stream: stream));
        }

        Check(new ReadRequest(ReadKind.List, Consistency.Local, Most: int.MaxValue));

        void Check(ReadRequest request)
        {
            try
            {
                reads.Answered(reads.Begin(0, (uint)node, request), VaultReads.Read(storage, request));
            }
            catch (ViolationException e)
            {
                throw new ViolationException(Rules.IndexEqualsLog, $"node {node}, {what}: {e.Message}");
            }
        }
    }

    // Every append in the log is found by its operation id, with its first answer.
    private void CheckOperations(int node, VaultStorage storage)
    {
        foreach (var append in appends.Written)
        {
            if (append.Content is not { } content || append.First!.Value > storage.Head.Value)
            {
                continue;
            }

            var retry = content(storage);
            retry.Check(out _, out _);
            var isKnown = storage.Reader.LookUp(retry, out var place) || storage.Tail.Check(retry, out place) == AppendCheck.Known;
            Require.That(Rules.OperationsKnown, isKnown, $"node {node} does not know {append}, which stands at {append.First}.");
            var answer = storage.Reader.ReadAnswer(place, retry);
            var last = append.First.Value + append.EventCount - 1;
            var isTrue = answer is not null && answer.SameContent && answer.First.Value == append.First && answer.Last.Value == last && answer.RecordedAt == ledger.Event(last).RecordedAt
                && answer.Versions.Select(v => v.Value).SequenceEqual(append.Streams.Select(s => ledger.LastVersion(s.Name, last)));
            Require.That(Rules.OperationsKnown, isTrue, $"node {node} answers a retry of {append}, which stands at {append.First}, with {answer}.");
        }
    }
}
