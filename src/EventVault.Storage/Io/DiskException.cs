namespace EventVault.Storage.Io;

/// <summary>A call to the file system failed.</summary>
/// <param name="operation">What was tried, such as <c>fdatasync</c>.</param>
/// <param name="path">On which file or folder.</param>
/// <param name="errorNumber">The system's errno.</param>
/// <param name="text">The system's text for it.</param>
public sealed class DiskException(string operation, string path, int errorNumber, string text)
    : IOException($"{operation} on '{path}' failed: {text} (errno {errorNumber}).")
{
    private const int NotPermitted = 1;  // EPERM
    private const int NoEntry = 2;       // ENOENT
    private const int NoAccess = 13;     // EACCES
    private const int Exists = 17;       // EEXIST
    private const int NotAFolder = 20;   // ENOTDIR
    private const int IsAFolder = 21;    // EISDIR
    private const int NoSpace = 28;      // ENOSPC
    private const int ReadOnly = 30;     // EROFS
    private const int QuotaExceeded = 122; // EDQUOT

    /// <summary>What was tried.</summary>
    public string Operation { get; } = operation;

    /// <summary>On which file or folder.</summary>
    public string Path { get; } = path;

    /// <summary>The system's errno.</summary>
    public int ErrorNumber { get; } = errorNumber;

    /// <summary>Whether there is no such file or folder.</summary>
    public bool IsAbsence => ErrorNumber == NoEntry;

    /// <summary>Whether the process has no right to do that there.</summary>
    public bool IsForbidden => ErrorNumber is NotPermitted or NoAccess;

    /// <summary>Whether something else has the name: a file where a folder should be, or the reverse.</summary>
    public bool IsOtherKind => ErrorNumber is NotAFolder or IsAFolder || (ErrorNumber == Exists && Operation == "mkdir");

    /// <summary>Whether the file system can only be read.</summary>
    public bool IsReadOnly => ErrorNumber == ReadOnly;

    /// <summary>Whether the disk (or the quota) is full.</summary>
    public bool IsFull => ErrorNumber is NoSpace or QuotaExceeded;

    /// <summary>
    /// Whether something was refused for want of room, of which part may have been done: the same again may go well later. Not if
    /// a flush says so: what was written before it is lost then, and another flush may say that all is well.
    /// </summary>
    public bool IsRefusal => IsFull && Operation is not ("fdatasync" or "fsync" or "sync_file_range");
}

/// <summary>Another process holds the data directory.</summary>
public sealed class DirectoryInUseException(string path, string holder)
    : IOException($"The data directory is in use: '{path}' is locked{holder}. Stop that process first. A node can also be started with another --data.")
{
    /// <summary>The lock file.</summary>
    public string Path { get; } = path;
}
