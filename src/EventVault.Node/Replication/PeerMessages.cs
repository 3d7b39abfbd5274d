using EventVault.Raft;

namespace EventVault.Node.Replication;

/// <summary>
/// What a message must keep to be looked at. Peers are members of the vault and run this program, so the core may stop the
/// node when they contradict themselves (two leaders in a term, a committed entry that changed); but bytes that were garbled,
/// cut or made up must not get that far.
/// </summary>
internal static class PeerMessages
{
    /// <summary>No vault has so many elections; near the largest number adding one would begin again at 0.</summary>
    private const ulong HighestTerm = 1UL << 48;

    /// <summary>Whether it makes sense by itself, for this log.</summary>
    public static bool IsSane(in PeerMessage message, RaftCore core)
    {
        var raft = message.Raft;
        if (message.Groups is null || raft.Entries is null || !Enum.IsDefined(raft.Kind)
            || raft.Term.Value is 0 or > HighestTerm || raft.LogTerm > raft.Term
            || raft.From.Node == 0 || raft.From.Incarnation == Guid.Empty)
        {
            return false;
        }

        return raft.Kind switch
        {
            MessageKind.Append => raft.Entries.Length == message.Groups.Length && AreEntriesSane(raft, core),
            MessageKind.AppendAnswer => raft.HintTerm <= raft.Term,
            _ => raft.Entries.Length == 0 && message.Groups.Length == 0,
        };
    }

    // Terms rise along a log, up to that of the leader; what is committed stays as it is, so a message that says otherwise
    // was made up or comes from another log.
    private static bool AreEntriesSane(in Message raft, RaftCore core)
    {
        if (ContradictsCommitted(raft.Index, raft.LogTerm, core))
        {
            return false;
        }

        var term = raft.LogTerm;
        for (var i = 0; i < raft.Entries.Length; i++)
        {
            var entry = raft.Entries[i];
            if (entry.Term.Value == 0 || entry.Term < term || entry.Term > raft.Term || ContradictsCommitted(raft.Index + (ulong)i + 1, entry.Term, core))
            {
                return false;
            }

            term = entry.Term;
        }

        return true;
    }

    private static bool ContradictsCommitted(LogIndex index, Term term, RaftCore core) =>
        index <= core.CommitIndex && core.TermAt(index) != term && !Canary.Is(Canary.MatchNotChecked);
}
