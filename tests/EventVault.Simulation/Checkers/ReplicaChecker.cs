// The rules of Raft, looked at from outside: what each replica holds in memory, what its disk holds, and what it says to
// others. Looks after each event at what that event changed, so a run can afford it.
using EventVault.Raft;

namespace EventVault.Simulation.Checkers;

/// <summary>A message that says something about what its sender has made durable.</summary>
/// <param name="Kind">What it is.</param>
/// <param name="Term">Term that it carries.</param>
/// <param name="To">For whom.</param>
/// <param name="Index">AppendAnswer: what is acknowledged.</param>
/// <param name="Rejected">Whether it says no, which promises nothing.</param>
/// <param name="IsTransfer">Vote: the leader asked for this election.</param>
internal readonly record struct SentMessage(MessageKind Kind, ulong Term, ReplicaId To, ulong Index = 0, bool Rejected = false, bool IsTransfer = false);

/// <summary>Checks replicas and what they say to one another.</summary>
internal sealed class ReplicaChecker(Ledger ledger, AppendChecker appends, IDurableState disks)
{
    private readonly Dictionary<ulong, ReplicaId> _leaders = [];
    private readonly Dictionary<(ulong Index, ulong Term), (LogMark Mark, ReplicaId From)> _entries = [];
    private readonly Dictionary<ReplicaId, Known> _known = [];

    // Operations of entries that are not decided.
    private readonly Dictionary<(ulong Index, ulong Term), UInt128[]> _pending = [];

    /// <summary>Elections that some replica won.</summary>
    public int Elections => _leaders.Count;

    /// <summary>How often a log lost entries, by a leader's will or by a crash.</summary>
    public int Truncations { get; private set; }

    /// <summary>
    /// A client is told that an operation is definitely not done, by the last attempt that could have done it: then
    /// no replica may hold it in a place where it can still be committed.
    /// </summary>
    public void Refused(AppendAttempt attempt)
    {
        if (appends.MayBeWrittenByOthers(attempt))
        {
            return;
        }

        foreach (var ((index, term), operations) in _pending)
        {
            if (operations.Contains(attempt.Append.Id))
            {
                var holder = _known.FirstOrDefault(k => k.Value.Log.LastIndex >= index && k.Value.Log.Mark(index).Term == term);
                Require.That(Rules.RefusedIsGone, holder.Value is null, $"{holder.Key} holds it in entry {index} of term {term}, which is not decided: {attempt}.");
            }
        }
    }

    /// <summary>A replica starts: what it holds now must be what it promised before.</summary>
    public void Started(IReplicaView view)
    {
        var known = KnownOf(view.Id);
        known.Commit = 0;
        known.Visible = 0;
        known.IsLeader = false;
        known.Sent.Clear();
        if (view.InstalledThrough > 0)
        {
            LookAtInstalled(view, known);
        }

        if (disks.IsHonest(view.Id))
        {
            Require.That(Rules.TermRises, view.Term >= known.Promised.Term, $"{view.Id} starts in term {view.Term}, it has sent messages of term {known.Promised.Term}.");
            Require.That(Rules.VoteOncePerTerm, view.Term > known.Promised.Term || known.Promised.VotedFor is null || view.VotedFor == known.Promised.VotedFor,
                $"{view.Id} starts in term {view.Term} with its vote for {view.VotedFor}; it was given to {known.Promised.VotedFor}.");
            Require.That(Rules.AckedSurvives, view.LastIndex >= known.Acknowledged && SameAt(view, known, known.Acknowledged),
                $"{view.Id} starts with {view.LastIndex} entries; it has acknowledged entry {known.Acknowledged} of term {known.Log.Mark(Math.Min(known.Acknowledged, known.Log.LastIndex)).Term}.");
        }

        known.Term = view.Term;
        known.VotedFor = view.VotedFor;
        if (view.MembershipIndex == 0 && known.Log.Membership is null)
        {
            known.Log.Begin(view.Voters);
        }

        Look(view);
    }

    /// <summary>A running replica sends a message; it is looked at with the next <see cref="Look"/>.</summary>
    public void Sent(ReplicaId from, in SentMessage message)
    {
        if (message.Kind == MessageKind.PreVoteAnswer && !message.Rejected)
        {
            KnownOf(message.To).Grant(message.Term, from);
        }
        else if (message.Kind is MessageKind.Vote or MessageKind.VoteAnswer or MessageKind.AppendAnswer && !message.Rejected)
        {
            _known[from].Sent.Add(message);
        }
    }

