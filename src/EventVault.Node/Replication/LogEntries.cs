using EventVault.Raft;
using EventVault.Storage;
using EventVault.Storage.Log;
using EventVault.Storage.Scavenging;
using LogIndex = EventVault.Raft.LogIndex;
using Term = EventVault.Raft.Term;

namespace EventVault.Node.Replication;

/// <summary>The log in storage, as the core looks entries up in it.</summary>
/// <param name="storage">Has the log.</param>
/// <param name="farBytes">So many bytes of sealed segments behind, a follower gets segments.</param>
/// <param name="onDamaged">Told of groups that can't be read, once a minute for each place: for whoever asks, they are not there.</param>
internal sealed class LogEntries(VaultStorage storage, long farBytes, Action<DamageException> onDamaged) : IEntrySource
{
    /// <summary>Ticks until what was damaged is tried again: a second. It may have been mended; and each try costs an exception and reading from the disk.</summary>
    private const int TriedAgain = 20;

    /// <summary>Ticks until the same damage is told again: a minute.</summary>
    private const int ToldAgain = 1200;

    /// <summary>Damaged groups that are remembered; beyond it all are tried again.</summary>
    private const int MostDamaged = 64;

    private readonly List<StoredGroup> _groups = [];
    private readonly HashSet<ulong> _damaged = [];
    private readonly HashSet<(string File, long Offset)> _told = [];
    private int _ticks;

    /// <summary>Whether damage was met within about a minute.</summary>
    public bool HasMetDamage => _told.Count > 0;

    /// <summary>A tick passed.</summary>
    public void Tick()
    {
        _ticks++;
        if (_ticks % TriedAgain == 0)
        {
            _damaged.Clear();
        }

        if (_ticks % ToldAgain == 0)
        {
            _told.Clear();
        }
    }

    /// <summary>A group can't be read: whoever asks for it finds nothing there for a while.</summary>
    public void OnDamage(ulong index, DamageException damage)
    {
        if (_damaged.Count == MostDamaged || _told.Count == MostDamaged)
        {
            _damaged.Clear();
            _told.Clear();
        }

        _damaged.Add(index);
        if (_told.Add((damage.File, damage.Offset)))
        {
            onDamaged(damage);
        }
    }

    /// <summary>Groups of scavenged segments, and before, can't be sent any more; those that are far back could, but segments are less work.</summary>
    public LogIndex First => new(storage.Source.FirstGroup(farBytes).Value);

    public LogIndex FirstThere => new(storage.Source.FirstGroups(farBytes).There.Value);

    public void Read(LogIndex from, LogIndex until, int most, long mostBytes, List<Entry> into)
    {
        // An entry of ours that still waits for room in the log can't be sent yet.
        var last = Math.Min(until.Value, storage.Tail.LastIndex.Value);
        foreach (var damaged in _damaged)
        {
            last = damaged >= from.Value ? Math.Min(last, damaged - 1) : last;
        }

        if (from.Value > last)
        {
            return;
        }

        _groups.Clear();
        try
        {
            storage.ReadGroups(new(from.Value), new(last), most, mostBytes, _groups);
        }
        catch (ScavengedGroupException)
        {
            return; // Scavenged since First was asked, by another thread: as if there were nothing yet. The next time it is known.
        }
        catch (DamageException e)
        {
            OnDamage(from.Value + (ulong)_groups.Count, e); // Those before it are whole.
        }

        foreach (var group in _groups)
        {
            into.Add(EntryOf(group));
        }
    }

    /// <summary>What consensus sees of a group.</summary>
    /// <exception cref="InvariantException">A membership that can't be read, in a group whose checksums hold.</exception>
    public static Entry EntryOf(in StoredGroup group) => group.Kind switch
    {
        GroupKind.Appends => new Entry(new Term(group.Term.Value), EntryKind.Appends, group.Length),
        GroupKind.NoOp => new Entry(new Term(group.Term.Value), EntryKind.NoOp, group.Length),
        GroupKind.Membership => new Entry(new Term(group.Term.Value), EntryKind.Membership, group.Length, MembershipOf(group.SystemContent)),
        _ => throw new InvariantException($"Group {group.Index} is of the unknown kind {group.Kind}."),
    };

    /// <summary>As <see cref="EntryOf"/>, for a group that came from a peer; false if its membership can't be read.</summary>
    public static bool TryEntryOf(in StoredGroup group, out Entry entry)
    {
        var isReadable = group.Kind != GroupKind.Membership || Raft.Membership.Decode(group.SystemContent) is not null;
        entry = isReadable ? EntryOf(group) : default;
        return isReadable;
    }

    /// <summary>The state that the core begins with: what stands on the disk.</summary>
    public static RaftState StateOf(VaultStorage storage)
    {
        var vote = storage.Vote;
        var memberships = storage.Raft.Memberships.Select(m => (new LogIndex(m.Index.Value), MembershipOf(m.Content))).ToList();
        if (!storage.IsJoined && (memberships.Count == 0 || memberships[0].Item1.Value > storage.CommitIndex.Value))
        {
            // Nothing in the log says otherwise yet: the vault belongs to whoever made it, alone.
            memberships.Insert(0, (new LogIndex(0), Raft.Membership.OfVoters(IdOf(storage))));
        }

        return new RaftState
        {
            Term = new Term(vote.Term.Value),
            VotedFor = vote.VotedNode == 0 ? null : new ReplicaId(vote.VotedNode, vote.VotedIncarnation),
            LastIndex = new LogIndex(storage.Tail.LastIndex.Value),
            CommitIndex = new LogIndex(storage.CommitIndex.Value),
            Terms = [.. storage.Raft.TermRuns.Select(run => new TermRun(new LogIndex(run.First.Value), new Term(run.Term.Value)))],
            Memberships = memberships,
        };
    }

    /// <summary>Who this node is to its peers.</summary>
    public static ReplicaId IdOf(VaultStorage storage) => new(storage.NodeId, storage.Incarnation);

    private static Membership MembershipOf(ReadOnlySpan<byte> content) =>
        Raft.Membership.Decode(content) ?? throw new InvariantException("A membership in the log can't be read although its checksum holds.");
}
