namespace EventVault.Raft.Tests.Harness;

/// <summary>
/// A core with its log and its disk: handles the output as a node does, in the order that RaftOutput asks for. Writes wait
/// on the disk until <see cref="FlushNext"/>.
/// </summary>
internal sealed class TestReplica : IEntrySource
{
    private readonly RaftOptions _options;
    private readonly List<Entry> _log;

    public TestReplica(RaftOptions options, TestDisk disk)
    {
        _options = options;
        Disk = disk;
        _log = [.. disk.Entries];
        Core = new RaftCore(options, disk.State(), this);
    }

    public ReplicaId Id => _options.Id;

    public RaftOptions Options => _options;

    public RaftCore Core { get; }

    public TestDisk Disk { get; }

    /// <summary>The log as the core knows it, durable or not. Entry i stands at log index i + 1.</summary>
    public IReadOnlyList<Entry> Log => _log;

    /// <summary>False after a crash, until another replica is made from its disk.</summary>
    public bool IsUp { get; private set; } = true;

    /// <summary>Lowest index that is sent as a rule; what lies before is shipped.</summary>
    public LogIndex First { get; set; } = new(1);

    /// <summary>Lowest index that can be sent; null: <see cref="First"/>.</summary>
    public LogIndex? There { get; set; }

    LogIndex IEntrySource.FirstThere => There ?? First;

    /// <summary>Entries behind it wait for room in the log, as on a full disk; null: there is room.</summary>
    public LogIndex? EndOfRoom { get; set; }

    public void Read(LogIndex from, LogIndex until, int most, long mostBytes, List<Entry> into)
    {
        Assert.True(from >= (There ?? First), $"{Id} looks up {from}, but its log begins at {There ?? First}.");
        Assert.True(from.Value >= 1 && from <= until && until.Value <= (ulong)_log.Count, $"{Id} looks up {from}..{until} in a log of {_log.Count}.");
        until = EndOfRoom is { } end && end < until ? end : until;
        long bytes = 0;
        for (int i = (int)from.Value - 1, n = 0; i < (int)until.Value && n < Math.Max(1, most); i++, n++)
        {
            bytes += _log[i].Bytes;
            if (n > 0 && bytes > mostBytes)
            {
                return;
            }

            into.Add(_log[i]);
        }
    }

    /// <summary>Takes the core's output: the log and the disk get theirs, the caller the rest.</summary>
    public TakenOutput Take()
    {
        RaftOutput output = Core.Output;
        if (output.Save is { } save)
        {
            Disk.Submit(new SaveWrite(save));
        }

        if (output.TruncateAfter is { } last)
        {
            Assert.True(last.Value < (ulong)_log.Count, $"{Id} truncates behind {last}, but its log ends at {_log.Count}.");
            _log.RemoveRange((int)last.Value, _log.Count - (int)last.Value);
        }

        if (output.Append.Count > 0)
        {
            Assert.Equal(output.AppendFrom.Value, (ulong)_log.Count + 1);
            _log.AddRange(output.Append);
        }

        var taken = new TakenOutput(
            output.Save, output.TruncateAfter, output.AppendFrom, [.. output.Append], [.. output.Messages], [.. output.Reads], [.. output.Ships]);
        if (taken.TruncateAfter is not null || taken.Append.Length > 0)
        {
            Disk.Submit(new LogWrite(taken.TruncateAfter, taken.AppendFrom, taken.Append, Core.CommitIndex));
        }

        output.Clear();
        return taken;
    }

    /// <summary>The disk's next write becomes durable, and the core is told.</summary>
    public DiskWrite FlushNext(bool saveFirst = false)
    {
        DiskWrite write = Disk.Flush(saveFirst);
        switch (write)
        {
            case SaveWrite(var request):
                Core.SaveDone(request.Number);
                break;
            case LogWrite { Entries.Length: > 0 } log:
                Core.AppendDone(log.Entries[^1].Term, log.From + (ulong)(log.Entries.Length - 1));
                break;
        }

        return write;
    }

    /// <summary>Power loss: the core is gone, the disk keeps what <see cref="TestDisk.Crash"/> leaves.</summary>
    public void Crash(Random? random = null)
    {
        IsUp = false;
        Disk.Crash(random);
    }
}

/// <summary>What a core put out after one input. The commit index is read from the core.</summary>
internal sealed record TakenOutput(
    SaveRequest? Save, LogIndex? TruncateAfter, LogIndex AppendFrom, Entry[] Append, Message[] Messages, ReadResult[] Reads, ShipRequest[] Ships);
