namespace EventVault.Raft.Tests.Harness;

/// <summary>How scenarios write what cores put out. An entry is <c>index/term</c>.</summary>
internal static class Words
{
    public static string Of(Message m) => $"{m.From}->{m.To} {m.Kind} term {m.Term}{Details(m)}";

    public static string Of(LogIndex index, Entry entry) => entry.Kind switch
    {
        EntryKind.NoOp => $"{index}/{entry.Term} noop",
        EntryKind.Membership => $"{index}/{entry.Term} {entry.Membership}",
        _ => $"{index}/{entry.Term}",
    };

    public static string Of(LogIndex from, IReadOnlyList<Entry> entries) => string.Join(", ", entries.Select((e, i) => Of(from + (ulong)i, e)));

    public static string Of(DiskWrite write) => write switch
    {
        SaveWrite(var save) => $"term {save.Term}, vote {save.VotedFor?.ToString() ?? "-"}",
        LogWrite { TruncateAfter: null } log => Of(log.From, log.Entries),
        LogWrite log => $"cut behind {log.TruncateAfter}, {Of(log.From, log.Entries)}",
        _ => throw new ArgumentOutOfRangeException(nameof(write)),
    };

    public static string Standing(RaftCore core) => core.Role switch
    {
        Role.Leader => $"leads term {core.Term}",
        Role.Candidate => $"asks for votes in term {core.Term}",
        Role.PreCandidate => $"asks for pre-votes in term {core.Term}",
        _ => $"follows {core.Leader?.ToString() ?? "nobody"} in term {core.Term}",
    };

    /// <summary>How a read was decided. Answers to an earlier life have numbers that nobody asked for.</summary>
    public static string Of(ReadResult read) => $"read {(read.Id < 1_000_000 ? read.Id : "of an earlier life")}: {(read.Ok ? read.Index : "refused")}";

    private static string Details(Message m) => m.Kind switch
    {
        MessageKind.PreVote or MessageKind.Vote => $", log {m.Index}/{m.LogTerm}{(m.IsTransfer ? ", transfer" : "")}",
        MessageKind.PreVoteAnswer or MessageKind.VoteAnswer => m.Rejected ? ": no" : ": yes",
        MessageKind.Append => $", after {m.Index}/{m.LogTerm} [{Of(m.Index + 1, m.Entries)}] commit {m.Commit}",
        MessageKind.AppendAnswer when m.Rejected => $": not {m.Index}, maybe {m.Hint}/{m.HintTerm}",
        MessageKind.AppendAnswer => $": {m.Index}",
        MessageKind.Heartbeat => $", commit {m.Commit}{Read(m)}",
        MessageKind.HeartbeatAnswer => Read(m),
        MessageKind.ReadIndexAnswer => $": {(m.Rejected ? "refused" : m.Index)}",
        _ => "",
    };

    private static string Read(Message m) => m.Read == 0 ? "" : $", read {m.Read}";
}
