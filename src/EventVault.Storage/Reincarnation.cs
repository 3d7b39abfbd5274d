// A disk whose unsealed end is damaged may have lost groups that it acknowledged. In a vault with other voters it need not be given up: it becomes
// another incarnation, which nobody counts and which votes for nobody until the others take it in; keeps the groups before the damage;
// and moves what is damaged, and what is behind it, to the folder damaged/.
//
// First of all, before a byte of the log changes, the disk is another one: a crash behind that leaves a log that is cut, or still
// damaged, on a disk that nobody rests on. The other way round it could vote and count as one that holds what it has lost.
//
// Whether it may is for whoever opens it to say (StorageOptions.Reincarnate): two disks of three that did it at once would leave no majority, for ever.
using EventVault.Storage.Io;
using EventVault.Storage.Log;
using EventVault.Storage.Scavenging;

namespace EventVault.Storage;

/// <summary>A disk whose unsealed end is damaged, and that nothing was done about yet.</summary>
/// <param name="VaultId">Its vault.</param>
/// <param name="NodeId">Its node's number.</param>
/// <param name="Incarnation">Of the disk.</param>
/// <param name="Memberships">
/// The newest membership before the damage, empty if there is none, and all that can be read behind it: the vault may have shrunk to this disk
/// there.
/// </param>
/// <param name="Damage">What was found.</param>
public sealed record DamagedEnd(Guid VaultId, uint NodeId, Guid Incarnation, IReadOnlyList<ReadOnlyMemory<byte>> Memberships, string Damage);

/// <summary>A disk began anew as another incarnation.</summary>
/// <param name="Before">The incarnation that it was.</param>
/// <param name="Damage">What was found.</param>
/// <param name="Aside">The folder with the files as they were.</param>
public sealed record Reincarnation(Guid Before, string Damage, string Aside)
{
    internal const string Folder = "damaged";

    /// <summary>Begins anew if whoever opens the disk allows that, and it is the log's unsealed end that is damaged.</summary>
    /// <returns>Null: nothing was changed.</returns>
    internal static Reincarnation? TryBegin(IFileSystem files, string directory, VaultMeta meta, VoteFile vote, DamageException damage, StorageOptions options)
    {
        var work = new Work(files, directory, meta);
        if (work.FindDamaged(damage) is not { } segment
            || !options.Reincarnate!(new DamagedEnd(meta.VaultId, meta.NodeId, meta.Incarnation, work.Memberships(segment), damage.Message)))
        {
            return null;
        }

        options.Watch?.Begin("puts what is damaged aside");

        work.CopyAside(segment);
        var next = meta.Reincarnate(options.Random);
        VoteFile.Prepare(files, directory, next, vote.Term);
        next.Save(files, directory); // From here on the disk is another one.
        VoteFile.TakePrepared(files, directory, next);
        work.Cut(segment);
        return new Reincarnation(meta.Incarnation, damage.Message, Path.Combine(directory, Folder));
    }

    private sealed class Work(IFileSystem files, string directory, VaultMeta meta)
    {
        private const int PieceBytes = 1024 * 1024;
        private readonly string _log = Path.Combine(directory, VaultStorage.LogFolder);
        private readonly string _aside = Path.Combine(directory, Folder);
        private readonly string _index = Path.Combine(directory, VaultStorage.IndexFolder);

        /// <summary>The unsealed segment that the damage is in; null: it is elsewhere, or sealed, and others must mend it.</summary>
        public uint? FindDamaged(DamageException damage)
        {
            for (uint segment = 0; Exists(segment); segment++)
            {
                if (SegmentHeader.FileName(segment) == damage.File)
                {
                    return Footer(segment) is null ? segment : null;
                }
            }

            return null;
        }

        /// <summary>
        /// The newest membership before the damage, empty if there is none, and all that can be read behind it: the vault may have shrunk to this disk
        /// there.
        /// </summary>
        public List<ReadOnlyMemory<byte>> Memberships(uint damaged)
        {
            var found = new List<ReadOnlyMemory<byte>>();
            for (var segment = (long)damaged; segment >= 0 && found.Count == 0; segment--)
            {
                if (MembershipIn((uint)segment) is { } membership)
                {
                    found.Add(membership);
                }
            }

            if (found.Count == 0)
            {
                found.Add(default);
            }

            for (var segment = damaged; Exists(segment); segment++)
            {
                AddBehind(segment, segment > damaged, found);
            }

            return found;
        }

        /// <summary>Copies the damaged segment as it is, and who the disk was. What is behind the segment is moved later.</summary>
        public void CopyAside(uint segment)
        {
            files.CreateDirectory(_aside);
            files.FlushDirectory(directory);
            Copy(LogPath(segment), AsidePath(segment));
            foreach (var name in (string[])[VaultMeta.FileName, VoteFile.FileName])
            {
                Copy(Path.Combine(directory, name), Path.Combine(_aside, $"{meta.Incarnation}-{name}"));
            }

            files.FlushDirectory(_aside);
        }

        private void Copy(string source, string path)
        {
            files.DeleteFile(path);
            using var from = files.OpenFile(source, FileOpening.ReadExisting);
            using (var to = files.OpenFile(path, FileOpening.New))
            {
                var piece = new byte[PieceBytes];
                for (var at = 0L; at < from.Length; at += PieceBytes)
                {
                    var bytes = piece.AsSpan(0, (int)Math.Min(PieceBytes, from.Length - at));
                    from.Read(at, bytes);
                    to.Write(at, bytes);
                }

                to.Flush();
            }
        }

