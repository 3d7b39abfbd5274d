using System.Text;
using EventVault.Storage.Index;
using EventVault.Storage.Log;
using EventVault.Storage.Scavenging;
using EventVault.Storage.Tests.Log;
using EventVault.Storage.Tests.Simulated;

namespace EventVault.Storage.Tests.Scavenging;

/// <summary>What is said of a scavenge: its explanation, its events, its value in the state table.</summary>
public sealed class ScavengeExplainTests
{
    private static readonly SipKey Key = new(1, 2);

    [Fact]
    public void What_is_explained_is_what_is_then_done()
    {
        var vault = ScavengeVaults.Mixed();
        var explained = new List<SegmentExplanation>();
        uint? from = 0;
        while (from is not null)
        {
            explained.AddRange(vault.Storage.Scavenger.Explain(from.Value, 3, CancellationToken.None, out from));
        }

        Assert.Equal(vault.Storage.SegmentCounts.Sealed + vault.Storage.SegmentCounts.Unsealed, explained.Count);
        Assert.Equal(vault.Model.Count, explained.Sum(e => e.Events));
        Assert.Equal(vault.Model.Events.Count(vault.Model.IsVisible), explained.Sum(e => e.VisibleEvents + e.SystemEvents));
        vault.ScavengeAll();
        foreach (var e in explained.Where(e => e.Segment < vault.Storage.View.Sealed.Length))
        {
            var segment = vault.Storage.View.Sealed[e.Segment];
            Assert.Equal(e.Why is null, e.Rewrites);
            Assert.Equal(Position.None, e.ScavengedAt);
            Assert.Equal((segment.FirstPosition, segment.Record.LastPosition), (e.FirstPosition, e.LastPosition));
            Assert.Equal(e.Events, e.RemovableEvents + e.VisibleEvents + e.SystemEvents + e.HeldEvents);
            Assert.Equal(e.Rewrites, segment.Scavenged is not null);
            Assert.Equal(e.Events - (e.Rewrites ? e.RemovableEvents : 0), segment.Index.KeptCount);
            var freed = vault.Storage.SegmentSizeBytes - segment.FileLength;
            Assert.True(!e.Rewrites || Math.Abs(freed - e.RemovableBytes) < 6000, $"{e}, freed {freed}");
        }

        var again = vault.Storage.Scavenger.Explain(0, Scavenger.MostExplained, CancellationToken.None, out _);
        Assert.All(again.Where(e => e.ScavengedAt > Position.None), e => Assert.Equal((false, 0L), (e.Rewrites, e.RemovableEvents)));
        Assert.Contains(again, e => e.ScavengedAt == vault.Storage.Lives.Scavenge.Point);
        Assert.Empty(vault.Storage.Scavenger.Explain(1000, 3, CancellationToken.None, out var next));
        Assert.Null(next);
    }

    // What is hidden is known from memory: with a `$streams` of which nothing can be read it is told all the same.
    [Fact]
    public void To_explain_nothing_of_streams_is_read_and_a_damaged_segment_is_named()
    {
        var vault = ScavengeVaults.Mixed();
        var wanted = vault.Storage.Scavenger.Explain(0, Scavenger.MostExplained, CancellationToken.None, out _);
        vault.Stop();
        using var storage = SmallVault.Open(vault.Files);
        foreach (var segment in storage.View.Sealed)
        {
            Flip(segment, "$streams");
        }

        Assert.Throws<DamageException>(() => new ScavengeRules(storage, storage.Head).ReadPiece());
        Assert.Equal(wanted, storage.Scavenger.Explain(0, Scavenger.MostExplained, CancellationToken.None, out _));
        Flip(storage.View.Sealed[1], "deleted");
        var explained = storage.Scavenger.Explain(0, Scavenger.MostExplained, CancellationToken.None, out _);
        Assert.Equal(wanted.Where(e => e.Segment != 1), explained.Where(e => e.Segment != 1));
        Assert.False(explained[1].Rewrites);
        Assert.Contains("it is damaged: " + SegmentHeader.FileName(1), explained[1].Why, StringComparison.Ordinal);
        using var cancelled = new CancellationTokenSource();
        cancelled.Cancel();
        Assert.Throws<OperationCanceledException>(() => storage.Scavenger.Explain(0, 3, cancelled.Token, out _));

        void Flip(SealedSegment segment, string stream)
        {
            if (segment.Index.Find(StreamKey.Compute(Encoding.UTF8.GetBytes(stream), storage.Meta.SipKey)) is var entry and >= 0)
            {
                var place = segment.Index.OffsetOf(segment.Index.OrdinalOf(segment.Index.Run(entry), 0));
                vault.Files.FlipBit($"{SmallVault.Directory}/log/{SegmentHeader.FileName(segment.Record.Segment)}", place + 40, 1);
            }
        }
    }

