namespace EventVault.Storage.Scavenging;

/// <summary>A group was asked for that a scavenge removed: who needs it must be sent the segment instead.</summary>
public sealed class ScavengedGroupException : Exception
{
    internal ScavengedGroupException(LogIndex asked, LogIndex first)
        : base($"Group {asked} stands in a segment that was scavenged: groups can be read from {first} on. A node that lacks it must be sent the segment.")
    {
        Asked = asked;
        First = first;
    }

    /// <summary>The group.</summary>
    public LogIndex Asked { get; }

    /// <summary>The first group that can be read.</summary>
    public LogIndex First { get; }
}
