namespace EventVault.Storage.Log;

/// <summary>A group as the log holds it, or as a peer sent it, without its bytes.</summary>
/// <param name="Index">Its index in the Raft log.</param>
/// <param name="Term">Term of the leader that made it.</param>
/// <param name="Kind">What it holds.</param>
/// <param name="Length">Its bytes in the log.</param>
/// <param name="OpensSegment">Whether it is the first one of its segment.</param>
/// <param name="SystemContent">Of a membership: its bytes. Otherwise empty.</param>
public readonly record struct StoredGroup(LogIndex Index, Term Term, GroupKind Kind, int Length, bool OpensSegment, byte[] SystemContent)
{
    internal static StoredGroup Of(in GroupHeader header, GroupKind kind, ReadOnlySpan<byte> content) =>
        new(header.Index, header.Term, kind, header.TotalLength, header.Place.Offset == Blocks.Size, content.IsEmpty ? [] : content.ToArray());
}

/// <summary>Whether a group from a peer was taken.</summary>
public enum ReceiveCheck
{
    /// <summary>It is the log's tail now, to be written.</summary>
    Ok,

    /// <summary>It opens a segment, and there is no room for one yet. Nothing was changed.</summary>
    NoRoom,

    /// <summary>It does not follow the tail. Nothing was changed.</summary>
    Mismatch,
}
