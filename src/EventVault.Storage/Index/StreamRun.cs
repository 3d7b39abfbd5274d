namespace EventVault.Storage.Index;

/// <summary>The events of one stream in one segment.</summary>
internal readonly record struct StreamRun
{
    /// <summary>The stream had no event before this segment.</summary>
    public const uint NewStream = 1;

    /// <summary><see cref="StreamKey"/> of the stream.</summary>
    public required UInt128 Key { get; init; }

    /// <summary>Version of the first of them.</summary>
    public required long FirstVersion { get; init; }

    /// <summary>How many; at least 1.</summary>
    public required int Count { get; init; }

    /// <summary>
    /// How many of the first ones were removed by a scavenge, 0 to <see cref="Count"/>. They have no ordinals, but for the
    /// stream's last event here: its position counts although it is gone.
    /// </summary>
    public int Removed { get; init; }

    /// <summary>Events that stand in the segment.</summary>
    public int Kept => Count - Removed;

    /// <summary>How many ordinals the run has.</summary>
    public int Ordinals => Math.Max(1, Kept);

    /// <summary>Where the run's ordinals begin in the segment's list of ordinals.</summary>
    public required int FirstOrdinalIndex { get; init; }

    /// <summary>The stream's node before this one.</summary>
    public required ChainNode Previous { get; init; }

    /// <summary>Where this node jumps to; see <see cref="StreamChain"/>.</summary>
    public required ChainNode Jump { get; init; }

    /// <summary>Bit 0: <see cref="NewStream"/>. All others are zero.</summary>
    public uint Flags { get; init; }

    /// <summary>Whether the stream was first seen in this segment.</summary>
    public bool IsNewStream => (Flags & NewStream) != 0;
}
