namespace EventVault.Raft.Tests.Harness;

/// <summary>
/// Looks at a cluster after every input and throws when a property that Raft promises (paper, figure 3) or a durability rule
/// is broken. Knows nothing of how the core works: it compares logs, disks, messages and commit indexes.
/// </summary>
internal sealed class SafetyChecker
{
    private const ulong MostReads = 1_000_000;

    private readonly Dictionary<ReplicaId, Seen> _seen = [];
    private readonly Dictionary<(LogIndex Index, Term Term), (Entry Entry, Term Before)> _entries = [];
    private readonly Dictionary<Term, (ReplicaId Leader, List<Entry> Log)> _leaders = [];
    private readonly Dictionary<(ReplicaId Voter, Term Term), ReplicaId> _durableVotes = [];
    private readonly List<(Entry Entry, Term In)> _committed = [];
    private readonly Dictionary<(ReplicaId Node, ulong Id), LogIndex> _reads = [];

    /// <summary>Up to here entries were committed, as far as any replica knows or knew.</summary>
    public LogIndex Committed => new((ulong)_committed.Count);

    /// <summary>Terms that somebody led.</summary>
    public int Leaders => _leaders.Count;

    /// <summary>How often a log was truncated.</summary>
    public int Truncations { get; private set; }

    public void Started(TestReplica replica)
    {
        RaftCore core = replica.Core;
        Require(core.Role == Role.Follower && core.LastIndex.Value == (ulong)replica.Log.Count, replica, "does not start as its disk says");
        if (_seen.TryGetValue(replica.Id, out Seen? earlier))
        {
            Require(core.Term >= earlier.DurableTerm, replica, "forgot a durable term");
        }

        _seen[replica.Id] = new Seen(replica) { Term = core.Term, Commit = replica.Disk.Commit, DurableTerm = core.Term };
        RememberVote(replica);
        RememberEntries(replica, new(1), replica.Log);
        for (int i = 0; i < (int)replica.Disk.Commit.Value; i++)
        {
            LearnCommitted(replica, i, replica.Log[i].Term);
        }
    }

    public void Crashed(TestReplica replica)
    {
        _seen[replica.Id].DurableTerm = replica.Disk.Term;
        foreach (var read in _reads.Keys.Where(r => r.Node == replica.Id).ToList())
        {
            _reads.Remove(read);
        }
    }

    public void ReadAsked(ReplicaId node, ulong id) => _reads.Add((node, id), Committed);

    /// <summary>After an input or a flush, with what the core put out.</summary>
    public void After(TestReplica replica, TakenOutput output)
    {
        Seen seen = _seen[replica.Id];
        RaftCore core = replica.Core;
        Require(core.Term >= seen.Term, replica, "went back to an earlier term");
        RememberVote(replica);

        if (output.Save is { } save)
        {
            Require(save.Term <= core.Term && save.Number > seen.SaveNumber, replica, "asks for saves out of order");
            seen.SaveNumber = save.Number;
        }

        CheckLog(replica, seen, output);
        CheckLeader(replica, seen, output);
        CheckCommit(replica, seen);
        foreach (Message message in output.Messages)
        {
            CheckMessage(replica, message);
        }

        foreach (ReadResult read in output.Reads)
        {
            // An answer may come twice, and to a replica that has restarted since: such a one must not look like one of its own.
            bool isAsked = _reads.TryGetValue((replica.Id, read.Id), out LogIndex floor);
            Require(isAsked || read.Id > MostReads, replica, $"answers read {read.Id}, which was not asked for");
            Require(!isAsked || !read.Ok || (read.Index >= floor && read.Index <= Committed), replica, $"answers read {read.Id} with {read.Index}, but {floor} was committed before");
        }

        (seen.Term, seen.Role, seen.DurableTerm) = (core.Term, core.Role, replica.Disk.Term);
    }

    private void CheckLog(TestReplica replica, Seen seen, TakenOutput output)
    {
        if (output.TruncateAfter is null && output.Append.Length == 0)
        {
            return;
        }

        RaftCore core = replica.Core;
        if (output.TruncateAfter is { } last)
        {
            Truncations++;
            Require(last >= seen.Commit, replica, $"truncates behind {last}, but {seen.Commit} is committed");
            Require(seen.Role != Role.Leader || core.Term > seen.Term, replica, "truncates its log while it leads");
        }

        RememberEntries(replica, output.AppendFrom, output.Append);
        Require(core.LastIndex.Value == (ulong)replica.Log.Count, replica, $"ends at {core.LastIndex}, its log at {replica.Log.Count}");
        Require(core.Terms().SequenceEqual(TestDisk.Runs(replica.Log)), replica, "has other terms than its log");
        Membership newest = replica.Log.LastOrDefault(e => e.Membership is not null).Membership ?? replica.Disk.First ?? Membership.Empty;
        Require(core.Membership.Equals(newest), replica, $"goes by {core.Membership}, but its log says {newest}");
    }

