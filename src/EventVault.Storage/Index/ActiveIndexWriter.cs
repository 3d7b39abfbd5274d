using System.Runtime.InteropServices;
using EventVault.Storage.Io;

namespace EventVault.Storage.Index;

/// <summary>Writes the content of an <see cref="ActiveIndexFile"/>, front to back, as its numbers stand in memory. One thread.</summary>
/// <param name="file">The file.</param>
/// <param name="start">Where the content begins. Bytes.</param>
internal sealed class ActiveIndexWriter(IFile file, int start)
{
    /// <summary>Bytes of one write: calls cost little then, and the buffer is gone with the process soon.</summary>
    private const int BufferBytes = 256 * 1024;

    private readonly byte[] _buffer = new byte[BufferBytes];
    private int _buffered;

    /// <summary>Bytes of the file, the header in front included, as far as it was written.</summary>
    public long Length { get; private set; } = start;

    /// <summary>CRC32C of the content.</summary>
    public uint ContentChecksum { get; private set; }

    /// <summary>The next number.</summary>
    public void Write(int value) => Write([value]);

    /// <summary>The next numbers, or structures of numbers.</summary>
    public void Write<T>(ReadOnlySpan<T> values)
        where T : struct
    {
        for (var bytes = MemoryMarshal.AsBytes(values); !bytes.IsEmpty;)
        {
            var taken = Math.Min(bytes.Length, BufferBytes - _buffered);
            bytes[..taken].CopyTo(_buffer.AsSpan(_buffered));
            bytes = bytes[taken..];
            _buffered += taken;
            if (_buffered == BufferBytes)
            {
                WriteOut();
            }
        }
    }

    /// <inheritdoc cref="Write{T}(ReadOnlySpan{T})"/>
    public void Write<T>(Span<T> values)
        where T : struct => Write((ReadOnlySpan<T>)values);

    /// <inheritdoc cref="Write{T}(ReadOnlySpan{T})"/>
    public void Write<T>(T[] values)
        where T : struct => Write((ReadOnlySpan<T>)values);

    /// <summary>Hands what is left to the system.</summary>
    public void WriteOut()
    {
        var bytes = _buffer.AsSpan(0, _buffered);
        ContentChecksum = Checksum.Compute(bytes, ContentChecksum);
        file.Write(Length, bytes);
        Length += _buffered;
        _buffered = 0;
    }
}
