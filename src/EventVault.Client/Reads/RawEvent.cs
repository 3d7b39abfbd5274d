namespace EventVault.Client;

/// <summary>
/// An event as it came over the wire: the fields that say where it stands are parsed, the rest is bytes. Its memory
/// belongs to the <see cref="EventPage"/> it came from and is valid until the next page is asked for.
/// </summary>
public readonly struct RawEvent
{
    private readonly int _streamStart;
    private readonly int _streamLength;
    private readonly int _eventStart;
    private readonly int _eventLength;
    private readonly EventDecoder? _decoder;

    internal RawEvent(ReadOnlyMemory<byte> wire, EventDecoder? decoder)
    {
        Wire = wire;
        _decoder = decoder;
        var reader = new WireReader(wire.Span);
        while (reader.Next())
        {
            switch (reader.Field)
            {
                case 1:
                    _streamLength = reader.BytesField().Length;
                    _streamStart = reader.Offset - _streamLength;
                    break;
                case 2:
                    Version = reader.VarintField();
                    break;
                case 3:
                    Position = reader.VarintField();
                    break;
                case 4:
                    RecordedAtTicks = reader.Fixed64Field();
                    break;
                case 5:
                    _eventLength = reader.BytesField().Length;
                    _eventStart = reader.Offset - _eventLength;
                    break;
                default:
                    reader.Skip();
                    break;
            }
        }
    }

    /// <summary>The protobuf bytes of the whole <c>RecordedEvent</c>.</summary>
    public ReadOnlyMemory<byte> Wire { get; }

    /// <summary>Name of the stream, UTF-8.</summary>
    public ReadOnlyMemory<byte> StreamUtf8 => Wire.Slice(_streamStart, _streamLength);

    /// <summary>The protobuf bytes of its <c>EventData</c>, exactly as the appending client sent them.</summary>
    public ReadOnlyMemory<byte> EventWire => Wire.Slice(_eventStart, _eventLength);

    /// <summary>Place in its stream.</summary>
    public ulong Version { get; }

    /// <summary>Place in the vault.</summary>
    public ulong Position { get; }

    /// <summary>When it was recorded, in 100 ns ticks since 1970.</summary>
    public long RecordedAtTicks { get; }

    /// <summary>Builds the event; the result owns its memory.</summary>
    /// <exception cref="VaultException">The bytes are malformed.</exception>
    public RecordedEvent ToEvent() => (_decoder ?? new EventDecoder()).Decode(this);
}
