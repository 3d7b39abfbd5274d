// peers: the newest start that was seen of each other disk, by which an old copy of a disk shows. Neither truth nor rebuildable:
// whoever deletes it lets old copies pass until a newer start was seen again. It is therefore never worth stopping for: when it
// can't be read or written the log says so and the node goes on.
//
// Two slots of 16 KiB, written in turn and flushed, so that a crash leaves one whole; the one with the higher write number stands.
//
// | offset | size | meaning                                                                  |
// |      0 |    8 | magic "EVPEER\0\1"                                                       |
// |      8 |    4 | CRC32C of the slot with this field zero                                  |
// |     12 |    4 | format version: 1                                                        |
// |     16 |    8 | write number, rises with every write                                     |
// |     24 |   16 | vault id, UUID in network byte order                                     |
// |     40 |    4 | number of disks, at most 256                                             |
// |     44 |   20 | zero                                                                     |
// |     64 |      | for each disk, the one first seen longest ago first:                     |
// |        |      | incarnation (16), boot (16), start number (4), node (4)                  |
// |        |      | zero to the slot's end                                                   |
using System.Buffers.Binary;
using EventVault.Raft;
using EventVault.Storage;
using EventVault.Storage.Io;

namespace EventVault.Node.Peers;

/// <summary>Remembers starts of other disks, across restarts. Safe for concurrent use.</summary>
internal sealed class SeenStarts
{
    /// <summary>Its name in a data directory.</summary>
    public const string FileName = "peers";

    /// <summary>Disks that are remembered: four for each of the 64 members there can be. Beyond it who was first seen longest ago is forgotten.</summary>
    private const int MostDisks = 256;

    private const int SlotBytes = 16 * 1024;
    private const int HeaderBytes = 64;
    private const int DiskBytes = 40;
    private const uint FormatVersion = 1;

    private readonly IFileSystem? _files;
    private readonly string _directory;
    private readonly Guid _vault;
    private readonly ILogger _log;
    private readonly Lock _lock = new();
    private readonly List<Seen> _seen = [];
    private Task _saving = Task.CompletedTask;
    private bool _isChanged;
    private ulong _writes;

    /// <summary>Reads what an earlier process has seen.</summary>
    /// <param name="options">Has the data directory; a node without one, or without a vault, keeps nothing.</param>
    /// <param name="log">Told when the file is of no use.</param>
    public SeenStarts(PeerNetworkOptions options, ILogger log)
    {
        _log = log;
        _vault = options.Hello.VaultId;
        _directory = options.Directory ?? string.Empty;
        _files = options.Directory is not null && _vault != Guid.Empty ? options.Files : null;
        if (_files is not null)
        {
            try
            {
                Load(_files);
            }
            catch (DiskException e)
            {
                PeerLogMessages.StartsNotKept(_log, Path, e.Message);
            }
        }
    }

    private static ReadOnlySpan<byte> Magic => "EVPEER\0\u0001"u8;

    private string Path => System.IO.Path.Combine(_directory, FileName);

    /// <summary>Why a node's disk is an old one; null: it is not.</summary>
    public string? Refuses(PeerHello hello)
    {
        lock (_lock)
        {
            var at = _seen.FindIndex(s => s.Id == hello.Id);
            if (at < 0)
            {
                return null;
            }

            var seen = _seen[at];
            if (hello.StartNumber < seen.Start)
            {
                return $"the disk of {hello.Id} is an old copy: it was started {hello.StartNumber} times, and start {seen.Start} was seen before. Wipe its data directory, and replace the node";
            }

            return hello.StartNumber == seen.Start && hello.Boot != seen.Boot
                ? $"the disk of {hello.Id} was copied: its start {hello.StartNumber} was seen before, of another process. Wipe the copy's data directory"
                : null;
        }
    }

    /// <summary>Remembers a start that was not refused. The file follows: a disk that hangs must not keep nodes apart.</summary>
    public void Saw(PeerHello hello)
    {
        lock (_lock)
        {
            var next = new Seen(hello.Id, hello.Boot, hello.StartNumber);
            var at = _seen.FindIndex(s => s.Id == hello.Id);
            if (at >= 0 && _seen[at].Start >= next.Start)
            {
                return;
            }

            if (at >= 0)
            {
                _seen[at] = next;
            }
            else
            {
                if (_seen.Count == MostDisks)
                {
                    _seen.RemoveAt(0);
                }

                _seen.Add(next);
            }

            _isChanged = true;
            if (_files is not null && _saving.IsCompleted)
            {
                _saving = Task.Run(() => Save(_files));
            }
        }
    }

