namespace EventVault.Storage.Index;

/// <summary>
/// Hands out room in the heads file for shards that grow. Free is what neither header slot named when the file was
/// opened, and what lies behind everything; nothing given up since is reused before the file is opened again.
/// </summary>
internal sealed class HeadsExtents
{
    private readonly List<(long Offset, long Length)> _free = [];
    private long _end = HeadsHeader.DataStart;

    /// <summary>As another one is now.</summary>
    public HeadsExtents(HeadsExtents other) => (_free, _end) = ([.. other._free], other._end);

    public HeadsExtents(HeadsHeader header, HeadsHeader? older)
    {
        var taken = new List<(long Offset, int Log2Slots, int Used)>(header.Shards);
        if (older is not null)
        {
            taken.AddRange(older.Shards);
        }

        taken.Sort();
        foreach ((long offset, int log2, _) in taken)
        {
            if (offset > _end)
            {
                _free.Add((_end, offset - _end));
            }

            _end = Math.Max(_end, offset + ((long)HeadSlot.Length << log2));
        }
    }

    /// <summary>Offset of a range of this many bytes (a multiple of a block) that nothing else uses.</summary>
    public long Take(long length)
    {
        Invariant.Check(length > 0 && length % BlockWriter.BlockBytes == 0);
        for (int i = 0; i < _free.Count; i++)
        {
            (long offset, long room) = _free[i];
            if (room >= length)
            {
                _free[i] = (offset + length, room - length);
                return offset;
            }
        }

        _end += length;
        return _end - length;
    }
}
