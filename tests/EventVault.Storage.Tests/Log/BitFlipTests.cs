using EventVault.Storage.Index;
using EventVault.Storage.Io;
using EventVault.Storage.Log;
using EventVault.Storage.Tests.Simulated;
using Xunit.Abstractions;

namespace EventVault.Storage.Tests.Log;

/// <summary>
/// One flipped bit anywhere in the log up to its end: verify reports it, and what is served is right or refused, never
/// other bytes and never less. EVENTVAULT_EVERY_BYTE=1 takes every byte everywhere; by default every second to seventh,
/// and fewer in long runs of like bytes (the header block's zeros, a huge event's data).
/// </summary>
public sealed class BitFlipTests(ITestOutputHelper output)
{
    private static readonly bool EveryByte = Environment.GetEnvironmentVariable("EVENTVAULT_EVERY_BYTE") == "1";

    private static int Every(int bytes) => EveryByte ? 1 : bytes;

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_flip_in_a_marked_log_is_reported_and_refused_at_start(bool cleanStop)
    {
        var vault = new SmallVault();
        var groups = Enumerable.Range(0, 12).Select(i => vault.Append($"s-{i % 3}", 20 + (i * 5))).ToList();
        groups.Add(vault.Lead(2));
        vault.WriteSystem(GroupKind.Membership, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
        vault.Flush();
        vault.Write(vault.Event("s-1", 30));
        groups.Add(vault.Write(vault.Event("s-2", 30), vault.Event("s-3", 0)));
        vault.Flush();
        if (cleanStop)
        {
            vault.Stop();
            vault.Files.DeleteFile(ActiveIndexFile.PathIn(SmallVault.Directory)); // With it nothing walks: SavedIndexTests.
        }
        else
        {
            vault.Mark(); // Written as the log rests; then the power fails.
            vault.Kill();
        }

        var end = (int)groups[^1].Place.Offset + groups[^1].Length + CommitMark.Length;
        var refused = 0;
        var step = Every(cleanStop ? 2 : 7);
        foreach (var offset in Offsets(0, 84).Concat(Offsets(84, Blocks.Size, Every(53))).Concat(Offsets(Blocks.Size, end, step)))
        {
            var (files, report) = Flip(vault, 0, offset);
            Assert.NotEmpty(report.Damage);
            Assert.Equal(SegmentHeader.FileName(0), report.Damage[0].Segment);
            refused += OpenAndCompare(files, vault.Model, SegmentHeader.FileName(0), mayRead: offset >= end - CommitMark.Length) ? 0 : 1;
        }

        output.WriteLine($"{refused} flips refused at start, log of {end} bytes");
    }

    [Fact]
    public void A_flip_in_a_vault_with_sealed_segments_is_reported_and_never_served()
    {
        var vault = SmallVault.WithSealedSegments();
        vault.Stop();
        int refused = 0, read = 0;
        foreach (var (segment, offset) in OffsetsOfSealedVault(vault))
        {
            var (files, report) = Flip(vault, segment, offset);
            Assert.Contains(report.Damage, d => d.Segment == SegmentHeader.FileName(segment));
            var opened = OpenAndCompare(files, vault.Model, SegmentHeader.FileName(segment), mayRead: true);
            (refused, read) = opened ? (refused, read + 1) : (refused + 1, read);
        }

        Assert.True(refused > 0 && read > 0);
        output.WriteLine($"{refused} flips refused at start, {read} found by verify and by the reads concerned");
    }

    [Fact]
    public void A_flip_in_a_sealed_segment_whose_index_is_lost_is_never_taken_for_a_torn_tail()
    {
        var vault = SmallVault.WithSealedSegments();
        vault.Stop();
        foreach (var (segment, offset) in OffsetsOfSealedVault(vault).Where(o => o.Segment < 2).Where((_, i) => EveryByte || i % 7 == 0))
        {
            var (files, _) = Flip(vault, segment, offset);
            foreach (var name in files.ListFiles(SmallVault.Directory + "/index"))
            {
                // The catalog, when it stays, knows the segment as sealed.
                if (offset % 2 == 0 || name.EndsWith(".ix", StringComparison.Ordinal))
                {
                    files.DeleteFile($"{SmallVault.Directory}/index/{name}");
                }
            }

            OpenAndCompare(files, vault.Model, SegmentHeader.FileName(segment), mayRead: true);
        }
    }

    // The one window left: the last groups before a crash, if they were written in one go and no mark followed.
    [Fact]
    public void Without_a_mark_damage_looks_torn_in_the_last_groups_only()
    {
        var vault = new SmallVault();
        Enumerable.Range(0, 6).ToList().ForEach(i => vault.Append($"s-{i % 2}"));
        var earlierEnd = (int)vault.Storage.Tail.Last.Value + 1;
        var first = vault.Write(vault.Event("s-1", 40));
        vault.Write(vault.Event("s-2", 40));
        var last = vault.Write(vault.Event("s-1", 40));
        vault.Flush();
        vault.Kill();

        int tornEarlier = 0, tornLast = 0, refusedEarlier = 0, refusedLast = 0;
        for (var offset = Blocks.Size; offset < last.Place.Offset + last.Length; offset += Every(4))
        {
            var isLast = offset >= first.Place.Offset;
            var (files, report) = Flip(vault, 0, offset);
            try
            {
                using var storage = SmallVault.Open(files);
                Assert.InRange(storage.Head.Value + 1, earlierEnd, vault.Model.Count - 1);
                Assert.NotNull(report.Torn);
                (tornEarlier, tornLast) = (tornEarlier + (isLast ? 0 : 1), tornLast + (isLast ? 1 : 0));
            }
            catch (DamageException)
            {
                Assert.NotEmpty(report.Damage);
                (refusedEarlier, refusedLast) = (refusedEarlier + (isLast ? 0 : 1), refusedLast + (isLast ? 1 : 0));
            }
        }

        output.WriteLine($"last in flight: {tornLast} flips look torn, {refusedLast} refused; before it: {tornEarlier} look torn, {refusedEarlier} refused");
        Assert.True(tornEarlier == 0 && refusedLast == 0 && refusedEarlier > 0 && tornLast > 0);
    }

    // Worse than a bit: a sector that was never written, is garbage, or belongs elsewhere. The sector with the mark is
    // left alone: without it the log simply ends earlier, which one disk alone can't know.
    [Fact]
    public void A_lost_garbled_or_misplaced_sector_is_reported_and_never_served()
    {
        const int Sector = 512;
        var vault = SmallVault.WithSealedSegments();
        vault.Stop();
        var random = new Random(12);
        for (var i = 0; i < 300; i++)
        {
            var segment = (uint)random.Next(3);
            var path = $"{SmallVault.Directory}/log/{SegmentHeader.FileName(segment)}";
            var files = vault.Copy();
            using (var file = files.OpenFile(path, FileOpening.Existing))
            {
                var bytes = new byte[file.Length];
                file.Read(0, bytes);
                var end = bytes.AsSpan(0, bytes.Length - Blocks.Size).LastIndexOfAnyExcept((byte)0);
                var sector = random.Next(segment == 2 ? (end - CommitMark.Length) / Sector : (end / Sector) + 1);
                var wrong = new byte[Sector];
                switch (random.Next(3))
                {
                    case 0:
                        random.NextBytes(wrong);
                        break;
                    case 1:
                        bytes.AsSpan(random.Next(end / Sector) * Sector, Sector).CopyTo(wrong);
                        break;
                }

                if (bytes.AsSpan(sector * Sector, Sector).SequenceEqual(wrong))
                {
                    continue;
                }

                file.Write(sector * Sector, wrong);
                file.Flush();
            }

            Assert.Contains(LogVerifier.Verify(files, SmallVault.Directory).Damage, d => d.Segment == SegmentHeader.FileName(segment));
            OpenAndCompare(files, vault.Model, SegmentHeader.FileName(segment), mayRead: true);
        }
    }

    [Fact]
    public void A_flip_behind_the_end_changes_nothing_and_is_reported()
    {
        var vault = new SmallVault();
        var group = vault.Append("s-1");
        vault.Stop();
        var end = (int)group.Place.Offset + group.Length + CommitMark.Length;
        foreach (var offset in Offsets(end, StorageOptions.MinSegmentSizeBytes, 997))
        {
            var (files, report) = Flip(vault, 0, offset);
            Assert.Single(report.Damage);
            Assert.True(OpenAndCompare(files, vault.Model, "", mayRead: true));
        }
    }

    [Fact]
    public void One_damaged_copy_of_meta_is_reported_and_does_no_harm_and_two_are_refused()
    {
        var vault = new SmallVault();
        vault.Append("s-1");
        vault.Stop();
        foreach (var offset in Offsets(0, 112).Concat(Offsets(112, 2 * Blocks.Size, Every(53))).Concat(Offsets(Blocks.Size, Blocks.Size + 112)))
        {
            var files = vault.Copy();
            files.FlipBit(SmallVault.Directory + "/meta", offset, offset % 8);
            Assert.Equal(("meta", offset / Blocks.Size * (long)Blocks.Size), LogVerifier.Verify(files, SmallVault.Directory).Damage.Select(d => (d.Segment, d.Offset)).Single());
            using (var storage = SmallVault.Open(files.Crash(new Random(1))))
            {
                Assert.Equal(vault.Storage.VaultId, storage.VaultId);
                Assert.True(storage.StartNumber >= vault.Storage.StartNumber);
                vault.Model.CheckAll(storage.Reader);
            }

            files.FlipBit(SmallVault.Directory + "/meta", (offset + Blocks.Size) % (2 * Blocks.Size), 3);
            Assert.Equal("meta", Assert.Throws<DamageException>(() => SmallVault.Open(files)).File);
        }
    }

    [Fact]
    public void A_flip_in_an_index_file_gives_right_answers_or_says_so()
    {
        var vault = SmallVault.WithSealedSegments();
        vault.Stop();
        var random = new Random(7);
        var outcomes = new SortedDictionary<string, (int Right, int Refused)>();
        foreach (var name in vault.Files.ListFiles(SmallVault.Directory + "/index"))
        {
            var path = $"{SmallVault.Directory}/index/{name}";
            using var file = vault.Files.OpenFile(path, FileOpening.ReadExisting);
            var bytes = new byte[file.Length];
            file.Read(0, bytes);
            // Large files are mostly zeros and the checksums of empty slots.
            var offsets = Enumerable.Range(0, bytes.Length).Where(o =>
                bytes.Length < 5000 ? EveryByte || o % 5 == 0 : bytes[o] != 0 && random.Next(o % 64 < 60 ? 5 : 5000) == 0);
            foreach (var offset in offsets)
            {
                var files = vault.Copy();
                files.FlipBit(path, offset, offset % 8);
                if (offset % 3 == 0 && name.EndsWith('x'))
                {
                    // .ix and .kx: whatever a read makes of it, verify finds it.
                    Assert.Equal(name, Assert.Single(LogVerifier.Verify(files, SmallVault.Directory).Damage).Segment);
                }

                var isRight = OpenAndCompare(files, vault.Model, null, mayRead: true);
                var (right, refused) = outcomes.GetValueOrDefault(name);
                outcomes[name] = isRight ? (right + 1, refused) : (right, refused + 1);
            }
        }

        foreach (var (name, (right, refused)) in outcomes)
        {
            output.WriteLine($"{name}: {right} right, {refused} refused");
        }

        Assert.Equal(vault.Files.ListFiles(SmallVault.Directory + "/index").Count, outcomes.Count);
    }

    private static IEnumerable<int> Offsets(long from, long to, int step = 1)
    {
        for (var offset = from; offset < to; offset += step)
        {
            yield return (int)offset;
        }
    }

    private static IEnumerable<(uint Segment, int Offset)> OffsetsOfSealedVault(SmallVault vault)
    {
        for (var segment = 0u; segment < 3; segment++)
        {
            using var file = vault.Files.OpenFile($"{SmallVault.Directory}/log/{SegmentHeader.FileName(segment)}", FileOpening.ReadExisting);
            var bytes = new byte[file.Length];
            file.Read(0, bytes);
            var footer = bytes.Length - Blocks.Size;
            var end = bytes.AsSpan(0, footer).LastIndexOfAnyExcept((byte)0) + 1;
            foreach (var offset in Offsets(0, 84).Concat(Offsets(84, Blocks.Size, Every(371))))
            {
                yield return (segment, offset);
            }

            // In the huge event's data one byte is like another.
            foreach (var offset in segment == 1 ? Offsets(Blocks.Size, Blocks.Size + 300).Concat(Offsets(Blocks.Size + 300, end - 200, Every(583))).Concat(Offsets(end - 200, end)) : Offsets(Blocks.Size, end, Every(5)))
            {
                yield return (segment, offset);
            }

            foreach (var offset in segment < 2 ? Offsets(footer, footer + 112).Concat(Offsets(footer + 112, bytes.Length, Every(371))) : [])
            {
                yield return (segment, offset);
            }
        }
    }

    private static (SimulatedFileSystem Files, VerifyReport Report) Flip(SmallVault vault, uint segment, int offset)
    {
        var files = vault.Copy();
        files.FlipBit($"{SmallVault.Directory}/log/{SegmentHeader.FileName(segment)}", offset, (offset * 5) % 8);
        return (files, LogVerifier.Verify(files, SmallVault.Directory));
    }

    // Opens it and compares event by event. False: refused at start, or where the bytes concerned were read.
    private static bool OpenAndCompare(SimulatedFileSystem files, VaultModel model, string? damaged, bool mayRead)
    {
        VaultStorage storage;
        try
        {
            storage = SmallVault.Open(files);
        }
        catch (DamageException e) when (damaged is not null)
        {
            Assert.Equal(damaged, e.File);
            return false;
        }

        using (storage)
        {
            Assert.True(mayRead, "Damage in durable groups of an unsealed segment must be refused.");
            Assert.Equal(model.Count - 1, storage.Head.Value);
            var right = true;
            for (var i = 0; i < model.Count; i++)
            {
                var e = model.Events[i];
                right &= IsRight(() => ReadOne(storage, e), damaged);
                right &= IsRight(() => ReadOfStream(storage, e), damaged);
                right &= IsRight(() => model.CheckOperation(storage, e.Append), damaged);
                right &= IsRight(() => KeysCheck.Event(storage, e), damaged);
            }

            return right || damaged is not null;
        }
    }

    private static void ReadOne(VaultStorage storage, ModelEvent e)
    {
        var sink = new CompareSink([e], backwards: false);
        Assert.Equal(1, storage.Reader.ReadAll(new Position(e.Position), new Position(e.Position), backwards: false, ref sink));
    }

    private static void ReadOfStream(VaultStorage storage, ModelEvent e)
    {
        var sink = new CompareSink([e], backwards: false);
        var stream = storage.Reader.Reference(e.Name);
        var version = new StreamVersion(e.Version);
        Assert.True(storage.Reader.LastVersion(stream) >= version);
        Assert.Equal(1, storage.Reader.ReadStream(stream, version, version, backwards: false, ref sink));
    }

    private static bool IsRight(Action read, string? damaged)
    {
        try
        {
            read();
            return true;
        }
        catch (DamageException e) when (damaged is not null)
        {
            Assert.Equal(damaged, e.File);
            return false;
        }
        catch (IndexDamageException) when (damaged is null)
        {
            return false;
        }
    }
}
