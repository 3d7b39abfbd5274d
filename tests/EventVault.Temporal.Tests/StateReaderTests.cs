using System.Buffers;
using System.Text;
using EventVault.Storage;
using EventVault.Storage.Log;
using EventVault.Temporal.Reducers;

namespace EventVault.Temporal.Tests;

/// <summary>States of streams in a real vault: what is kept on the way, bounds, and what each error says.</summary>
public sealed class StateReaderTests : IDisposable
{
    private static readonly Reducer Slots = SlotsReducer.Parse("n = COUNT(*), s = SUM(v), l = LAST(w), set = SET_ADD(v % 7)");
    private static readonly StateOptions All = new(null, AllowPartial: false, long.MaxValue);

    private readonly TestVault _vault = new();

    public void Dispose() => _vault.Dispose();

    [Fact]
    public void Snapshots_outlive_the_node_and_shorten_what_comes_after()
    {
        Fill(500);
        for (var start = 0; start < 3; start++)
        {
            using var kept = Kept(new StateSnapshotRule(100, 0));
            var reader = Reader(kept);
            var answer = At(reader, 449, start == 0 ? 450 : 100);
            Assert.Equal((start == 0 ? null : 399L, start == 0 ? 450 : 50), (answer.KeptVersion?.Value, answer.EventsFolded));

            // One that lies behind what is asked for is not taken.
            Assert.Equal(199, At(reader, 250).KeptVersion?.Value);

            // One that lies right there is all there is to it, and its event is told of, too.
            answer = At(reader, 299);
            Assert.Equal((299, 0, 299), (answer.KeptVersion!.Value.Value, answer.EventsFolded, answer.Version.Value));
            Assert.Equal((_vault.Reader.PositionOf(_vault.Stream("s"), new(299)), SomeEvent.Time + 10), (answer.Position, answer.RecordedAt));
        }
    }

    [Fact]
    public void A_snapshot_of_another_life_is_not_taken()
    {
        Fill(150);
        using var kept = Kept(new StateSnapshotRule(10, 0));
        var reader = Reader(kept);
        Assert.Equal(150, At(reader, 149).State!.Counts.Events);
        _vault.Change(StreamChangeKind.Delete, "s");
        Fill(25);
        Assert.Equal((25, null), (At(reader, 174).State!.Counts.Events, At(reader, 154).KeptVersion));
        Assert.Equal(169, At(reader, 174).KeptVersion?.Value);
        Assert.Equal((140, 139), (At(reader, 139).State!.Counts.Events, At(reader, 145).KeptVersion?.Value));
    }

    [Fact]
    public void Equal_histories_keep_equal_snapshots_whatever_was_asked_for_in_between()
    {
        _vault.Append("s", Enumerable.Range(0, 700).Select(i => $$"""{"v":{{i % 50}},"w":"{{new string('x', i % 40)}}"}"""));
        var files = new List<byte[]>();
        foreach (var order in new[] { new long[] { 699 }, [10, 333, 90, 500, 699] })
        {
            var folder = Path.Combine(_vault.Folder, "state" + order.Length);
            using (var kept = new StateSnapshots(_vault.Files, folder, _vault.Storage.VaultId, new StateSnapshotRule(20, 4)))
            {
                foreach (var last in order)
                {
                    At(Reader(kept), last);
                }
            }

            files.Add(File.ReadAllBytes(Assert.Single(Directory.GetFiles(folder))));
        }

        Assert.True(files[0].Length > 2000);
        Assert.Equal(files[0], files[1]);
    }