    /// <summary>An event changed this replica, or not.</summary>
    public void Look(IReplicaView view)
    {
        var known = _known[view.Id];
        var votersBefore = known.Log.Membership?.Voters ?? VoterSets.None;
        var wasLeader = known.IsLeader && known.LeaderTerm == view.Term;
        LookAtPromise(view, known);
        LookAtLog(view, known);
        LookAtLeader(view, known);
        if (view.CommitIndex != known.Commit)
        {
            LookAtCommit(view, known, votersBefore);
            Require.That(Rules.CommitOfOwnTerm, !(wasLeader && view.IsLeader) || known.Log.Mark(view.CommitIndex).Term == view.Term,
                $"{view.Id} leads term {view.Term} and committed up to entry {view.CommitIndex} of term {known.Log.Mark(view.CommitIndex).Term} by counting.");
        }

        LookAtVisible(view, known);
        foreach (var message in known.Sent)
        {
            LookAtMessage(view, known, message);
        }

        known.Sent.Clear();
    }

    private Known KnownOf(ReplicaId id)
    {
        if (!_known.TryGetValue(id, out var known))
        {
            _known.Add(id, known = new Known());
        }

        return known;
    }

    // What was acknowledged to leaders that lost, at or before the last entry that was installed and behind it, was never committed and can't be: then it
    // was right to replace it.
    private void LookAtInstalled(IReplicaView view, Known known)
    {
        Require.That(Rules.CommitAgrees, view.InstalledThrough <= ledger.LastIndex, $"{view.Id} installed entries up to {view.InstalledThrough}, committed are {ledger.LastIndex}.");
        for (var index = 1UL; index <= Math.Min(view.InstalledThrough, known.Acknowledged); index++)
        {
            if (known.Log.Mark(index) != ledger.Group(index).Mark)
            {
                known.Acknowledged = index - 1;
            }
        }
    }

    private static bool SameAt(IReplicaView view, Known known, ulong index) => index == 0 || view.EntryAt(index).Mark == known.Log.Mark(index);

    private static void LookAtPromise(IReplicaView view, Known known)
    {
        Require.That(Rules.TermRises, view.Term >= known.Term, $"{view.Id} goes from term {known.Term} back to {view.Term}.");
        Require.That(Rules.VoteOncePerTerm, view.Term > known.Term || known.VotedFor is null || known.VotedFor == view.VotedFor,
            $"{view.Id} voted for {known.VotedFor} in term {known.Term}, and now for {view.VotedFor}.");
        known.Term = view.Term;
        known.VotedFor = view.VotedFor;
    }

    private void LookAtLog(IReplicaView view, Known known)
    {
        if (!known.Log.IsCurrent(view))
        {
            var before = known.Log.LastIndex;
            var kept = known.Log.Update(view, (index, mark) => Added(view, known, index, mark));
            Require.That(Rules.LeaderAppendsOnly, kept == before || !(view.IsLeader && known.IsLeader && known.LeaderTerm == view.Term),
                $"{view.Id} leads term {view.Term} and yet dropped its entries behind {kept}; it had {before}.");
            Truncations += kept < before ? 1 : 0;
            known.Acknowledged = Math.Min(known.Acknowledged, kept);
            known.Checked = Math.Min(known.Checked, kept);
        }

        // A membership that waits for room in the log counts already and stands nowhere yet.
        var last = known.Log.Membership;
        Require.That(Rules.MembershipIsLast, view.MembershipIndex > view.LastIndex || (view.MembershipIndex == last?.Index && (last is null || view.Voters == last.Value.Voters)),
            $"{view.Id} goes by the membership {view.Voters} of entry {view.MembershipIndex}; the last one in its log is {last?.Voters} of entry {last?.Index}.");
    }

    private void Added(IReplicaView view, Known known, ulong index, LogMark mark)
    {
        Require.That(Rules.TermsRise, mark.Term >= known.Log.Mark(index - 1).Term && mark.Term <= view.Term,
            $"{view.Id} in term {view.Term} has entry {index} of term {mark.Term} behind one of term {known.Log.Mark(index - 1).Term}.");
        if (index <= ledger.LastIndex && ledger.Group(index).Mark.Term == mark.Term)
        {
            Require.That(Rules.LogsMatch, ledger.Group(index).Mark == mark, $"entry {index} is {mark} on {view.Id} and was committed as {ledger.Group(index).Mark}.");
        }
        else if (_entries.TryAdd((index, mark.Term), (mark, view.Id)))
        {
            if (index > ledger.LastIndex)
            {
                _pending.Add((index, mark.Term), [.. view.GroupAt(index).Appends.Select(a => a.OperationId)]);
            }
        }
        else
        {
            var (other, from) = _entries[(index, mark.Term)];
            Require.That(Rules.LogsMatch, other == mark, $"entry {index} is {mark} on {view.Id} and {other} on {from}.");
        }
    }

