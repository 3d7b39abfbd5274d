using EventVault.Storage.Index;
using EventVault.Storage.Io;
using EventVault.Storage.Log;
using EventVault.Storage.Tests.Simulated;

namespace EventVault.Storage.Tests.Log;

/// <summary>
/// The index of the unsealed segment that a stop in order saves: it is taken if it is whole and belongs to this stop, and then it is what a walk
/// builds; otherwise the segment is walked. ModelTests compare the two at every stop of their random runs.
/// </summary>
public sealed class SavedIndexTests
{
    private const string Saved = SmallVault.Directory + "/index/" + ActiveIndexFile.FileName;
    private const string Note = SmallVault.Directory + "/index/" + CleanStop.FileName;

    [Fact]
    public void What_is_written_and_sealed_behind_either_start_is_the_same()
    {
        for (var seed = 1; seed <= 20; seed++)
        {
            // Two vaults that do the same; one of them loses its saved index at each stop.
            var (loaded, walked) = (new SmallVault(seed: seed), new SmallVault(seed: seed));
            for (var round = 0; round < 4; round++)
            {
                foreach (var vault in (SmallVault[])[loaded, walked])
                {
                    Write(vault, new Random((1000 * seed) + round), term: (ulong)round + 1);
                    vault.Stop();
                    if (vault == walked)
                    {
                        vault.Files.DeleteFile(Saved);
                    }

                    vault.Reopen();
                }

                Assert.True(loaded.Storage.HadSavedIndex && !walked.Storage.HadSavedIndex && walked.Storage.StoppedInOrder);
                loaded.Model.Check(loaded.Storage, new Random(seed));
            }

            Assert.True(loaded.Storage.SegmentCounts.Sealed > 1);
            Assert.Equal(Files(walked.Files), Files(loaded.Files));
        }
    }

    [Fact]
    public void A_file_with_a_flipped_bit_or_cut_short_or_longer_is_none()
    {
        var vault = Stopped();
        var saved = Read(vault.Files, Saved);
        for (var offset = 0; offset < saved.Length; offset += offset < 256 ? 1 : 1009)
        {
            var files = vault.Copy();
            files.FlipBit(Saved, offset, offset % 8);
            CheckWalked(vault, files);
        }

        for (var length = 0; length < saved.Length; length += length < 256 ? 4 : 9001)
        {
            var files = vault.Copy();
            Write(files, Saved, saved[..length]);
            CheckWalked(vault, files);
        }

        var longer = vault.Copy();
        Write(longer, Saved, [.. saved, 0]);
        CheckWalked(vault, longer);
        using var storage = SmallVault.Open(vault.Copy());
        Assert.True(storage.HadSavedIndex);
    }

    [Fact]
    public void A_file_of_an_earlier_stop_or_of_another_vault_or_without_the_note_is_none()
    {
        var vault = Stopped();
        var saved = Read(vault.Files, Saved);
        vault.Reopen();
        Assert.False(vault.Files.FileExists(Saved));
        vault.Stop(); // Nothing was written, and yet it is another run.
        var stale = vault.Copy();
        Write(stale, Saved, saved);
        CheckWalked(vault, stale);

        var other = Stopped(seed: 2);
        var mixed = vault.Copy();
        Write(mixed, Saved, Read(other.Files, Saved));
        CheckWalked(vault, mixed);

        var alone = vault.Copy();
        alone.DeleteFile(Note);
        CheckWalked(vault, alone);
    }

    // As a start number that comes again with an older copy of meta would have it: then only the log itself can tell.
    [Fact]
    public void A_log_that_ends_elsewhere_is_walked()
    {
        var vault = Stopped();
        string[] kept = [Saved, Note, SmallVault.Directory + "/meta"];
        var before = kept.Select(path => Read(vault.Files, path)).ToArray();
        vault.Reopen();
        vault.Lead(4);
        vault.Append("s-1");
        vault.Stop();
        for (var i = 0; i < kept.Length; i++)
        {
            Write(vault.Files, kept[i], before[i]);
        }

        CheckWalked(vault, vault.Files);
    }

    [Fact]
    public void A_file_that_cant_be_read_is_none()
    {
        var vault = Stopped();
        vault.Files.OnOpening = path =>
        {
            if (path == Saved)
            {
                throw new DiskException("open", path, 5, "Input/output error");
            }
        };
        CheckWalked(vault, vault.Files);
    }

    [Fact]
    public void A_full_disk_at_the_stop_costs_only_the_saved_index()
    {
        var vault = SmallVault.WithSealedSegments();
        vault.Append("s-1");
        vault.Storage.Log.WriteMark();
        vault.Files.OnOperation = operation =>
        {
            if (operation.Path.StartsWith(Saved, StringComparison.Ordinal) && operation.Kind == DiskOperationKind.Write)
            {
                throw SimulatedFileSystem.Failure("pwrite", operation.Path, SimulatedFileSystem.NoSpace);
            }
        };
        vault.Stop();
        vault.Files.OnOperation = null;
        Assert.False(vault.Files.FileExists(Saved));
        vault.Reopen();
        Assert.True(vault.Storage.StoppedInOrder && !vault.Storage.HadSavedIndex);
        Assert.DoesNotContain(vault.Files.ListFiles(SmallVault.Directory + "/index"), name => name.StartsWith(ActiveIndexFile.FileName, StringComparison.Ordinal));
        vault.Model.Check(vault.Storage, new Random(1));
    }

