using System.Runtime.InteropServices;

namespace EventVault.Storage.Io;

/// <summary>
/// One open file of the operating system. Guarantees: what <see cref="Write"/> returned for has been handed to the
/// kernel in full; what <see cref="Flush"/> returned for is on the disk; a failed flush fails all later ones.
/// </summary>
internal sealed unsafe class NativeFile : IFile
{
    // Direct transfers need memory, offset and length aligned to the device's block: 4 KiB serves 512-byte disks too.
    private const int BlockSize = 4096;
    private const int TransferSize = 1 << 20;

    // One for the process, never written and never freed.
    private static readonly byte* Zeros = AllocateZeros();

    private readonly Descriptor _descriptor;
    private readonly int _access;
    private readonly Lock _openingDirect = new();
    private Descriptor? _direct;
    private volatile bool _directRefused;
    private volatile bool _flushFailed;
    private bool _written;
    private int _disposed;

    internal NativeFile(string path, Descriptor descriptor, int access)
    {
        Path = path;
        _descriptor = descriptor;
        _access = access;
    }

    public string Path { get; }

    public long Length
    {
        get
        {
            var length = NativeMethods.Seek(_descriptor, 0, NativeMethods.SeekEnd);
            return length >= 0 ? length : throw NativeMethods.LastFailure("lseek", Path);
        }
    }

    public int Read(long offset, Span<byte> destination)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        var done = 0;
        fixed (byte* start = destination)
        {
            while (done < destination.Length)
            {
                var count = NativeMethods.ReadAt(_descriptor, start + done, (nuint)(destination.Length - done), offset + done);
                if (count > 0)
                {
                    done += (int)count;
                }
                else if (count == 0)
                {
                    break;
                }
                else if (!NativeMethods.WasInterrupted())
                {
                    throw NativeMethods.LastFailure("pread", Path);
                }
            }
        }

