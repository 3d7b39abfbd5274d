using EventVault.Storage.Index;
using EventVault.Storage.Io;
using EventVault.Storage.Log;

namespace EventVault.Storage.Scavenging;

/// <summary>
/// Makes the index of a scavenged segment from its runs and its records, in their order. Holds some 16 bytes for each event
/// kept and 80 for each stream.
/// </summary>
internal sealed class ScavengedIndexContent
{
    private readonly uint _segment;
    private readonly Position _firstPosition;
    private readonly int _events;
    private readonly StreamRun[] _runs;
    private readonly uint[] _lastOrdinals;
    private readonly uint[] _ordinals;
    private readonly int[] _filled;
    private readonly ulong[] _kept;
    private readonly List<uint> _offsets = [];

    /// <param name="segment">Its number.</param>
    /// <param name="firstPosition">Position of its first event.</param>
    /// <param name="events">Events that it had.</param>
    /// <param name="runs">As <see cref="ScavengedSegment.ReadRuns"/> reads them.</param>
    public ScavengedIndexContent(uint segment, Position firstPosition, int events, StreamRun[] runs)
    {
        (_segment, _firstPosition, _events, _runs) = (segment, firstPosition, events, runs);
        _lastOrdinals = new uint[runs.Length];
        _filled = new int[runs.Length];
        _kept = new ulong[(events + SealedIndexFormat.KeptOrdinals - 1) / SealedIndexFormat.KeptOrdinals];
        var ordinals = 0;
        for (var i = 0; i < runs.Length; i++)
        {
            Invariant.Check(runs[i].Removed >= 0 && runs[i].Removed <= runs[i].Count);
            _lastOrdinals[i] = (uint)runs[i].FirstOrdinalIndex;
            runs[i] = runs[i] with { FirstOrdinalIndex = ordinals };
            ordinals += runs[i].Ordinals;
        }

        _ordinals = new uint[ordinals];
    }

    /// <summary>Takes the next record; false if it can't be the next one of its stream.</summary>
    public bool Add(UInt128 key, in EventView e, uint offset)
    {
        var entry = Find(key);
        var ordinal = e.Position.Value - _firstPosition.Value;
        if (entry < 0 || ordinal < 0 || ordinal >= _events || (_offsets.Count > 0 && _kept[(int)(ordinal >> 6)] >> (int)(ordinal & 63) != 0))
        {
            return false;
        }

        var run = _runs[entry];
        var i = _filled[entry]++;
        if (i >= run.Kept || e.Version.Value != run.FirstVersion + run.Removed + i)
        {
            return false;
        }

        _ordinals[run.FirstOrdinalIndex + i] = (uint)ordinal;
        _kept[ordinal >> 6] |= 1UL << (int)(ordinal & 63);
        _offsets.Add(offset >> 3);
        return true;
    }

    /// <summary>Writes it; all records were added.</summary>
    /// <param name="files">Where.</param>
    /// <param name="path">Its path.</param>
    /// <param name="segment">Knows the streams' names.</param>
    public SealedIndexMark Write(IFileSystem files, string path, ScavengedSegment segment)
    {
        var fresh = new List<(byte[] Name, uint Entry)>();
        for (var entry = 0; entry < _runs.Length; entry++)
        {
            var run = _runs[entry];
            Invariant.Check(_filled[entry] == run.Kept, "Every event that is not removed stands in the segment.");
            if (run.Kept == 0)
            {
                _ordinals[run.FirstOrdinalIndex] = _lastOrdinals[entry];
            }

            if (run.IsNewStream)
            {
                fresh.Add((segment.Name(entry, run.Key).ToArray(), (uint)entry));
            }
        }

        fresh.Sort(static (a, b) => a.Name.AsSpan().SequenceCompareTo(b.Name));
        return SealedIndex.Write(files, path, new SealedIndexContent
        {
            Segment = _segment,
            FirstPosition = _firstPosition,
            Events = _events,
            Kept = _kept,
            Offsets = _offsets.ToArray(),
            Streams = _runs,
            Ordinals = _ordinals,
            Marks = default,
            NewStreamsByName = fresh.ConvertAll(f => f.Entry).ToArray(),
        });
    }

    private int Find(UInt128 key)
    {
        int low = 0, high = _runs.Length - 1;
        while (low <= high)
        {
            var middle = (low + high) >> 1;
            if (_runs[middle].Key == key)
            {
                return middle;
            }

            (low, high) = _runs[middle].Key < key ? (middle + 1, high) : (low, middle - 1);
        }

        return -1;
    }
}
