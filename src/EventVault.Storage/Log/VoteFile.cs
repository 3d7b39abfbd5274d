// vote: the node's term, and whom it voted for in it. Truth: a node that forgets a vote votes twice, and two leaders are
// elected in one term.
//
// Two equal copies, each alone in a 4,096-byte block. A write goes into the first, is flushed, goes into the second, is
// flushed, and only then returns. So one copy is whole at any time, and once Write has returned both hold what was
// promised: whichever of them a bad block or a flipped bit takes, the other one knows the newest vote. (A second copy found
// bad is written first, so that a crash in the write finds one whole.) Two slots in turn
// with one flush would not do: when the newest slot is bad, nothing tells a write that a crash tore (never promised) from
// a vote that was given and rotted, and the older slot would let the node vote again.
//
// A node writes a term here before it writes a group of that term: a log with a higher term shows that the file is an
// older copy.
//
// Which copies a crash may leave: first torn or newer, second as before; or first whole, second torn. The valid one with
// the higher write number stands; opening makes the other one equal again before anything is promised.
//
// | offset | size | meaning                                                                  |
// |      0 |    8 | magic "EVVOTE\0\1"                                                       |
// |      8 |    4 | CRC32C of the block with this field zero                                 |
// |     12 |    4 | format version: 1                                                        |
// |     16 |    8 | write number, rises with every write                                     |
// |     24 |    8 | required feature bits: 0                                                 |
// |     32 |    8 | Raft term                                                                |
// |     40 |    4 | id of the node voted for in this term; 0: none yet                       |
// |     44 |    4 | zero                                                                     |
// |     48 |   16 | incarnation of its disk, UUID in network byte order; zero: none yet      |
// |     64 |   16 | vault id                                                                 |
// |     80 |   16 | incarnation of this disk: another disk's votes are not ours              |
// |     96 |      | zero to the block's end                                                  |
using System.Buffers.Binary;
using EventVault.Storage.Io;

namespace EventVault.Storage.Log;

/// <summary>The node's term and vote, durable. One thread.</summary>
public sealed class VoteFile
{
    internal const string FileName = "vote";
    private const string PreparedSuffix = ".new";
    private const int FormatVersion = 1;

    /// <summary>All that 0.1 wrote is of this term, and no one ever voted in it: elections begin with the next one.</summary>
    private const ulong FirstTerm = 1;

    /// <summary>Write number of a file as it is made.</summary>
    private const ulong FirstNumber = 1;

    private const string NextStep =
        "Nothing was changed. Without its last vote this node could vote twice in a term. If the vault has other nodes: take "
        + "this node out of it, empty its data directory, and add it again. Otherwise put back the file vote as it was when the "
        + "node last ran.";

    private readonly IFileSystem _files;
    private readonly string _path;
    private readonly VaultMeta _meta;
    private Vote _vote;
    private bool _broken;

    private VoteFile(IFileSystem files, string directory, VaultMeta meta, Vote vote)
    {
        _files = files;
        _path = PathIn(directory);
        _meta = meta;
        _vote = vote;
    }

    private static ReadOnlySpan<byte> Magic => "EVVOTE\0\u0001"u8;

    /// <summary>The node's term.</summary>
    public Term Term => _vote.Term;

    /// <summary>Whether the node has written a term or a vote since the file was made: it never does before its log has a first segment.</summary>
    internal bool HasPromised => _vote.Number > FirstNumber;

    /// <summary>Id of the node it voted for in <see cref="Term"/>; 0: none yet.</summary>
    public uint VotedNode => _vote.Node;

    /// <summary>Incarnation of that node's disk; empty: none yet.</summary>
    public Guid VotedIncarnation => _vote.Incarnation;

    /// <summary>Where a data directory has it.</summary>
    internal static string PathIn(string directory) => Path.Combine(directory, FileName);

    /// <summary>
    /// Makes the file durable for a node that has promised nothing yet. What stands there under the name is what a crash
    /// left of an earlier try: until meta says that the file is there, nobody was promised anything.
    /// </summary>
    internal static VoteFile Create(IFileSystem files, string directory, VaultMeta meta)
    {
        Invariant.Check(!meta.HasVote, "A file that was promised to be there is never made anew.");
        var term = new Term(FirstTerm);
        files.DeleteFile(PathIn(directory));
        files.OpenFile(PathIn(directory), FileOpening.New).Dispose();
        var created = new VoteFile(files, directory, meta, new Vote(FirstNumber - 1, term, 0, Guid.Empty));
        created.Write(term, 0, Guid.Empty);
        files.FlushDirectory(directory);
        return created;
    }

    /// <summary>
    /// Makes a vote file durable for another incarnation of this disk, beside the one that stands: it takes its place once meta says
    /// who the disk is (<see cref="TakePrepared"/>).
    /// </summary>
    internal static void Prepare(IFileSystem files, string directory, VaultMeta meta, Term term)
    {
        var path = PathIn(directory) + PreparedSuffix;
        files.DeleteFile(path);
        using (var file = files.OpenFile(path, FileOpening.New))
        {
            var block = Encode(new Vote(FirstNumber, term, 0, Guid.Empty), meta);
            file.Write(0, block);
            file.Write(Blocks.Size, block);
            file.Flush();
        }

        files.FlushDirectory(directory);
    }