    [Fact]
    public void Whatever_befalls_the_file_the_answer_stays_the_same()
    {
        var data = Fill(400);
        var random = new Random(5);
        for (var round = 0; round < 120; round++)
        {
            using (var kept = Kept(new StateSnapshotRule(25, 0)))
            {
                for (var i = 0; i < 4; i++)
                {
                    var last = random.Next(data.Count);
                    Assert.Equal(Some.Fold(Slots, data.Take(last + 1)).Json(), At(Reader(kept), last).State!.Json());
                }
            }

            if (Directory.GetFiles(_vault.StateFolder) is not [var file])
            {
                continue; // No state was on the way.
            }

            var bytes = File.ReadAllBytes(file);
            switch (round % 3)
            {
                case 0:
                    bytes[random.Next(bytes.Length)] ^= (byte)(1 << random.Next(8));
                    break;
                case 1:
                    bytes = bytes[..random.Next(bytes.Length)];
                    break;
                default:
                    bytes.AsSpan(random.Next(bytes.Length)).Clear();
                    break;
            }

            File.WriteAllBytes(file, bytes);
        }
    }

    [Fact]
    public void A_state_that_differs_from_the_one_that_was_kept_is_not_served()
    {
        Fill(100);
        using (var kept = Kept(new StateSnapshotRule(50, 0)))
        {
            At(Reader(kept), 99);
        }

        // All checksums hold, and the state is a sound one: only its hash says that it is another.
        var path = Assert.Single(Directory.GetFiles(_vault.StateFolder));
        using (var log = StateSnapshotLog.Open(_vault.Files, path, Slots.Hash, _vault.Storage.VaultId, _ => KeptRoom.WithoutTheOld))
        {
            Assert.True(log.Add(StateSnapshotLog.KeyOf("s"u8), 0, 70, Slots.Start(FoldLimits.Default).Saved(), Some.Fold(Slots, new SomeEvent("{}")).JsonHash()));
        }

        using (var kept = Kept(new StateSnapshotRule(50, 0)))
        {
            Assert.Equal((100, null), (At(Reader(kept), 99).State!.Counts.Events, At(Reader(kept), 80).KeptVersion?.Value is 70 ? 70 : (int?)null));
        }
    }

    // Who puts another log into the directory may leave these behind: what they say of equal versions is of another history.
    [Fact]
    public void States_that_another_vault_kept_are_not_folded_on()
    {
        Fill(300);
        using (var other = new TestVault())
        {
            other.Append("s", Enumerable.Range(0, 300).Select(i => """{"v":1000}"""));
            using var kept = new StateSnapshots(_vault.Files, _vault.StateFolder, other.Storage.VaultId, new StateSnapshotRule(10, 0));
            new StateReader(other.Reader, kept, FoldLimits.Default).ReadAtVersion(Slots, other.Stream("s"), new(299), All, default);
            Assert.True(new StateReader(other.Reader, kept, FoldLimits.Default).KeepFold("f", other.Stream("s"), new(0), new(299), "x"u8));
        }

        Assert.Equal(2, Directory.GetFiles(_vault.StateFolder).Length);
        using (var kept = Kept(new StateSnapshotRule(int.MaxValue, 0)))
        {
            Assert.Equal((0, 300), Both(Reader(kept)));
        }

        using (var kept = Kept(new StateSnapshotRule(10, 0)))
        {
            Assert.Equal((0, 300), Both(Reader(kept))); // They were begun anew, and are this vault's now.
            Assert.NotNull(At(Reader(kept), 299).KeptVersion);
        }

        (int Kept, long Events) Both(StateReader reader) =>
            (reader.StartFold("f", _vault.Stream("s"), _vault.Reader.Head, allowPartial: false).Kept?.Length ?? 0, At(reader, 299).EventsFolded);
    }

    [Fact]
    public void A_state_that_is_too_large_by_now_is_told_so_whatever_is_kept()
    {
        _vault.Append("s", Enumerable.Range(0, 100).Select(i => $$"""{"v":{{i}},"w":"{{new string('x', i)}}"}"""));
        var large = SlotsReducer.Parse("w = LAST(w)");
        using var kept = Kept(new StateSnapshotRule(50, 0));
        At(Reader(kept), 99, reducer: large);
        var less = new StateReader(_vault.Reader, kept, new FoldLimits(80));
        Assert.Throws<StateTooLargeException>(() => At(less, 99, reducer: large));
        _vault.Change(StreamChangeKind.Truncate, "s", 90, Reader(kept).MakeAnchor(large, _vault.Stream("s"), new(90), default)!.Value);

        // Each of these gives back what it uses: else nothing was kept any more behind so many open files.
        for (var i = 0; i < 3; i++)
        {
            Assert.Throws<StateTooLargeException>(() => At(less, 89, reducer: large));
        }

        Assert.Equal(90, At(Reader(kept), 89, reducer: large).State!.Counts.Events);
    }

