using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;

namespace EventVault.Storage.Io;

/// <summary>
/// Owns a read-only view of a file's bytes. Whoever hands out spans must keep it alive (see SegmentReader's
/// leases): touching a mapping after it was disposed ends the process.
/// </summary>
public sealed unsafe class MappedFile : IDisposable
{
    private const int CacheLine = 64;

    private readonly byte* _start;
    private readonly Action<nint, long>? _prefetch;
    private readonly Action<nint, long>? _unload;
    private Action? _release;

    /// <param name="start">Address of the first byte.</param>
    /// <param name="length">Bytes that may be read.</param>
    /// <param name="release">Unmaps; called once.</param>
    /// <param name="prefetch">Asks the system to load address and length soon; null: not needed.</param>
    /// <param name="unload">Takes address and length out of the process's memory until they are touched again; null: not needed.</param>
    public MappedFile(nint start, long length, Action release, Action<nint, long>? prefetch, Action<nint, long>? unload = null)
    {
        Invariant.Check(start != 0 && length > 0);
        _start = (byte*)start;
        Length = length;
        _release = release;
        _prefetch = prefetch;
        _unload = unload;
    }

    /// <summary>Bytes that may be read.</summary>
    public long Length { get; }

    /// <summary>The bytes of a range, valid until this is disposed.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public ReadOnlySpan<byte> Span(long offset, int length)
    {
        Invariant.Check(offset >= 0 && length >= 0 && offset <= Length - length);
        return new ReadOnlySpan<byte>(_start + offset, length);
    }

    /// <summary>Starts loading a range in the background; costs nothing if it is in memory already.</summary>
    public void Prefetch(long offset, long length)
    {
        if (_prefetch is not null && offset < Length)
        {
            _prefetch((nint)(_start + offset), Math.Min(length, Length - offset));
        }
    }

    /// <summary>
    /// Asks the processor to have a range in its cache soon, where it can be asked (x86); only a hint, and the range may end behind the file. For a few hundred bytes.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Hint(long offset, int length)
    {
        if (Sse.IsSupported)
        {
            for (var at = 0; at < length; at += CacheLine)
            {
                Sse.Prefetch0(_start + offset + at);
            }
        }
    }

    /// <summary>
    /// Gives the process's memory of it back after all of it was read, to be checked. The system keeps the bytes as long as it likes, and who touches them again finds
    /// them. Costs little.
    /// </summary>
    public void Unload() => _unload?.Invoke((nint)_start, Length);

    /// <inheritdoc/>
    public void Dispose() => Interlocked.Exchange(ref _release, null)?.Invoke();
}
