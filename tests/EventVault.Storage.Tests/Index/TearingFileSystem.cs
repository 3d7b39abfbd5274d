using EventVault.Storage.Io;

namespace EventVault.Storage.Tests.Index;

/// <summary>
/// Lets a reader look into the middle of a write, as it may through a mapping while the kernel copies: once armed,
/// the next write first puts in half a slot, then runs the given action, then the whole.
/// </summary>
internal sealed class TearingFileSystem(IFileSystem inner) : IFileSystem
{
    private const int HalfSlotBytes = 32;

    public Action? InTheMiddle { get; set; }

    public bool FileExists(string path) => inner.FileExists(path);

    public bool DirectoryExists(string path) => inner.DirectoryExists(path);

    public void CreateDirectory(string path) => inner.CreateDirectory(path);

    public IReadOnlyList<string> ListFiles(string directory) => inner.ListFiles(directory);

    public IFile OpenFile(string path, FileOpening opening) => new TearingFile(this, inner.OpenFile(path, opening));

    public void MoveFile(string from, string to) => inner.MoveFile(from, to);

    public void DeleteFile(string path) => inner.DeleteFile(path);

    public void FlushDirectory(string directory) => inner.FlushDirectory(directory);

    public long FreeBytes(string directory) => inner.FreeBytes(directory);

    public IDisposable LockFile(string path) => inner.LockFile(path);

    private sealed class TearingFile(TearingFileSystem system, IFile file) : IFile
    {
        public string Path => file.Path;

        public long Length => file.Length;

        public int Read(long offset, Span<byte> destination) => file.Read(offset, destination);

        public int ReadFromDisk(long offset, Span<byte> destination) => file.ReadFromDisk(offset, destination);

        public void BeginReadFromDisk(DiskRead read) => file.BeginReadFromDisk(read);

        public void Write(long offset, ReadOnlySpan<byte> source)
        {
            if (system.InTheMiddle is { } action)
            {
                system.InTheMiddle = null;
                file.Write(offset, source[..HalfSlotBytes]);
                action();
            }

            file.Write(offset, source);
        }

        public void WriteZeros(long offset, long length) => file.WriteZeros(offset, length);

        public void SetLength(long length) => file.SetLength(length);

        public void Flush() => file.Flush();

        public void WriteOut(long offset, long length) => file.WriteOut(offset, length);

        public MappedFile Map(long length, MappedAccess access) => file.Map(length, access);

        public void Dispose() => file.Dispose();
    }
}
