namespace EventVault.Storage.Log;

/// <summary>Where the log ends: what the next group must follow. Value of the moment; nobody's state by itself.</summary>
/// <param name="Place">Behind the last group, in its segment.</param>
/// <param name="Checksum">Of the last group; 0 if there is none.</param>
/// <param name="Index">Of the last group.</param>
/// <param name="Position">Of the last event.</param>
/// <param name="Time">Of the last append or system record.</param>
/// <param name="Term">Of the last group.</param>
internal readonly record struct LogEnd(Place Place, uint Checksum, LogIndex Index, Position Position, long Time, Term Term)
{
    /// <summary>A log without groups.</summary>
    public static LogEnd Empty => new(new Place(0, Blocks.Size), 0, new LogIndex(0), Storage.Position.None, 0, new Term(0));

    /// <summary>Header of a segment that begins here.</summary>
    public SegmentHeader Open(VaultMeta meta, uint segment) => new(
        meta.VaultId, segment, meta.SegmentSizeBytes, new LogIndex(Index.Value + 1), Position + 1, Time + 1, Checksum);
}
