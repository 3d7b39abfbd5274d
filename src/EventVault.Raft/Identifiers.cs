namespace EventVault.Raft;

/// <summary>Raft term: rises with every election. 0 stands before the first.</summary>
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

/// <summary>Index of an entry in the log: 1, 2, 3 …; 0 stands before the first.</summary>
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
    public static LogIndex operator +(LogIndex a, ulong entries) => new(a.Value + entries);
    public static LogIndex operator -(LogIndex a, ulong entries) => new(checked(a.Value - entries));
#pragma warning restore CS1591
}

/// <summary>
/// Who votes and acknowledges: a node together with the incarnation of its disk. A node whose disk was wiped or restored
/// is another replica: it has forgotten what it promised, so nobody may count on it.
/// </summary>
/// <param name="Node">The node's number in its vault, from 1.</param>
/// <param name="Incarnation">Of its disk.</param>
public readonly record struct ReplicaId(uint Node, Guid Incarnation) : IComparable<ReplicaId>
{
    /// <inheritdoc/>
    public int CompareTo(ReplicaId other) => Node != other.Node ? Node.CompareTo(other.Node) : Incarnation.CompareTo(other.Incarnation);

    /// <summary>The node's number, and the first 4 digits of its incarnation unless that is all zero (as in scripts).</summary>
    public override string ToString() => Incarnation == Guid.Empty ? $"{Node}" : $"{Node}/{Incarnation.ToString("N")[..4]}";
#pragma warning disable CS1591
    public static bool operator <(ReplicaId a, ReplicaId b) => a.CompareTo(b) < 0;
    public static bool operator >(ReplicaId a, ReplicaId b) => a.CompareTo(b) > 0;
    public static bool operator <=(ReplicaId a, ReplicaId b) => a.CompareTo(b) <= 0;
    public static bool operator >=(ReplicaId a, ReplicaId b) => a.CompareTo(b) >= 0;
#pragma warning restore CS1591
}
