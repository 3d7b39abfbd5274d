using EventVault.Storage.Index;
using EventVault.Storage.Io;
using EventVault.Storage.Log;
using EventVault.Storage.Tests.Simulated;

namespace EventVault.Storage.Tests.Log;

/// <summary>A stop in order is believed by the very next start, if the log ends as it says; by nobody else, whatever happens to the note.</summary>
public sealed class CleanStopTests
{
    private const string Note = SmallVault.Directory + "/index/" + CleanStop.FileName;

    [Fact]
    public void The_next_start_looks_for_nothing_behind_the_end_and_comes_to_the_same()
    {
        var vault = Stopped();
        var byWalk = vault.Copy();
        byWalk.DeleteFile(Note);
        using (var walked = SmallVault.Open(byWalk))
        {
            Assert.False(walked.StoppedInOrder);
            Assert.True(walked.CutBytes > 0); // The stray bit.
            vault.Model.Check(walked, new Random(1));
            vault.Reopen();
            Assert.True(vault.Storage.StoppedInOrder);
            Assert.Equal(0u, vault.Storage.CutBytes);
            Assert.Equal(walked.Raft.TermRuns, vault.Storage.Raft.TermRuns);
            Assert.Equal((walked.Head, walked.CommitIndex, walked.SegmentCounts), (vault.Storage.Head, vault.Storage.CommitIndex, vault.Storage.SegmentCounts));
            Assert.False(vault.Storage.Log.WantsMark); // It stands there.
        }

        vault.Model.Check(vault.Storage, new Random(1));
        Assert.False(vault.Files.FileExists(Note));
        vault.Lead(3);
        vault.Append("s-1");
        vault.StepAll();
        vault.Model.Check(vault.Storage, new Random(1));
    }

    [Fact]
    public void A_start_behind_any_other_end_walks()
    {
        var vault = Stopped(hasStrayBit: false);
        var note = Read(vault.Files, Note);
        vault.Reopen();
        Assert.True(vault.Storage.StoppedInOrder);
        vault.Kill();
        Write(vault.Files, Note, note); // It was deleted, and that was lost.
        vault.Reopen(); // Nothing was written, and yet it was no stop in order.
        Assert.False(vault.Storage.StoppedInOrder);
        vault.Lead(3);
        vault.Append("s-1");
        vault.Kill();
        Write(vault.Files, Note, note); // It comes back, as from a copy of the folder.
        vault.Reopen();
        Assert.False(vault.Storage.StoppedInOrder);
        vault.Model.Check(vault.Storage, new Random(1));
    }

    [Fact]
    public void A_note_that_cant_be_read_is_none()
    {
        var vault = Stopped(hasStrayBit: false);
        vault.Files.OnOpening = path =>
        {
            if (path == Note)
            {
                throw new DiskException("open", path, 5, "Input/output error");
            }
        };
        vault.Reopen();
        Assert.False(vault.Storage.StoppedInOrder);
        vault.Model.Check(vault.Storage, new Random(1));
    }

    // As a start number that comes again with an older copy of meta would have it: then only the log itself can tell.
    [Fact]
    public void A_log_that_ends_elsewhere_is_walked()
    {
        var vault = Stopped(hasStrayBit: false);
        var (note, meta) = (Read(vault.Files, Note), Read(vault.Files, SmallVault.Directory + "/meta"));
        var older = vault.Copy();
        vault.Reopen();
        vault.Lead(3);
        vault.Append("s-1");
        vault.Stop();
        Write(vault.Files, Note, note);
        Write(vault.Files, SmallVault.Directory + "/meta", meta);
        vault.Reopen();
        Assert.False(vault.Storage.StoppedInOrder);
        vault.Model.Check(vault.Storage, new Random(1));

        // The other way round: the log is the older one, and the note of the newer.
        vault.Stop();
        var newer = (Note: Read(vault.Files, Note), Meta: Read(vault.Files, SmallVault.Directory + "/meta"));
        Write(older, Note, newer.Note);
        Write(older, SmallVault.Directory + "/meta", newer.Meta);
        using var storage = SmallVault.Open(older);
        Assert.False(storage.StoppedInOrder);
        Assert.Equal(vault.Model.Count - 2, storage.Head.Value);
    }

    [Fact]
    public void A_note_with_a_flipped_bit_or_cut_short_or_of_another_vault_is_none()
    {
        var vault = Stopped(hasStrayBit: false);
        var note = Read(vault.Files, Note);
        for (var offset = 0; offset < note.Length; offset++)
        {
            var files = vault.Copy();
            files.FlipBit(Note, offset, offset % 8);
            CheckWalked(files);
        }

        for (var length = 0; length < note.Length; length += 8)
        {
            var files = vault.Copy();
            Write(files, Note, note[..length]);
            CheckWalked(files);
        }

        var other = new SmallVault(seed: 2);
        other.Append("s-1");
        other.Stop();
        var mixed = vault.Copy();
        Write(mixed, Note, Read(other.Files, Note));
        CheckWalked(mixed);

        void CheckWalked(SimulatedFileSystem files)
        {
            using var storage = SmallVault.Open(files);
            Assert.False(storage.StoppedInOrder);
            vault.Model.CheckAll(storage.Reader);
        }
    }