        return done;
    }

    public int ReadFromDisk(long offset, Span<byte> destination)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        if (destination.IsEmpty)
        {
            return 0;
        }

        var done = 0;
        return OpenDirect() is { } direct && ReadDirect(direct, offset, destination, out done)
            ? done
            : done + ReadAfterDroppingCache(offset + done, destination[done..]);
    }

    public void BeginReadFromDisk(DiskRead read) => read.Begin();

    public void Write(long offset, ReadOnlySpan<byte> source)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        _written = true;
        fixed (byte* start = source)
        {
            WriteFully(start, source.Length, offset);
        }
    }

    public void WriteZeros(long offset, long length)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        if (offset % BlockSize != 0 || length % BlockSize != 0)
        {
            throw new ArgumentException($"Zeros of '{Path}' go by whole blocks: offset {offset} and length {length} must be multiples of {BlockSize}.");
        }

        if (length == 0)
        {
            return;
        }

        // Not allocated in one call first: turning reserved blocks into written ones goes through the journal, and
        // made the same fill up to six times slower on a busy disk.
        _written = true;
        var end = offset + length;
        if (OpenDirect() is { } direct)
        {
            offset = WriteZerosDirect(direct, offset, end);
        }

        if (offset < end)
        {
            WriteZerosCached(offset, end);
        }
    }

    public void SetLength(long length)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        _written = true;
        while (NativeMethods.SetLength(_descriptor, length) != 0)
        {
            if (!NativeMethods.WasInterrupted())
            {
                throw NativeMethods.LastFailure("ftruncate", Path);
            }
        }
    }

    public void Flush()
    {
        // The kernel reports a lost write once and then calls the pages clean: a second try would report success.
        if (_flushFailed)
        {
            throw new DiskException("fdatasync", Path, NativeMethods.InputOutput, "an earlier flush of this file failed, so its unflushed writes are lost");
        }

        // Not repeated when interrupted either: only an uninterrupted success proves anything.
        if (NativeMethods.FlushContent(_descriptor) != 0)
        {
            var failure = NativeMethods.LastFailure("fdatasync", Path);
            _flushFailed = true;
            throw failure;
        }
    }

    public void WriteOut(long offset, long length)
    {
        // What fails is reported here and then counts as told: no flush behind it may succeed.
        if (NativeMethods.WriteRange(_descriptor, offset, length, NativeMethods.WriteRangeAndWait) != 0)
        {
            var failure = NativeMethods.LastFailure("sync_file_range", Path);
            _flushFailed = true;
            throw failure;
        }
    }

    public MappedFile Map(long length, MappedAccess access)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(length);
        // Touching mapped pages behind the file's end ends the process.
        ArgumentOutOfRangeException.ThrowIfGreaterThan(length, Length);
        var address = NativeMethods.Map(0, (nuint)length, NativeMethods.ProtectRead, NativeMethods.MapShared, _descriptor, 0);
        if (address == -1)
        {
            throw NativeMethods.LastFailure("mmap", Path);
        }

        if (access != MappedAccess.Normal)
        {
            var advice = access == MappedAccess.Random ? NativeMethods.AdviseRandom : NativeMethods.AdviseSequential;
            if (NativeMethods.AdviseMapping(address, (nuint)length, advice) != 0)
            {
                var failure = NativeMethods.LastFailure("madvise", Path);
                _ = NativeMethods.Unmap(address, (nuint)length);
                throw failure;
            }
        }

        var path = Path;
        return new MappedFile(address, length, () => Unmap(address, length, path), Prefetch, Unload);
    }

    internal bool TryLock()
    {
        while (NativeMethods.Lock(_descriptor, NativeMethods.LockExclusiveNow) != 0)
        {
            if (Marshal.GetLastPInvokeError() == NativeMethods.WouldBlock)
            {
                return false;
            }

            if (!NativeMethods.WasInterrupted())
            {
                throw NativeMethods.LastFailure("flock", Path);
            }
        }

        return true;
    }

    // Network file systems report a failed write-back here. A read that is still running closes after us, unseen:
    // that costs no safety, because only Flush promises anything.
    public void Dispose()
    {
        if (Interlocked.Exchange(ref _disposed, 1) != 0)
        {
            return;
        }

        Descriptor? direct;
        lock (_openingDirect)
        {
            direct = _direct;
            _directRefused = true;
            _direct = null;
        }

        direct?.Dispose();
        _descriptor.Dispose();
        var error = direct is { CloseError: not 0 } ? direct.CloseError : _descriptor.CloseError;
        if (_written && error != 0)
        {
            throw NativeMethods.Failure("close", Path, error);
        }
    }

    private static void Unmap(nint address, long length, string path)
    {
        if (NativeMethods.Unmap(address, (nuint)length) != 0)
        {
            throw NativeMethods.LastFailure("munmap", path);
        }
    }

    // Only advice: whatever it reports, the bytes are read correctly when they are touched.
    private static void Prefetch(nint address, long length)
    {
        var inPage = address % Environment.SystemPageSize;
        _ = NativeMethods.AdviseMapping(address - inPage, (nuint)(length + inPage), NativeMethods.AdviseWillNeed);
    }

    // Likewise. A read-only mapping of a file has nothing that could be lost.
    private static void Unload(nint address, long length) => _ = NativeMethods.AdviseMapping(address, (nuint)length, NativeMethods.AdviseDontNeed);

    private static byte* AllocateZeros()
    {
        var zeros = (byte*)NativeMemory.AlignedAlloc(TransferSize, BlockSize);
        NativeMemory.Clear(zeros, TransferSize);
        return zeros;
    }

    private void WriteFully(byte* source, long length, long offset)
    {
        for (long done = 0; done < length;)
        {
            var count = NativeMethods.WriteAt(_descriptor, source + done, (nuint)(length - done), offset + done);
            if (count > 0)
            {
                done += count;
            }
            else if (count == 0)
            {
                throw NativeMethods.Failure("pwrite", Path, NativeMethods.InputOutput);
            }
            else if (!NativeMethods.WasInterrupted())
            {
                throw NativeMethods.LastFailure("pwrite", Path);
            }
        }
    }

    /// <summary>Writes zeros past the page cache. Returns where it stopped: before the end only if refused.</summary>
    private long WriteZerosDirect(Descriptor direct, long offset, long end)
    {
        while (offset < end)
        {
            var count = NativeMethods.WriteAt(direct, Zeros, (nuint)Math.Min(TransferSize, end - offset), offset);
            if (count >= BlockSize)
            {
                // A short count could leave us inside a block; that block is written again.
                offset += count - (count % BlockSize);
            }
            else if (count >= 0 || Marshal.GetLastPInvokeError() == NativeMethods.InvalidArgument)
            {
                _directRefused = true;
                return offset;
            }
            else if (!NativeMethods.WasInterrupted())
            {
                throw NativeMethods.LastFailure("pwrite", Path);
            }
        }

        return end;
    }

    private void WriteZerosCached(long offset, long end)
    {
        for (; offset < end; offset += TransferSize)
        {
            WriteFully(Zeros, Math.Min(TransferSize, end - offset), offset);
        }

        // Large cached pages would make each later small write slower, and only clean ones can be dropped.
        // The drop itself is for speed alone, so its result does not matter.
        Flush();
        _ = NativeMethods.AdviseFile(_descriptor, 0, 0, NativeMethods.FileDontNeed);
    }

    /// <summary>
    /// Reads past the page cache: whole blocks into memory that is aligned as they are without a detour, anything else through an
    /// aligned buffer. False if the file system refused or stopped early; <paramref name="done"/> counts what was read until then.
    /// </summary>
    private bool ReadDirect(Descriptor direct, long offset, Span<byte> destination, out int done)
    {
        done = 0;
        byte* aligned = null;
        try
        {
            fixed (byte* start = destination)
            {
                while (done < destination.Length)
                {
                    var lead = (int)((offset + done) % BlockSize);
                    var wanted = (int)Math.Min(TransferSize, RoundUp(destination.Length - done + lead));
                    var isStraight = lead == 0 && (nint)(start + done) % BlockSize == 0 && destination.Length - done >= BlockSize;
                    if (isStraight)
                    {
                        wanted = Math.Min(wanted, (destination.Length - done) / BlockSize * BlockSize);
                    }
                    else if (aligned is null)
                    {
                        aligned = (byte*)NativeMemory.AlignedAlloc((nuint)wanted, BlockSize); // What is left only gets shorter.
                    }

                    var count = (int)NativeMethods.ReadAt(direct, isStraight ? start + done : aligned, (nuint)wanted, offset + done - lead);
                    if (count < 0)
                    {
                        if (NativeMethods.WasInterrupted())
                        {
                            continue;
                        }

                        if (Marshal.GetLastPInvokeError() != NativeMethods.InvalidArgument)
                        {
                            throw NativeMethods.LastFailure("pread", Path);
                        }

                        _directRefused = true;
                        return false;
                    }

                    var useful = Math.Min(count - lead, destination.Length - done);
                    if (useful <= 0)
                    {
                        // A short count inside the file must never pass for its end: recovery would cut there.
                        return offset + done >= Length;
                    }

                    if (!isStraight)
                    {
                        new ReadOnlySpan<byte>(aligned + lead, useful).CopyTo(destination[done..]);
                    }

                    done += useful;
                }
            }

            return true;
        }
        finally
        {
            NativeMemory.AlignedFree(aligned);
        }
    }

    // The whole file is dropped: part of a large cached page would stay. Pages that still wait to be written stay
    // too, as they should: they are what the disk is going to hold.
    private int ReadAfterDroppingCache(long offset, Span<byte> destination)
    {
        var error = NativeMethods.AdviseFile(_descriptor, 0, 0, NativeMethods.FileDontNeed);
        return error == 0 ? Read(offset, destination) : throw NativeMethods.Failure("posix_fadvise", Path, error);
    }

    /// <summary>A second descriptor of the same file that goes past the page cache; null where that is refused.</summary>
    private Descriptor? OpenDirect()
    {
        if (_directRefused)
        {
            return null;
        }

        lock (_openingDirect)
        {
            if (_direct is null && !_directRefused)
            {
                _direct = GoesPastCache() ? _descriptor.TryReopen(_access | NativeMethods.Direct) : null;
                _directRefused = _direct is null;
            }

            return _direct;
        }
    }

    // An encrypted file is one that opens for direct transfers, and then goes through the page cache without a word: what reads would show there need not be on the
    // disk. Where the system does not tell, it is asked to open one.
    private bool GoesPastCache()
    {
        NativeMethods.ExtendedStatus status;
        return NativeMethods.FileStatus(_descriptor, "", NativeMethods.EmptyPath, NativeMethods.DirectAlignment, &status) != 0
            || (status.Mask & NativeMethods.DirectAlignment) == 0 || status.DirectMemoryAlignment > 0;
    }

    private static long RoundUp(long length) => (length + BlockSize - 1) / BlockSize * BlockSize;
}
