namespace EventVault.Storage.Io;

/// <summary>
/// The files of one vault. Two implementations: the operating system's, and the simulator's, which loses, tears
/// and reorders whatever was not flushed, directory entries too.
/// </summary>
/// <remarks>All failures are thrown as <see cref="DiskException"/>. Safe for concurrent use.</remarks>
public interface IFileSystem
{
    /// <summary>Whether a file (not a folder) stands at <paramref name="path"/>.</summary>
    bool FileExists(string path);

    /// <summary>Whether a folder stands at <paramref name="path"/>.</summary>
    bool DirectoryExists(string path);

    /// <summary>Creates a folder and its missing parents. Durable only after the parents were flushed.</summary>
    void CreateDirectory(string path);

    /// <summary>Names (without folder) of the files in a folder, in ordinal order.</summary>
    IReadOnlyList<string> ListFiles(string directory);

    /// <summary>Opens a file. Creating one is durable only after <see cref="FlushDirectory"/> on its folder.</summary>
    IFile OpenFile(string path, FileOpening opening);

    /// <summary>Renames a file, replacing the target. Durable only after <see cref="FlushDirectory"/>.</summary>
    void MoveFile(string from, string to);

    /// <summary>Removes a file if it exists. Durable only after <see cref="FlushDirectory"/>.</summary>
    void DeleteFile(string path);

    /// <summary>Makes all entries of a folder durable (fsync of the directory).</summary>
    void FlushDirectory(string directory);

    /// <summary>Bytes that can still be written to the file system that holds <paramref name="directory"/>.</summary>
    long FreeBytes(string directory);

    /// <summary>
    /// Takes the exclusive lock that keeps a second node off a data directory; released by disposing it or by
    /// the process's end. Throws <see cref="DirectoryInUseException"/> if another holds it.
    /// </summary>
    IDisposable LockFile(string path);
}

/// <summary>How <see cref="IFileSystem.OpenFile"/> opens.</summary>
public enum FileOpening
{
    /// <summary>Reading only; the file must exist.</summary>
    ReadExisting,

    /// <summary>Reading and writing; the file must exist.</summary>
    Existing,

    /// <summary>Reading and writing; the file must not exist.</summary>
    New,

    /// <summary>Reading and writing; created if missing.</summary>
    ExistingOrNew,
}

/// <summary>An open file. Reads are safe from many threads; writes and flushes come from one at a time.</summary>
public interface IFile : IDisposable
{
    /// <summary>The path it was opened by.</summary>
    string Path { get; }

    /// <summary>Size in bytes.</summary>
    long Length { get; }

    /// <summary>Reads up to the buffer's size through the page cache; fewer only at the file's end.</summary>
    int Read(long offset, Span<byte> destination);

    /// <summary>
    /// Reads what is on the disk, past the page cache: after a failed flush the cache may hold pages that
    /// never reached the disk and yet count as clean. Recovery reads only like this.
    /// </summary>
    int ReadFromDisk(long offset, Span<byte> destination);

    /// <summary>Lets such a read be done before somebody needs it; who does need it need not wait for it to begin.</summary>
    void BeginReadFromDisk(DiskRead read);

    /// <summary>Writes all of the buffer. Throws <see cref="DiskException"/>, with IsFull if space ran out.</summary>
    void Write(long offset, ReadOnlySpan<byte> source);

    /// <summary>
    /// Fills a range with zeros that occupy written disk blocks, past the page cache where the system can:
    /// later whole-block writes then need neither block allocation nor a journal commit. Offset and length are
    /// multiples of 4,096. Extends the file if needed.
    /// </summary>
    void WriteZeros(long offset, long length);

    /// <summary>Cuts or extends (with a hole) to this size in bytes.</summary>
    void SetLength(long length);

    /// <summary>
    /// Makes all that was written durable (fdatasync). After a failure nothing may be assumed about any earlier
    /// unflushed write, and a retry may report success for lost data: the caller must stop.
    /// </summary>
    void Flush();

    /// <summary>
    /// Has the system write a range now, and waits for it: a later flush finds that much less to do, all at once. It makes nothing durable.
    /// Throws as a flush does, and must not be tried again either.
    /// </summary>
    void WriteOut(long offset, long length);

    /// <summary>
    /// Maps the first <paramref name="length"/> bytes for reading only. The mapping stays valid after the file
    /// is closed, renamed or deleted, until it is disposed; later writes to the file show in it.
    /// </summary>
    MappedFile Map(long length, MappedAccess access);
}

/// <summary>What a mapping will mostly be used for; steers the kernel's read-ahead.</summary>
public enum MappedAccess
{
    /// <summary>The system's default.</summary>
    Normal,

    /// <summary>Single pages at random: no read-ahead.</summary>
    Random,

    /// <summary>From front to back: strong read-ahead.</summary>
    Sequential,
}
