using System.Text;
using EventVault.Storage.Log;
using EventVault.Storage.Tests.Queries;
using EventVault.Storage.Tests.Simulated;

namespace EventVault.Storage.Tests.Log;

public sealed class ReaderTests
{
    // Found by the model of the sequencer: the head says nothing of how many events a segment has that another one follows.
    [Fact]
    public void An_append_in_a_full_segment_is_found_by_its_id_when_the_next_one_has_begun()
    {
        var vault = new SmallVault();
        var append = vault.Event("a", 10);
        vault.Write(append);
        while (vault.Storage.SegmentCounts.Unsealed < 2)
        {
            vault.Append("b", 20_000);
            vault.Storage.Spares.Step();
        }

        for (var i = 0; i < 3; i++)
        {
            Assert.Equal(0, vault.Storage.Reader.FindAppend(append.Id)!.First.Value);
            vault.Append("b", 100);
        }
    }

    [Fact]
    public void Times_versions_and_positions_are_found_as_in_a_plain_list()
    {
        var vault = Vault();
        var reader = vault.Storage.Reader;
        var events = vault.Model.Events;
        for (var time = events[0].RecordedAt - 2; time <= events[^1].RecordedAt + 2; time++)
        {
            var expected = events.FindIndex(e => e.RecordedAt >= time);
            Assert.Equal(expected < 0 ? events.Count : expected, reader.FirstAtOrAfter(time).Value);
        }

        foreach (var stream in events.GroupBy(e => e.Stream).Take(8))
        {
            var positions = stream.Select(e => e.Position).ToList();
            var reference = reader.Reference(stream.First().Name);
            var last = new StreamVersion(positions.Count - 1);
            for (var position = 0L; position <= events.Count; position += 3)
            {
                var expected = positions.FindIndex(p => p >= position);
                Assert.Equal(expected < 0 ? positions.Count : expected, reader.FirstVersionAtOrAfter(reference, new Position(position), last).Value);
            }
        }
    }

    [Fact]
    public void Streams_are_listed_by_prefix_page_by_page_and_system_streams_only_when_asked_for()
    {
        var vault = Vault();
        var names = vault.Model.Versions.Keys.Order(StringComparer.Ordinal).ToList();
        foreach (var prefix in (string[])["", "s", "s-", "s-1", "s-11", "t-3", "x", "$", "$v-", "ß", "s-999"])
        {
            var expected = names.Where(n => n.StartsWith(prefix, StringComparison.Ordinal) && (prefix.StartsWith('$') || !n.StartsWith('$'))).ToList();
            foreach (var page in (int[])[1, 3, 1000])
            {
                var listed = new List<string>();
                while (vault.Storage.Streams.List(Encoding.UTF8.GetBytes(prefix), Encoding.UTF8.GetBytes(listed.LastOrDefault("")), page) is { Count: > 0 } got)
                {
                    Assert.True(got.Count <= page);
                    listed.AddRange(got.Select(d => Encoding.UTF8.GetString(d.Name)));
                }

                Assert.Equal(expected, listed);
            }
        }

        Assert.Null(vault.Storage.Streams.Find("nothing"u8));
        Assert.Equal(vault.Model.Versions["s-1"], vault.Storage.Streams.Find("s-1"u8)!.LastVersion.Value);
    }