    private void LookAtLeader(IReplicaView view, Known known)
    {
        if (view.IsLeader && !(known.IsLeader && known.LeaderTerm == view.Term))
        {
            Require.That(Rules.OneLeaderPerTerm, _leaders.TryAdd(view.Term, view.Id), $"{_leaders[view.Term]} and {view.Id} both lead term {view.Term}.");
            Require.That(Rules.LeaderHasVotes, view.Voters.HasQuorum(voter => HasVotedFor(voter, view)),
                $"{view.Id} leads term {view.Term}; flushed votes of {view.Voters}: {string.Join(", ", view.Voters.All.Select(v => $"{v} {disks.PromiseOf(v)}"))}.");

            // Everything that was committed in earlier terms. Entries of later ones can't be known to a leader that comes late.
            var index = ledger.LastIndex;
            while (index > 0 && ledger.Group(index).CommitTerm >= view.Term)
            {
                index--;
            }

            Require.That(Rules.LeaderComplete, index <= known.Log.LastIndex && (index == 0 || known.Log.Mark(index) == ledger.Group(index).Mark),
                $"{view.Id} leads term {view.Term} without entry {index}, which was committed in term {(index > 0 ? ledger.Group(index).CommitTerm : 0)}; it has {known.Log.LastIndex} entries.");
        }

        known.IsLeader = view.IsLeader;
        known.LeaderTerm = view.Term;
    }

    private bool HasVotedFor(ReplicaId voter, IReplicaView leader)
    {
        var promise = disks.PromiseOf(voter);
        return !disks.IsHonest(voter) || promise.Term > leader.Term || (promise.Term == leader.Term && promise.VotedFor == leader.Id);
    }

    private void LookAtCommit(IReplicaView view, Known known, VoterSets votersBefore)
    {
        Require.That(Rules.CommitRises, view.CommitIndex > known.Commit, $"{view.Id} goes from commit index {known.Commit} back to {view.CommitIndex}.");
        Require.That(Rules.CommitWithinLog, view.CommitIndex <= known.Log.LastIndex, $"{view.Id} takes {view.CommitIndex} for committed and has {known.Log.LastIndex} entries.");
        for (var index = known.Commit + 1; index <= view.CommitIndex; index++)
        {
            if (index <= ledger.LastIndex)
            {
                Require.That(Rules.CommitAgrees, known.Log.Mark(index) == ledger.Group(index).Mark,
                    $"{view.Id} takes entry {index} of term {known.Log.Mark(index).Term} for committed, others that of term {ledger.Group(index).Mark.Term}.");
                continue;
            }

            CheckQuorum(view, known, votersBefore, index);
            var group = view.GroupAt(index);
            var where = $"node {view.Id}";
            Require.That(Rules.LogsMatch, group.Mark == known.Log.Mark(index), $"entry {index} on {view.Id} changed from {known.Log.Mark(index)} to {group.Mark}.");
            ledger.Add(group, view.Term, where, append => appends.Committed(append, group, where));
            foreach (var decided in _pending.Keys.Where(p => p.Index == index).ToList())
            {
                _pending.Remove(decided);
            }
        }

        known.Commit = view.CommitIndex;
    }

    // The quorum that decides is the one of the newest membership in the leader's log. An event may commit a joint membership
    // and append the one that ends it: what was committed up to the joint one needed both majorities.
    private void CheckQuorum(IReplicaView view, Known known, VoterSets votersBefore, ulong index)
    {
        var joint = known.Log.JointAt(known.Log.LastIndex);
        var isDecided = votersBefore.HasQuorum(Has)
            || (index > joint && view.Voters.HasQuorum(Has))
            || (index <= joint && known.Log.VotersAt(joint).HasQuorum(Has));
        Require.That(Rules.CommitHasQuorum, isDecided,
            $"{view.Id} takes entry {index} for committed; it is flushed on {string.Join(", ", votersBefore.All.Where(Has))} of {votersBefore}, now {view.Voters}.");

        bool Has(ReplicaId replica) => !disks.IsHonest(replica) || disks.HoldsGroup(replica, index, view);
    }

