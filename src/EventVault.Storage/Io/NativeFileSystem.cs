using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;

namespace EventVault.Storage.Io;

/// <summary>The operating system's files, on 64-bit Linux. Every call checks its result.</summary>
public sealed class NativeFileSystem : IFileSystem
{
    /// <inheritdoc/>
    public bool FileExists(string path) => Exists(path, flags: 0) && !DirectoryExists(path);

    /// <summary>Whether there is something that is no regular file: a folder, a device, a pipe, or a link to one.</summary>
    /// <param name="path">Where.</param>
    public static unsafe bool IsNoRegularFile(string path)
    {
        NativeMethods.ExtendedStatus status;
        return NativeMethods.FileStatus(NativeMethods.CurrentDirectory, path, flags: 0, NativeMethods.FileType, &status) == 0
            && (status.Mode & NativeMethods.TypeBits) != NativeMethods.RegularFile;
    }

    /// <inheritdoc/>
    public bool DirectoryExists(string path) => Exists(path, NativeMethods.Directory);

    /// <inheritdoc/>
    public void CreateDirectory(string path)
    {
        const uint Mode = 0x1E8; // 0750: as for files, see Descriptor.
        if (DirectoryExists(path))
        {
            return;
        }

        if (Path.GetDirectoryName(Path.TrimEndingDirectorySeparator(path)) is { Length: > 0 } parent)
        {
            CreateDirectory(parent);
        }

        if (NativeMethods.MakeDirectory(path, Mode) != 0)
        {
            var error = Marshal.GetLastPInvokeError();
            if (error != NativeMethods.Exists || !DirectoryExists(path))
            {
                throw NativeMethods.Failure("mkdir", path, error);
            }
        }
    }

    /// <inheritdoc/>
    public IReadOnlyList<string> ListFiles(string directory)
    {
        // Opened first because the enumeration below tells a missing folder only by its exception's type.
        Descriptor.Open(directory, NativeMethods.ReadOnly | NativeMethods.Directory).Dispose();
        try
        {
            return [.. Directory.EnumerateFiles(directory).Select(path => Path.GetFileName(path)).Order(StringComparer.Ordinal)];
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new DiskException("readdir", directory, e.HResult, e.Message);
        }
    }

    /// <inheritdoc/>
    public IFile OpenFile(string path, FileOpening opening)
    {
        var flags = opening switch
        {
            FileOpening.ReadExisting => NativeMethods.ReadOnly,
            FileOpening.Existing => NativeMethods.ReadWrite,
            FileOpening.New => NativeMethods.ReadWrite | NativeMethods.Create | NativeMethods.Exclusive,
            FileOpening.ExistingOrNew => NativeMethods.ReadWrite | NativeMethods.Create,
            _ => throw new ArgumentOutOfRangeException(nameof(opening), opening, "Not a way of opening."),
        };
        return new NativeFile(path, Descriptor.Open(path, flags), flags & NativeMethods.ReadWrite);
    }

    /// <inheritdoc/>
    public void MoveFile(string from, string to)
    {
        if (NativeMethods.Rename(from, to) != 0)
        {
            throw NativeMethods.LastFailure($"rename to '{to}'", from);
        }
    }

    /// <inheritdoc/>
    public void DeleteFile(string path)
    {
        if (NativeMethods.Unlink(path) != 0)
        {
            var error = Marshal.GetLastPInvokeError();
            if (error != NativeMethods.NoEntry)
            {
                throw NativeMethods.Failure("unlink", path, error);
            }
        }
    }

    /// <inheritdoc/>
    public void FlushDirectory(string directory)
    {
        using var descriptor = Descriptor.Open(directory, NativeMethods.ReadOnly | NativeMethods.Directory);
        // Not repeated when interrupted: only an uninterrupted success proves anything.
        if (NativeMethods.FlushAll(descriptor) != 0)
        {
            throw NativeMethods.LastFailure("fsync", directory);
        }
    }

    /// <inheritdoc/>
    public unsafe long FreeBytes(string directory)
    {
        NativeMethods.FileSystemSpace space;
        while (NativeMethods.FileSystemStatus(directory, &space) != 0)
        {
            if (!NativeMethods.WasInterrupted())
            {
                throw NativeMethods.LastFailure("statvfs", directory);
            }
        }

        // Some remote systems claim more than a long holds.
        var unit = Math.Max(space.FragmentSize, 1);
        return (long)(Math.Min(space.AvailableBlocks, long.MaxValue / unit) * unit);
    }

    /// <inheritdoc/>
    public IDisposable LockFile(string path)
    {
        var file = new NativeFile(
            path, Descriptor.Open(path, NativeMethods.ReadWrite | NativeMethods.Create), NativeMethods.ReadWrite);
        try
        {
            if (!file.TryLock())
            {
                throw new DirectoryInUseException(path, Holder(file));
            }

            // Written before the rest is cut off: whoever looks meanwhile still finds a number. The file stays
            // when the lock goes, because removing it would let two later nodes lock two different files.
            var pid = Encoding.ASCII.GetBytes(Environment.ProcessId.ToString(CultureInfo.InvariantCulture) + "\n");
            file.Write(0, pid);
            file.SetLength(pid.Length);
            return file;
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    private static string Holder(NativeFile file)
    {
        Span<byte> text = stackalloc byte[20];
        var digits = Encoding.ASCII.GetString(text[..file.Read(0, text)]).Split('\n')[0];
        return int.TryParse(digits, NumberStyles.None, CultureInfo.InvariantCulture, out var pid) ? $" by process {pid}" : "";
    }

    private static bool Exists(string path, int flags)
    {
        // Not File.Exists: it says no where it was not allowed to look, and a vault that is not there gets created.
        using var descriptor = Descriptor.TryOpen(path, NativeMethods.PathOnly | flags, out var error);
        return descriptor is not null
            || (error is NativeMethods.NoEntry or NativeMethods.NotADirectory ? false : throw NativeMethods.Failure("open", path, error));
    }
}
