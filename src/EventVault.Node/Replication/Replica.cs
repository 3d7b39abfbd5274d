// This node's part in consensus: drives the Raft core (ticks, messages, completions in) and does what it says (votes and
// groups to the disk, messages to peers, commits to the index and to those who wait). A vault of one node runs through
// here too: a quorum of one, that sends nothing.
//
// Guarantees: term and vote are flushed before anything that rests on them leaves; a group counts as held here only after
// its flush; what is published is committed and durable here; a group received from a peer is taken only with intact
// checksums and at its own place in the log. An append is answered when its index is committed: done if it is its own group
// that stands there, definitely not done if it is another. Being cut off this log decides nothing: another replica may
// still hold the group and lead with it (paper, figure 8).
//
// Owned by the sequencer's thread. Knows no sockets, files or threads.
using System.Runtime.InteropServices;
using EventVault.Raft;
using EventVault.Storage;
using EventVault.Storage.Log;
using EventVault.Storage.Scavenging;
using LogIndex = EventVault.Raft.LogIndex;
using StoredIndex = EventVault.Storage.LogIndex;
using StoredTerm = EventVault.Storage.Term;

namespace EventVault.Node.Replication;

/// <summary>This node's part in consensus.</summary>
internal sealed class Replica
{
    /// <summary>Groups that may be on their way to the local disk: one being flushed, one behind it.</summary>
    private const int MostUnflushed = 2;

    /// <summary>Groups that a leader may hold uncommitted; then appends wait in the queue. Four times what may be on its way to one follower.</summary>
    private const int MostUncommitted = 256;

    /// <summary>
    /// What the core allows beyond the bound kept here, in bytes: the largest group. How large a group becomes is known only
    /// when its appends have their versions, and then it must be taken.
    /// </summary>
    private const long LargestGroupBytes = VaultLimits.MostAppendBytes + VaultLimits.GroupBytes;

    /// <summary>
    /// Bytes of sealed segments behind which a follower gets these rather than groups: they are read, checked and indexed as a whole, and
    /// it is cheaper for the leader to send files than to look groups up. Below, reopening costs more than it saves.
    /// </summary>
    public const long FarBytes = 64 * 1024 * 1024;

    private readonly ReplicaId _id;
    private readonly VaultStorage _storage;
    private readonly LogWriter _writer;
    private readonly IPeerTransport _transport;
    private readonly CommitSignal _committed;
    private readonly ICompletions _completions;
    private readonly TimeProvider _clock;
    private readonly RaftCore _core;
    private readonly LogEntries _entries;
    private readonly long _mostUncommittedBytes;
    private readonly long _farBytes;
    private readonly SentGroups _sent;
    private readonly ReceivedGroups _received;
    private readonly Shipments _shipments;
    private readonly List<ReplicaId> _due = [];
    private readonly List<InFlightGroup> _inFlight = []; // Not committed yet, in the order of the log.
    private readonly List<InFlightGroup> _undecided = []; // Cut off this log; what is committed in their place decides.
    private readonly Queue<Owed> _owed = new();
    private readonly List<InFlightGroup> _completing = [];
    private readonly PendingReads _reads;
    private InFlightGroup? _proposal;
    private readonly int _electionTicks;
    private int _owedTicks;
    private int _waitedTicks;
    private int _unflushed;
    private ulong _publishedTerm;
    private ulong _publishedLast;
    private volatile bool _leadsAlone;
    private volatile bool _leads;
    private volatile bool _needsTicks;
    private volatile bool _holdsBack;
    private volatile bool _cannotSend;
    private volatile bool _isBarred;
    private readonly Lock _marking = new();
    private DiskMark _mark;
    private volatile ReplicaStanding _standing = ReplicaStanding.None;
    private long _appends;
    private long _events;

