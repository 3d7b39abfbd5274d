// peers: the newest start that was seen of each other disk, and how far that disk was (DiskMark), by which an old copy of a disk shows; and
// which disks are barred as old copies, the own one perhaps among them. Neither truth nor rebuildable: whoever deletes it lets old copies
// pass until more was seen again. It is therefore never worth stopping for: when it can't be read or written the log says so and the
// node goes on.
//
// Two slots of 20 KiB, written in turn and flushed, so that a crash leaves one whole; the one with the higher write number stands.
//
// | offset | size | meaning                                                                  |
// |      0 |    8 | magic "EVPEER\0\1"                                                       |
// |      8 |    4 | CRC32C of the slot with this field zero                                  |
// |     12 |    4 | format version: 2                                                        |
// |     16 |    8 | write number, rises with every write                                     |
// |     24 |   16 | vault id, UUID in network byte order                                     |
// |     40 |    4 | number of disks, at most 256                                             |
// |     44 |   20 | zero                                                                     |
// |     64 |      | for each disk, the one first seen longest ago first:                     |
// |        |      | incarnation (16), boot (16), start number (4), node (4), term (8),       |
// |        |      | held (8), committed (8), barred: 1 or 0 (4), zero (4)                    |
// |        |      | zero to the slot's end                                                   |
using System.Buffers.Binary;
using EventVault.Node.Replication;
using EventVault.Raft;
using EventVault.Storage;
using EventVault.Storage.Io;

namespace EventVault.Node.Peers;

/// <summary>Remembers what other disks have shown, across restarts. Safe for concurrent use.</summary>
internal sealed class SeenDisks
{
    /// <summary>Its name in a data directory.</summary>
    public const string FileName = "peers";

    /// <summary>Disks that are remembered: four for each of the 64 members there can be. Beyond it who was first seen longest ago is forgotten.</summary>
    private const int MostDisks = 256;

    /// <summary>Room for all of them.</summary>
    public const int SlotBytes = 20 * 1024;
    private const int HeaderBytes = 64;
    private const int DiskBytes = 72;
    private const uint FormatVersion = 2;

    /// <summary>
    /// How old the marks in the file may be. They are behind by as much only for a node that dies: then an old copy passes here if it is
    /// missing nothing but what was new in these seconds.
    /// </summary>
    private static readonly TimeSpan SaveEvery = TimeSpan.FromSeconds(5);

    private readonly IFileSystem? _files;
    private readonly string _directory;
    private readonly Guid _vault;
    private readonly ILogger _log;
    private readonly Lock _lock = new();
    private readonly List<Seen> _seen = [];
    private Task _saving = Task.CompletedTask;
    private bool _isChanged;
    private bool _isDue;
    private long _savedAt = Environment.TickCount64;
    private ulong _writes;

    /// <summary>Reads what an earlier process has seen.</summary>
    /// <param name="options">Has the data directory; a node without one, or without a vault, keeps nothing.</param>
    /// <param name="log">Told when the file is of no use.</param>
    public SeenDisks(PeerNetworkOptions options, ILogger log)
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

    /// <summary>Why a node is not believed, by the disk it shows; null: it is.</summary>
    public PeerRefusal? Refuses(PeerHello hello)
    {
        lock (_lock)
        {
            // What a process is doing is compared once, with what was seen before it opened the disk.
            if (Find(hello.Id) is not (>= 0 and var at) || _seen[at].Boot == hello.Boot)
            {
                return null;
            }

            var seen = _seen[at];
            if (seen.Mark.WhyOlder(hello.OpenedTerm, hello.OpenedLast) is { } why)
            {
                return new PeerRefusal($"the disk of {hello.Id} is an old copy of itself, and has lost what it promised: {why}. Wipe its data directory, and replace the node", IsOldDisk: true);
            }

            if (seen.IsBarred)
            {
                return new PeerRefusal($"the disk of {hello.Id} was an old copy of itself when it was seen before. Wipe its data directory, and replace the node", IsOldDisk: true);
            }

            if (hello.StartNumber < seen.Start)
            {
                return new PeerRefusal($"the disk of {hello.Id} is an old copy: it was started {hello.StartNumber} times, and start {seen.Start} was seen before. Wipe its data directory, and replace the node");
            }

            return hello.StartNumber == seen.Start
                ? new PeerRefusal($"the disk of {hello.Id} was copied: its start {hello.StartNumber} was seen before, of another process. Wipe the copy's data directory")
                : null;
        }
    }

