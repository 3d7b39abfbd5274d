namespace EventVault.Storage;

/// <summary>Place of an event in the vault: 0, 1, 2 … without gaps. −1 stands before the first event.</summary>
public readonly record struct Position(long Value) : IComparable<Position>
{
    /// <summary>Before the first event: the head of an empty vault.</summary>
    public static Position None => new(-1);

    /// <inheritdoc/>
    public int CompareTo(Position other) => Value.CompareTo(other.Value);

    /// <inheritdoc/>
    public override string ToString() => Value.ToString(System.Globalization.CultureInfo.InvariantCulture);
#pragma warning disable CS1591
    public static bool operator <(Position a, Position b) => a.Value < b.Value;
    public static bool operator >(Position a, Position b) => a.Value > b.Value;
    public static bool operator <=(Position a, Position b) => a.Value <= b.Value;
    public static bool operator >=(Position a, Position b) => a.Value >= b.Value;
    public static Position operator +(Position a, long events) => new(a.Value + events);
#pragma warning restore CS1591
}

/// <summary>Place of an event in its stream: 0, 1, 2 … without gaps. −1: the stream has no events.</summary>
public readonly record struct StreamVersion(long Value) : IComparable<StreamVersion>
{
    /// <summary>The last version of a stream without events.</summary>
    public static StreamVersion None => new(-1);

    /// <inheritdoc/>
    public int CompareTo(StreamVersion other) => Value.CompareTo(other.Value);

    /// <inheritdoc/>
    public override string ToString() => Value.ToString(System.Globalization.CultureInfo.InvariantCulture);
#pragma warning disable CS1591
    public static bool operator <(StreamVersion a, StreamVersion b) => a.Value < b.Value;
    public static bool operator >(StreamVersion a, StreamVersion b) => a.Value > b.Value;
    public static bool operator <=(StreamVersion a, StreamVersion b) => a.Value <= b.Value;
    public static bool operator >=(StreamVersion a, StreamVersion b) => a.Value >= b.Value;
    public static StreamVersion operator +(StreamVersion a, long events) => new(a.Value + events);
#pragma warning restore CS1591
}

/// <summary>Index of an entry in the Raft log: 1, 2, 3 …; 0 stands before the first. As in the Raft paper.</summary>
public readonly record struct LogIndex(ulong Value) : IComparable<LogIndex>
{
    /// <inheritdoc/>
    public int CompareTo(LogIndex other) => Value.CompareTo(other.Value);

    /// <inheritdoc/>
    public override string ToString() => Value.ToString(System.Globalization.CultureInfo.InvariantCulture);
#pragma warning disable CS1591
    public static bool operator <(LogIndex a, LogIndex b) => a.Value < b.Value;
    public static bool operator >(LogIndex a, LogIndex b) => a.Value > b.Value;
    public static bool operator <=(LogIndex a, LogIndex b) => a.Value <= b.Value;
    public static bool operator >=(LogIndex a, LogIndex b) => a.Value >= b.Value;
#pragma warning restore CS1591
}

/// <summary>Raft term: rises with every election, so at least with every start of a vault of one node. 0 stands before the first.</summary>
public readonly record struct Term(ulong Value) : IComparable<Term>
{
    /// <inheritdoc/>
    public int CompareTo(Term other) => Value.CompareTo(other.Value);

    /// <inheritdoc/>
    public override string ToString() => Value.ToString(System.Globalization.CultureInfo.InvariantCulture);
#pragma warning disable CS1591
    public static bool operator <(Term a, Term b) => a.Value < b.Value;
    public static bool operator >(Term a, Term b) => a.Value > b.Value;
    public static bool operator <=(Term a, Term b) => a.Value <= b.Value;
    public static bool operator >=(Term a, Term b) => a.Value >= b.Value;
#pragma warning restore CS1591
}

/// <summary>Segment number and byte offset of a structure in the log. Never leaves this project.</summary>
internal readonly record struct Place(uint Segment, uint Offset) : IComparable<Place>
{
    public int CompareTo(Place other) =>
        Segment != other.Segment ? Segment.CompareTo(other.Segment) : Offset.CompareTo(other.Offset);
}