    /// <param name="storage">The log.</param>
    /// <param name="writer">Writes it.</param>
    /// <param name="transport">Reaches the peers.</param>
    /// <param name="committed">Told of every commit.</param>
    /// <param name="completions">Runs what callers are told.</param>
    /// <param name="clock">For the times of groups that consensus makes itself.</param>
    /// <param name="options">How the core behaves; its id is this node's.</param>
    /// <param name="farBytes">See <see cref="FarBytes"/>; less in tests.</param>
    public Replica(
        VaultStorage storage, LogWriter writer, IPeerTransport transport, CommitSignal committed, ICompletions completions, TimeProvider clock, RaftOptions options, long farBytes = FarBytes)
    {
        Invariant.Check(options.Id == LogEntries.IdOf(storage));
        _id = options.Id;
        _storage = storage;
        _writer = writer;
        _transport = transport;
        _committed = committed;
        _completions = completions;
        _clock = clock;
        _sent = new SentGroups(storage);
        _received = new ReceivedGroups(storage);
        _farBytes = farBytes;
        _mostUncommittedBytes = options.MaxUncommittedBytes;
        _electionTicks = options.ElectionTicks;
        _shipments = new Shipments(options.ElectionTicks);
        _reads = new PendingReads(2 * options.ElectionTicks);
        options = options with { MaxUncommittedBytes = options.MaxUncommittedBytes + LargestGroupBytes };
        _entries = new LogEntries(storage, farBytes, OnDamaged);
        _core = new RaftCore(options, LogEntries.StateOf(storage), _entries);
        Opened = (_core.Term.Value, _core.LastIndex.Value);
        Publish();
    }

    /// <summary>Called on the sequencer's thread when <see cref="Standing"/> has changed. Must not block.</summary>
    public Action<ReplicaStanding> Changed { get; set; } = static _ => { };

    /// <summary>Called on the sequencer's thread when a group that a follower needs can't be read. Must not block.</summary>
    public Action<DamageException> Damaged { get; set; } = static _ => { };

    /// <summary>
    /// Whether it leaves elections to others, and votes all the same: its clock is off, or its disk slow. Set by every thread.
    /// </summary>
    public bool HoldsBack
    {
        get => _holdsBack;
        set => _holdsBack = value;
    }

    /// <summary>Whether it met damage lately where a follower needed groups. For every thread.</summary>
    public bool CannotSend => _cannotSend;

    /// <summary>
    /// Whether its disk is an old copy of itself: it promises nothing any more, neither votes nor acknowledgements, as it may have promised
    /// something else before. It hears nobody, and so ceases to lead if it does. Set by every thread.
    /// </summary>
    public bool IsBarred
    {
        get => _isBarred;
        set => _isBarred = value;
    }

    /// <summary>Term and last index of the disk as it was opened.</summary>
    public (ulong Term, ulong Last) Opened { get; }

    /// <summary>How far the disk is. For every thread.</summary>
    public DiskMark Mark
    {
        get
        {
            lock (_marking)
            {
                return _mark;
            }
        }
    }

    /// <summary>How it stands. For every thread.</summary>
    public ReplicaStanding Standing => _standing;

    /// <summary>Whether time counts for it: there is somebody to send heartbeats to, or to wait for. For every thread.</summary>
    public bool NeedsTicks => _needsTicks;

    /// <summary>
    /// Tells a follower that it is to get segments, with the first index whose group can be sent. Called on the sequencer's thread. Must not
    /// block; may be lost.
    /// </summary>
    public Action<ReplicaId, LogIndex> OrderShipping { get; set; } = static (_, _) => { };

    /// <summary>Groups that were used before.</summary>
    public InFlightPool Pool { get; } = new();

    /// <summary>What it is in its term.</summary>
    public Role Role => _core.Role;

    /// <summary>The newest membership in its log.</summary>
    public Membership Membership => _core.Membership;

    /// <summary>Who leads, as far as it knows.</summary>
    public ReplicaId? Leader => _core.Leader;

    /// <summary>Whether the vault has no other voter: what is durable here is committed, and nobody else can lead.</summary>
    public bool IsAlone => _core.IsSoleVoter;