    [Fact]
    public void A_full_disk_costs_time_and_no_answer()
    {
        Fill(100);
        File.WriteAllText(_vault.StateFolder, "a file where the folder should be");
        using var kept = Kept(new StateSnapshotRule(10, 0));
        for (var i = 0; i < 2; i++)
        {
            var answer = At(Reader(kept), 99);
            Assert.Equal((100, null), (answer.State!.Counts.Events, answer.KeptVersion));
            Assert.False(Reader(kept).KeepFold("f", _vault.Stream("s"), new(0), new(99), "x"u8));
        }
    }

    [Fact]
    public void More_definitions_than_files_are_kept_open()
    {
        Fill(30);
        using var kept = Kept(new StateSnapshotRule(10, 0), 64 * 1024 * 1024);
        for (var round = 0; round < 2; round++)
        {
            for (var i = 0; i < 100; i++)
            {
                var answer = At(Reader(kept), 29, reducer: SlotsReducer.Parse($"s{i} = SUM(v)"));
                Assert.Equal($$"""{"s{{i}}":435}""", answer.State!.Json());
                Assert.Equal(round == 0 ? null : 29L, answer.KeptVersion?.Value);
            }
        }
    }

    [Fact]
    public void What_is_kept_never_outgrows_its_bound_and_the_newest_use_stays()
    {
        for (var i = 0; i < 30; i++)
        {
            _vault.Append("s", Enumerable.Range(0, 20).Select(v => $$"""{"v":{{v}},"w":"{{new string('x', 2000)}}"}"""));
        }

        using (var kept = Kept(new StateSnapshotRule(1, 0), 1024 * 1024))
        {
            for (var i = 0; i < 40; i++)
            {
                At(Reader(kept), 20 + (14 * i), reducer: SlotsReducer.Parse($"l{i} = LAST(w)"));
                Assert.InRange(kept.Bytes, 1, 1024 * 1024);
                Assert.InRange(Directory.GetFiles(_vault.StateFolder).Sum(f => new FileInfo(f).Length), 1, 1024 * 1024 + (64 * 64));
            }

            Assert.Equal(20 + (14 * 39), At(Reader(kept), 20 + (14 * 39), reducer: SlotsReducer.Parse("l39 = LAST(w)")).KeptVersion?.Value);
            Assert.Null(At(Reader(kept), 20, reducer: SlotsReducer.Parse("l0 = LAST(w)")).KeptVersion);
        }

        // Files of before count, too.
        using var again = Kept(new StateSnapshotRule(1, 0), 1024 * 1024);
        Assert.InRange(again.Bytes, 100_000, 1024 * 1024);
        At(Reader(again), 599);
        Assert.InRange(again.Bytes, 1, 1024 * 1024);
    }

    [Fact]
    public void A_definition_that_needs_no_snapshot_leaves_no_file()
    {
        Fill(30);
        using var kept = Kept(new StateSnapshotRule());
        At(Reader(kept), 29);
        Assert.Empty(Directory.GetFiles(_vault.StateFolder));
    }

