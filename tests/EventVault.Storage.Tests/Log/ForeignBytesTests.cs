using EventVault.Storage.Io;
using EventVault.Storage.Log;
using EventVault.Storage.Tests.Simulated;

namespace EventVault.Storage.Tests.Log;

/// <summary>Log bytes where they do not belong: inside events, or from another vault. They fool nothing.</summary>
public sealed class ForeignBytesTests
{
    [Fact]
    public void Log_bytes_stored_as_events_fool_neither_recovery_nor_the_search_for_witnesses_nor_verify()
    {
        var source = SmallVault.WithSealedSegments();
        source.Mark();
        source.Stop();

        // Seed 1 as well, so the same vault id and secrets: a restored copy of this very vault, say.
        var host = new SmallVault(segmentSizeBytes: 512 * 1024);
        Assert.Equal(source.Storage.Meta.ChecksumSeed, host.Storage.Meta.ChecksumSeed);
        host.Append("s-0");
        host.Mark();
        var pieces = new List<byte[]>();
        foreach (var bytes in SegmentBytes(host.Files).Concat(SegmentBytes(source.Files)))
        {
            pieces.Add(bytes.Length > 100_000 ? bytes[..100_000] : bytes);
            pieces.Add(bytes[Blocks.Size..(Blocks.Size + 20_000)]);
            pieces.Add(bytes[(Blocks.Size + 3)..9_000]);
        }

        foreach (var piece in pieces)
        {
            host.Write(host.Event("copies-1", piece));
            host.Flush();
        }

        CheckTornTails(host);
    }

    // A group's bytes at the very alignment at which a search would look, and a mark, from the log that they stand in.
    [Fact]
    public void Own_groups_and_marks_at_an_aligned_offset_inside_an_event_fool_nothing()
    {
        var vault = new SmallVault();
        for (var i = 0; i < 6; i++)
        {
            vault.Append($"s-{i}");
        }

        vault.Mark();
        var bytes = SegmentBytes(vault.Files).Single()[Blocks.Size..(2 * Blocks.Size)];
        for (var shift = 0; shift < Blocks.Alignment; shift++)
        {
            vault.Write(vault.Event("copies-1", [.. new byte[shift], .. bytes]));
            vault.Flush();
        }

        CheckTornTails(vault);
    }

    [Fact]
    public void A_segment_of_another_vault_is_refused()
    {
        var vault = SmallVault.WithSealedSegments();
        vault.Stop();
        var other = new SmallVault(seed: 2);
        other.Append("x-1");
        other.Stop();
        var bytes = SegmentBytes(other.Files).Single();
        foreach (var segment in (uint[])[0, 1, 2, 3])
        {
            var files = vault.Copy();
            Replace(files, segment, bytes);
            Assert.NotEmpty(LogVerifier.Verify(files, SmallVault.Directory).Damage);
            CheckRefusedOrUnread(files, segment);
        }
    }

    [Fact]
    public void A_segment_of_the_same_vault_in_the_place_of_another_is_refused()
    {
        var vault = SmallVault.WithSealedSegments();
        vault.Stop();
        var segments = SegmentBytes(vault.Files).ToList();
        foreach (var (from, to) in ((int, uint)[])[(0, 1u), (1, 2u), (0, 2u), (2, 0u)])
        {
            var files = vault.Copy();
            Replace(files, to, segments[from]);
            Assert.NotEmpty(LogVerifier.Verify(files, SmallVault.Directory).Damage);
            CheckRefusedOrUnread(files, to);
        }
    }

    private static IEnumerable<byte[]> SegmentBytes(SimulatedFileSystem files)
    {
        const string Log = SmallVault.Directory + "/log";
        foreach (var name in files.ListFiles(Log).Where(n => n.EndsWith(".seg", StringComparison.Ordinal)))
        {
            using var file = files.OpenFile($"{Log}/{name}", FileOpening.ReadExisting);
            var bytes = new byte[file.Length];
            file.Read(0, bytes);
            yield return bytes;
        }
    }

    private static void Replace(SimulatedFileSystem files, uint segment, byte[] bytes)
    {
        using var file = files.OpenFile($"{SmallVault.Directory}/log/{SegmentHeader.FileName(segment)}", FileOpening.ExistingOrNew);
        file.Write(0, bytes);
        file.Flush();
        files.FlushDirectory(SmallVault.Directory + "/log");
    }

    // A sealed segment is looked at when it is read; every other one at start.
    private static void CheckRefusedOrUnread(SimulatedFileSystem files, uint segment)
    {
        var refusal = Assert.Throws<DamageException>(() =>
        {
            using var storage = SmallVault.Open(files);
            var list = new CountSink();
            for (var from = 0L; from <= storage.Head.Value;)
            {
                from += storage.Reader.ReadAll(new Position(from), storage.Head, backwards: false, ref list);
            }
        });
        Assert.Equal(SegmentHeader.FileName(segment), refusal.File);
    }

    // Cuts the power behind the last durable group with more groups in flight, many times over.
    private static void CheckTornTails(SmallVault vault)
    {
        var durable = vault.Model.Count;
        vault.Write(vault.Event("s-1", 3000));
        vault.Write(vault.Event("s-2", 700));
        vault.Write(vault.Event("s-3", 5000));
        var cut = 0;
        for (var seed = 0; seed < 150; seed++)
        {
            var files = vault.Files.Crash(new Random(seed));
            Assert.Empty(LogVerifier.Verify(files, SmallVault.Directory).Damage);
            using var storage = SmallVault.Open(files);
            Assert.InRange(storage.Head.Value + 1, durable, vault.Model.Count);
            cut += storage.CutBytes > 0 ? 1 : 0;
            var kept = new VaultModel();
            kept.Events.AddRange(vault.Model.Events.Take((int)storage.Head.Value + 1));
            kept.CheckAll(storage.Reader);
        }

        Assert.True(cut > 20);
    }

    private struct CountSink : IEventSink
    {
        public readonly bool Accept(in EventView e) => true;
    }
}