    /// <summary>Appends committed since the start. For every thread.</summary>
    public long Appends => Volatile.Read(ref _appends);

    /// <summary>Events committed since the start. For every thread.</summary>
    public long Events => Volatile.Read(ref _events);

    /// <summary>How often leadership moved.</summary>
    public ReplicaFigures Figures { get; } = new();

    /// <summary>Its term. For every thread.</summary>
    public ulong PublishedTerm => Volatile.Read(ref _publishedTerm);

    /// <summary>
    /// Whether it leads, shows all that was committed before, and no other voter could lead instead: then its head needs no
    /// confirmation. For every thread.
    /// </summary>
    public bool LeadsAlone => _leadsAlone;

    /// <summary>Whether it leads and shows all that was committed before, as far as it knows. For every thread.</summary>
    public bool Leads => _leads;

    /// <summary>Whether it leads and knows all that was committed before: an entry of its term is.</summary>
    public bool IsCaughtUp => _core.IsCaughtUpLeader && _storage.CommitIndex.Value >= _core.CommitIndex.Value;

    /// <summary>Whether it leads and takes proposals.</summary>
    public bool IsLeading => _core.Role == Role.Leader && !_core.IsTransferring;

    /// <summary>Whether a proposal is taken now, rather than when something before it is done.</summary>
    public bool CanPropose =>
        IsLeading && _owed.Count == 0 && _unflushed < MostUnflushed && _inFlight.Count < MostUncommitted && _core.UncommittedBytes < _mostUncommittedBytes;

    /// <summary>Whether it can't propose because an entry of its own finds no room on a full disk.</summary>
    public bool OwesOnFullDisk => _owed.Count > 0 && _storage.Tail.CheckRoom(LogTail.SystemLength(0), isSystem: true) == RoomCheck.Full;

    /// <summary>Whether nothing is on its way to the disk, and nobody waits for what is on its way to be committed.</summary>
    public bool IsIdle => _unflushed == 0 && _owed.Count == 0 && _undecided.Count == 0 && !_inFlight.Exists(static group => group.HasAnswers);

    /// <summary>Index of the last group in its log, durable or not. For every thread.</summary>
    public ulong PublishedLastIndex => Volatile.Read(ref _publishedLast);

    /// <summary>Whether something of consensus itself waits for a segment to be prepared.</summary>
    public bool WaitsForRoom => _owed.Count > 0;

    /// <summary>The newest group that is not committed yet; null: none.</summary>
    public InFlightGroup? Newest => _inFlight.Count > 0 ? _inFlight[^1] : null;

    /// <summary>
    /// The group that holds an operation, if it is not committed yet; for one that was in the log at the start the newest
    /// group, which can't be committed before it.
    /// </summary>
    public InFlightGroup? HolderOf(OperationPlace place)
    {
        if (!_storage.Tail.IsPending(place))
        {
            return null;
        }

        foreach (var group in _inFlight)
        {
            if (group.Buffer.Holds(place))
            {
                return group;
            }
        }

        return Newest;
    }

    /// <summary>How it stands.</summary>
    public RaftStatus Status() => _core.Status();

    /// <summary>Begins an election at once.</summary>
    public void Campaign()
    {
        _core.Campaign();
        Process();
    }

    /// <summary>A tick passed.</summary>
    public void Tick()
    {
        _reads.Tick();
        _entries.Tick();
        _cannotSend = _entries.HasMetDamage;
        _owedTicks = _owed.Count > 0 ? _owedTicks + 1 : 0;

        // A leader commits nothing before its no-op is written: whoever has no room for one leaves the election to others,
        // and whoever found out too late falls silent, so that they hold one.
        _core.MayCampaign = !HoldsBack && !IsBarred && _storage.Tail.CheckRoom(LogTail.SystemLength(0), isSystem: true) == RoomCheck.Ok;
        if (_owedTicks <= _electionTicks || IsAlone)
        {
            _core.Tick();
            Process();
        }

        LookForShipped();
        GiveUpWhatNobodyDecides();
    }

