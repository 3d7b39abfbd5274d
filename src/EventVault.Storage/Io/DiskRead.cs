namespace EventVault.Storage.Io;

/// <summary>One read ahead, past the page cache. The buffer is the read's until it is taken or dropped.</summary>
/// <param name="file">The file.</param>
/// <param name="offset">Where the read begins.</param>
/// <param name="buffer">What it fills.</param>
public sealed class DiskRead(IFile file, long offset, Memory<byte> buffer) : WorkAhead
{
    private int _count;

    /// <summary>Bytes wanted.</summary>
    public int Length => buffer.Length;

    /// <summary>Waits until the bytes are there. How many, as <see cref="IFile.ReadFromDisk"/> says it.</summary>
    /// <exception cref="DiskException">The read failed.</exception>
    public int Take()
    {
        End();
        return _count;
    }

    /// <inheritdoc/>
    protected override void Work() => _count = file.ReadFromDisk(offset, buffer.Span);
}
