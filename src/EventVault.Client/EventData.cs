using System.Collections.ObjectModel;
using System.Text;
using System.Text.Json;

namespace EventVault.Client;

/// <summary>
/// An event to append: the client's part of it, kept byte for byte by the vault. Immutable, and so safe to
/// share; the memory behind <see cref="Data"/> must not change until the append is answered.
/// </summary>
public sealed class EventData
{
    private int _operationIdTaken;
    private readonly Guid _id = EventId.New();
    private readonly bool _idIsGiven;

    /// <summary>Makes an event with a new UUIDv7.</summary>
    /// <param name="type">What kind of fact this is, such as <c>order-placed</c>; 1 to 256 bytes of UTF-8.</param>
    /// <param name="data">The fact itself; JSON unless <see cref="ContentType"/> says otherwise. May be empty.</param>
    public EventData(string type, ReadOnlyMemory<byte> data)
    {
        ArgumentNullException.ThrowIfNull(type);
        Type = type;
        Data = data;
    }

    private EventData(EventData other, IReadOnlyDictionary<string, string> metadata)
        : this(other.Type, other.Data)
    {
        (ContentType, SchemaVersion, Tags, OccurredAt, Metadata) = (other.ContentType, other.SchemaVersion, other.Tags, other.OccurredAt, metadata);
        (_id, _idIsGiven) = (other._id, other._idIsGiven);
        _operationIdTaken = _idIsGiven ? 0 : Interlocked.Exchange(ref other._operationIdTaken, 1);
    }

    /// <summary>Names the event. A new UUIDv7 unless given. Need not be unique in the vault.</summary>
    public Guid Id
    {
        get => _id;
        init
        {
            _id = value;
            _idIsGiven = true;
        }
    }

    /// <summary>What kind of fact this is; 1 to 256 bytes of UTF-8.</summary>
    public string Type { get; }

    /// <summary>The fact itself.</summary>
    public ReadOnlyMemory<byte> Data { get; }

    /// <summary>Media type of <see cref="Data"/>; empty means <c>application/json</c>.</summary>
    public string ContentType { get; init; } = "";

    /// <summary>
    /// Whether <see cref="ContentType"/> says that the data is JSON: empty, <c>application/json</c> or something that ends with <c>+json</c>, whatever its parameters.
    /// Reducers of the vault go by that.
    /// </summary>
    public bool IsJson => MediaType.IsJson(ContentType);

    /// <summary>Version of the schema that <see cref="Data"/> follows; 0 if unversioned.</summary>
    public uint SchemaVersion { get; init; }

    /// <summary>Labels; at most 16, each 1 to 128 bytes of UTF-8, without repeats.</summary>
    public IReadOnlyList<string> Tags { get; init; } = [];

    /// <summary>
    /// Correlation id, trace parent and the like; keys and values together at most 64 KiB of UTF-8.
    /// </summary>
    public IReadOnlyDictionary<string, string> Metadata { get; init; } = ReadOnlyDictionary<string, string>.Empty;

    /// <summary>When it happened in the business, if that differs from when it is recorded. Precise to 100 ns.</summary>
    public DateTimeOffset? OccurredAt { get; init; }

    /// <summary>Makes an event whose data is a value as JSON.</summary>
    /// <param name="type">What kind of fact this is.</param>
    /// <param name="value">The value.</param>
    /// <param name="options">How to write it; null: the serializer's defaults.</param>
    /// <typeparam name="T">Type of the value.</typeparam>
    public static EventData Json<T>(string type, T value, JsonSerializerOptions? options = null) =>
        new(type, JsonSerializer.SerializeToUtf8Bytes(value, options));

    /// <summary>Makes an event whose data is JSON text. The text is not checked.</summary>
    /// <param name="type">What kind of fact this is.</param>
    /// <param name="json">The JSON.</param>
    public static EventData JsonText(string type, string json) => new(type, Encoding.UTF8.GetBytes(json));

    /// <summary>The same event with other metadata; takes over whether its id may name an append.</summary>
    internal EventData With(IReadOnlyDictionary<string, string> metadata) => new(this, metadata);

    /// <summary>
    /// The id an append may use as its operation id, which the log then stores only once: that of its first event,
    /// if this client made it and no append used it before. Otherwise appending the same object twice would be
    /// taken for a retry.
    /// </summary>
    internal Guid TakeOperationId() =>
        !_idIsGiven && Interlocked.Exchange(ref _operationIdTaken, 1) == 0 ? _id : EventId.New();
}