    /// <summary>A message came.</summary>
    public void Receive(in PeerMessage message)
    {
        var raft = message.Raft;
        if (IsBarred || message.VaultId != _storage.VaultId || !PeerMessages.IsSane(message, _core)
            || (raft.Kind == MessageKind.Append && !_received.TryTake(message, _core, out raft)))
        {
            return;
        }

        _core.MayCampaign &= !HoldsBack; // It may be told to.
        _core.Step(raft);
        Process();
        _received.Clear();
    }

    /// <summary>Takes what the writer has finished, and makes what room allows; false if there was nothing to do.</summary>
    public bool Step()
    {
        var worked = false;
        InFlightGroup? last = null;
        while (_writer.TryTakeDurable(out var group))
        {
            worked = true;
            group.IsWriting = false;
            if (group.Truncation is not null)
            {
                Pool.Return(group);
                continue;
            }

            _unflushed--;
            if (group.IsTruncated)
            {
                // Told one by one, in order: the core knows by the term that it is not the entry that stands there now.
                AppendDone(last);
                AppendDone(group);
                Pool.Return(group);
                last = null;
            }
            else
            {
                last = group;
            }
        }

        AppendDone(last);

        while (_owed.Count > 0 && TryPay(_owed.Peek()))
        {
            _owed.Dequeue();
            worked = true;
        }

        return worked;
    }

    /// <summary>
    /// Proposes a finished group of appends, which the sequencer has made at the log's tail. <see cref="CanPropose"/> has
    /// just said yes.
    /// </summary>
    public void Propose(InFlightGroup group)
    {
        _proposal = group;
        var result = _core.Propose(group.Buffer.Length);
        Invariant.Check(result == ProposeResult.Taken, "The bound kept here is tighter than the core's.");
        Process();
        Invariant.Check(_proposal is null, "A proposal that was taken stands in the output.");
    }

    /// <summary>The term of the groups that the sequencer makes.</summary>
    public StoredTerm Term => new(_core.Term.Value);

    /// <summary>Changes who belongs to the vault.</summary>
    public ProposeResult ProposeMembership(Membership target)
    {
        if (_owed.Count > 0)
        {
            return ProposeResult.ChangePending;
        }

        var result = _core.ProposeMembership(target);
        Process();
        return result;
    }

    /// <summary>Hands leadership over.</summary>
    public bool Transfer(ReplicaId to)
    {
        var begun = _core.Transfer(to);
        Process();
        return begun;
    }

    /// <summary>A peer can't be reached: what was sent to it is lost.</summary>
    public void ReportUnreachable(ReplicaId replica)
    {
        _core.ReportUnreachable(replica);
        _shipments.Unreachable(replica);
        Process();
    }

    /// <summary>Tells the waiter when a read here sees all that was committed when this was called.</summary>
    public void ReadIndex(IReadWaiter waiter)
    {
        if (_reads.Add(waiter) is var read and > 0)
        {
            _core.ReadIndex(read);
            Process();
        }
    }

    /// <summary>Answers callers who have waited long enough for what is not decided.</summary>
    public void GiveUp(long nowMs)
    {
        _reads.GiveUp(nowMs);
        if (_inFlight.Count == 0 && _undecided.Count == 0)
        {
            return;
        }

        var late = Pool.Rent();
        foreach (var group in _inFlight.Concat(_undecided))
        {
            late.TakeLate(group, nowMs);
        }

        late.Refuse(AppendOutcome.Unknown, others: AppendOutcome.TimedOut);
        Complete(late);
    }

    /// <summary>Nobody will tell this replica any more what became of its appends: their outcome is unknown.</summary>
    public void GiveUpAll()
    {
        var all = Pool.Rent();
        foreach (var group in _inFlight.Concat(_undecided))
        {
            all.TakeOver(group);
        }

        _undecided.Clear();
        all.Refuse(AppendOutcome.Unknown, others: AppendOutcome.NotLeader);
        Complete(all);
    }

