// Consensus on one log: a state machine without files, sockets, clocks, threads and async. Ticks, messages and completions
// go in, what is to be written, sent and committed comes out (RaftOutput).
//
// This file has terms, roles and elections. Leadership has what a leader does, Following what a follower does, RaftLog what
// is known of the log, Promises what may not leave before it is durable.
//
// Guarantees: term and commit index never fall; one vote a term; the role fits the term, the vote and the known leader.
// Only the term, the vote and the log survive a crash; everything else is found out anew.
namespace EventVault.Raft;

/// <summary>Consensus on one log. Not thread-safe: one caller at a time.</summary>
public sealed class RaftCore
{
    private readonly RaftOptions _options;
    private readonly RaftLog _log;
    private readonly Promises _promises;
    private readonly Outbox _box;
    private readonly Following _following;

    // Added to the numbers of reads on their way to a leader: an answer to an earlier life of this replica fits no read of ours.
    private readonly ulong _readSalt;
    private readonly Ballot[] _votes = new Ballot[Membership.MostMembers];
    private Leadership? _leadership;
    private int _ticks;
    private LogIndex _checkedCommit;
    private Term _checkedTerm;

    /// <param name="options">How it behaves.</param>
    /// <param name="state">What is durable.</param>
    /// <param name="entries">The log, to look up entries that are to be sent.</param>
    public RaftCore(RaftOptions options, RaftState state, IEntrySource entries)
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(state);
        ArgumentNullException.ThrowIfNull(entries);
        options.Check();
        _options = options;
        _log = new RaftLog(state, entries);

