namespace EventVault.Client;

/// <summary>
/// What a read must have seen. The default value leaves that to <see cref="VaultClientOptions.ReadFrom"/>: <see cref="Linearizable"/> where the
/// leader is asked, which is the default.
/// </summary>
public readonly record struct Consistency
{
    private readonly Level _level;
    private readonly ulong _position;

    private Consistency(Level level, ulong position = 0)
    {
        _level = level;
        _position = position;
    }

    private enum Level : byte
    {
        AsReadFrom,
        ReadYourWrites,
        Linearizable,
        AtLeast,
        Local,
    }

    /// <summary>
    /// Everything that this client has seen before the read is sent: its acknowledged appends, what its failed conditions
    /// named, and whatever its reads and subscriptions have shown, so that time never runs backwards for it. Costs the node nothing but a comparison. While the
    /// client has seen nothing, as <see cref="Linearizable"/>.
    /// </summary>
    public static Consistency ReadYourWrites => new(Level.ReadYourWrites);

    /// <summary>All that was acknowledged to anybody before the read was sent: the node makes sure that it is still up to date.</summary>
    public static Consistency Linearizable => new(Level.Linearizable);

    /// <summary>Whatever the node has, which may be older than what this client has seen.</summary>
    public static Consistency Local => new(Level.Local);

    /// <summary>
    /// Everything up to a position. The node waits for it for as long as <see cref="VaultClientOptions.CallTimeout"/>
    /// lets a call take, or a read wait for its head; then it fails with <see cref="VaultErrorCode.TimedOutBehind"/>. Of several
    /// nodes a read asks another one sooner, for as long as the <see cref="RetryPolicy"/> goes on.
    /// </summary>
    /// <param name="position">The position, such as one that another process's append was answered with.</param>
    public static Consistency AtLeast(ulong position) => new(Level.AtLeast, position);

    /// <summary>The position of <see cref="AtLeast"/>; null for every other level.</summary>
    public ulong? Position => _level == Level.AtLeast ? _position : null;

    /// <summary>The level in words.</summary>
    public override string ToString() => _level switch
    {
        Level.Linearizable => "linearizable",
        Level.AtLeast => string.Create(System.Globalization.CultureInfo.InvariantCulture, $"at least position {_position}"),
        Level.Local => "local",
        Level.ReadYourWrites => "read your writes",
        _ => "as the client reads",
    };

    /// <summary>What goes over the wire now; null stands for linearizable.</summary>
    /// <param name="seen">What the client has seen so far.</param>
    internal Protocol.Consistency? ToMessage(SeenPosition seen) => (_level == Level.AsReadFrom ? LevelOf(seen.ReadFrom) : _level) switch
    {
        Level.Linearizable => null,
        Level.AtLeast => new Protocol.Consistency { AtLeast = _position },
        Level.Local => new Protocol.Consistency { Local = new Protocol.Empty() },
        _ => seen.Position is { } position ? new Protocol.Consistency { AtLeast = position } : null,
    };

    private static Level LevelOf(ReadFrom place) => place switch
    {
        ReadFrom.Any => Level.ReadYourWrites,
        ReadFrom.Local => Level.Local,
        _ => Level.Linearizable,
    };
}
