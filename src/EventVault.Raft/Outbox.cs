namespace EventVault.Raft;

/// <summary>What all parts of a core share: its log, its promises, and the way out.</summary>
internal sealed class Outbox(RaftOptions options, RaftLog log, Promises promises, IEntrySource entries, RaftOutput output)
{
    private readonly List<Entry> _read = [];

    // What was sent last: followers that are equally far get the same array.
    private Entry[] _sent = [];
    private LogIndex _sentFrom;
    private long _sentBytes;

    public RaftOptions Options => options;

    public ReplicaId Self => options.Id;

    public RaftLog Log => log;

    public Promises Promises => promises;

    public RaftOutput Output => output;

    /// <summary>See <see cref="IEntrySource.First"/>.</summary>
    public LogIndex First => entries.First;

    /// <summary>See <see cref="IEntrySource.FirstThere"/>.</summary>
    public LogIndex FirstThere => entries.FirstThere;

    public void Send(in Message message) => promises.Send(message);

    /// <summary>A message of the current term.</summary>
    public Message To(ReplicaId to, MessageKind kind) => new(kind, options.Id, to, promises.Term);

    /// <summary>Appends to the log, and has it written.</summary>
    public LogIndex Append(in Entry entry)
    {
        var index = log.Append(entry);
        if (output.Append.Count == 0)
        {
            output.AppendFrom = index;
        }

        output.Append.Add(entry);
        Invariant.Check(output.AppendFrom.Value + (ulong)output.Append.Count - 1 == index.Value);
        return index;
    }

    /// <summary>Truncates the log, and has it written. What was not yet taken from the output simply goes.</summary>
    public void Truncate(LogIndex last)
    {
        log.Truncate(last);
        _sent = [];
        if (output.Append.Count > 0 && last >= output.AppendFrom - 1)
        {
            var kept = (int)(last.Value + 1 - output.AppendFrom.Value);
            output.Append.RemoveRange(kept, output.Append.Count - kept);
            return;
        }

        output.Append.Clear();
        output.TruncateAfter = last;
    }

    /// <summary>
    /// Entries from <paramref name="from"/> on, as many as one message takes and <paramref name="mostBytes"/> allows (the
    /// first one always, unless the log has no room for it yet), and their bytes.
    /// </summary>
    public Entry[] Read(LogIndex from, long mostBytes, out long bytes)
    {
        Invariant.Check(from <= log.LastIndex && from.Value > 0);
        mostBytes = Math.Min(mostBytes, options.MaxMessageBytes);
        if (_sent.Length > 0 && _sentFrom == from && _sentBytes <= mostBytes && from + ((ulong)_sent.Length - 1) == log.LastIndex)
        {
            bytes = _sentBytes;
            return _sent;
        }

        _read.Clear();
        var written = output.Append.Count == 0 ? log.LastIndex + 1 : output.AppendFrom;
        if (from < written)
        {
            entries.Read(from, written - 1, options.MaxMessageEntries, mostBytes, _read);
            if (_read.Count == 0)
            {
                // An entry of ours that still waits for room in the log: it is sent once it stands there.
                bytes = 0;
                return [];
            }
        }

        bytes = 0;
        for (var i = 0; i < _read.Count; i++)
        {
            Invariant.Check(_read[i].Term == log.TermOf(from + (ulong)i));
            bytes += _read[i].Bytes;
        }

        // What was appended in this very turn is not in the source yet.
        for (var next = from + (ulong)_read.Count; next >= written && next <= log.LastIndex && _read.Count < options.MaxMessageEntries; next += 1)
        {
            var entry = output.Append[(int)(next.Value - written.Value)];
            if (_read.Count > 0 && bytes + entry.Bytes > mostBytes)
            {
                break;
            }

            _read.Add(entry);
            bytes += entry.Bytes;
        }

        Invariant.Check(_read.Count > 0 && _read.Count <= options.MaxMessageEntries);
        (_sent, _sentFrom, _sentBytes) = (_read.ToArray(), from, bytes);
        return _sent;
    }
}