    /// <summary>Ends when what was seen so far is on the disk, or can't be.</summary>
    public Task SavedAsync()
    {
        lock (_lock)
        {
            return _saving;
        }
    }

    private void Load(IFileSystem files)
    {
        if (!files.FileExists(Path))
        {
            return;
        }

        using var file = files.OpenFile(Path, FileOpening.ReadExisting);
        var bytes = new byte[2 * SlotBytes];
        var length = file.ReadFromDisk(0, bytes);
        var isWhole = TakeSlot(bytes.AsSpan(0, SlotBytes)) | TakeSlot(bytes.AsSpan(SlotBytes));
        if (!isWhole && length > 0)
        {
            PeerLogMessages.StartsNotKept(_log, Path, "no part of it matches its checksum, or it is of another version or vault");
        }
    }

    // Whether it is a slot; takes what it holds if it is newer than what was taken before.
    private bool TakeSlot(Span<byte> slot)
    {
        var checksum = BinaryPrimitives.ReadUInt32LittleEndian(slot[8..]);
        slot.Slice(8, 4).Clear();
        var count = BinaryPrimitives.ReadUInt32LittleEndian(slot[40..]);
        if (!slot[..8].SequenceEqual(Magic) || checksum != Checksum.Compute(slot) || BinaryPrimitives.ReadUInt32LittleEndian(slot[12..]) != FormatVersion
            || new Guid(slot.Slice(24, 16), bigEndian: true) != _vault || count > MostDisks)
        {
            return false;
        }

        var number = BinaryPrimitives.ReadUInt64LittleEndian(slot[16..]);
        if (number > _writes)
        {
            _writes = number;
            _seen.Clear();
            for (var i = 0; i < (int)count; i++)
            {
                var disk = slot.Slice(HeaderBytes + (i * DiskBytes), DiskBytes);
                _seen.Add(new Seen(
                    new ReplicaId(BinaryPrimitives.ReadUInt32LittleEndian(disk[36..]), new Guid(disk[..16], bigEndian: true)),
                    new Guid(disk.Slice(16, 16), bigEndian: true), BinaryPrimitives.ReadUInt32LittleEndian(disk[32..])));
            }
        }

        return true;
    }

    // One at a time, until nothing changed meanwhile.
    private void Save(IFileSystem files)
    {
        try
        {
            while (TryEncode() is { } slot)
            {
                var isNew = !files.FileExists(Path);
                using (var file = files.OpenFile(Path, FileOpening.ExistingOrNew))
                {
                    file.Write((long)(_writes % 2) * SlotBytes, slot);
                    file.Flush();
                }

                if (isNew)
                {
                    files.FlushDirectory(_directory);
                }
            }
        }
        catch (DiskException e)
        {
            PeerLogMessages.StartsNotKept(_log, Path, e.Message);
        }
    }

    private byte[]? TryEncode()
    {
        lock (_lock)
        {
            if (!_isChanged)
            {
                _saving = Task.CompletedTask; // Under the lock: whoever changes something next starts anew.
                return null;
            }

            _isChanged = false;
            _writes++;
            Invariant.Check(_seen.Count <= MostDisks && HeaderBytes + (MostDisks * DiskBytes) <= SlotBytes);
            var bytes = new byte[SlotBytes];
            var slot = bytes.AsSpan();
            Magic.CopyTo(slot);
            BinaryPrimitives.WriteUInt32LittleEndian(slot[12..], FormatVersion);
            BinaryPrimitives.WriteUInt64LittleEndian(slot[16..], _writes);
            _vault.TryWriteBytes(slot[24..], bigEndian: true, out _);
            BinaryPrimitives.WriteInt32LittleEndian(slot[40..], _seen.Count);
            for (var i = 0; i < _seen.Count; i++)
            {
                var disk = slot.Slice(HeaderBytes + (i * DiskBytes), DiskBytes);
                _seen[i].Id.Incarnation.TryWriteBytes(disk, bigEndian: true, out _);
                _seen[i].Boot.TryWriteBytes(disk[16..], bigEndian: true, out _);
                BinaryPrimitives.WriteUInt32LittleEndian(disk[32..], _seen[i].Start);
                BinaryPrimitives.WriteUInt32LittleEndian(disk[36..], _seen[i].Id.Node);
            }

            BinaryPrimitives.WriteUInt32LittleEndian(slot[8..], Checksum.Compute(slot));
            return bytes;
        }
    }

    private readonly record struct Seen(ReplicaId Id, Guid Boot, uint Start);
}
