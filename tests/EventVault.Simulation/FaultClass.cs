namespace EventVault.Simulation;

/// <summary>What can go wrong, by kind. Each has its own random stream, so that any can be switched off alone.</summary>
[Flags]
internal enum FaultClass
{
    None = 0,

    /// <summary>Messages are lost now and then.</summary>
    Loss = 1 << 0,

    /// <summary>Messages arrive twice.</summary>
    Duplicate = 1 << 1,

    /// <summary>Messages overtake each other.</summary>
    Reorder = 1 << 2,

    /// <summary>Some nodes can't reach others, in both directions.</summary>
    Partition = 1 << 3,

    /// <summary>Some nodes can't reach others, but these reach them.</summary>
    OneWay = 1 << 4,

    /// <summary>One node's links go up and down.</summary>
    Flap = 1 << 5,

    /// <summary>Links stand still for a while, one after the other, and come back in another order.</summary>
    Clog = 1 << 6,

    /// <summary>Bits flip in the groups that messages carry.</summary>
    Garble = 1 << 7,

    /// <summary>A machine loses power, in the middle of anything its disk does.</summary>
    PowerLoss = 1 << 8,

    /// <summary>A process is killed; what it wrote stays in the page cache.</summary>
    Kill = 1 << 9,

    /// <summary>A process stands still while time goes on.</summary>
    Pause = 1 << 10,

    /// <summary>Wall clocks are off and jump; clocks run at different rates.</summary>
    Clock = 1 << 11,

    /// <summary>Flushes take long, now and then very long.</summary>
    SlowDisk = 1 << 12,

    /// <summary>Writes, flushes and reads fail: the process ends.</summary>
    FailingDisk = 1 << 13,

    /// <summary>Disks run full, and get room again.</summary>
    FullDisk = 1 << 14,

    /// <summary>A disk is lost; its node comes back with an empty one and is replaced in the membership.</summary>
    Wipe = 1 << 15,

    /// <summary>A node finds another node's disk.</summary>
    Foreign = 1 << 16,

    /// <summary>Bits flip on the disk.</summary>
    Rot = 1 << 17,

    /// <summary>Writes land elsewhere.</summary>
    Misdirect = 1 << 18,

    /// <summary>Flushes report success and make nothing durable. Beyond every budget.</summary>
    Lie = 1 << 19,

    /// <summary>Members come and go.</summary>
    Membership = 1 << 20,

    /// <summary>Leadership is handed over.</summary>
    Transfer = 1 << 21,

    /// <summary>Background work is interrupted by the sequencer between any two disk operations.</summary>
    Interleave = 1 << 22,
}
