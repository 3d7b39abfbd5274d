using System.Buffers.Binary;

namespace EventVault.Storage.Log;

/// <summary>What filters look at in an event that was checked before, as places in its bytes.</summary>
internal ref struct EventTerms
{
    private readonly ReadOnlySpan<byte> _eventData;
    private readonly Span<Range> _tags;

    /// <summary>Finds the terms of an event.</summary>
    /// <param name="eventData">Its bytes.</param>
    /// <param name="tags">Room for <see cref="VaultLimits.Tags"/> tags.</param>
    public EventTerms(ReadOnlySpan<byte> eventData, Span<Range> tags)
    {
        _eventData = eventData;
        _tags = tags;
    }

    /// <summary>How many tags it has.</summary>
    public int TagCount { get; private set; }

    /// <summary>Its id.</summary>
    public UInt128 Id { get; private set; }

    /// <summary>Its type, UTF-8.</summary>
    public ReadOnlySpan<byte> Type { get; private set; }

    /// <summary>Its metadata entry <c>correlationId</c>, UTF-8; empty if it has none.</summary>
    public ReadOnlySpan<byte> CorrelationId { get; private set; }

    /// <summary>A tag, UTF-8.</summary>
    public readonly ReadOnlySpan<byte> Tag(int i) => _eventData[_tags[i]];

    /// <summary>Whether it has a tag.</summary>
    public readonly bool HasTag(ReadOnlySpan<byte> tag)
    {
        for (var i = 0; i < TagCount; i++)
        {
            if (Tag(i).SequenceEqual(tag))
            {
                return true;
            }
        }

        return false;
    }

    internal void TakeId(ReadOnlySpan<byte> id) => Id = BinaryPrimitives.ReadUInt128BigEndian(id);

    internal void TakeType(ReadOnlySpan<byte> type) => Type = type;

    internal void TakeTag(Range tag) => _tags[TagCount++] = tag;

    internal void TakeCorrelationId(ReadOnlySpan<byte> id) => CorrelationId = id;
}