    [Fact]
    public void Damage_in_front_of_the_end_is_refused_as_ever_if_the_index_was_not_saved()
    {
        var vault = Stopped(hasStrayBit: false);
        vault.Files.DeleteFile(SmallVault.Directory + "/index/" + ActiveIndexFile.FileName);
        var segment = vault.Storage.SegmentCounts.Sealed;
        var path = $"{SmallVault.Directory}/log/{SegmentHeader.FileName((uint)segment)}";
        var end = Read(vault.Files, path).AsSpan(0, (int)vault.Storage.SegmentSizeBytes - Blocks.Size).LastIndexOfAnyExcept((byte)0) + 1 - CommitMark.Length;
        for (var offset = Blocks.Size; offset < end; offset += 13)
        {
            var files = vault.Copy();
            files.FlipBit(path, offset, offset % 8);
            Assert.Throws<DamageException>(() => SmallVault.Open(files));
            Assert.NotEmpty(LogVerifier.Verify(files, SmallVault.Directory).Damage);
        }
    }

    [Fact]
    public void Power_that_fails_at_any_operation_of_stopping_starting_and_writing_on_loses_nothing()
    {
        var (inOrder, done) = (0, false);
        for (var operations = 1; !done; operations++)
        {
            var vault = new SmallVault(seed: operations);
            vault.Append("s-1");
            vault.Append("s-2");
            vault.Files.CrashAtOperation = vault.Files.Operations + operations;
            var acknowledged = vault.Model.Count;
            try
            {
                vault.Stop();
                vault.Reopen();
                vault.Append("s-1");
                acknowledged = vault.Model.Count;
                vault.Append("s-3");
                acknowledged = vault.Model.Count;
                vault.Stop();
                done = true;
            }
            catch (SimulatedCrashException)
            {
            }

            for (var luck = 0; luck < 8; luck++)
            {
                var files = vault.Files.Crash(new Random(luck));
                using var storage = SmallVault.Open(files, seed: operations);
                Assert.InRange(storage.Head.Value + 1, acknowledged, vault.Model.Count);
                inOrder += storage.StoppedInOrder ? 1 : 0;
            }
        }

        Assert.True(inOrder > 8, "Some of the losses came behind a stop in order.");
    }

    [Fact]
    public void A_full_disk_at_the_stop_costs_only_the_note()
    {
        var vault = new SmallVault();
        vault.Append("s-1");
        vault.Storage.Log.WriteMark();
        vault.Files.OnOperation = operation =>
        {
            if (operation.Path.Contains(CleanStop.FileName, StringComparison.Ordinal) && operation.Kind == DiskOperationKind.Write)
            {
                throw SimulatedFileSystem.Failure("pwrite", operation.Path, SimulatedFileSystem.NoSpace);
            }
        };
        vault.Stop();
        vault.Files.OnOperation = null;
        Assert.False(vault.Files.FileExists(Note));
        vault.Reopen();
        Assert.False(vault.Storage.StoppedInOrder);
        vault.Model.Check(vault.Storage, new Random(1));
    }

    [Fact]
    public void Nothing_is_noted_behind_a_failed_flush_or_what_is_not_flushed_and_nothing_written_behind_the_note()
    {
        var vault = new SmallVault();
        vault.Append("s-1");
        var group = vault.Write(vault.Event("s-1", 10));
        vault.Storage.Stop();
        Assert.False(vault.Files.FileExists(Note));
        vault.Files.FailingFlush.StrikeAt(1);
        Assert.Throws<DiskException>(vault.Storage.Log.Flush);
        vault.Storage.Stop();
        Assert.False(vault.Files.FileExists(Note));

        vault = new SmallVault();
        vault.Append("s-1");
        vault.Storage.Stop();
        Assert.True(vault.Files.FileExists(Note));
        Assert.Throws<InvariantException>(() => vault.Write(vault.Event("s-1", 10)));
    }

    // A vault with sealed segments and two terms, stopped in order. The stray bit stands far behind the log's end, where
    // only who looks for a torn tail comes across it.
    private static SmallVault Stopped(bool hasStrayBit = true)
    {
        var vault = SmallVault.WithSealedSegments();
        vault.Lead(2);
        vault.Append("s-1");
        vault.Append("s-2");
        vault.Stop();
        if (hasStrayBit)
        {
            var last = (uint)vault.Storage.SegmentCounts.Sealed;
            vault.Files.FlipBit($"{SmallVault.Directory}/log/{SegmentHeader.FileName(last)}", vault.Storage.SegmentSizeBytes - (2 * Blocks.Size), 3);
        }

        return vault;
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
