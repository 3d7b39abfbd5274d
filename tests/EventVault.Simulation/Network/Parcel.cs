using EventVault.Node.Replication;
using EventVault.Raft;

namespace EventVault.Simulation.Network;

/// <summary>A message between replicas on its way.</summary>
internal sealed class Parcel(int from, PeerMessage message) : IParcel
{
    public int From => from;

    public PeerMessage Message => message;

    public void MixInto(Scheduling.Trace trace)
    {
        var raft = message.Raft;
        trace.Mix(((long)raft.Kind << 40) | ((long)from << 32) | (uint)raft.Entries.Length, (long)raft.Term.Value);
        trace.Mix((long)raft.Index.Value, (long)raft.LogTerm.Value);
        trace.Mix((long)raft.Commit.Value, (long)raft.Hint.Value + (raft.Rejected ? 1L << 40 : 0));
    }

    public override string ToString()
    {
        var m = message.Raft;
        var what = m.Kind switch
        {
            MessageKind.Append => $"behind ({m.Index}, {m.LogTerm}) {m.Entries.Length} entries{Terms(m.Entries)}, commit {m.Commit}",
            MessageKind.AppendAnswer => m.Rejected ? $"rejected at {m.Index}, hint ({m.Hint}, {m.HintTerm})" : $"holds up to {m.Index}",
            MessageKind.Vote or MessageKind.PreVote => $"log ends at ({m.Index}, {m.LogTerm}){(m.IsTransfer ? ", handed over" : "")}",
            MessageKind.VoteAnswer or MessageKind.PreVoteAnswer => m.Rejected ? "no" : "yes",
            MessageKind.Heartbeat => $"commit {m.Commit}, read {m.Read}",
            _ => $"index {m.Index}, read {m.Read}{(m.Rejected ? ", rejected" : "")}",
        };
        return $"{m.Kind} {m.From} -> {m.To}, term {m.Term}: {what}";
    }

    private static string Terms(Entry[] entries) => entries.Length == 0 ? "" : $" of terms {entries[0].Term} to {entries[^1].Term}";
}