    /// <summary>As <see cref="GiveUpAll"/>, and reads that wait fail.</summary>
    public void GiveUpWaiting()
    {
        GiveUpAll();
        _reads.FailAll();
    }

    /// <summary>The end: what was proposed has an unknown outcome.</summary>
    public void Stop()
    {
        var all = new InFlightGroup();
        foreach (var group in _inFlight.Concat(_undecided))
        {
            all.TakeOver(group);
        }

        if (_proposal is not null)
        {
            all.TakeOver(_proposal);
        }

        all.Refuse(AppendOutcome.Unknown, others: AppendOutcome.Draining);
        all.CompleteAll(_completions, pool: null); // Not used again: the writer may still hold some.
        _inFlight.Clear();
        _reads.FailAll();
    }

    private void AppendDone(InFlightGroup? group)
    {
        if (group is not null)
        {
            _core.AppendDone(new Raft.Term(group.Buffer.Term.Value), new LogIndex(group.Buffer.Index.Value));
            Process();
        }
    }

    // Does what the core says, until it says nothing more.
    private void Process()
    {
        var output = _core.Output;
        while (!output.IsEmpty)
        {
            _storage.Tail.Term = Term;
            Volatile.Write(ref _publishedTerm, Term.Value);
            var save = output.Save;
            if (save is { } request && !Canary.Is(Canary.VoteNotPersisted))
            {
                var vote = request.VotedFor ?? default;
                _storage.Vote.Write(new(request.Term.Value), vote.Node, vote.Incarnation);
            }

            if (output.TruncateAfter is { } last)
            {
                Truncate(last);
            }

            for (var i = 0; i < output.Append.Count; i++)
            {
                Append(output.AppendFrom + (ulong)i, output.Append[i]);
            }

            foreach (var message in output.Messages)
            {
                Send(message);
            }

            foreach (var read in output.Reads)
            {
                _reads.Decide(read);
            }

            foreach (var ship in output.Ships)
            {
                _shipments.Ordered(ship.To);
                OrderShipping(ship.To, new LogIndex(_storage.Source.FirstGroup(_farBytes).Value));
            }

            output.Clear();
            if (save is { } saved)
            {
                _core.SaveDone(saved.Number);
            }
        }

        Commit();
        Publish();
    }

    private void Publish()
    {
        _leadsAlone = IsAlone && IsCaughtUp;
        _leads = IsLeading && IsCaughtUp;
        _needsTicks = !IsAlone || _core.Membership.Members.Count > 1;
        Volatile.Write(ref _publishedLast, _core.LastIndex.Value);
        var mark = new DiskMark(_core.Term.Value, _core.HeldIndex.Value, Math.Min(_core.CommitIndex.Value, _core.DurableIndex.Value));
        if (mark != _mark)
        {
            lock (_marking)
            {
                _mark = mark;
            }
        }

        var old = _standing;
        if (old.Role != _core.Role || old.Term != _core.Term || old.Leader != _core.Leader || old.TakesProposals != IsLeading
            || !ReferenceEquals(old.Membership, _core.Membership) || old.MembershipIndex != _core.MembershipIndex)
        {
            var hasLeft = old.Role == Role.Leader && _core.Role == Role.Follower && _core.Membership.RoleOf(_id) == 0;
            _standing = new ReplicaStanding(_core.Role, _core.Term, _core.Leader, _core.Membership, _core.MembershipIndex, IsLeading);
            Figures.Changed(old, _standing);
            Changed(_standing);
            if (hasLeft)
            {
                GiveUpAll();
            }
        }
    }

    // What other followers need can still be read, and what is new: no reason to stop leading.
    private void OnDamaged(DamageException damage) => Damaged(damage);

