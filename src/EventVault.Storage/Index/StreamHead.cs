namespace EventVault.Storage.Index;

/// <summary>What the heads file knows about a stream, as of the last sealed segment applied to it.</summary>
internal readonly record struct StreamHead
{
    /// <summary>Version of the stream's last event in sealed segments.</summary>
    public required long LastVersion { get; init; }

    /// <summary>Position of that event.</summary>
    public required long LastPosition { get; init; }

    /// <summary>The newest node of the stream's chain.</summary>
    public required ChainNode Latest { get; init; }

    /// <summary>Where <see cref="Latest"/> jumps to.</summary>
    public required ChainNode Jump { get; init; }

    /// <summary>Where <see cref="Jump"/> jumps to: with it the next node's jump is known without opening an old index.</summary>
    public required ChainNode JumpOfJump { get; init; }

    /// <summary>The head of a stream that has no events yet.</summary>
    public static StreamHead None { get; } = new()
    {
        LastVersion = -1,
        LastPosition = -1,
        Latest = ChainNode.None,
        Jump = ChainNode.None,
        JumpOfJump = ChainNode.None,
    };
}
