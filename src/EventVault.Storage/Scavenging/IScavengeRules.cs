namespace EventVault.Storage.Scavenging;

/// <summary>What may go: as of a point of the log (<see cref="ScavengeRules"/>), or as of now, for an explanation.</summary>
internal interface IScavengeRules
{
    /// <summary>Streams that are not whole.</summary>
    int Count { get; }

    /// <summary>Their keys, in no order.</summary>
    IEnumerable<UInt128> Streams { get; }

    /// <summary>First version of a stream that can be read.</summary>
    StreamVersion FirstVisible(UInt128 stream);

    /// <summary>Whether nothing of a stream may go.</summary>
    bool IsHeld(ReadOnlySpan<byte> name);
}
