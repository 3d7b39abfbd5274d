using System.Runtime.InteropServices;
using EventVault.Storage.Io;

namespace EventVault.Storage.Tests.Simulated;

/// <summary>An open file of a <see cref="SimulatedFileSystem"/>.</summary>
internal sealed class SimulatedFile(SimulatedFileSystem system, SimulatedContent content, string path, bool writable) : IFile
{
    private bool _disposed;

    public string Path => path;

    internal SimulatedContent Content => content;

    public long Length
    {
        get
        {
            lock (system.Gate)
            {
                ObjectDisposedException.ThrowIf(_disposed, this);
                return content.Length;
            }
        }
    }

    public int Read(long offset, Span<byte> destination) => Read(offset, destination, fromDisk: false);

    public int ReadFromDisk(long offset, Span<byte> destination) => Read(offset, destination, fromDisk: true);

    public void BeginReadFromDisk(DiskRead read) => read.Execute(); // At once: a seed must give the same run again.

    public void Write(long offset, ReadOnlySpan<byte> source)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        system.Begin(DiskOperationKind.Write, path, offset, source.Length);
        lock (system.Gate)
        {
            CheckWritable("pwrite");
            if (system.FailingWrite.DoesStrike())
            {
                // A failed write may have been done in part; one that finds no room was, up to some sector.
                var part = system.FailingWrite.Random?.Next(source.Length + 1) ?? 0;
                if (system.FailingWriteError == SimulatedFileSystem.NoSpace)
                {
                    part = Math.Max(0, part - (int)((offset + part) % SimulatedContent.SectorSize));
                }

                content.Write(offset, source[..part]);
                throw SimulatedFileSystem.Failure("pwrite", path, system.FailingWriteError);
            }

            var room = system.RoomFor(content) - offset;
            if (room < source.Length)
            {
                // As the native loop over short writes leaves it: what fits is there.
                content.Write(offset, source[..(int)Math.Max(room, 0)]);
                throw SimulatedFileSystem.Failure("pwrite", path, SimulatedFileSystem.NoSpace);
            }

            if (system.MisdirectableWrites?.Invoke(path) != false && system.MisdirectedWrite.DoesStrike())
            {
                content.Write(ElsewhereThan(offset, source.Length), source);
                return;
            }

            content.Write(offset, source);
        }
    }

    public void WriteZeros(long offset, long length)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        if (offset % SimulatedContent.PageSize != 0 || length % SimulatedContent.PageSize != 0)
        {
            throw new ArgumentException($"Zeros of '{path}' go by whole blocks: offset {offset} and length {length} must be multiples of 4096.");
        }

        system.Begin(DiskOperationKind.WriteZeros, path, offset, length);
        lock (system.Gate)
        {
            CheckWritable("pwrite");
            if (length == 0)
            {
                return;
            }

            if (system.FailingWrite.DoesStrike())
            {
                var pages = (int)(length / SimulatedContent.PageSize);
                content.WriteZeros(offset, (system.FailingWrite.Random?.Next(pages + 1) ?? 0) * (long)SimulatedContent.PageSize);
                throw SimulatedFileSystem.Failure("pwrite", path, system.FailingWriteError);
            }

            var room = system.RoomFor(content) - offset;
            if (room < length)
            {
                content.WriteZeros(offset, Math.Max(room, 0) / SimulatedContent.PageSize * SimulatedContent.PageSize);
                throw SimulatedFileSystem.Failure("pwrite", path, SimulatedFileSystem.NoSpace);
            }

            content.WriteZeros(offset, length);
        }
    }

    public void SetLength(long length)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        system.Begin(DiskOperationKind.SetLength, path, length, 0);
        lock (system.Gate)
        {
            CheckWritable("ftruncate");
            if (length > content.Length && length > system.RoomFor(content))
            {
                throw SimulatedFileSystem.Failure("ftruncate", path, SimulatedFileSystem.NoSpace);
            }

            content.SetLength(length);
        }
    }

    public void Flush()
    {
        system.Begin(DiskOperationKind.Flush, path, 0, 0);
        lock (system.Gate)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            if (system.FailingFlush.DoesStrike())
            {
                content.FailFlush(system.FailingFlush.Random);
                throw SimulatedFileSystem.Failure("fdatasync", path, system.FailingFlushError);
            }

            if (!system.LyingFlush.DoesStrike())
            {
                content.Flush();
            }
        }
    }

    // The crash's dice decide of each page anyway whether it got to the disk by itself: only a failure shows.
    public void WriteOut(long offset, long length)
    {
        lock (system.Gate)
        {
            CheckWritable("sync_file_range");
            if (system.FailingFlush.DoesStrike())
            {
                content.FailFlush(system.FailingFlush.Random);
                throw SimulatedFileSystem.Failure("sync_file_range", path, SimulatedFileSystem.InputOutput);
            }
        }
    }

    public MappedFile Map(long length, MappedAccess access)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(length);
        system.BeginRead(path);
        lock (system.Gate)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            ArgumentOutOfRangeException.ThrowIfGreaterThan(length, content.Length);
            var mapping = content.Map(length);
            // The release holds the array, so it lives as long as the mapping that points into it.
            return new MappedFile(Marshal.UnsafeAddrOfPinnedArrayElement(mapping, 0), length, () => Unmap(mapping), prefetch: null);
        }
    }

    public void Dispose()
    {
        lock (system.Gate)
        {
            _disposed = true;
        }
    }

    // Another block of the file, so that nothing grows if there is one.
    private long ElsewhereThan(long offset, int length)
    {
        var blocks = (content.Length - length) / SimulatedContent.PageSize;
        var drawn = blocks <= 0 ? 0 : (system.MisdirectedWrite.Random?.NextInt64(blocks + 1) ?? 0) * SimulatedContent.PageSize;
        return drawn == offset ? offset + SimulatedContent.PageSize : drawn;
    }

    private int Read(long offset, Span<byte> destination, bool fromDisk)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        system.BeginRead(path);
        lock (system.Gate)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            return system.FailingRead.DoesStrike()
                ? throw SimulatedFileSystem.Failure("pread", path, SimulatedFileSystem.InputOutput)
                : content.Read(offset, destination, fromDisk);
        }
    }

    private void Unmap(byte[] mapping)
    {
        lock (system.Gate)
        {
            content.Unmap(mapping);
        }
    }

    private void CheckWritable(string operation)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        if (!writable)
        {
            throw SimulatedFileSystem.Failure(operation, path, SimulatedFileSystem.BadDescriptor);
        }
    }
}
