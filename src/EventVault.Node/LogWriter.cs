// Takes groups and truncations in order, writes them and makes them durable: one flush for all groups that came while the
// last flush ran.
// Owned by one thread at a time; all that others see of its state are the two queues, and figures.
using System.Collections.Concurrent;
using System.Diagnostics;
using EventVault.Node.Metrics;
using EventVault.Storage.Log;

namespace EventVault.Node;

/// <summary>Writes groups to the log.</summary>
internal sealed class LogWriter(SegmentedLog log)
{
    /// <summary>
    /// Most bytes written before a flush. With the largest append it bounds what a crash can tear, and so how far
    /// recovery has to look (LogRecovery.InFlightBytes).
    /// </summary>
    private const int MostUnflushedBytes = VaultLimits.GroupBytes;

    private readonly ConcurrentQueue<InFlightGroup> _submitted = new();
    private readonly Queue<InFlightGroup> _written = new();
    private readonly ConcurrentQueue<InFlightGroup> _durable = new();
    private long _groupsFlushed;
    private long _bytesWritten;

    /// <summary>Flushes so far; each made one or more groups durable.</summary>
    public long Flushes { get; private set; }

    /// <summary>Appends that the last <see cref="Step"/> made durable.</summary>
    public int AppendsWritten { get; private set; }

    /// <summary>Groups made durable so far.</summary>
    public long GroupsFlushed => Volatile.Read(ref _groupsFlushed);

    /// <summary>Bytes of groups written so far, durable or not. For every thread.</summary>
    public long BytesWritten => Volatile.Read(ref _bytesWritten);

    /// <summary>How long flushes took, nanoseconds.</summary>
    public Distribution FlushTimes { get; } = new(Distribution.DurationUnit);

    /// <summary>Appends in each group that was written, but for those of consensus itself, which hold none.</summary>
    public Distribution GroupAppends { get; } = new(unit: 1);

    /// <summary>Whether the log would end without a commit mark if it rested now.</summary>
    public bool WantsMark => log.WantsMark && _submitted.IsEmpty;

    /// <summary>Whether something waits for <see cref="Step"/>; the simulation steps it when its disk would be done.</summary>
    public bool HasSubmitted => !_submitted.IsEmpty;

    /// <summary>Hands over a group. The sequencer's side.</summary>
    public void Submit(InFlightGroup group) => _submitted.Enqueue(group);

    /// <summary>Takes back a group that is durable, in order. The sequencer's side.</summary>
    public bool TryTakeDurable(out InFlightGroup group) => _durable.TryDequeue(out group!);

    /// <summary>Writes and flushes what is submitted; false if there was nothing.</summary>
    /// <exception cref="Storage.Io.DiskException">The log is broken: the node must stop.</exception>
    public bool Step()
    {
        var bytes = 0;
        AppendsWritten = 0;
        while (bytes < MostUnflushedBytes && _submitted.TryDequeue(out var group))
        {
            if (group.Truncation is { } truncation)
            {
                log.Truncate(truncation);
            }
            else
            {
                log.Write(group.Buffer);
                bytes += group.Buffer.Length;
                AppendsWritten += group.Buffer.Appends;
                if (group.Buffer.Appends > 0)
                {
                    GroupAppends.Record(group.Buffer.Appends);
                }
            }

            _written.Enqueue(group);
        }

        if (_written.Count == 0)
        {
            return false;
        }

        if (log.HasUnflushed)
        {
            var began = Stopwatch.GetTimestamp();
            log.Flush();
            FlushTimes.Record((long)Stopwatch.GetElapsedTime(began).TotalNanoseconds);
            Flushes++;
        }

        Volatile.Write(ref _bytesWritten, _bytesWritten + bytes);
        Volatile.Write(ref _groupsFlushed, _groupsFlushed + _written.Count);
        while (_written.TryDequeue(out var group))
        {
            _durable.Enqueue(group);
        }

        return true;
    }

    /// <summary>Writes the commit mark; for a log that rests.</summary>
    public void WriteMark() => log.WriteMark();

    /// <summary>Whether all that was handed to it was written. For when its thread has ended.</summary>
    public bool IsDone => _submitted.IsEmpty;
}
