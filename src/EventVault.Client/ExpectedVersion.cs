using System.Globalization;

namespace EventVault.Client;

/// <summary>
/// What a stream's last version must be for an append to happen. The default value is none of the four and is
/// refused: forgetting to choose must never mean "any".
/// </summary>
public readonly record struct ExpectedVersion
{
    private readonly ExpectedVersionKind _kind;
    private readonly ulong _version;

    private ExpectedVersion(ExpectedVersionKind kind, ulong version = 0)
    {
        _kind = kind;
        _version = version;
    }

    /// <summary>No requirement.</summary>
    public static ExpectedVersion Any => new(ExpectedVersionKind.Any);

    /// <summary>The stream must have no events.</summary>
    public static ExpectedVersion NoStream => new(ExpectedVersionKind.NoStream);

    /// <summary>The stream must have at least one event.</summary>
    public static ExpectedVersion Exists => new(ExpectedVersionKind.Exists);

    /// <summary>The last version asked for, if this is <see cref="Exact"/>; null otherwise.</summary>
    public ulong? Version => _kind == ExpectedVersionKind.Exact ? _version : null;

    internal ExpectedVersionKind Kind => _kind;

    /// <summary>The stream's last version must be exactly this; the first event of a stream has version 0.</summary>
    /// <param name="version">The version.</param>
    public static ExpectedVersion Exact(ulong version) => new(ExpectedVersionKind.Exact, version);

    /// <summary>Reads <c>any</c>, <c>no-stream</c>, <c>exists</c> or a version as decimal digits.</summary>
    /// <param name="text">The text.</param>
    /// <param name="expected">What it says.</param>
    /// <returns>False if it says none of these.</returns>
    public static bool TryParse(string? text, out ExpectedVersion expected)
    {
        expected = default;
        switch (text)
        {
            case "any":
                expected = Any;
                return true;
            case "no-stream":
                expected = NoStream;
                return true;
            case "exists":
                expected = Exists;
                return true;
            default:
                if (!ulong.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out ulong version))
                {
                    return false;
                }

                expected = Exact(version);
                return true;
        }
    }

    internal Protocol.ExpectedVersion ToMessage() => _kind switch
    {
        ExpectedVersionKind.Any => new Protocol.ExpectedVersion { Any = new Protocol.Empty() },
        ExpectedVersionKind.NoStream => new Protocol.ExpectedVersion { NoStream = new Protocol.Empty() },
        ExpectedVersionKind.Exists => new Protocol.ExpectedVersion { Exists = new Protocol.Empty() },
        ExpectedVersionKind.Exact => new Protocol.ExpectedVersion { Version = _version },
        _ => new Protocol.ExpectedVersion(),
    };

    /// <summary>The form that <see cref="TryParse"/> reads.</summary>
    public override string ToString() => _kind switch
    {
        ExpectedVersionKind.Any => "any",
        ExpectedVersionKind.NoStream => "no-stream",
        ExpectedVersionKind.Exists => "exists",
        ExpectedVersionKind.Exact => _version.ToString(CultureInfo.InvariantCulture),
        _ => "unspecified",
    };
}

/// <summary>The values are the field numbers of the contract's <c>ExpectedVersion</c>.</summary>
internal enum ExpectedVersionKind : byte
{
    Unspecified = 0,
    Any = 1,
    NoStream = 2,
    Exists = 3,
    Exact = 4,
}