    private void LookAtVisible(IReplicaView view, Known known)
    {
        var (index, head) = view.Visible;
        if (index == known.Visible)
        {
            return;
        }

        Require.That(Rules.CommitRises, index > known.Visible, $"{view.Id} showed entries up to {known.Visible} and now {index}.");
        Require.That(Rules.VisibleIsCommitted, index <= view.CommitIndex && index <= ledger.LastIndex, $"{view.Id} shows entry {index}, committed is {view.CommitIndex}.");
        Require.That(Rules.VisibleIsCommitted, head == ledger.PositionAt(index), $"{view.Id} shows entries up to {index} and position {head}; they end at {ledger.PositionAt(index)}.");
        known.Visible = index;
    }

    private void LookAtMessage(IReplicaView view, Known known, in SentMessage message)
    {
        var isHonest = disks.IsHonest(view.Id);
        var flushed = disks.PromiseOf(view.Id);
        var vote = message.Kind == MessageKind.AppendAnswer ? null : message.Kind == MessageKind.Vote ? view.Id : (ReplicaId?)message.To;
        Require.That(Rules.VoteFlushedFirst, !isHonest || flushed.Term > message.Term || (flushed.Term == message.Term && (vote is null || flushed.VotedFor == vote)),
            $"{view.Id} sent {message}, and its disk has {flushed}.");
        if (message.Term > known.Promised.Term || (message.Term == known.Promised.Term && vote is not null))
        {
            known.Promised = new Promise(message.Term, vote);
        }

        if (message.Kind == MessageKind.Vote && !message.IsTransfer)
        {
            var term = message.Term;
            Require.That(Rules.VoteAfterPreVote, view.Voters.HasQuorum(voter => voter == view.Id || known.WasGranted(term, voter)),
                $"{view.Id} asks {view.Voters} for votes in term {message.Term} without having been promised a majority.");
        }

        if (message.Kind == MessageKind.AppendAnswer)
        {
            LookAtAcknowledged(view, known, message);
            Require.That(Rules.AckFlushedFirst, message.Index <= known.Log.LastIndex, $"{view.Id} acknowledged entry {message.Index}, its log ends at {known.Log.LastIndex}.");
            for (var index = known.Checked + 1; index <= message.Index; index++)
            {
                Require.That(Rules.AckFlushedFirst, !isHonest || disks.HoldsGroup(view.Id, index, view), $"{view.Id} acknowledged entries up to {message.Index}, and entry {index} is not flushed.");
                known.Checked = index;
            }

            known.Acknowledged = Math.Max(known.Acknowledged, message.Index);
        }
    }

    // Whoever acknowledges an entry says that it has the leader's.
    private void LookAtAcknowledged(IReplicaView view, Known known, in SentMessage message)
    {
        var leader = _known.GetValueOrDefault(message.To);
        if (leader is { IsLeader: true } && leader.LeaderTerm == message.Term && message.Index <= Math.Min(leader.Log.LastIndex, known.Log.LastIndex))
        {
            Require.That(Rules.AckMatchesLeader, known.Log.Mark(message.Index) == leader.Log.Mark(message.Index),
                $"{view.Id} acknowledged entry {message.Index} to {message.To}, which leads term {message.Term}; it has {known.Log.Mark(message.Index)}, the leader {leader.Log.Mark(message.Index)}.");
        }
    }

    // What was seen of a replica. Outlives its restarts; a wiped disk is another replica.
    private sealed class Known
    {
        private readonly HashSet<ReplicaId> _granted = [];
        private ulong _grantedTerm;

        public LogMirror Log { get; } = new();

        public List<SentMessage> Sent { get; } = [];

        public Promise Promised { get; set; }

        public ulong Term { get; set; }

        public ReplicaId? VotedFor { get; set; }

        public bool IsLeader { get; set; }

        public ulong LeaderTerm { get; set; }

        public ulong Commit { get; set; }

        public ulong Visible { get; set; }

        /// <summary>The highest entry that it acknowledged and that was not truncated since.</summary>
        public ulong Acknowledged { get; set; }

        /// <summary>Entries up to here were seen to be flushed.</summary>
        public ulong Checked { get; set; }

        /// <summary>A peer would vote for it in a term.</summary>
        public void Grant(ulong term, ReplicaId by)
        {
            if (term > _grantedTerm)
            {
                _granted.Clear();
                _grantedTerm = term;
            }

            if (term == _grantedTerm)
            {
                _granted.Add(by);
            }
        }

        public bool WasGranted(ulong term, ReplicaId by) => term == _grantedTerm && _granted.Contains(by);
    }
}
