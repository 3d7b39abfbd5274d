using System.Buffers.Binary;
using EventVault.Storage.Io;
using EventVault.Storage.Log;

namespace EventVault.Storage.Scavenging;

/// <summary>Writes the sections of a scavenged segment, from front to back, through one buffer. One thread.</summary>
internal sealed class ScavengedWriter(IFile file, VaultMeta meta)
{
    private const int BufferBytes = 256 * 1024;

    private readonly byte[] _buffer = new byte[BufferBytes];
    private readonly List<ScavengedSection> _sections = [];
    private int _buffered;
    private long _written = Blocks.Size; // The header comes last.
    private long _start = Blocks.Size;
    private uint _checksum = meta.ChecksumSeed;

    /// <summary>Where the next byte goes.</summary>
    public long Offset => _written + _buffered;

    /// <summary>Bytes of the section that is being written.</summary>
    public long Length => Offset - _start;

    /// <summary>The sections that are written.</summary>
    public ScavengedSection[] Sections => [.. _sections];

    /// <summary>Adds bytes to the section.</summary>
    public void Append(ReadOnlySpan<byte> bytes)
    {
        _checksum = Checksum.Compute(bytes, _checksum);
        Put(bytes);
    }

    /// <summary>Adds a number.</summary>
    public void Append(uint number)
    {
        Span<byte> bytes = stackalloc byte[sizeof(uint)];
        BinaryPrimitives.WriteUInt32LittleEndian(bytes, number);
        Append(bytes);
    }

    /// <summary>Ends the section.</summary>
    public void EndSection()
    {
        var length = Length;
        _sections.Add(new ScavengedSection((uint)_start, (uint)length, _checksum));
        Pad(Blocks.Align((int)length) - (int)length);
        _start = Offset;
        _checksum = meta.ChecksumSeed;
    }

    /// <summary>All sections are there: writes zeros up to the footer, and the footer. Returns the file's length.</summary>
    public long WriteFooter(in SegmentFooter footer)
    {
        Invariant.Check(_sections.Count == ScavengedHeader.SectionCount && Length == 0);
        Pad((int)(Blocks.Ceiling(Offset) - Offset));
        WriteOut();
        var block = new byte[Blocks.Size];
        footer.Encode(block, meta.ChecksumSeed);
        file.Write(_written, block);
        return _written + Blocks.Size;
    }

    /// <summary>Writes the header; returns it with its digest.</summary>
    public SegmentHeader WriteHeader(SegmentHeader header, ScavengedHeader scavenged)
    {
        var block = new byte[Blocks.Size];
        (header with { Scavenged = scavenged }).Encode(block, meta.ChecksumSeed);
        header = header with { Scavenged = scavenged with { Digest = ScavengedHeader.ComputeDigest(block, meta.SipKey) } };
        header.Encode(block, meta.ChecksumSeed);
        file.Write(0, block);
        return header;
    }

    private void Pad(int length)
    {
        Span<byte> zeros = stackalloc byte[Blocks.Size];
        zeros.Clear();
        Put(zeros[..length]);
    }

    private void Put(ReadOnlySpan<byte> bytes)
    {
        while (!bytes.IsEmpty)
        {
            if (_buffered == BufferBytes)
            {
                WriteOut();
            }

            var taken = Math.Min(bytes.Length, BufferBytes - _buffered);
            bytes[..taken].CopyTo(_buffer.AsSpan(_buffered));
            _buffered += taken;
            bytes = bytes[taken..];
        }
    }

    private void WriteOut()
    {
        if (_buffered > 0)
        {
            file.Write(_written, _buffer.AsSpan(0, _buffered));
            _written += _buffered;
            _buffered = 0;
        }
    }
}
