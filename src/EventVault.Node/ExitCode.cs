namespace EventVault.Node;

/// <summary>How the program ended; scripts and service managers rely on it.</summary>
internal static class ExitCode
{
    /// <summary>Stopped by SIGTERM or SIGINT; everything acknowledged is on disk.</summary>
    public const int Ok = 0;

    /// <summary>A bug, or a failure that has no code of its own. The log tells.</summary>
    public const int Failed = 1;

    /// <summary>A flag, a setting or the configuration file is wrong, or does not fit the data directory, or the node has no right to that; the message names it.</summary>
    public const int Usage = 2;

    /// <summary>The log or its metadata is damaged; the node has changed nothing.</summary>
    public const int Damage = 4;

    /// <summary>A port can't be opened.</summary>
    public const int PortUnavailable = 5;

    /// <summary>The disk failed, at the start or while running.</summary>
    public const int DiskFailed = 6;

    /// <summary>Another node has the data directory.</summary>
    public const int DirectoryInUse = 7;

    /// <summary>A later version of EventVault has written the data directory.</summary>
    public const int UnsupportedFormat = 8;
}