    [Fact]
    public void A_fold_is_bounded_and_can_be_cancelled()
    {
        Fill(300);
        using var kept = Kept(new StateSnapshotRule());
        var e = Assert.Throws<FoldTooLongException>(() => At(Reader(kept), 299, mostEvents: 299));
        Assert.Equal((300, 299), (e.Events, e.Allowed));
        Assert.Throws<FoldTooLongException>(() => Reader(kept).Read(Slots, _vault.Stream("s"), _vault.Reader.Head, new(SomeEvent.Time, false, 299), default));
        var range = new HistoryRange(null, _vault.Reader.Head, 7);
        Assert.Throws<FoldTooLongException>(() => Reader(kept).ReadHistory(Slots, _vault.Stream("s"), range, All with { MostEvents = 299 }, default).Count());
        using var cancelled = new CancellationTokenSource();
        cancelled.Cancel();
        Assert.Throws<OperationCanceledException>(() => Reader(kept).Read(Slots, _vault.Stream("s"), _vault.Reader.Head, All, cancelled.Token));
    }

    [Fact]
    public void What_never_was_is_not_found_and_what_is_to_come_is_said_to_be_so()
    {
        _vault.Append("other", """{"v":1}""");
        Fill(3);
        using var kept = Kept(new StateSnapshotRule());
        var reader = Reader(kept);
        Assert.Throws<StreamNotFoundException>(() => reader.Read(Slots, _vault.Stream("typo"), _vault.Reader.Head, All, default));
        Assert.Throws<StreamNotFoundException>(() => reader.ReadAtVersion(Slots, _vault.Stream("typo"), new(0), All, default));
        Assert.Throws<StreamNotFoundException>(() => reader.StartFold("f", _vault.Stream("typo"), _vault.Reader.Head, allowPartial: true));
        Assert.Equal(2, Assert.Throws<VersionNotReachedException>(() => At(reader, 3)).Last.Value);
        foreach (var cut in new[] { Position.None, new Position(0) })
        {
            var before = reader.Read(Slots, _vault.Stream("s"), cut, All, default);
            Assert.Equal((false, false, null), (before.Exists, before.Deleted, before.State));
        }
    }

    [Fact]
    public void A_tombstone_takes_every_moment_at_once()
    {
        Fill(3);
        _vault.Change(StreamChangeKind.Tombstone, "s");
        using var kept = Kept(new StateSnapshotRule());
        foreach (var cut in new[] { Position.None, new Position(1), _vault.Reader.Head })
        {
            Assert.Throws<StreamTombstonedException>(() => Reader(kept).Read(Slots, _vault.Stream("s"), cut, All, default));
        }

        Assert.Null(Reader(kept).MakeAnchor(Slots, _vault.Stream("s"), new(2), default));
    }

    [Fact]
    public void The_second_axis_needs_whole_history()
    {
        var data = Enumerable.Range(0, 300).Select(i => (Data: $$"""{"v":{{i}}}""", OccurredAt: (long?)(SomeEvent.Time - (i * 7919 % 1000)))).ToList();
        _vault.Append("s", data);
        using var kept = Kept(new StateSnapshotRule(10, 0));
        var (reader, stream, cut) = (Reader(kept), _vault.Stream("s"), _vault.Reader.Head);
        var occurred = SomeEvent.Time - 400;
        var expected = data.Where(e => e.OccurredAt <= occurred).OrderBy(e => e.OccurredAt).ToList();
        var answer = reader.Read(Slots, stream, cut, new(occurred, false, 300), default);
        Assert.Equal(Some.Fold(Slots, expected.Select(e => new SomeEvent(e.Data))).Json(), answer.State!.Json());
        Assert.Equal(expected[^1].OccurredAt, answer.OccurredAt);
        Assert.Equal(data.IndexOf(expected[^1]), answer.Version.Value);
        Assert.False(reader.Read(Slots, stream, cut, new(SomeEvent.Time - 2000, false, 300), default).Exists);

        var anchor = reader.MakeAnchor(Slots, stream, new(100), default);
        _vault.Change(StreamChangeKind.Truncate, "s", 100, anchor!.Value);
        Assert.Equal(300, reader.Read(Slots, stream, _vault.Reader.Head, All, default).State!.Counts.Events);
        Assert.Throws<IncompleteHistoryException>(() => reader.Read(Slots, stream, _vault.Reader.Head, new(occurred, false, 300), default));
        answer = reader.Read(Slots, stream, _vault.Reader.Head, new(occurred, true, 200), default);
        expected = data.Skip(100).Where(e => e.OccurredAt <= occurred).OrderBy(e => e.OccurredAt).ToList();
        Assert.Equal((Some.Fold(Slots, expected.Select(e => new SomeEvent(e.Data))).Json(), 100), (answer.State!.Json(), answer.PartialFrom!.Value.Value));
    }