        // Entries of a term can be durable before the term itself is: then nothing was promised in it yet.
        var behind = _log.LastTerm > state.Term;
        _promises = new Promises(Output, behind ? _log.LastTerm : state.Term, behind ? null : state.VotedFor);
        _box = new Outbox(options, _log, _promises, entries, Output);
        _following = new Following(_box);
        _readSalt = (ulong)options.Random.NextInt64();
        RestartElectionTimer();
        CheckState();
    }

    /// <summary>What is to be done. Handle and clear it after every input.</summary>
    public RaftOutput Output { get; } = new();

    /// <summary>What it is in this term.</summary>
    public Role Role { get; private set; }

    /// <summary>Its term.</summary>
    public Term Term => _promises.Term;

    /// <summary>Who leads this term, as far as is known.</summary>
    public ReplicaId? Leader { get; private set; }

    /// <summary>Entries up to here are committed.</summary>
    public LogIndex CommitIndex => _log.CommitIndex;

    /// <summary>The last entry of its log, durable or not.</summary>
    public LogIndex LastIndex => _log.LastIndex;

    /// <summary>Bytes of the entries that are not committed.</summary>
    public long UncommittedBytes => _log.UncommittedBytes;

    /// <summary>Entries of the log as it is now up to here are durable here.</summary>
    public LogIndex DurableIndex => _log.DurableIndex;

    /// <summary>
    /// Entries up to here are durable, and stay in the log as long as the term does: a leader's own, and what a follower has or could have
    /// acknowledged. May fall when the role changes.
    /// </summary>
    public LogIndex HeldIndex => _leadership is null ? _following.Held : _log.DurableIndex;

    /// <summary>The newest membership in its log, committed or not: the one that counts.</summary>
    public Membership Membership => _log.Membership;

    /// <summary>Where that membership stands; 0: it was there before the log.</summary>
    public LogIndex MembershipIndex => _log.MembershipIndex;

    /// <summary>Whether nobody else is asked: a quorum of one.</summary>
    public bool IsSoleVoter => _log.Membership.SoleVoter == _options.Id;

    /// <summary>Whether leadership is being handed over: proposals are refused.</summary>
    public bool IsTransferring => _leadership is { TransferTo: not null };

    /// <summary>Ticks after which this replica campaigns without hearing from a leader; settable for tests, until it is drawn anew.</summary>
    public int ElectionTimeoutTicks { get; set; }

    /// <summary>Whether it may campaign: not with a clock far off or a broken disk. It votes all the same.</summary>
    public bool MayCampaign { get; set; } = true;

    /// <summary>Whether it leads and an entry of its term is committed: what it knows to be committed is all there is.</summary>
    public bool IsCaughtUpLeader => _leadership is { IsCaughtUp: true };

    /// <summary>A tick passed.</summary>
    public void Tick()
    {
        if (_leadership is not null)
        {
            _leadership.Tick();
            EndLeadershipIfOver();
        }
        else if (_ticks < int.MaxValue && ++_ticks >= ElectionTimeoutTicks)
        {
            if (CanCampaign)
            {
                Campaign(isTransfer: false);
            }
            else
            {
                Leader = null;
            }
        }

        CheckState();
    }

    /// <summary>Begins an election at once (still with PreVote). A quorum of one leads as soon as its vote is durable.</summary>
    public void Campaign()
    {
        if (CanCampaign)
        {
            Campaign(isTransfer: false);
        }

        CheckState();
    }

    /// <summary>A message came.</summary>
    public void Step(in Message message)
    {
        if (Membership.IsSame(message.To, _options.Id) && message.From != _options.Id)
        {
            if (message.Term < Term)
            {
                StepOlder(message);
            }
            else if (message.Term == Term || EnterTermOf(message))
            {
                StepCurrent(message);
            }

            EndLeadershipIfOver();
        }

        CheckState();
    }

    /// <summary>A leader's own entry with appends. Taken: it has index LastIndex and the current term, and stands in the output.</summary>
    public ProposeResult Propose(int bytes)
    {
        var result = _leadership is null ? ProposeResult.NotLeader : _leadership.Propose(bytes);
        CheckState();
        return result;
    }

    /// <summary>
    /// Changes the membership towards <paramref name="target"/>, through a joint one if voters change; that is left by itself
    /// when it is committed. Counts from the moment it is appended.
    /// </summary>
    /// <exception cref="ArgumentException">The target is joint or empty.</exception>
    public ProposeResult ProposeMembership(Membership target)
    {
        ArgumentNullException.ThrowIfNull(target);
        var result = _leadership is null ? ProposeResult.NotLeader : _leadership.ProposeMembership(target);
        CheckState();
        return result;
    }

    /// <summary>Term and vote of this and every earlier request are durable.</summary>
    public void SaveDone(ulong number)
    {
        _promises.Done(number);

        // A candidate's own vote counts like any other: when it can't be forgotten any more.
        if (Role == Role.Candidate && _promises.AreDurable)
        {
            Count(_options.Id, granted: true);
        }

        CheckState();
    }

    /// <summary>
    /// Entries up to this one are durable. Ignored if another entry stands at the index now: the one that was flushed has been
    /// truncated since, and has come back under another term (the ABA race).
    /// </summary>
    public void AppendDone(Term term, LogIndex index)
    {
        if (_log.Flushed(term, index))
        {
            if (_leadership is not null)
            {
                _leadership.OwnFlushed();
                EndLeadershipIfOver();
            }
            else
            {
                _following.Flushed(Leader);
            }
        }

        CheckState();
    }

    /// <summary>Asks for a read index. Answered in <see cref="RaftOutput.Reads"/>, unless messages are lost: have a deadline.</summary>
    /// <param name="id">Fresh for each attempt, at this replica. Not 0.</param>
    public void ReadIndex(ulong id)
    {
        Invariant.Check(id != 0);
        if (_leadership is not null)
        {
            _leadership.ReadIndex(_options.Id, id);
        }
        else if (Leader is { } leader)
        {
            _box.Send(_box.To(leader, MessageKind.ReadIndex) with { Read = unchecked(id + _readSalt) });
        }
        else
        {
            Output.Reads.Add(new ReadResult(id, default, Ok: false));
        }

        CheckState();
    }

    /// <summary>Hands leadership over (thesis §3.10). False: not leader, or not to such a replica. Given up after an election timeout.</summary>
    public bool Transfer(ReplicaId to)
    {
        var taken = _leadership is not null && _leadership.Transfer(to);
        CheckState();
        return taken;
    }

    /// <summary>A message to it was lost for certain: back to probing.</summary>
    public void ReportUnreachable(ReplicaId replica) => _leadership?.ReportUnreachable(replica);

    /// <summary>Shipping ended: the follower has all up to <paramref name="last"/>, or it failed and is probed again.</summary>
    public void ShipDone(ReplicaId replica, LogIndex last, bool ok) => _leadership?.ShipDone(replica, last, ok);

    /// <summary>Term of an entry; null if it is not in the log. 0 at index 0.</summary>
    public Term? TermAt(LogIndex index) => _log.TermAt(index);

    /// <summary>Terms of the log.</summary>
    public IReadOnlyList<TermRun> Terms() => _log.Terms();

    /// <summary>The newest committed membership and all behind it.</summary>
    public IReadOnlyList<(LogIndex Index, Membership Membership)> Memberships() => _log.Memberships();

    /// <summary>How it stands.</summary>
    public RaftStatus Status() => new(
        _options.Id, Role, Term, _promises.VotedFor, Leader, _log.CommitIndex, _log.LastIndex, _log.DurableIndex,
        _log.Membership, _log.MembershipIndex, _leadership?.TransferTo, _leadership?.Status() ?? []);

    private bool CanCampaign => MayCampaign && _leadership is null && _log.MayBeVoter(_options.Id);

    // A leader was heard from lately: whoever asks for a vote just doesn't hear it (thesis §4.2.3). A leader hears itself.
    private bool KnowsLeader => Leader is not null && (_leadership is not null || _ticks < _options.ElectionTicks);

    // A message of a higher term. False: it is not to be looked at any further.
    private bool EnterTermOf(in Message message)
    {
        Invariant.Check(message.Term > Term);
        if (message.Kind is MessageKind.Vote or MessageKind.PreVote
            && KnowsLeader && !message.IsTransfer && !Canary.Is(Canary.NoPreVote))
        {
            return false;
        }

        // These speak of a term that nobody may ever enter.
        if (message.Kind != MessageKind.PreVote && (message.Kind != MessageKind.PreVoteAnswer || message.Rejected))
        {
            var isLeader = message.Kind is MessageKind.Append or MessageKind.Heartbeat or MessageKind.TimeoutNow;
            EnterTerm(message.Term, vote: null);
            Follow(isLeader ? message.From : null);
        }

        return true;
    }

    // The sender is behind. It must hear of our term, or it could stay stuck: nobody steps back to its own, and without the
    // lease's leave nobody follows it into a new one.
    private void StepOlder(in Message message)
    {
        switch (message.Kind)
        {
            case MessageKind.Append or MessageKind.Heartbeat:
                _box.Send(_box.To(message.From, MessageKind.AppendAnswer) with { Rejected = true });
                break;
            case MessageKind.Vote:
                _box.Send(_box.To(message.From, MessageKind.VoteAnswer) with { Rejected = true });
                break;
            case MessageKind.PreVote:
                _box.Send(_box.To(message.From, MessageKind.PreVoteAnswer) with { Rejected = true });
                break;
            case MessageKind.ReadIndex:
                _box.Send(_box.To(message.From, MessageKind.ReadIndexAnswer) with { Rejected = true, Read = message.Read });
                break;
            case MessageKind.ReadIndexAnswer:
                // The sender led when it was asked: what was committed then it knew, whoever leads now.
                TakeReadAnswer(message);
                break;
            default:
                break;
        }
    }

    private void StepCurrent(in Message message)
    {
        switch (message.Kind)
        {
            case MessageKind.PreVote or MessageKind.Vote:
                AnswerVote(message);
                break;
            case MessageKind.PreVoteAnswer when Role == Role.PreCandidate && (message.Rejected || message.Term.Value == Term.Value + 1):
            case MessageKind.VoteAnswer when Role == Role.Candidate:
                Count(message.From, granted: !message.Rejected);
                break;
            case MessageKind.Append:
                HearFrom(message.From);
                _following.Append(message);
                break;
            case MessageKind.Heartbeat:
                HearFrom(message.From);
                _following.Heartbeat(message);
                break;
            case MessageKind.AppendAnswer:
                _leadership?.AppendAnswer(message);
                break;
            case MessageKind.HeartbeatAnswer:
                _leadership?.HeartbeatAnswer(message);
                break;
            case MessageKind.TimeoutNow when Role == Role.Follower && CanCampaign:
                // No PreVote: the leader itself asked, there is nobody to be disturbed.
                Campaign(isTransfer: true);
                break;
            case MessageKind.ReadIndex when _leadership is not null:
                _leadership.ReadIndex(message.From, message.Read);
                break;
            case MessageKind.ReadIndex:
                _box.Send(_box.To(message.From, MessageKind.ReadIndexAnswer) with { Rejected = true, Read = message.Read });
                break;
            case MessageKind.ReadIndexAnswer:
                TakeReadAnswer(message);
                break;
            default:
                break;
        }
    }

    // Any replica answers that is addressed by its exact incarnation, also a learner, one that its own membership does not
    // list, or one that has none: it may be a voter of a membership it has not seen yet, and without its vote nobody could
    // lead. Whoever addresses it has it in a membership.
    private void AnswerVote(in Message message)
    {
        var isPreVote = message.Kind == MessageKind.PreVote;
        var mayVote = (isPreVote && message.Term > Term)
            || (_promises.VotedFor is { } given ? Membership.IsSame(given, message.From) : Leader is null);
        var kind = isPreVote ? MessageKind.PreVoteAnswer : MessageKind.VoteAnswer;
        if (!mayVote || !_log.IsUpToDate(message.LogTerm, message.Index))
        {
            _box.Send(_box.To(message.From, kind) with { Rejected = true });
            return;
        }

        if (!isPreVote)
        {
            Invariant.Check(message.Term == Term && _leadership is null);
            _ticks = 0;
            if (_promises.VotedFor is null)
            {
                _promises.Vote(message.From);
            }
        }

        // A grant names the term it was asked for: a PreVote's has not begun for us.
        _box.Send(_box.To(message.From, kind) with { Term = message.Term });
    }

    private void HearFrom(ReplicaId leader)
    {
        // Two leaders in one term: everything rests on this never happening (paper §5.2).
        Invariant.Check(Role != Role.Leader);
        Invariant.Check(Leader is null || Membership.IsSame(Leader.Value, leader));
        if (Role != Role.Follower)
        {
            Follow(leader);
        }

        Leader = leader;
        _ticks = 0;
    }

    private void TakeReadAnswer(in Message message) =>
        Output.Reads.Add(new ReadResult(unchecked(message.Read - _readSalt), message.Rejected ? default : message.Index, Ok: !message.Rejected));

    private void Campaign(bool isTransfer)
    {
        Invariant.Check(_log.MayBeVoter(_options.Id));
        Invariant.Check(_leadership is null);
        if (isTransfer || Canary.Is(Canary.NoPreVote))
        {
            RunForLeader(isTransfer);
            return;
        }

        Role = Role.PreCandidate;
        Leader = null;
        RestartElectionTimer();
        Array.Clear(_votes);
        AskForVotes(MessageKind.PreVote, new Term(Term.Value + 1), isTransfer: false);
        Count(_options.Id, granted: true);
    }

    private void RunForLeader(bool isTransfer)
    {
        EnterTerm(new Term(Term.Value + 1), _options.Id);
        Role = Role.Candidate;
        Leader = null;
        RestartElectionTimer();
        Array.Clear(_votes);
        AskForVotes(MessageKind.Vote, Term, isTransfer);
    }

    private void AskForVotes(MessageKind kind, Term term, bool isTransfer)
    {
        foreach (var member in Membership.Span)
        {
            if ((member.Role & (MemberRole.Voter | MemberRole.OutgoingVoter)) != 0 && member.Id != _options.Id)
            {
                _box.Send(_box.To(member.Id, kind) with { Term = term, Index = _log.LastIndex, LogTerm = _log.LastTerm, IsTransfer = isTransfer });
            }
        }
    }

    // Only members count, each once; a second answer can't take back the first.
    private void Count(ReplicaId voter, bool granted)
    {
        Invariant.Check(Role is Role.PreCandidate or Role.Candidate);
        var at = Membership.IndexOf(voter);
        if (at < 0)
        {
            return;
        }

        _votes[at] = _votes[at] == Ballot.None ? (granted ? Ballot.Yes : Ballot.No) : _votes[at];
        var result = Quorum.Votes(Membership, _votes.AsSpan(0, Membership.Span.Length));
        if (result == VoteResult.Lost)
        {
            Follow(leader: null);
        }
        else if (result == VoteResult.Won && Role == Role.PreCandidate)
        {
            RunForLeader(isTransfer: false);
        }
        else if (result == VoteResult.Won && _promises.AreDurable)
        {
            Lead();
        }
    }

    private void Lead()
    {
        Invariant.Check(Role == Role.Candidate && Leader is null);
        Invariant.Check(_promises.VotedFor == _options.Id);
        Role = Role.Leader;
        Leader = _options.Id;
        _leadership = new Leadership(_box);
        Invariant.Check(_log.LastTerm == Term);
    }

    private void EnterTerm(Term term, ReplicaId? vote)
    {
        EndLeadership();
        _promises.Enter(term, vote);
        _following.Enter();
    }

    private void Follow(ReplicaId? leader)
    {
        EndLeadership();
        Role = Role.Follower;
        Leader = leader;
        RestartElectionTimer();
    }

    private void EndLeadershipIfOver()
    {
        if (_leadership is { IsOver: true })
        {
            Follow(leader: null);
        }
    }

    private void EndLeadership()
    {
        _leadership?.EndReads();
        _leadership = null;
    }

    private void RestartElectionTimer()
    {
        _ticks = 0;
        ElectionTimeoutTicks = _options.ElectionTicks + _options.Random.Next(_options.ElectionTicks);
        Invariant.Check(ElectionTimeoutTicks >= _options.ElectionTicks);
    }

    // What holds between any two inputs.
    private void CheckState()
    {
        Invariant.Check(_promises.Term >= _checkedTerm);
        Invariant.Check(_log.CommitIndex >= _checkedCommit);
        Invariant.Check(_log.LastTerm <= _promises.Term);
        Invariant.Check((Role == Role.Leader) == (_leadership is not null));
        Invariant.Check(Role != Role.Leader || (_promises.AreDurable && _log.LastTerm == _promises.Term));
        Invariant.Check(Role == Role.Follower || _promises.VotedFor is not null || Role == Role.PreCandidate);
        Invariant.Check(Role is Role.Follower or Role.Leader || Leader is null);
        _checkedTerm = _promises.Term;
        _checkedCommit = _log.CommitIndex;
    }
}
