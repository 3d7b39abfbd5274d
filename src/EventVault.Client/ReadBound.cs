using System.Globalization;

namespace EventVault.Client;

/// <summary>One end of a range, inclusive. Bounds beyond the ends of what there is are no error.</summary>
public readonly record struct ReadBound
{
    private readonly Protocol.ReadBound.BoundOneofCase _kind;
    private readonly long _value;

    private ReadBound(Protocol.ReadBound.BoundOneofCase kind, long value)
    {
        _kind = kind;
        _value = value;
    }

    /// <summary>A version of the stream that is read; not for reads of the whole vault.</summary>
    /// <param name="version">The version.</param>
    public static ReadBound Version(ulong version) => new(Protocol.ReadBound.BoundOneofCase.Version, unchecked((long)version));

    /// <summary>A position of the vault.</summary>
    /// <param name="position">The position.</param>
    public static ReadBound Position(ulong position) => new(Protocol.ReadBound.BoundOneofCase.Position, unchecked((long)position));

    /// <summary>A time of recording: at or after it as a lower end, at or before it as an upper end.</summary>
    /// <param name="time">The time, precise to 100 ns.</param>
    public static ReadBound Time(DateTimeOffset time) => new(Protocol.ReadBound.BoundOneofCase.Time, VaultTime.ToTicks(time));

    /// <summary>The bound in words.</summary>
    public override string ToString() => _kind switch
    {
        Protocol.ReadBound.BoundOneofCase.Version => string.Create(CultureInfo.InvariantCulture, $"version {unchecked((ulong)_value)}"),
        Protocol.ReadBound.BoundOneofCase.Position => string.Create(CultureInfo.InvariantCulture, $"position {unchecked((ulong)_value)}"),
        Protocol.ReadBound.BoundOneofCase.Time => "time " + VaultTime.FromTicks(_value).ToString("O", CultureInfo.InvariantCulture),
        _ => "unspecified",
    };

    internal bool IsVersion(out ulong version)
    {
        version = unchecked((ulong)_value);
        return _kind == Protocol.ReadBound.BoundOneofCase.Version;
    }

    internal bool IsPosition(out ulong position)
    {
        position = unchecked((ulong)_value);
        return _kind == Protocol.ReadBound.BoundOneofCase.Position;
    }

    internal bool IsTime(out DateTimeOffset time)
    {
        bool isTime = _kind == Protocol.ReadBound.BoundOneofCase.Time;
        time = isTime ? VaultTime.FromTicks(_value) : default;
        return isTime;
    }

    /// <exception cref="ArgumentException">The bound is the default value, which names no place.</exception>
    internal Protocol.ReadBound ToMessage() => _kind switch
    {
        Protocol.ReadBound.BoundOneofCase.Version => new Protocol.ReadBound { Version = unchecked((ulong)_value) },
        Protocol.ReadBound.BoundOneofCase.Position => new Protocol.ReadBound { Position = unchecked((ulong)_value) },
        Protocol.ReadBound.BoundOneofCase.Time => new Protocol.ReadBound { Time = _value },
        _ => throw new ArgumentException("A ReadBound must come from ReadBound.Version, .Position or .Time; the default value names no place."),
    };
}