    [Fact]
    public void Clients_keep_states_of_their_own_folds()
    {
        Fill(400);
        using (var kept = Kept(new StateSnapshotRule()))
        {
            var (reader, s) = (Reader(kept), _vault.Stream("s"));
            Assert.Equal((new StreamVersion(0), null), (reader.StartFold("f", s, _vault.Reader.Head, false).Next, reader.StartFold("f", s, _vault.Reader.Head, false).Kept));
            Assert.False(reader.KeepFold("f", s, new(0), new(50), "near the first event"u8));
            Assert.True(reader.KeepFold("f", s, new(0), new(200), "at 200"u8));
            Assert.False(reader.KeepFold("f", s, new(0), new(210), "near the one before"u8));
            Assert.False(reader.KeepFold("f", s, new(0), new(400), "not there yet"u8));
            Assert.False(reader.KeepFold("f", s, new(1), new(350), "no life begins there"u8));
            Assert.True(reader.KeepFold("other", s, new(0), new(399), "of another fold"u8));
        }

        using (var kept = Kept(new StateSnapshotRule()))
        {
            var (reader, s) = (Reader(kept), _vault.Stream("s"));
            var start = reader.StartFold("f", s, _vault.Reader.PositionOf(s, new(300)), false);
            Assert.Equal((200, 201, 300, "at 200"), (start.KeptVersion.Value, start.Next.Value, start.Last.Value, Encoding.UTF8.GetString(start.Kept!)));
            Assert.Null(reader.StartFold("f", s, _vault.Reader.PositionOf(s, new(199)), false).Kept);
            Assert.Null(reader.StartFold("", s, _vault.Reader.Head, false).Kept);

            // A truncation takes what they stand on, and another life is another fold.
            _vault.Change(StreamChangeKind.Truncate, "s", 100);
            Assert.Equal(100, Assert.Throws<IncompleteHistoryException>(() => reader.StartFold("f", s, _vault.Reader.Head, false)).Earliest.Version.Value);
            start = reader.StartFold("f", s, _vault.Reader.Head, true);
            Assert.Equal((null, 100, 100), (start.Kept, start.Next.Value, start.PartialFrom!.Value.Value));
            Assert.False(reader.KeepFold("f", s, new(0), new(399), "truncated"u8));
            _vault.Change(StreamChangeKind.Delete, "s");
            Assert.Equal((false, true), (reader.StartFold("f", s, _vault.Reader.Head, false).Exists, reader.StartFold("f", s, _vault.Reader.Head, false).Deleted));
            Fill(200);
            start = reader.StartFold("f", s, _vault.Reader.Head, false);
            Assert.Equal((null, 400, 599), (start.Kept, start.Next.Value, start.Last.Value));
            Assert.True(reader.KeepFold("f", s, new(400), new(599), "the second life"u8));
            Assert.Equal(600, reader.StartFold("f", s, _vault.Reader.Head, false).Next.Value);
        }
    }