    [Fact]
    public void A_page_ends_where_the_sink_says_and_bounds_outside_the_vault_are_cut()
    {
        var vault = Vault();
        var reader = vault.Storage.Reader;
        var one = new TakeSink(1);
        Assert.Equal(1, reader.ReadAll(new Position(5), new Position(100), backwards: false, ref one));
        Assert.Equal(5, one.LastPosition);
        var head = vault.Model.Count - 1;
        var some = new TakeSink(int.MaxValue);
        Assert.Equal(0, reader.ReadAll(new Position(head + 1), new Position(long.MaxValue), backwards: false, ref some));
        Assert.Equal(1, reader.ReadAll(new Position(head), new Position(long.MaxValue), backwards: false, ref some));
        Assert.Equal(3, reader.ReadAll(new Position(-5), new Position(2), backwards: false, ref some));
        Assert.Equal(0, reader.ReadAll(new Position(7), new Position(6), backwards: false, ref some));
        Assert.Equal(3, reader.ReadAll(new Position(2), new Position(-9), backwards: true, ref some));
        Assert.Equal(2, reader.ReadAll(new Position(long.MaxValue), new Position(head - 1), backwards: true, ref some));
        Assert.Equal(0, reader.ReadAll(Position.None, new Position(0), backwards: true, ref some));
        var empty = new SmallVault();
        Assert.Equal(0, empty.Storage.Reader.ReadAll(new Position(0), new Position(9), backwards: false, ref some));
        Assert.Equal(0, empty.Storage.Reader.ReadAll(new Position(9), new Position(0), backwards: true, ref some));
        Assert.Equal(0, empty.Storage.Reader.FirstAtOrAfter(5).Value);
    }

    // Readers on threads while a writer appends and segments are sealed and move: every read equals the model.
    [Fact]
    public async Task Readers_see_the_same_events_while_segments_are_written_sealed_and_moved()
    {
        const int Events = 2500;
        var files = new SimulatedFileSystem(tracksLosses: false);
        var vault = new SmallVault(files);
        var model = Enumerable.Range(0, Events).Select(i => vault.Event(i % 7 == 0 ? $"rare-{i % 300}" : $"s-{i % 11}", 20 + (i * 37 % 400))).ToList();
        var all = new VaultModel();
        model.ForEach(append => all.Add(append, 0));
        var byStream = all.Events.GroupBy(e => e.Stream).ToDictionary(g => g.Key, g => g.ToList());
        using var done = new CancellationTokenSource();
        var readers = Enumerable.Range(0, 3).Select(r => Task.Run(() =>
        {
            var random = new Random(r);
            var pages = 0;
            while (!done.IsCancellationRequested)
            {
                pages += ReadSomething(vault.Storage, all, byStream, random);
            }

            return pages;
        })).ToList();
        var background = Task.Run(async () =>
        {
            while (!done.IsCancellationRequested)
            {
                if (!vault.Storage.StepBackground())
                {
                    await Task.Delay(1);
                }
            }
        });

        await Task.Run(() => WriteAll(vault.Storage, model));
        await done.CancelAsync();
        await background.WaitAsync(TimeSpan.FromSeconds(60));
        var pages = await Task.WhenAll(readers).WaitAsync(TimeSpan.FromSeconds(60));
        Assert.All(pages, p => Assert.True(p > 20));
        Assert.True(vault.Storage.SegmentCounts.Sealed >= 5);
        Assert.Equal(Events - 1, vault.Storage.Head.Value);
    }

    [Fact]
    public async Task Filters_find_the_same_events_while_segments_are_written_sealed_and_moved()
    {
        const int Events = 2000;
        var vault = new SmallVault(new SimulatedFileSystem(tracksLosses: false));
        var ids = new Random(4);
        var appends = Enumerable.Range(0, Events).Select(i =>
        {
            var id = new UInt128((ulong)ids.NextInt64(), (ulong)ids.NextInt64());
            return new ModelAppend(id, [($"s-{i % 11}", ExpectedKind.Any, -1, [LabelledEvent.Event(id, new byte[20 + (i * 37 % 400)])])]);
        }).ToList();
        var all = new VaultModel();
        appends.ForEach(append => all.Add(append, 0));
        using var done = new CancellationTokenSource();
        var readers = Enumerable.Range(0, 3).Select(r => Task.Run(() =>
        {
            var random = new Random(r);
            var checks = 0;
            SpinWait.SpinUntil(() => vault.Storage.Head.Value >= 0, TimeSpan.FromSeconds(60));
            for (; !done.IsCancellationRequested || checks == 0; checks++)
            {
                var head = vault.Storage.Head.Value;
                QueryModel.CheckReads(vault.Storage, all, ModelFilter.Random(random, all.Events), random.NextInt64(head + 2), random.NextInt64(head + 1), random);
            }

            return checks;
        })).ToList();
        var background = Task.Run(async () =>
        {
            while (!done.IsCancellationRequested)
            {
                if (!vault.Storage.StepBackground())
                {
                    await Task.Delay(1);
                }
            }
        });

        await Task.Run(() => WriteAll(vault.Storage, appends));
        await done.CancelAsync();
        await background.WaitAsync(TimeSpan.FromSeconds(60));
        Assert.All(await Task.WhenAll(readers).WaitAsync(TimeSpan.FromSeconds(60)), checks => Assert.True(checks > 3));
        Assert.True(vault.Storage.SegmentCounts.Sealed >= 5);
        QueryModel.Check(vault.Storage, all, filters: 50, new Random(1));
    }

