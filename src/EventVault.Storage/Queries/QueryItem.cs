namespace EventVault.Storage.Queries;

/// <summary>Matches events that have any of the types and all of the tags. At least one type or tag.</summary>
/// <param name="Types">UTF-8; empty: of whatever type.</param>
/// <param name="Tags">UTF-8; empty: with whatever tags.</param>
public sealed record QueryItem(IReadOnlyList<ReadOnlyMemory<byte>> Types, IReadOnlyList<ReadOnlyMemory<byte>> Tags);