    [Fact]
    public void What_is_scavenged_on_the_way_is_stood_in_for_by_its_anchor()
    {
        var times = new List<long>();
        for (var i = 0; i < 60; i++)
        {
            _vault.Append("s", Enumerable.Range(0, 20).Select(v => $$"""{"v":{{v}},"w":"{{new string('x', 500)}}"}"""));
            times.Add(_vault.Now);
        }

        using var kept = Kept(new StateSnapshotRule(int.MaxValue, 0));
        var (reader, stream) = (Reader(kept), _vault.Stream("s"));
        using var steps = reader.ReadAtTimes(Slots, stream, [times[4], times[40], times[59]], All, default).GetEnumerator();
        Assert.True(steps.MoveNext());
        Assert.Equal((100, 100), (steps.Current.Answer.State!.Counts.Events, steps.Current.Answer.EventsFolded));
        _vault.Change(StreamChangeKind.Truncate, "s", 300, reader.MakeAnchor(Slots, stream, new(300), default)!.Value);
        _vault.Scavenge(isDone: true);
        var sink = new Ignored();
        _vault.Reader.ReadWritten(stream, new(100), new(100), ref sink);
        Assert.False(sink.IsCalled, "The scavenge left what it should have removed.");

        // Hundred were folded before, and the others went on from the anchor.
        Assert.True(steps.MoveNext());
        Assert.Equal((820, 299, 620), (steps.Current.Answer.State!.Counts.Events, steps.Current.Answer.KeptVersion!.Value.Value, steps.Current.Answer.EventsFolded));
        Assert.True(steps.MoveNext());
        Assert.Equal(1200, steps.Current.Answer.State!.Counts.Events);

        // When its last event was recorded, nobody but the anchor knows any more: the time's position lies before it.
        var cut = _vault.Reader.LastAtOrBefore(times[14]);
        Assert.Equal(300, reader.Read(Slots, stream, cut, All with { CutTime = times[14] }, default).State!.Counts.Events);
        Assert.Throws<HistoryTruncatedException>(() => reader.Read(Slots, stream, cut, All with { CutTime = times[14] - 1 }, default));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_fold_ends_behind_the_event_at_which_it_is_cancelled(bool byOccurrence)
    {
        Fill(100);
        using var kept = Kept(new StateSnapshotRule());
        using var cancelled = new CancellationTokenSource();
        var reducer = new CancellingReducer(cancelled, at: 7);
        var options = All with { Occurred = byOccurrence ? long.MaxValue : null };
        Assert.Throws<OperationCanceledException>(() => Reader(kept).Read(reducer, _vault.Stream("s"), _vault.Reader.Head, options, cancelled.Token));
        Assert.Equal(7, reducer.Applied);
    }

    /// <summary>Cancels the fold in the middle of it.</summary>
    private sealed class CancellingReducer(CancellationTokenSource source, int at) : Reducer
    {
        public int Applied { get; private set; }

        public override string Definition => "cancelling";

        public override FoldState Start(FoldLimits limits) => new State(this);

        public override FoldState Restore(ReadOnlySpan<byte> saved, FoldLimits limits) => throw new InvalidDataException();

        private void Take()
        {
            if (++Applied == at)
            {
                source.Cancel();
            }
        }

        private sealed class State(CancellingReducer reducer) : FoldState
        {
            public override long Bytes => 2;

            public override void Apply(in FoldEvent e)
            {
                reducer.Take();
            }

            public override void WriteJson(IBufferWriter<byte> to) => to.Write("{}"u8);

            public override void Save(IBufferWriter<byte> to)
            {
            }
        }
    }

    private struct Ignored : IEventSink
    {
        public bool IsCalled;

        public bool Accept(in EventView e) => IsCalled = true;
    }

    private List<SomeEvent> Fill(int events)
    {
        var data = Enumerable.Range(0, events).Select(i => new SomeEvent($$"""{"v":{{i}},"w":"{{i}}"}""")).ToList();
        _vault.Append("s", data.Select(e => e.Data));
        return data;
    }

    private StateSnapshots Kept(StateSnapshotRule rule, long mostBytes = StateSnapshots.DefaultMostBytes) => new(_vault.Files, _vault.StateFolder, _vault.Storage.VaultId, rule, mostBytes);

    private StateReader Reader(StateSnapshots kept) => new(_vault.Reader, kept, FoldLimits.Default);

    private StateAnswer At(StateReader reader, long version, long mostEvents = long.MaxValue, Reducer? reducer = null) =>
        reader.ReadAtVersion(reducer ?? Slots, _vault.Stream("s"), new(version), All with { MostEvents = mostEvents }, default);
}