    private static void WriteAll(VaultStorage storage, List<ModelAppend> appends)
    {
        var group = new GroupBuffer();
        foreach (var append in appends)
        {
            var content = append.Content(storage);
            storage.Reader.LookUp(content, out _);
            Assert.Equal(AppendCheck.Ok, storage.Tail.Check(content, out _));
            Assert.True(SpinWait.SpinUntil(() => storage.Tail.CheckRoom(content.EncodedLength) == RoomCheck.Ok, TimeSpan.FromSeconds(60)));
            group.Clear();
            storage.Tail.Begin(group, content.EncodedLength, 1);
            storage.Tail.Add(group, content);
            storage.Tail.Finish(group);
            storage.Log.Write(group);
            storage.Log.Flush();
            storage.Commit(group.Index);
        }
    }

    /// <summary>Reads a page from anywhere and compares it; 0 if there is nothing yet.</summary>
    internal static int ReadSomething(VaultStorage storage, VaultModel all, Dictionary<string, List<ModelEvent>> byStream, Random random)
    {
        var head = storage.Head.Value;
        if (head < 0)
        {
            return 0;
        }

        var backwards = random.Next(2) == 0;
        var from = (int)random.NextInt64(head + 1);
        var sink = new SameSink(all.Events, from, backwards);
        if (random.Next(2) == 0)
        {
            var read = storage.Reader.ReadAll(new Position(from), backwards ? new Position(0) : new Position(long.MaxValue), backwards, ref sink);
            Assert.True(read > 0 && read == sink.Count);
            return 1;
        }

        var events = byStream[all.Events[from].Stream];
        var reference = storage.Reader.Reference(events[0].Name);
        var last = storage.Reader.LastVersion(reference);
        Assert.True(last.Value >= all.Events[from].Version);
        var version = random.NextInt64(last.Value + 1);
        sink = new SameSink(events, (int)version, backwards);
        var count = storage.Reader.ReadStream(reference, new StreamVersion(version), backwards ? new StreamVersion(0) : last, backwards, ref sink);
        Assert.True(count > 0 && count == sink.Count);
        return 1;
    }

    private static SmallVault Vault()
    {
        var vault = new SmallVault();
        var random = new Random(4);
        for (var i = 0; i < 400 || vault.Storage.SegmentCounts.Unsealed == 1; i++)
        {
            Assert.True(i < 1000);
            vault.Write(vault.Event(i % 50 == 3 ? $"$v-{i}" : i % 9 == 0 ? $"t-{i}" : $"s-{random.Next(40)}", random.Next(900)));
            vault.Flush();
        }

        Assert.True(vault.Storage.SegmentCounts.Sealed > 1 && vault.Storage.SegmentCounts.Unsealed > 1);
        return vault;
    }

    private struct TakeSink(int most) : IEventSink
    {
        private int _left = most;

        public long LastPosition { get; private set; } = -1;

        public bool Accept(in EventView e)
        {
            LastPosition = e.Position.Value;
            return --_left > 0;
        }
    }

    private struct SameSink(List<ModelEvent> events, int from, bool backwards) : IEventSink
    {
        public int Count { get; private set; }

        public bool Accept(in EventView e)
        {
            var model = events[backwards ? from - Count : from + Count];
            Count++;
            Assert.True(e.Position.Value == model.Position && e.Version.Value == model.Version && e.EventData.SequenceEqual(model.Bytes) && e.Stream.SequenceEqual(model.Name));
            return true;
        }
    }
}