    /// <summary>Whether a disk is refused for good.</summary>
    public bool IsBarred(ReplicaId id)
    {
        lock (_lock)
        {
            return Find(id) is >= 0 and var at && _seen[at].IsBarred;
        }
    }

    /// <summary>Remembers a start that was not refused. The file follows: a disk that hangs must not keep nodes apart.</summary>
    public void Saw(PeerHello hello)
    {
        lock (_lock)
        {
            var at = Find(hello.Id);
            var old = at >= 0 ? _seen[at] : default;
            if (at >= 0 && old.Boot == hello.Boot && !old.IsBarred)
            {
                return;
            }

            // One that is barred comes this far only if the disk that was in service before its copy has shown up again: it is not the old one.
            Put(at, new Seen(hello.Id, hello.Boot, Math.Max(old.Start, hello.StartNumber), old.Mark.With(new DiskMark(hello.OpenedTerm, 0, 0)), IsBarred: false));
            SaveNow();
        }
    }

    /// <summary>A disk that was not refused has shown how far it is.</summary>
    public void Saw(ReplicaId id, in DiskMark mark)
    {
        lock (_lock)
        {
            if (Find(id) is >= 0 and var at && _seen[at].Mark.With(mark) is var next && next != _seen[at].Mark)
            {
                _seen[at] = _seen[at] with { Mark = next };
                _isChanged = true; // The file follows later: it may change with every group.
            }
        }
    }

    /// <summary>Refuses a disk for good, whatever it shows.</summary>
    public void Bar(ReplicaId id)
    {
        lock (_lock)
        {
            var at = Find(id);
            var old = at >= 0 ? _seen[at] : new Seen(id, Guid.Empty, 0, default, IsBarred: false);
            if (!old.IsBarred)
            {
                Put(at, old with { IsBarred = true });
                SaveNow();
            }
        }
    }

    /// <summary>Writes marks that have changed, if the file is old enough. Called often.</summary>
    public void SaveMarks()
    {
        lock (_lock)
        {
            if (_isChanged && Environment.TickCount64 - _savedAt >= SaveEvery.TotalMilliseconds)
            {
                SaveNow();
            }
        }
    }

    /// <summary>Ends when all that was seen so far is on the disk, or can't be.</summary>
    public Task SaveAsync()
    {
        lock (_lock)
        {
            if (_isChanged)
            {
                SaveNow();
            }

            return _saving;
        }
    }

    private int Find(ReplicaId id) => _seen.FindIndex(s => s.Id == id);

    private void Put(int at, in Seen seen)
    {
        if (at >= 0)
        {
            _seen[at] = seen;
            return;
        }

        if (_seen.Count == MostDisks)
        {
            _seen.RemoveAt(0);
        }

        _seen.Add(seen);
    }

    // Under the lock.
    private void SaveNow()
    {
        (_isChanged, _isDue) = (true, true);
        if (_files is not null && _saving.IsCompleted)
        {
            _saving = Task.Run(() => Save(_files));
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
                    new Guid(disk.Slice(16, 16), bigEndian: true), BinaryPrimitives.ReadUInt32LittleEndian(disk[32..]),
                    new DiskMark(
                        BinaryPrimitives.ReadUInt64LittleEndian(disk[40..]), BinaryPrimitives.ReadUInt64LittleEndian(disk[48..]), BinaryPrimitives.ReadUInt64LittleEndian(disk[56..])),
                    BinaryPrimitives.ReadUInt32LittleEndian(disk[64..]) != 0));
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
            if (!_isDue)
            {
                _saving = Task.CompletedTask; // Under the lock: whoever changes something next starts anew.
                return null;
            }

            (_isChanged, _isDue, _savedAt) = (false, false, Environment.TickCount64);
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
                BinaryPrimitives.WriteUInt64LittleEndian(disk[40..], _seen[i].Mark.Term);
                BinaryPrimitives.WriteUInt64LittleEndian(disk[48..], _seen[i].Mark.Held);
                BinaryPrimitives.WriteUInt64LittleEndian(disk[56..], _seen[i].Mark.Committed);
                BinaryPrimitives.WriteUInt32LittleEndian(disk[64..], _seen[i].IsBarred ? 1u : 0u);
            }

            BinaryPrimitives.WriteUInt32LittleEndian(slot[8..], Checksum.Compute(slot));
            return bytes;
        }
    }

    private readonly record struct Seen(ReplicaId Id, Guid Boot, uint Start, DiskMark Mark, bool IsBarred);
}
