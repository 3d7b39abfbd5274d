namespace EventVault.Simulation.Cluster;

/// <summary>Why a node's process ended, or did not begin.</summary>
internal enum StopKind
{
    /// <summary>The machine lost power: what was not flushed is partly gone.</summary>
    PowerLoss,

    /// <summary>The process was killed: what it wrote is in the page cache.</summary>
    Kill,

    /// <summary>It ended itself because the disk failed.</summary>
    DiskFailure,

    /// <summary>It found damage on its disk, or another node's disk, and stopped rather than go on.</summary>
    Refused,

    /// <summary>It ended in order, to be opened anew: segments are to be installed.</summary>
    Reopened,

    /// <summary>It broke a rule of its own, where more was damaged than it can stand.</summary>
    Invariant,
}

/// <summary>The process is killed in the middle of a disk operation. Not a disk's error, so that nothing goes on after it.</summary>
internal sealed class ProcessKilledException() : Exception("Simulated kill -9.");
