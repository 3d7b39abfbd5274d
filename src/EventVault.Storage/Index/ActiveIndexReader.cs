using System.Runtime.InteropServices;
using EventVault.Storage.Io;

namespace EventVault.Storage.Index;

/// <summary>
/// Reads the content of an <see cref="ActiveIndexFile"/>, front to back, straight into the memory where it stays. One thread. What was read is
/// to be trusted when <see cref="IsWhole"/> says so; before that nothing is larger than the file.
/// </summary>
/// <param name="file">The file.</param>
/// <param name="start">Where the content begins. Bytes.</param>
/// <param name="length">Of the file. Bytes.</param>
internal sealed class ActiveIndexReader(IFile file, int start, long length)
{
    private long _at = start;
    private uint _checksum;

    /// <summary>Whether all of the content was read, and has this checksum.</summary>
    public bool IsWhole(uint contentChecksum) => _at == length && _checksum == contentChecksum;

    /// <summary>A count of elements that follow, each of at least so many bytes.</summary>
    /// <exception cref="IndexDamageException">The file can't hold so many.</exception>
    public int ReadCount(int elementBytes)
    {
        var count = 0;
        Read(new Span<int>(ref count));
        return count >= 0 && count * (long)elementBytes <= length - _at ? count : throw Damage();
    }

    /// <summary>The next numbers, or structures of numbers.</summary>
    /// <exception cref="IndexDamageException">The file ends before them.</exception>
    public void Read<T>(Span<T> values)
        where T : struct
    {
        var bytes = MemoryMarshal.AsBytes(values);
        if (bytes.Length > length - _at || file.Read(_at, bytes) != bytes.Length)
        {
            throw Damage();
        }

        _checksum = Checksum.Compute(bytes, _checksum);
        _at += bytes.Length;
    }

    private IndexDamageException Damage() => new(file.Path, _at, $"the content should end at {length}");
}