    private void CheckLeader(TestReplica replica, Seen seen, TakenOutput output)
    {
        RaftCore core = replica.Core;
        if (core.Role != Role.Leader)
        {
            return;
        }

        if (!_leaders.TryGetValue(core.Term, out var known))
        {
            Require(HasVoted(replica.Id, core.Term, replica.Id), replica, "leads before its own vote is durable");
            for (int i = 0; i < _committed.Count; i++)
            {
                Require(
                    _committed[i].In >= core.Term || (i < replica.Log.Count && replica.Log[i] == _committed[i].Entry), replica,
                    $"leads term {core.Term} without entry {i + 1}, which was committed in term {_committed[i].In}");
            }

            known = (replica.Id, [.. replica.Log.Take(replica.Log.Count - output.Append.Length)]);
            _leaders.Add(core.Term, known);
        }

        Require(known.Leader == replica.Id, replica, $"leads term {core.Term}, as {known.Leader} did");
        Require(seen.Role == Role.Leader || seen.Term < core.Term || seen.Role is Role.Candidate, replica, "leads without having been a candidate");
        foreach (Entry entry in output.Append)
        {
            Require(entry.Term == core.Term, replica, "appends an entry of another term while it leads");
            if (entry.Membership is { } membership)
            {
                CheckChange(replica, known.Log, membership);
            }

            known.Log.Add(entry);
        }

        Require(known.Log.Count == replica.Log.Count, replica, "has another log than the one it leads with");
        int change = known.Log.FindLastIndex(e => e.Membership is not null);
        Require(
            change < 0 || (ulong)change >= core.CommitIndex.Value || core.Membership.IsVoter(replica.Id), replica,
            "leads though the membership without it is committed");
    }

    // One change at a time, and only after an entry of the leader's own term is committed (thesis §4.1, and its erratum).
    private static void CheckChange(TestReplica replica, List<Entry> log, Membership next)
    {
        ulong commit = replica.Core.CommitIndex.Value;
        int before = log.FindLastIndex(e => e.Membership is not null);
        Membership old = before < 0 ? replica.Disk.First! : log[before].Membership!;
        Require((ulong)(before + 1) <= commit, replica, $"changes the membership at {log.Count + 1} though the one at {before + 1} is not committed");
        Require(commit > 0 && replica.Log[(int)commit - 1].Term == replica.Core.Term, replica, "changes the membership before an entry of its term is committed");
        bool isLegal = (old.IsJoint, next.IsJoint) switch
        {
            (false, false) => With(next, MemberRole.Voter).SetEquals(With(old, MemberRole.Voter)),
            (false, true) => With(next, MemberRole.OutgoingVoter).SetEquals(With(old, MemberRole.Voter)),
            (true, false) => With(next, MemberRole.Voter).SetEquals(With(old, MemberRole.Voter)),
            (true, true) => false,
        };
        Require(isLegal, replica, $"changes {old} to {next} in one step");
    }

    private void CheckCommit(TestReplica replica, Seen seen)
    {
        LogIndex commit = replica.Core.CommitIndex;
        if (commit == seen.Commit)
        {
            return;
        }

        Require(commit > seen.Commit, replica, $"takes its commit index back from {seen.Commit} to {commit}");
        Require(commit.Value <= (ulong)replica.Log.Count, replica, $"commits {commit}, but its log ends at {replica.Log.Count}");
        if (commit > Committed)
        {
            // Only a leader can be the first to know, or one that has stepped down over just this entry.
            Require(replica.Log[(int)commit.Value - 1].Term == replica.Core.Term, replica, $"commits {commit}, which is of an older term, by counting");
            Require(IsOnMajorities(replica, (int)commit.Value), replica, $"commits {commit} of {replica.Core.Membership}, but it is not durable on a majority");
        }

        for (int i = (int)seen.Commit.Value; i < (int)commit.Value; i++)
        {
            LearnCommitted(replica, i, replica.Core.Term);
        }

        seen.Commit = commit;
    }

    private bool IsOnMajorities(TestReplica replica, int index)
    {
        return Holds(MemberRole.Voter) && (!replica.Core.Membership.IsJoint || Holds(MemberRole.OutgoingVoter));

        bool Holds(MemberRole role)
        {
            HashSet<ReplicaId> voters = With(replica.Core.Membership, role);
            int holding = voters.Count(v => _seen.TryGetValue(v, out Seen? seen)
                && seen.Replica.Disk.Entries.Count >= index && seen.Replica.Disk.Entries[index - 1] == replica.Log[index - 1]);
            return holding > voters.Count / 2;
        }
    }

