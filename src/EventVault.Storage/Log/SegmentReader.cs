// Reads one segment through a read-only mapping. Every record is checked before it is handed out; bytes that were
// durable and do not check out are damage and are never served.
//
// Lifetime: the mapping is counted. A reader takes a lease for a page of events (one atomic operation) and lets go of
// it before anything is awaited; the last lease to end after Close unmaps. Touching an unmapped page would end the
// process.
using EventVault.Storage.Io;

namespace EventVault.Storage.Log;

internal sealed class SegmentReader(uint segment, MappedFile mapping, uint seed)
{
    /// <summary>As much as most records are; of a larger one the processor goes on by itself.</summary>
    private const int HintBytes = 384;

    private int _leases = 1; // One is the owner's, until Close.
    private volatile bool _hasMetDamage;

    public uint Segment { get; } = segment;

    /// <summary>Whether somebody who read in it met damage.</summary>
    public bool HasMetDamage => _hasMetDamage;

    /// <summary>Takes a lease; false if the segment was closed.</summary>
    public bool TryLease()
    {
        var leases = Volatile.Read(ref _leases);
        while (leases > 0)
        {
            var before = Interlocked.CompareExchange(ref _leases, leases + 1, leases);
            if (before == leases)
            {
                return true;
            }

            leases = before;
        }

        return false;
    }

    /// <summary>Ends a lease.</summary>
    public void Release()
    {
        if (Interlocked.Decrement(ref _leases) == 0)
        {
            mapping.Dispose();
        }
    }

    /// <summary>Ends the owner's lease: no new one is given, and the last one to end unmaps.</summary>
    public void Close() => Release();

    /// <summary>The record at an offset, checked. The caller holds a lease.</summary>
    /// <param name="offset">From an index.</param>
    /// <param name="expected">Position that the index says stands there.</param>
    /// <exception cref="DamageException">Something else stands there.</exception>
    public EventView Read(uint offset, Position expected)
    {
        var room = (int)Math.Min(int.MaxValue, mapping.Length - offset);
        if (room < RecordFormat.RecordHeaderLength
            || !RecordFormat.TryReadEvent(mapping.Span(offset, room), seed, out var view)
            || view.Position != expected)
        {
            throw Damage(offset, $"the record of position {expected} should stand here, its checksum does not hold.");
        }

        return view;
    }

    /// <summary>The header of the group at an offset, its checksums checked. The caller holds a lease.</summary>
    public GroupHeader ReadHeader(uint offset)
    {
        var room = (int)Math.Min(int.MaxValue, mapping.Length - offset);
        return GroupHeader.TryDecode(mapping.Span(offset, room), new Place(Segment, offset), seed, out var header, out _) && header.TotalLength <= room
            ? header
            : throw Damage(offset, "a group's header should stand here.");
    }

    /// <summary>The group at an offset, header and body, its checksums checked. The caller holds a lease.</summary>
    public ReadOnlySpan<byte> ReadBytes(uint offset, int length)
    {
        ReadGroup(offset, out var header);
        Invariant.Check(header.TotalLength == length);
        return mapping.Span(offset, length);
    }

    /// <summary>The group at an offset, its checksums checked. The caller holds a lease.</summary>
    public ReadOnlySpan<byte> ReadGroup(uint offset, out GroupHeader header)
    {
        header = ReadHeader(offset);
        var body = mapping.Span(offset + GroupHeader.Length, header.BodyLength);
        return Checksum.Compute(body, seed) == header.BodyChecksum
            ? body
            : throw Damage(offset, $"the body of group {header.Index} does not match its checksum.");
    }

    /// <summary>Bytes of the file, as they are. The caller holds a lease.</summary>
    /// <exception cref="DamageException">The file ends before them.</exception>
    public ReadOnlySpan<byte> Span(uint offset, int length) => length >= 0 && offset + (long)length <= mapping.Length
        ? mapping.Span(offset, length)
        : throw Damage(offset, $"{length} bytes should stand here, the file has {mapping.Length}.");

    /// <summary>What to throw when something else stands at an offset than was written there.</summary>
    public DamageException Damage(uint offset, string expected)
    {
        _hasMetDamage = true;
        return new(
            SegmentHeader.FileName(Segment), offset, expected,
            "The event was durable, so this is damage. A node with peers gets a sealed segment from one of them; otherwise run vault-admin verify on the stopped node and restore the segment from another copy.");
    }

    /// <summary>Has the processor load the beginning of the record at an offset, which is read soon. The caller holds a lease.</summary>
    public void Hint(uint offset) => mapping.Hint(offset, HintBytes);

    /// <summary>Loads the pages at these offsets in the background.</summary>
    public void Prefetch(ReadOnlySpan<uint> offsets, int lengthEach)
    {
        foreach (var offset in offsets)
        {
            mapping.Prefetch(offset, lengthEach);
        }
    }
}