    /// <summary>Puts a prepared file in its place if it is of the disk that meta names; else it is of one that never came to be, and goes.</summary>
    internal static void TakePrepared(IFileSystem files, string directory, VaultMeta meta)
    {
        var path = PathIn(directory) + PreparedSuffix;
        if (!files.FileExists(path))
        {
            return;
        }

        if (IsOf(files, path, meta))
        {
            files.MoveFile(path, PathIn(directory));
        }
        else
        {
            files.DeleteFile(path);
        }

        files.FlushDirectory(directory);
    }

    /// <summary>Reads the vote that stands, and makes both copies equal again if a crash or a bad block left them apart.</summary>
    /// <exception cref="DamageException">What was promised can't be known.</exception>
    internal static VoteFile Open(IFileSystem files, string directory, VaultMeta meta)
    {
        if (!files.FileExists(PathIn(directory)))
        {
            throw new DamageException(FileName, 0, "the node's last vote should be here, the file is missing.", NextStep);
        }

        var vote = Read(files, directory, meta, out var unequal);
        var opened = new VoteFile(files, directory, meta, vote);

        // A process that failed or was killed within a write may have left what no flush has reached: what was read would be
        // gone after a loss of power, and the other copy must not be touched before this one is durable.
        using var file = files.OpenFile(PathIn(directory), FileOpening.Existing);
        file.Flush();
        if (unequal is { } copy)
        {
            // At once: the next write touches the first copy first, and would bet on the second.
            opened.WriteCopy(file, copy, vote);
        }

        return opened;
    }

    /// <summary>What is wrong with a stopped node's file, without changing it; null: nothing.</summary>
    /// <param name="files">Where it stands.</param>
    /// <param name="directory">The data directory.</param>
    /// <param name="meta">Whose it must be.</param>
    /// <param name="logTerm">Term of the log's last group.</param>
    /// <param name="hasLog">Whether the log has a segment.</param>
    internal static Damage? Verify(IFileSystem files, string directory, VaultMeta meta, Term logTerm, bool hasLog)
    {
        if (!files.FileExists(PathIn(directory)))
        {
            return new Damage(FileName, 0, "the node's last vote; the file is missing");
        }

        try
        {
            using var file = files.OpenFile(PathIn(directory), FileOpening.ReadExisting);
            var vote = Read(file, meta, out var copies);
            if (vote.Term < logTerm)
            {
                throw IsOlderThan(logTerm, vote.Term);
            }

            if (!hasLog && vote.Number > FirstNumber)
            {
                return new Damage(SegmentHeader.FileName(0), 0, "the log's first segment; the node has voted, which none does before it has one");
            }

            return copies.IndexOf(null) is >= 0 and var bad
                ? new Damage(FileName, bad * Blocks.Size, "a copy of the node's last vote that matches its checksum") { Remedy = LogVerifier.OtherCopy }
                : null;
        }
        catch (DamageException e)
        {
            return new Damage(FileName, e.Offset, e.Expected);
        }
    }

    /// <summary>The file is an older copy: the log has groups of a later term.</summary>
    internal static DamageException IsOlderThan(Term logTerm, Term term) => new(
        FileName, 0, $"a term of at least {logTerm} should be here, since the log has groups of it; the file says {term}, so it is an older copy.", NextStep);

    /// <summary>Makes a term and the vote in it durable. Only when this has returned may anyone be told.</summary>
    /// <param name="term">Never lower than <see cref="Term"/>.</param>
    /// <param name="node">Id of the node voted for; 0: none. Within a term a vote is given once and stays.</param>
    /// <param name="incarnation">Of its disk; empty for none.</param>
    /// <exception cref="DiskException">Whether it is durable is not known: the node must stop.</exception>
    public void Write(Term term, uint node, Guid incarnation)
    {
        Invariant.Check(!_broken, "No vote may be written after a failed write or flush.");
        Invariant.Check(term.Value >= Term.Value, "A node's term never goes back.");
        Invariant.Check(
            term.Value > Term.Value || VotedNode == 0 || (node == VotedNode && incarnation == VotedIncarnation),
            "A vote stays as it is for its term.");
        Invariant.Check((node == 0) == (incarnation == Guid.Empty));
        Invariant.Check(_vote.Number < ulong.MaxValue);
        var next = new Vote(_vote.Number + 1, term, node, incarnation);
        _broken = true; // Until both copies are durable.
        using (var file = _files.OpenFile(_path, FileOpening.Existing))
        {
            // A second copy that went bad since goes first: a crash within the write of the first one must find it whole.
            var begin = _vote.Number == 0 || StandsInSecond(file) ? 0 : 1;
            WriteCopy(file, begin, next);
            WriteCopy(file, 1 - begin, next);
        }

        _broken = false;
        _vote = next;
    }

