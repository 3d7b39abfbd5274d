using EventVault.Storage.Index;
using EventVault.Storage.Io;
using EventVault.Storage.Tests.Simulated;

namespace EventVault.Storage.Tests.Index;

public sealed class CatalogTests
{
    private const string Path = "/catalog";

    [Fact]
    public void Gives_back_what_was_appended_and_finds_by_position_log_index_time_and_segment()
    {
        CatalogEntry[] entries = Entries(60);
        var disk = new SimulatedFileSystem(tracksLosses: false);
        for (int opened = 0; opened < 3; opened++)
        {
            using Catalog catalog = Catalog.Open(disk, Path);
            foreach (CatalogEntry entry in entries.Skip(catalog.Count).Take(20))
            {
                catalog.Append(entry);
            }

            Assert.Equal(20 * (opened + 1), catalog.Count);
            CheckEqual(entries, catalog);
        }
    }

    [Fact]
    public void May_begin_at_any_segment()
    {
        CatalogEntry[] entries = Entries(9);
        using Catalog catalog = Catalog.Open(new SimulatedFileSystem(), Path);
        Assert.Equal(-1, catalog.FindSegment(0));
        catalog.Append(entries[5]);
        catalog.Append(entries[6]);
        Assert.Equal(-1, catalog.FindSegment(entries[4].Segment));
        Assert.Equal(1, catalog.FindSegment(entries[6].Segment));
        Assert.Equal(-1, catalog.FindSegment(entries[7].Segment));
        Assert.Equal(-1, catalog.FindPosition(entries[5].FirstPosition + -1));
    }

    [Fact]
    public void Refuses_a_segment_that_does_not_follow()
    {
        CatalogEntry[] entries = Entries(4);
        using Catalog catalog = Catalog.Open(new SimulatedFileSystem(), Path);
        catalog.Append(entries[0]);
        Assert.Throws<InvariantException>(() => catalog.Append(entries[2]));
        Assert.Throws<InvariantException>(() => catalog.Append(entries[0]));
        Assert.Throws<InvariantException>(() => catalog.Append(entries[1] with { FirstPosition = new Position(0) }));
    }

    [Fact]
    public void A_crash_at_any_operation_keeps_every_finished_append()
    {
        CatalogEntry[] entries = Entries(8);
        for (long at = 1; ; at++)
        {
            var disk = new SimulatedFileSystem { CrashAtOperation = at };
            int done = AppendAll(disk, entries);
            for (int luck = 0; luck < 30; luck++)
            {
                SimulatedFileSystem survivor = disk.Crash(new Random(luck));
                using (Catalog catalog = Catalog.Open(survivor, Path))
                {
                    Assert.InRange(catalog.Count, done, done + 1);
                    CheckEqual(entries, catalog);
                }

                Assert.Equal(entries.Length, AppendAll(survivor, entries));
                using Catalog redone = Catalog.Open(survivor, Path);
                Assert.Equal(entries.Length, redone.Count);
                CheckEqual(entries, redone);
            }

            if (done == entries.Length)
            {
                return;
            }
        }
    }

    [Fact]
    public void Tells_a_bad_last_record_from_damage_before_it_at_every_byte()
    {
        CatalogEntry[] entries = Entries(5);
        var disk = new SimulatedFileSystem(tracksLosses: false);
        AppendAll(disk, entries);
        using IFile file = disk.OpenFile(Path, FileOpening.Existing);
        var original = new byte[file.Length];
        file.Read(0, original);
        for (int offset = 0; offset < original.Length; offset++)
        {
            disk.FlipBit(Path, offset, offset % 8);
            if (offset >= original.Length - 128)
            {
                // As after a crash: the seal that wrote it is redone.
                using Catalog catalog = Catalog.Open(disk, Path);
                Assert.Equal(entries.Length - 1, catalog.Count);
                catalog.Append(entries[^1]);
                CheckEqual(entries, catalog);
            }
            else
            {
                var damage = Assert.Throws<IndexDamageException>(() => Catalog.Open(disk, Path));
                Assert.InRange(offset - damage.Offset, 0, 127);
            }

            file.SetLength(0);
            file.Write(0, original);
        }
    }

    [Fact]
    public void Cuts_a_torn_last_record_of_any_length()
    {
        CatalogEntry[] entries = Entries(3);
        var disk = new SimulatedFileSystem(tracksLosses: false);
        AppendAll(disk, entries);
        using IFile file = disk.OpenFile(Path, FileOpening.Existing);
        for (long length = file.Length - 1; length > file.Length - 128; length--)
        {
            var copy = new SimulatedFileSystem(tracksLosses: false);
            AppendAll(copy, entries);
            using IFile cut = copy.OpenFile(Path, FileOpening.Existing);
            cut.SetLength(length);
            using Catalog catalog = Catalog.Open(copy, Path);
            Assert.Equal(2, catalog.Count);
            Assert.Equal(64 + (2 * 128), cut.Length);
        }
    }

    internal static CatalogEntry[] Entries(int count)
    {
        var random = new Random(count);
        var entries = new CatalogEntry[count];
        long position = 0;
        ulong logIndex = 1;
        long time = 1_000;
        for (uint s = 0; s < count; s++)
        {
            var events = (uint)(s % 4 == 3 ? 0 : random.Next(1, 1_000));
            entries[s] = new CatalogEntry
            {
                Segment = 3 + s,
                EventCount = events,
                FirstPosition = new Position(position),
                FirstLogIndex = new LogIndex(logIndex),
                LastLogIndex = new LogIndex(logIndex + 9),
                FirstTerm = new Term(1 + (s / 3)),
                LastTerm = new Term(1 + (s / 3)),
                FirstTime = time,
                LastTime = time + 50,
                EndOffset = 4096 + (s * 8),
                LastGroupChecksum = 0xC0FFEE00 + s,
                Digest = ((UInt128)s << 64) | 0xABCDEF,
                Index = new SealedIndexMark(1_000 + s, 0xBEEF0000 + s),
            };
            position += events;
            logIndex += 10;
            time += 100;
        }

        return entries;
    }

    private static int AppendAll(SimulatedFileSystem disk, CatalogEntry[] entries)
    {
        int done = 0;
        try
        {
            using Catalog catalog = Catalog.Open(disk, Path);
            done = catalog.Count;
            for (; done < entries.Length; done++)
            {
                catalog.Append(entries[done]);
            }
        }
        catch (SimulatedCrashException)
        {
            // The caller sees how far it came.
        }

        return done;
    }

    private static void CheckEqual(CatalogEntry[] entries, Catalog catalog)
    {
        CatalogEntry[] known = entries[..catalog.Count];
        for (int i = 0; i < known.Length; i++)
        {
            CatalogEntry entry = known[i];
            Assert.Equal(entry, catalog[i]);
            Assert.Equal(i, catalog.FindSegment(entry.Segment));
            Assert.Equal(i, catalog.FindLogIndex(entry.LastLogIndex));
            Assert.Equal(i, catalog.FindLogIndex(entry.FirstLogIndex));
            Assert.Equal(i, catalog.FindTime(entry.FirstTime));
            Assert.Equal(i, catalog.FindTime(entry.LastTime + 1));
            if (entry.EventCount > 0)
            {
                int found = catalog.FindPosition(entry.LastPosition);
                Assert.Equal(i, found);
            }
        }

        Assert.Equal(-1, catalog.FindTime(999));
        Assert.Equal(-1, catalog.FindLogIndex(new LogIndex(0)));
    }
}