    private void CheckMessage(TestReplica replica, Message message)
    {
        TestDisk disk = replica.Disk;
        Require(message.Entries.Length <= replica.Options.MaxMessageEntries, replica, $"sends {message.Entries.Length} entries in one message");
        Require(
            message.Entries.Length < 2 || message.Entries.Sum(e => (long)e.Bytes) <= replica.Options.MaxMessageBytes, replica,
            $"sends {message.Entries.Sum(e => (long)e.Bytes)} bytes in one message");
        Require(message.From == replica.Id && message.To != replica.Id, replica, $"sends {message.Kind} as {message.From} to {message.To}");
        switch (message.Kind)
        {
            case MessageKind.Vote:
                Require(HasVoted(replica.Id, message.Term, replica.Id), replica, "asks for votes before its own is durable");
                break;
            case MessageKind.VoteAnswer when !message.Rejected:
                Require(HasVoted(replica.Id, message.Term, message.To), replica, $"grants a vote in term {message.Term} that is not durable");
                break;
            case MessageKind.AppendAnswer when !message.Rejected:
                int index = (int)message.Index.Value;
                Require(disk.Term >= message.Term, replica, $"acknowledges in term {message.Term}, which is not durable");
                Require(index <= disk.Entries.Count, replica, $"acknowledges {index}, but only {disk.Entries.Count} is durable");
                List<Entry> log = _leaders[message.Term].Log;
                Require(index == 0 || (index <= log.Count && disk.Entries[index - 1] == log[index - 1]), replica, $"acknowledges {index}, where its disk differs from its leader");
                break;
            case MessageKind.Append or MessageKind.Heartbeat or MessageKind.TimeoutNow:
                Require(_leaders.TryGetValue(message.Term, out var known) && known.Leader == replica.Id, replica, $"sends {message.Kind} without leading term {message.Term}");
                Require(message.Commit <= Committed, replica, $"tells of commit index {message.Commit}");
                break;
        }
    }

    // A vote that a crash undid was none: nobody has heard of it.
    private void RememberVote(TestReplica replica)
    {
        if (replica.Disk.VotedFor is { } candidate && !_durableVotes.TryAdd((replica.Id, replica.Disk.Term), candidate))
        {
            ReplicaId earlier = _durableVotes[(replica.Id, replica.Disk.Term)];
            Require(earlier == candidate, replica, $"votes for {candidate} in term {replica.Disk.Term} after {earlier}");
        }
    }

    private bool HasVoted(ReplicaId voter, Term term, ReplicaId candidate) => _durableVotes.TryGetValue((voter, term), out ReplicaId vote) && vote == candidate;

    // Log matching: whoever has an entry of this index and term has the same one, behind the same one.
    private void RememberEntries(TestReplica replica, LogIndex from, IReadOnlyList<Entry> entries)
    {
        for (int i = 0; i < entries.Count; i++)
        {
            LogIndex index = from + (ulong)i;
            Term before = index.Value > 1 ? replica.Log[(int)index.Value - 2].Term : default;
            Require(entries[i].Term >= before && entries[i].Term <= replica.Core.Term, replica, $"has an entry of term {entries[i].Term} at {index}, behind term {before}");
            if (!_entries.TryAdd((index, entries[i].Term), (entries[i], before)))
            {
                Require(_entries[(index, entries[i].Term)] == (entries[i], before), replica, $"has another entry at {index} of term {entries[i].Term} than others");
            }
        }
    }

    private void LearnCommitted(TestReplica replica, int at, Term inTerm)
    {
        if (at == _committed.Count)
        {
            _committed.Add((replica.Log[at], inTerm));
        }

        Require(replica.Log[at] == _committed[at].Entry, replica, $"commits another entry at {at + 1} than others");
    }

    private static HashSet<ReplicaId> With(Membership membership, MemberRole role) => [.. membership.Members.Where(m => m.Role.HasFlag(role)).Select(m => m.Id)];

    private static void Require(bool holds, TestReplica replica, [System.Runtime.CompilerServices.InterpolatedStringHandlerArgument(nameof(holds))] BrokenRule rule)
    {
        if (!holds)
        {
            throw new SafetyException($"{replica.Id} (term {replica.Core.Term}, {replica.Core.Role}) {rule.ToString()}.");
        }
    }

    private sealed class Seen(TestReplica replica)
    {
        public TestReplica Replica { get; } = replica;

        public Term Term { get; set; }

        public Role Role { get; set; }

        public LogIndex Commit { get; set; }

        public Term DurableTerm { get; set; }

        public ulong SaveNumber { get; set; }
    }
}
