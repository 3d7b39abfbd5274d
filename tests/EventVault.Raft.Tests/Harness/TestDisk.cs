namespace EventVault.Raft.Tests.Harness;

/// <summary>A write that a core asked for and that is not flushed yet.</summary>
internal abstract record DiskWrite;

/// <summary>Term and vote.</summary>
internal sealed record SaveWrite(SaveRequest Request) : DiskWrite;

/// <summary>A cut and what follows it, with the commit index that the core knew (it stands in each group's header).</summary>
internal sealed record LogWrite(LogIndex? TruncateAfter, LogIndex From, Entry[] Entries, LogIndex Commit) : DiskWrite;

/// <summary>
/// What one replica has durably, and its unflushed writes in the order they were asked for. Whoever drives the test says
/// when each becomes durable; a crash loses the others, all or from some write on.
/// </summary>
internal sealed class TestDisk
{
    private readonly List<DiskWrite> _unflushed = [];

    public Term Term { get; set; }

    public ReplicaId? VotedFor { get; set; }

    /// <summary>Entry i stands at log index i + 1.</summary>
    public List<Entry> Entries { get; init; } = [];

    /// <summary>The membership at log index 0; null: belongs to no vault yet.</summary>
    public Membership? First { get; init; }

    /// <summary>What the log itself proves to be committed.</summary>
    public LogIndex Commit { get; set; }

    public IReadOnlyList<DiskWrite> Unflushed => _unflushed;

    public void Submit(DiskWrite write) => _unflushed.Add(write);

    /// <summary>The next write becomes durable; or the next save, which may overtake the log's writes: it has its own file.</summary>
    public DiskWrite Flush(bool saveFirst = false)
    {
        int next = saveFirst ? Math.Max(0, _unflushed.FindIndex(w => w is SaveWrite)) : 0;
        DiskWrite write = _unflushed[next];
        _unflushed.RemoveAt(next);
        Apply(write, int.MaxValue);
        return write;
    }

    /// <summary>
    /// The power fails: of the unflushed writes a prefix survives, the last one of it maybe in part. Without
    /// <paramref name="random"/> nothing does.
    /// </summary>
    public void Crash(Random? random)
    {
        while (random?.Next(2) == 0 && _unflushed.Exists(w => w is SaveWrite))
        {
            Flush(saveFirst: true);
        }

        int surviving = random?.Next(_unflushed.Count + 1) ?? 0;
        for (int i = 0; i < surviving; i++)
        {
            bool isLast = i == surviving - 1;
            Apply(_unflushed[i], isLast && _unflushed[i] is LogWrite log ? random!.Next(log.Entries.Length + 1) : int.MaxValue);
        }

        _unflushed.Clear();
    }

    /// <summary>What a core wakes up with.</summary>
    public RaftState State()
    {
        var memberships = new List<(LogIndex, Membership)>();
        if (First is not null)
        {
            memberships.Add((default, First));
        }

        for (int i = 0; i < Entries.Count; i++)
        {
            if (Entries[i].Membership is { } membership)
            {
                var index = new LogIndex((ulong)i + 1);
                if (index <= Commit)
                {
                    memberships.Clear();
                }

                memberships.Add((index, membership));
            }
        }

        return new RaftState
        {
            Term = Term,
            VotedFor = VotedFor,
            LastIndex = new((ulong)Entries.Count),
            CommitIndex = Commit,
            Terms = Runs(Entries),
            Memberships = memberships,
        };
    }

    /// <summary>Entries of one term that follow one another, together.</summary>
    public static List<TermRun> Runs(IReadOnlyList<Entry> entries)
    {
        var runs = new List<TermRun>();
        for (int i = 0; i < entries.Count; i++)
        {
            if (runs.Count == 0 || runs[^1].Term != entries[i].Term)
            {
                runs.Add(new(new((ulong)i + 1), entries[i].Term));
            }
        }

        return runs;
    }

    private void Apply(DiskWrite write, int mostEntries)
    {
        switch (write)
        {
            case SaveWrite(var request):
                Term = request.Term;
                VotedFor = request.VotedFor;
                break;
            case LogWrite log:
                if (log.TruncateAfter is { } last)
                {
                    Entries.RemoveRange((int)last.Value, Math.Max(0, Entries.Count - (int)last.Value));
                }

                if (log.Entries.Length > 0 && mostEntries > 0)
                {
                    Assert.Equal(log.From.Value, (ulong)Entries.Count + 1);
                    Entries.AddRange(log.Entries.Take(mostEntries));
                }

                Commit = new(Math.Min(Math.Max(Commit.Value, log.Commit.Value), (ulong)Entries.Count));
                break;
        }
    }
}