    // 1 MiB in a step, not a page: a node that starts again goes over all of it once more.
    [Fact]
    public void Rules_are_read_in_large_pieces()
    {
        var vault = new SmallVault(segmentSizeBytes: 4 * 1024 * 1024);
        var name = new string('n', 1000);
        for (var i = 0; i < 300; i++)
        {
            vault.Write(vault.Retain(RetentionScope.Stream, name, new RetentionRule { MaxEvents = i + 1 }));
        }

        vault.Flush();
        var rules = new ScavengeRules(vault.Storage, vault.Storage.Head);
        rules.ReadPiece();
        Assert.True(rules.IsComplete);
        for (var i = 0; i < 1600; i++)
        {
            vault.Write(vault.Retain(RetentionScope.Stream, name, new RetentionRule { MaxEvents = i + 1 }));
        }

        vault.Flush();
        rules = new ScavengeRules(vault.Storage, vault.Storage.Head);
        rules.ReadPiece();
        Assert.False(rules.IsComplete);
        rules.ReadPiece();
        Assert.True(rules.IsComplete);
    }

    [Fact]
    public void An_event_says_again_what_was_written_and_a_retry_is_known()
    {
        Assert.True(ScavengeEvent.TryRead(View(ScavengeEvent.Encode(7, ScavengeChange.Start, new Position(41))), out var mark));
        Assert.Equal(new ScavengeMark(new Position(50), 9, new Position(41), false, new Position(50)), mark);
        Assert.True(ScavengeEvent.TryRead(View(ScavengeEvent.Encode(7, ScavengeChange.Stop, Position.None)), out var stop));
        stop = stop with { At = new Position(60) };
        Assert.Equal(mark with { IsStopped = true, At = new Position(60) }, mark.Join(stop));
        Assert.Equal(mark.Join(stop), mark.Join(stop).Join(mark));
        Assert.False(ScavengeEvent.TryRead(View(StreamLifeEvent.Encode(7, StreamChangeKind.Delete, "a"u8, new StreamVersion(1))), out _));
        Assert.False(ScavengeEvent.TryRead(View(ScavengeEvent.Encode(7, ScavengeChange.Start, Position.None), "$other"), out _));
        var later = EventFields.Encode(7, "$scavenge-started"u8, "{\"floor\":1}"u8, 2);
        Assert.Throws<UnsupportedFormatException>(() => ScavengeEvent.TryRead(View(later), out _));
        foreach (var data in (string[])["", "[]", "{}", "{\"floor\":-2}", "{\"floor\":\"1\"}", "{\"floor\":1.5}"])
        {
            var bytes = EventFields.Encode(7, "$scavenge-started"u8, Encoding.UTF8.GetBytes(data), 1);
            Assert.Throws<InvariantException>(() => ScavengeEvent.TryRead(View(bytes), out _));
        }

        var vault = new SmallVault();
        vault.Append("a");
        var append = vault.Scavenge();
        vault.Write(append);
        vault.Flush();
        vault.Model.CheckOperation(vault.Storage, append);
        Assert.Equal(1, vault.Storage.Lives.Scavenge.Point.Value);
        Assert.Equal(2, vault.Model.Count);
    }

    // Pending ones count for nobody; a truncation of the log takes them back with their group.
    [Fact]
    public void A_scavenge_begins_when_it_is_committed()
    {
        var vault = new SmallVault();
        vault.Append("a");
        vault.Write(vault.Scavenge());
        Assert.Equal(ScavengeState.Never, vault.Storage.Scavenger.Progress.State);
        vault.Flush();
        Assert.Equal(ScavengeState.Running, vault.Storage.Scavenger.Progress.State);
    }

    [Fact]
    public void The_state_table_gives_back_the_newest_one_and_an_impossible_value_is_as_good_as_lost()
    {
        var files = new SimulatedFileSystem();
        files.CreateDirectory("/index");
        uint segment = 0;
        var mark = new ScavengeMark(new Position(50), 9, new Position(41), true, new Position(60));
        var value = mark.Value();
        Assert.Equal(mark, Read(value));
        Assert.Equal(ScavengeMark.None, Read(null));
        Assert.Null(Read([]));
        Assert.Null(Read(value[..^1]));
        Assert.Null(Read([.. BitConverter.GetBytes(-1L), .. value[8..]]));
        Assert.Null(Read([.. value[..16], .. BitConverter.GetBytes(50L), .. value[24..]])); // A floor behind the event that names it.
        Assert.Null(Read([.. value[..24], .. BitConverter.GetBytes(2), .. value[28..]]));
        Assert.Null(Read([.. value[..24], .. BitConverter.GetBytes(0), .. value[28..]])); // Not stopped, and yet something came later.

        ScavengeMark? Read(byte[]? bytes)
        {
            StateTable.Open(files, "/index/state").Rewrite(segment++, bytes is null ? [] : [new("scavenge", bytes)]);
            return ScavengeMark.From(StateTable.Open(files, "/index/state"));
        }
    }

    private static EventView View(byte[] eventData, string stream = "$streams") =>
        new(Encoding.UTF8.GetBytes(stream), eventData, new Position(50), new StreamVersion(0), 9, 0, 0);
}
