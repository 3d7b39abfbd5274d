// Behind which position every append's operation id is still kept. The operations files count appends; which position that
// is, the footers of the sealed segments tell, as each has the number of its appends.
//
// Guarantees: the floor rises before an operations file is let go, so whoever misses an id there and then looks at the floor
// sees that it may have been forgotten. It is the end of a segment: higher than need be, never lower. Rebuildable: worked out
// at each opening and each time a file is let go.

namespace EventVault.Storage.Index;

/// <summary>The floor of the operation ids. The sealing thread changes it; anybody reads it.</summary>
internal sealed class OperationFloor(VaultStorage storage, Catalog catalog, OperationsFiles operations)
{
    private long _position = Storage.Position.None.Value;
    private long _oldest;

    /// <summary>Appends at or before it may be forgotten; <see cref="Storage.Position.None"/>: none is.</summary>
    public Position Position => new(Volatile.Read(ref _position));

    /// <summary>Works it out for what the files hold; once all sealed segments are applied to them.</summary>
    public void Open()
    {
        Invariant.Check(operations.AppliedThrough == catalog.Count - 1);
        Raise(operations.OldestAppend, operations.TotalAppends, catalog.Count - 1);
    }

    /// <summary>Rises to what it will be once a segment is applied to the files; before it is.</summary>
    /// <param name="segment">The segment, sealed and next to be applied.</param>
    /// <param name="appends">How many it has.</param>
    public void Advance(uint segment, int appends)
    {
        Invariant.Check(segment < catalog.Count && operations.AppliedThrough + 1 == segment);
        Raise(operations.OldestAfter(appends), operations.TotalAppends + appends, (int)segment);
    }

    /// <summary>Whether the files have forgotten no more than the floor says.</summary>
    public bool Covers => operations.OldestAppend <= _oldest;

    private void Raise(long oldest, long total, int newest)
    {
        if (oldest <= _oldest)
        {
            return;
        }

        // From the newest segment back to the one that has the last forgotten append.
        for (var segment = newest; ; segment--)
        {
            Invariant.Check(segment >= 0 && total >= oldest, "A forgotten append stands in some sealed segment.");

            // A footer that can't be read says nothing: then the floor is the end of its segment, which is behind that append.
            var footer = Sealer.ReadFooter(storage, (uint)segment);
            total -= footer?.Appends ?? total;
            if (total < oldest)
            {
                _oldest = oldest;
                Volatile.Write(ref _position, Math.Max(catalog[segment].LastPosition.Value, _position));
                return;
            }
        }
    }
}
