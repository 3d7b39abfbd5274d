namespace EventVault.Storage.Index;

/// <summary>A group about every 64 KiB of a segment, from which a search by log index, time or ordinal reads on.</summary>
/// <param name="LogIndex">Log index of the group.</param>
/// <param name="Time">Time of the group, in 100 ns ticks.</param>
/// <param name="Ordinal">Ordinal in the segment of the first event at or after the group.</param>
/// <param name="Offset">Byte offset of the group in the segment.</param>
internal readonly record struct SparseMark(ulong LogIndex, long Time, uint Ordinal, uint Offset);
