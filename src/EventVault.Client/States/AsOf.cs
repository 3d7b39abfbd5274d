using System.Buffers.Text;
using System.Globalization;
using Google.Protobuf;

namespace EventVault.Client;

/// <summary>
/// A moment of which a state is asked for: a cut. Everything it can name stands for one position of the vault, so that asked again,
/// of whichever node, the answer is the same. The default value is <see cref="Latest"/>.
/// </summary>
public readonly record struct AsOf
{
    private readonly Protocol.AsOf.CutOneofCase _kind;
    private readonly long _value;
    private readonly string? _token;
    private readonly long? _occurred;
    private readonly TimeSpan _wait;

    private AsOf(Protocol.AsOf.CutOneofCase kind, long value, string? token = null) => (_kind, _value, _token) = (kind, value, token);

    /// <summary>The newest state, by the consistency asked for.</summary>
    public static AsOf Latest => default;

    /// <summary>How long to wait for a moment that is not reached yet; zero: it is refused at once.</summary>
    internal TimeSpan Wait => _wait;

    /// <summary>Whether this has a second axis, <see cref="WithOccurred"/>.</summary>
    internal bool HasOccurred => _occurred is not null;

    /// <summary>Whether this is a version, which only one stream can have.</summary>
    internal bool IsVersion => _kind == Protocol.AsOf.CutOneofCase.Version;

    /// <summary>After this event of the stream.</summary>
    /// <param name="version">The event's version.</param>
    public static AsOf Version(ulong version) => new(Protocol.AsOf.CutOneofCase.Version, unchecked((long)version));

    /// <summary>After this event of the vault, also if it stands in the middle of an append (<see cref="Cut.SplitsAppend"/>).</summary>
    /// <param name="position">The event's position.</param>
    public static AsOf Position(ulong position) => new(Protocol.AsOf.CutOneofCase.Position, unchecked((long)position));

    /// <summary>After all that was recorded at or before a time.</summary>
    /// <param name="time">The time, precise to 100 ns. Not in the future: <see cref="AsOfInFutureException"/>.</param>
    public static AsOf Time(DateTimeOffset time) => new(Protocol.AsOf.CutOneofCase.Time, VaultTime.ToTicks(time));

    /// <summary>After all that was recorded before a time, and nothing that was recorded at it.</summary>
    /// <param name="time">The time, precise to 100 ns. Not in the future: <see cref="AsOfInFutureException"/>.</param>
    public static AsOf BeforeTime(DateTimeOffset time) => new(Protocol.AsOf.CutOneofCase.BeforeTime, VaultTime.ToTicks(time));

    /// <summary>The same moment as that of an answer, made with the same reducer.</summary>
    /// <param name="token">The answer's <see cref="StreamState.Token"/>.</param>
    /// <exception cref="ArgumentException">It is none.</exception>
    public static AsOf Token(string token)
    {
        ArgumentException.ThrowIfNullOrEmpty(token);
        return Base64Url.IsValid(token)
            ? new AsOf(Protocol.AsOf.CutOneofCase.Token, 0, token)
            : throw new ArgumentException("This is no token: it holds characters that no token has.", nameof(token));
    }

    /// <summary>
    /// The second axis: of the events inside this cut only those that occurred at or before a time, in the order in which they
    /// occurred. An event whose writer did not say when it occurred did when it was recorded.
    /// </summary>
    /// <param name="time">The time, precise to 100 ns; the future is as good as any other.</param>
    public AsOf WithOccurred(DateTimeOffset time) => new(this, VaultTime.ToTicks(time), _wait);

    /// <summary>The same moment, waited for if it is not reached yet. What is not reached by then is refused as without waiting.</summary>
    /// <param name="atMost">How long to wait, longer than zero and at most 24 days.</param>
    public AsOf OrWait(TimeSpan atMost)
    {
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(atMost, TimeSpan.Zero);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(atMost.TotalMilliseconds, int.MaxValue, nameof(atMost));
        return new AsOf(this, _occurred, atMost);
    }

    /// <summary>The moment in words.</summary>
    public override string ToString()
    {
        string cut = _kind switch
        {
            Protocol.AsOf.CutOneofCase.Version => string.Create(CultureInfo.InvariantCulture, $"version {unchecked((ulong)_value)}"),
            Protocol.AsOf.CutOneofCase.Position => string.Create(CultureInfo.InvariantCulture, $"position {unchecked((ulong)_value)}"),
            Protocol.AsOf.CutOneofCase.Time => "time " + Text(_value),
            Protocol.AsOf.CutOneofCase.BeforeTime => "before time " + Text(_value),
            Protocol.AsOf.CutOneofCase.Token => "token " + _token,
            _ => "latest",
        };
        return _occurred is { } occurred ? $"{cut}, occurred until {Text(occurred)}" : cut;
    }

    /// <summary>What goes over the wire; null stands for the newest state.</summary>
    internal Protocol.AsOf? ToMessage()
    {
        if (this == default)
        {
            return null;
        }

        var message = new Protocol.AsOf { Wait = _wait > TimeSpan.Zero };
        switch (_kind)
        {
            case Protocol.AsOf.CutOneofCase.Version:
                message.Version = unchecked((ulong)_value);
                break;
            case Protocol.AsOf.CutOneofCase.Position:
                message.Position = unchecked((ulong)_value);
                break;
            case Protocol.AsOf.CutOneofCase.Time:
                message.Time = _value;
                break;
            case Protocol.AsOf.CutOneofCase.BeforeTime:
                message.BeforeTime = _value;
                break;
            case Protocol.AsOf.CutOneofCase.Token:
                message.Token = ByteString.CopyFrom(Base64Url.DecodeFromChars(_token));
                break;
            default:
                break;
        }

        if (_occurred is { } occurred)
        {
            message.Occurred = occurred;
        }

        return message;
    }

    private AsOf(in AsOf other, long? occurred, TimeSpan wait)
    {
        this = other;
        (_occurred, _wait) = (occurred, wait);
    }

    private static string Text(long ticks) => VaultTime.FromTicks(ticks).ToString("O", CultureInfo.InvariantCulture);
}