    [Fact]
    public void Nothing_is_saved_while_a_segment_waits_for_its_sealing_or_a_group_for_its_commit()
    {
        var vault = new SmallVault();
        for (var i = 0; vault.Storage.SegmentCounts.Unsealed < 2; i++)
        {
            vault.Append($"a-{i % 3}", 3_000);
            if (vault.Storage.SegmentCounts.Sealed == 0)
            {
                vault.Storage.Spares.Step();
            }
        }

        vault.Stop();
        Assert.False(vault.Files.FileExists(Saved));
        vault.Reopen();
        Assert.True(vault.Storage.StoppedInOrder);
        vault.StepAll();
        vault.Lead(2);
        vault.Write(vault.Event("a-1", 20));
        vault.Storage.Log.Flush();
        vault.Storage.Stop();
        Assert.True(vault.Files.FileExists(Note));
        Assert.False(vault.Files.FileExists(Saved));
    }

    // What a walk would have refused is found by who reads it, at the latest when the segment is sealed; what the start itself reads, at once.
    [Fact]
    public void Damage_in_front_of_the_end_is_found_by_reads_by_the_seal_and_by_verify()
    {
        var vault = Stopped();
        var segment = (uint)vault.Storage.SegmentCounts.Sealed;
        var path = $"{SmallVault.Directory}/log/{SegmentHeader.FileName(segment)}";
        var end = Read(vault.Files, path).AsSpan(0, (int)vault.Storage.SegmentSizeBytes - Blocks.Size).LastIndexOfAnyExcept((byte)0) + 1 - CommitMark.Length;
        var (served, refused) = (0, 0);
        for (var offset = Blocks.Size; offset < end; offset += 101)
        {
            var files = vault.Copy();
            files.FlipBit(path, offset, offset % 8);
            Assert.NotEmpty(LogVerifier.Verify(files, SmallVault.Directory).Damage);
            try
            {
                using var storage = SmallVault.Open(files);
                Assert.True(storage.HadSavedIndex);
                served++;
                Assert.Throws<DamageException>(() => SealUnsealed(storage));
            }
            catch (DamageException)
            {
                refused++;
            }

            // A kill behind that start: the next one walks.
            files.ReleaseLocks();
            Assert.Throws<DamageException>(() => SmallVault.Open(files));
        }

        Assert.True(served > 30 && refused > 5, $"{served} served, {refused} refused");
    }

    // All groups as they are read back when a segment is sealed.
    private static void SealUnsealed(VaultStorage storage)
    {
        var unsealed = storage.View.Unsealed[0];
        var offset = (uint)Blocks.Size;
        GroupHeader header;
        do
        {
            unsealed.Reader.ReadGroup(offset, out header);
            offset += (uint)header.TotalLength;
        }
        while (header.Index != storage.CommitIndex);
    }

    private static void CheckWalked(SmallVault vault, SimulatedFileSystem files)
    {
        using var storage = SmallVault.Open(files);
        Assert.False(storage.HadSavedIndex);
        Assert.False(files.FileExists(Saved));
        vault.Model.CheckAll(storage.Reader);
    }

    // A vault with sealed segments and several terms, with all kinds of events in its unsealed segment, stopped in order.
    private static SmallVault Stopped(int seed = 1)
    {
        var vault = new SmallVault(seed: seed);
        Write(vault, new Random(seed), term: 2);
        vault.Lead(3);
        vault.WriteSystem(GroupKind.Membership, [1, 2, 3]);
        vault.Append("b-1");
        vault.Write(vault.Change(StreamChangeKind.Truncate, "b-1", 1));
        vault.Write(vault.Retain(RetentionScope.Category, "b", new RetentionRule { LegalHold = true }));
        vault.Flush();
        vault.Stop();
        Assert.True(vault.Files.FileExists(Saved));
        return vault;
    }

    private static void Write(SmallVault vault, Random random, ulong term)
    {
        vault.Lead(term);
        vault.Append("b-1");
        for (var i = random.Next(10, 60); i > 0; i--)
        {
            vault.Write(vault.Event($"{(char)('a' + random.Next(3))}-{random.Next(12)}", random.Next(4_000)));
            if (random.Next(3) == 0)
            {
                vault.Flush();
                var stream = vault.Model.Versions.Keys.Where(name => name[0] != '$' && vault.Model.HasEvents(name)).Order(StringComparer.Ordinal).First();
                vault.Write(random.Next(3) switch
                {
                    0 => vault.Change(StreamChangeKind.Delete, stream),
                    1 => vault.Change(StreamChangeKind.Truncate, stream, vault.Model.Versions[stream]),
                    _ => vault.Retain(RetentionScope.Stream, stream, new RetentionRule { MaxEvents = random.Next(1, 9) }),
                });
            }
        }

        vault.Flush();
        vault.StepAll();
    }

    private static SortedDictionary<string, string> Files(SimulatedFileSystem files)
    {
        var all = new SortedDictionary<string, string>(StringComparer.Ordinal);
        foreach (var folder in (string[])["log", "index"])
        {
            foreach (var name in files.ListFiles($"{SmallVault.Directory}/{folder}"))
            {
                all[name] = Convert.ToHexString(Read(files, $"{SmallVault.Directory}/{folder}/{name}"));
            }
        }

        return all;
    }

    private static byte[] Read(SimulatedFileSystem files, string path)
    {
        using var file = files.OpenFile(path, FileOpening.ReadExisting);
        var bytes = new byte[file.Length];
        Assert.Equal(bytes.Length, file.Read(0, bytes));
        return bytes;
    }

    private static void Write(SimulatedFileSystem files, string path, byte[] bytes)
    {
        files.DeleteFile(path);
        using var file = files.OpenFile(path, FileOpening.New);
        file.Write(0, bytes);
        file.Flush();
        files.FlushDirectory(Path.GetDirectoryName(path)!);
    }
}