    private static bool IsOf(IFileSystem files, string path, VaultMeta meta)
    {
        try
        {
            using var file = files.OpenFile(path, FileOpening.ReadExisting);
            return Read(file, meta, out var copies).Number > 0 && copies[0] == copies[1];
        }
        catch (DamageException)
        {
            return false;
        }
    }

    private static Vote Read(IFileSystem files, string directory, VaultMeta meta, out int? unequal)
    {
        using var file = files.OpenFile(PathIn(directory), FileOpening.ReadExisting);
        var vote = Read(file, meta, out var copies);
        unequal = copies.FindIndex(copy => copy != vote) is >= 0 and var copy ? copy : null;
        return vote;
    }

    private static Vote Read(IFile file, VaultMeta meta, out List<Vote?> copies)
    {
        var blocks = new byte[2 * Blocks.Size];
        var length = file.ReadFromDisk(0, blocks);
        copies = [
            length >= Blocks.Size ? Decode(blocks.AsSpan(0, Blocks.Size), meta, 0) : null,
            length >= 2 * Blocks.Size ? Decode(blocks.AsSpan(Blocks.Size), meta, Blocks.Size) : null,
        ];
        if ((copies[0] ?? copies[1]) is not { } vote)
        {
            throw new DamageException(FileName, 0, "neither copy of the node's last vote matches its checksum.", NextStep);
        }

        if (copies[0] is { } first && copies[1] is { } second && first != second)
        {
            var (older, newer) = first.Number < second.Number ? (first, second) : (second, first);
            if (older.Number == newer.Number || older.Term.Value > newer.Term.Value
                || (older.Term == newer.Term && older.Node != 0 && (older.Node, older.Incarnation) != (newer.Node, newer.Incarnation)))
            {
                throw new DamageException(FileName, Blocks.Size, $"two copies of one vote should be here, they contradict each other: {first} and {second}.", NextStep);
            }

            vote = newer;
        }

        return vote;
    }

    private bool StandsInSecond(IFile file)
    {
        var block = new byte[Blocks.Size];
        return file.ReadFromDisk(Blocks.Size, block) == Blocks.Size && Decode(block, _meta, Blocks.Size) == _vote;
    }

    private void WriteCopy(IFile file, int copy, in Vote vote)
    {
        file.Write(copy * Blocks.Size, Encode(vote, _meta));
        file.Flush();
    }

    private static byte[] Encode(in Vote vote, VaultMeta meta)
    {
        var block = new byte[Blocks.Size];
        var span = block.AsSpan();
        Magic.CopyTo(block);
        BinaryPrimitives.WriteUInt32LittleEndian(span[12..], FormatVersion);
        BinaryPrimitives.WriteUInt64LittleEndian(span[16..], vote.Number);
        BinaryPrimitives.WriteUInt64LittleEndian(span[32..], vote.Term.Value);
        BinaryPrimitives.WriteUInt32LittleEndian(span[40..], vote.Node);
        vote.Incarnation.TryWriteBytes(span[48..], bigEndian: true, out _);
        meta.VaultId.TryWriteBytes(span[64..], bigEndian: true, out _);
        meta.Incarnation.TryWriteBytes(span[80..], bigEndian: true, out _);
        BinaryPrimitives.WriteUInt32LittleEndian(span[8..], Checksum.Compute(block));
        return block;
    }

    // Null: not what was written here.
    private static Vote? Decode(ReadOnlySpan<byte> block, VaultMeta meta, long offset)
    {
        if (!block[..8].SequenceEqual(Magic))
        {
            return null;
        }

        var copy = block.ToArray();
        copy.AsSpan(8, 4).Clear();
        if (BinaryPrimitives.ReadUInt32LittleEndian(block[8..]) != Checksum.Compute(copy))
        {
            return null;
        }

        var version = BinaryPrimitives.ReadUInt32LittleEndian(block[12..]);
        var required = BinaryPrimitives.ReadUInt64LittleEndian(block[24..]);
        if (version != FormatVersion || required != 0)
        {
            throw new UnsupportedFormatException(FileName, $"format version {version} with required features 0x{required:x}");
        }

        var vault = new Guid(block.Slice(64, 16), bigEndian: true);
        var disk = new Guid(block.Slice(80, 16), bigEndian: true);
        if (vault != meta.VaultId || disk != meta.Incarnation)
        {
            throw new DamageException(FileName, offset, $"a vote of disk {meta.Incarnation} of vault {meta.VaultId} should be here, this is one of disk {disk} of vault {vault}.", NextStep);
        }

        return new Vote(
            BinaryPrimitives.ReadUInt64LittleEndian(block[16..]),
            new Term(BinaryPrimitives.ReadUInt64LittleEndian(block[32..])),
            BinaryPrimitives.ReadUInt32LittleEndian(block[40..]),
            new Guid(block.Slice(48, 16), bigEndian: true));
    }

    private readonly record struct Vote(ulong Number, Term Term, uint Node, Guid Incarnation)
    {
        public override string ToString() => $"write {Number}, term {Term}, " + (Node == 0 ? "no vote" : $"vote for node {Node}/{Incarnation}");
    }
}