    private void Append(LogIndex index, in Entry entry)
    {
        if (_proposal is { } proposal && proposal.Buffer.Index.Value == index.Value)
        {
            Invariant.Check(entry.Term == _core.Term && proposal.Buffer.Term.Value == entry.Term.Value);
            _proposal = null;
            Submit(proposal);
        }
        else if (!_received.IsEmpty)
        {
            var group = Pool.Rent();
            var check = _storage.Tail.Receive(group.Buffer, _received.Bytes(index));
            Invariant.Check(check == ReceiveCheck.Ok, "A group whose index, term and predecessor match is the leader's, byte for byte.");
            Submit(group);
        }
        else
        {
            Invariant.Check(entry.Kind is EntryKind.NoOp or EntryKind.Membership);
            var owed = new Owed(index, entry);
            if (_owed.Count > 0 || !TryPay(owed))
            {
                _owed.Enqueue(owed);
            }
        }
    }

    // Writes an entry that the core made; false while there is no room in the log.
    private bool TryPay(in Owed owed)
    {
        var content = owed.Entry.Membership?.Encode() ?? [];
        var tail = _storage.Tail;
        if (tail.CheckRoom(LogTail.SystemLength(content.Length), isSystem: true) != RoomCheck.Ok)
        {
            return false;
        }

        var group = Pool.Rent();
        tail.Term = new StoredTerm(owed.Entry.Term.Value); // It may have waited into a later term.
        tail.BeginSystem(group.Buffer, owed.Entry.Kind == EntryKind.NoOp ? GroupKind.NoOp : GroupKind.Membership, content, VaultLoop.Now(_clock));
        tail.Finish(group.Buffer);
        tail.Term = Term;
        Invariant.Check(group.Buffer.Index.Value == owed.Index.Value);
        Submit(group);
        return true;
    }

    private void Submit(InFlightGroup group)
    {
        _inFlight.Add(group);
        _unflushed++;
        group.IsWriting = true;
        _writer.Submit(group);
        if (Canary.Is(Canary.AckBeforeFlush))
        {
            _core.AppendDone(new Raft.Term(group.Buffer.Term.Value), new LogIndex(group.Buffer.Index.Value));
        }
    }

    private void Truncate(LogIndex last)
    {
        while (_owed.Count > 0 && _owed.Last().Index > last)
        {
            Invariant.Check(_owed.Peek().Index > last, "Entries that nobody else has seen go together.");
            _owed.Clear();
        }

        if (_storage.Tail.LastIndex.Value <= last.Value)
        {
            return;
        }

        Invariant.Check(last.Value >= _storage.CommitIndex.Value, "What is committed stays.");

        // First of all: where the groups end, and so how far the disk is to be zeroed, stands in the buffers let go below.
        var truncation = _storage.Tail.Truncate(new StoredIndex(last.Value));
        for (var i = _inFlight.Count - 1; i >= 0 && _inFlight[i].Buffer.Index.Value > last.Value; i--)
        {
            var group = _inFlight[i];
            _inFlight.RemoveAt(i);
            group.IsTruncated = true;
            if (group.HasAnswers)
            {
                var undecided = new InFlightGroup { Index = group.Buffer.Index, Term = group.Buffer.Term };
                undecided.TakeOver(group);
                if (Canary.Is(Canary.TruncatedIsRefused))
                {
                    undecided.Refuse(AppendOutcome.NotLeader, others: AppendOutcome.NotLeader);
                    undecided.CompleteAll(_completions, pool: null);
                }
                else
                {
                    _undecided.Add(undecided);
                }
            }

            if (!group.IsWriting)
            {
                Pool.Return(group);
            }
        }

        _reads.FailBehind(last.Value);
        var order = Pool.Rent();
        order.Truncation = truncation;
        order.IsWriting = true;
        _writer.Submit(order);
        _sent.Forget(last);
    }

