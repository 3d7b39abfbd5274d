using System.Runtime.InteropServices;

namespace EventVault.Storage.Io;

/// <summary>
/// The system calls of the file layer, on 64-bit Linux. The base class library reaches neither fdatasync nor
/// a directory's fsync, and loses the error of the fsync it does call (decision 0003).
/// </summary>
internal static unsafe partial class NativeMethods
{
    private const string LibC = "libc";

    internal const int NoEntry = 2;          // ENOENT
    internal const int Interrupted = 4;      // EINTR
    internal const int InputOutput = 5;      // EIO
    internal const int WouldBlock = 11;      // EWOULDBLOCK
    internal const int Exists = 17;          // EEXIST
    internal const int NotADirectory = 20;   // ENOTDIR
    internal const int InvalidArgument = 22; // EINVAL

    internal const int ReadOnly = 0x0;
    internal const int ReadWrite = 0x2;
    internal const int Create = 0x40;
    internal const int Exclusive = 0x80;
    internal const int CloseOnExec = 0x8_0000;
    internal const int PathOnly = 0x20_0000;

    // These two flags changed places between the two architectures.
    internal static readonly int Direct = ByArchitecture(x64: 0x4000, arm64: 0x1_0000);
    internal static readonly int Directory = ByArchitecture(x64: 0x1_0000, arm64: 0x4000);

    internal const int SeekEnd = 2;
    internal const int LockExclusiveNow = 2 | 4; // LOCK_EX | LOCK_NB
    internal const int ProtectRead = 1;
    internal const int MapShared = 1;
    internal const int AdviseRandom = 1;
    internal const int AdviseSequential = 2;
    internal const int AdviseWillNeed = 3;
    internal const int AdviseDontNeed = 4;
    internal const int FileDontNeed = 4;
    internal const int CurrentDirectory = -100;     // AT_FDCWD
    internal const uint FileType = 1;               // STATX_TYPE
    internal const ushort TypeBits = 0xF000;        // S_IFMT
    internal const ushort RegularFile = 0x8000;     // S_IFREG
    internal const int EmptyPath = 0x1000;          // AT_EMPTY_PATH: the descriptor itself
    internal const uint DirectAlignment = 0x2000;   // STATX_DIOALIGN
    internal const uint WriteRangeAndWait = 1 | 2 | 4; // SYNC_FILE_RANGE_WAIT_BEFORE | _WRITE | _WAIT_AFTER

    /// <summary>The failure of the last call, as an exception.</summary>
    internal static DiskException LastFailure(string operation, string path) =>
        Failure(operation, path, Marshal.GetLastPInvokeError());

    internal static DiskException Failure(string operation, string path, int error) =>
        new(operation, path, error, Marshal.GetPInvokeErrorMessage(error));

    /// <summary>Whether the last call was only interrupted by a signal and did nothing.</summary>
    internal static bool WasInterrupted() => Marshal.GetLastPInvokeError() == Interrupted;

    // Not a Descriptor: a C int of -1 does not fill the handle's 64 bits, and would pass for valid.
    [LibraryImport(LibC, EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int Open(string path, int flags, uint mode);

    [LibraryImport(LibC, EntryPoint = "close", SetLastError = true)]
    internal static partial int Close(int descriptor);

    [LibraryImport(LibC, EntryPoint = "pread", SetLastError = true)]
    internal static partial nint ReadAt(Descriptor file, byte* destination, nuint count, long offset);

    [LibraryImport(LibC, EntryPoint = "pwrite", SetLastError = true)]
    internal static partial nint WriteAt(Descriptor file, byte* source, nuint count, long offset);

    [LibraryImport(LibC, EntryPoint = "fdatasync", SetLastError = true)]
    internal static partial int FlushContent(Descriptor file);

    [LibraryImport(LibC, EntryPoint = "fsync", SetLastError = true)]
    internal static partial int FlushAll(Descriptor file);

    [LibraryImport(LibC, EntryPoint = "sync_file_range", SetLastError = true)]
    internal static partial int WriteRange(Descriptor file, long offset, long length, uint flags);

    [LibraryImport(LibC, EntryPoint = "ftruncate", SetLastError = true)]
    internal static partial int SetLength(Descriptor file, long length);

    [LibraryImport(LibC, EntryPoint = "lseek", SetLastError = true)]
    internal static partial long Seek(Descriptor file, long offset, int origin);

    [LibraryImport(LibC, EntryPoint = "flock", SetLastError = true)]
    internal static partial int Lock(Descriptor file, int operation);

    [LibraryImport(LibC, EntryPoint = "mmap", SetLastError = true)]
    internal static partial nint Map(nint address, nuint length, int protection, int flags, Descriptor file, long offset);

    [LibraryImport(LibC, EntryPoint = "munmap", SetLastError = true)]
    internal static partial int Unmap(nint address, nuint length);

    [LibraryImport(LibC, EntryPoint = "madvise", SetLastError = true)]
    internal static partial int AdviseMapping(nint address, nuint length, int advice);

    /// <summary>Returns the error itself: this one does not set errno.</summary>
    [LibraryImport(LibC, EntryPoint = "posix_fadvise")]
    internal static partial int AdviseFile(Descriptor file, long offset, long length, int advice);

    [LibraryImport(LibC, EntryPoint = "rename", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int Rename(string from, string to);

    [LibraryImport(LibC, EntryPoint = "unlink", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int Unlink(string path);

    [LibraryImport(LibC, EntryPoint = "mkdir", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int MakeDirectory(string path, uint mode);

    [LibraryImport(LibC, EntryPoint = "statvfs", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int FileSystemStatus(string path, FileSystemSpace* space);

    /// <summary>A C int returned for success, −1 for failure; what <paramref name="mask"/> asks for need not be told.</summary>
    [LibraryImport(LibC, EntryPoint = "statx", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int FileStatus(Descriptor file, string path, int flags, uint mask, ExtendedStatus* status);

    /// <summary>As above, of a path: from the current directory, if it is not absolute.</summary>
    [LibraryImport(LibC, EntryPoint = "statx", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int FileStatus(int directory, string path, int flags, uint mask, ExtendedStatus* status);

    private static int ByArchitecture(int x64, int arm64) => RuntimeInformation.ProcessArchitecture switch
    {
        Architecture.X64 when OperatingSystem.IsLinux() => x64,
        Architecture.Arm64 when OperatingSystem.IsLinux() => arm64,
        var other => throw new PlatformNotSupportedException(
            $"EventVault stores data on Linux x64 and arm64 only; this is {RuntimeInformation.OSDescription} on {other}."),
    };

    /// <summary>struct statx, the same on both architectures; only what is read has a name.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 256)]
    internal struct ExtendedStatus
    {
        [FieldOffset(0)]
        internal uint Mask;

        /// <summary>Kind of file and rights.</summary>
        [FieldOffset(28)]
        internal ushort Mode;

        /// <summary>How memory must be aligned for transfers past the page cache; 0: there are none for this file.</summary>
        [FieldOffset(152)]
        internal uint DirectMemoryAlignment;
    }

    /// <summary>struct statvfs, the same on both architectures; only what is read has a name.</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal struct FileSystemSpace
    {
        internal ulong BlockSize;
        internal ulong FragmentSize;
        internal ulong Blocks;
        internal ulong FreeBlocks;

        /// <summary>Free for everybody; what is reserved for root is left out.</summary>
        internal ulong AvailableBlocks;
        private fixed ulong _rest[16];
    }
}