        /// <summary>Ends the log before the damage. Whatever a crash leaves, the next start can go on from it.</summary>
        public void Cut(uint damaged)
        {
            var last = damaged;
            while (Exists(last + 1))
            {
                last++;
            }

            var end = EndOf(damaged);

            // Without a group a segment is as if it were not there; and the one before is the last one then, which a sealed one can't be.
            var keeps = end > Blocks.Size ? damaged : damaged - 1L;
            if (keeps >= 0 && keeps < damaged && Footer((uint)keeps) is not null && !Unseal((uint)keeps))
            {
                keeps = -1; // It was scavenged: all of the log comes from others.
            }

            for (var segment = (long)last; segment > keeps; segment--)
            {
                files.MoveFile(LogPath((uint)segment), AsidePath((uint)segment));
                files.FlushDirectory(_aside);
                files.FlushDirectory(_log);
            }

            if (keeps == damaged)
            {
                using var file = Open(damaged, FileOpening.Existing);
                SegmentedLog.ZeroBehind(file, end, meta.SegmentSizeBytes);
                file.Flush();
            }

            files.DeleteFile(CleanStop.PathIn(directory));
            if (keeps < 0)
            {
                DropIndexes();
            }
        }

        // Takes a footer back, so that the segment is the last one of a log; false: it was scavenged, and can't be.
        private bool Unseal(uint segment)
        {
            using var file = Open(segment, FileOpening.Existing);
            if (file.Length != meta.SegmentSizeBytes)
            {
                return false;
            }

            DropIndexes(); // First: the catalog calls it sealed.
            file.Write(meta.SegmentSizeBytes - Blocks.Size, new byte[Blocks.Size]);
            file.Flush();
            return true;
        }

        private void DropIndexes()
        {
            foreach (var name in files.ListFiles(_index))
            {
                files.DeleteFile(Path.Combine(_index, name));
            }

            files.FlushDirectory(_index);
        }

        // Behind the last intact group; 0: not even the header is intact.
        private uint EndOf(uint segment)
        {
            try
            {
                using var file = Open(segment, FileOpening.ReadExisting);
                using var scanner = SegmentScanner.Open(file, segment, meta);
                while (scanner.Next(out _, out _, out _))
                {
                }

                return scanner.Offset;
            }
            catch (DamageException)
            {
                return 0;
            }
        }

        // All that a segment has, across whatever is damaged in it; or only what is behind the first damage.
        private void AddBehind(uint segment, bool isBehind, List<ReadOnlyMemory<byte>> found)
        {
            try
            {
                using var file = Open(segment, FileOpening.ReadExisting);
                using var scanner = SegmentScanner.Open(file, segment, meta);
                do
                {
                    while (scanner.Next(out var header, out _, out var body))
                    {
                        if (isBehind && header.IsSystem && SystemRecord.TryDecode(body, meta.ChecksumSeed, out var kind, out var content) && kind == GroupKind.Membership)
                        {
                            found.Add(content.ToArray());
                        }
                    }

                    isBehind = true;
                }
                while (scanner.Resume());
            }
            catch (DamageException)
            {
                // Its header is damaged, so nobody can tell what it is.
            }
        }

        private byte[]? MembershipIn(uint segment)
        {
            try
            {
                using var file = Open(segment, FileOpening.ReadExisting);
                using var scanner = SegmentScanner.Open(file, segment, meta);
                if (scanner.Header.Scavenged is { } scavenged)
                {
                    var reader = new SegmentReader(segment, file.Map(file.Length, MappedAccess.Random), meta.ChecksumSeed);
                    var (index, content) = new ScavengedSegment(reader, scavenged, scanner.Header.FirstPosition, meta).ReadConsensus([]);
                    var found = index.Value > 0 ? content.ToArray() : null;
                    reader.Close();
                    return found;
                }

                byte[]? newest = null;
                while (scanner.Next(out var header, out _, out var body))
                {
                    if (header.IsSystem && SystemRecord.TryDecode(body, meta.ChecksumSeed, out var kind, out var content) && kind == GroupKind.Membership)
                    {
                        newest = content.ToArray();
                    }
                }

                return newest;
            }
            catch (DamageException)
            {
                return null;
            }
        }

        private SegmentFooter? Footer(uint segment)
        {
            using var file = Open(segment, FileOpening.ReadExisting);
            var block = new byte[Blocks.Size];
            return file.Length >= 2 * Blocks.Size && file.ReadFromDisk(file.Length - Blocks.Size, block) == block.Length
                && SegmentFooter.Decode(block, meta.ChecksumSeed) is { } footer && footer.Segment == segment ? footer : null;
        }

        private IFile Open(uint segment, FileOpening opening) => files.OpenFile(LogPath(segment), opening);

        private bool Exists(uint segment) => files.FileExists(LogPath(segment));

        private string LogPath(uint segment) => Path.Combine(_log, SegmentHeader.FileName(segment));

        // By the incarnation that it was: another time is another name.
        private string AsidePath(uint segment) => Path.Combine(_aside, $"{meta.Incarnation}-{SegmentHeader.FileName(segment)}");
    }
}