    private void Send(in Message message)
    {
        byte[][] groups = [];
        if (message.Kind == MessageKind.Append && message.Entries.Length > 0)
        {
            if (message.Index.Value + (ulong)message.Entries.Length > _storage.Tail.LastIndex.Value)
            {
                // An entry that waits for room here is not sent; the core sends it again.
                return;
            }

            groups = new byte[message.Entries.Length][];
            try
            {
                for (var i = 0; i < groups.Length; i++)
                {
                    groups[i] = _sent.Bytes(message.Index + (ulong)i + 1);
                }
            }
            catch (ScavengedGroupException)
            {
                return; // Scavenged this moment, by another thread: as if the message was lost. The next one does not begin there.
            }
            catch (DamageException e)
            {
                _entries.OnDamage(message.Index.Value + (ulong)Array.FindIndex(groups, static group => group is null) + 1, e);
                return;
            }
        }

        _transport.Send(new PeerMessage(_storage.VaultId, message, groups));
    }

    // Whoever was deposed learns soon what became of its groups, unless it is cut off. Then those who wait lose time that they could use elsewhere.
    private void GiveUpWhatNobodyDecides()
    {
        var waits = _core.Role != Role.Leader && (_undecided.Count > 0 || _inFlight.Exists(static group => group.HasAnswers));
        _waitedTicks = waits ? _waitedTicks + 1 : 0;
        if (_waitedTicks > _electionTicks)
        {
            GiveUpAll();
        }
    }

    // Followers that were told to get segments may have them: where groups can be sent they answer, others are told again.
    private void LookForShipped()
    {
        if (_core.Role != Role.Leader)
        {
            _shipments.Clear();
            return;
        }

        _shipments.Tick(_due);
        foreach (var follower in _due)
        {
            _core.ShipDone(follower, default, ok: false);
            Process();
        }

        _due.Clear();
    }

    // Publishes what is committed and durable here. Another majority may be ahead of this disk; its own flush follows.
    private void Commit()
    {
        var upTo = Math.Min(_core.CommitIndex.Value, Math.Min(_core.DurableIndex.Value, _storage.Tail.LastIndex.Value));
        if (upTo > _storage.CommitIndex.Value)
        {
            _storage.Commit(new StoredIndex(upTo));
            var count = 0;
            for (; count < _inFlight.Count && _inFlight[count].Buffer.Index.Value <= upTo; count++)
            {
                var group = _inFlight[count];
                Volatile.Write(ref _appends, _appends + group.Buffer.Appends);
                Volatile.Write(ref _events, _events + group.Buffer.Events);
            }

            // Taken out first: should anything throw, nobody is answered twice.
            _completing.AddRange(CollectionsMarshal.AsSpan(_inFlight)[..count]);
            _inFlight.RemoveRange(0, count);
            _committed.Publish();
            foreach (var group in _completing)
            {
                Complete(group);
            }

            _completing.Clear();
            DecideTruncated();
        }

        _reads.Applied(_storage.CommitIndex.Value);
    }

    // Groups that were cut off here and whose place in the log is decided now.
    private void DecideTruncated()
    {
        for (var i = _undecided.Count - 1; i >= 0; i--)
        {
            var group = _undecided[i];
            if (group.Index.Value > _storage.CommitIndex.Value)
            {
                continue;
            }

            if (_core.TermAt(new LogIndex(group.Index.Value))?.Value != group.Term.Value)
            {
                group.Refuse(AppendOutcome.NotLeader, others: AppendOutcome.NotLeader);
            }

            group.CompleteAll(_completions, pool: null);
            _undecided.RemoveAt(i);
        }
    }

    private void Complete(InFlightGroup group)
    {
        if (group.HasAnswers)
        {
            group.CompleteAll(_completions, Pool);
        }
        else
        {
            Pool.Return(group);
        }
    }

    /// <summary>An entry of ours that stands in the core's log and waits for room in the storage's.</summary>
    private readonly record struct Owed(LogIndex Index, Entry Entry);
}
