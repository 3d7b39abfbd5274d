using System.Text;
using EventVault.Storage.Log;
using EventVault.Storage.Tests.Simulated;

namespace EventVault.Storage.Tests.Log;

/// <summary>An event as the model knows it.</summary>
internal sealed record ModelEvent(string Stream, long Version, long Position, byte[] Bytes, UInt128 OperationId);

/// <summary>
/// Drives a vault's storage as the node does, step by step on one thread, beside a model: a list of what was written
/// and how much of it was acknowledged. After each crash the vault must hold a prefix of that list, of whole appends,
/// with everything acknowledged.
/// </summary>
internal sealed class VaultDriver(Random random, uint segmentSizeBytes = StorageOptions.MinSegmentSizeBytes)
{
    public const string Directory = "/vault";
    private readonly Queue<(GroupBuffer Group, int EventsAfter)> _written = new();
    private readonly Queue<GroupBuffer> _free = new();
    private long _clock = 1_000_000;

    public SimulatedFileSystem Files { get; set; } = new();

    public VaultStorage? Storage { get; private set; }

    /// <summary>Everything handed to the log, in order.</summary>
    public List<ModelEvent> Model { get; } = [];

    /// <summary>How many of the model's events were acknowledged: durable and committed.</summary>
    public int Acknowledged { get; private set; }

    public int Appends { get; private set; }

    public void Open()
    {
        Storage = VaultStorage.Open(Files, Directory, new StorageOptions { SegmentSizeBytes = segmentSizeBytes, Random = new Random(random.Next()) }, _clock);
        _written.Clear();
    }

    /// <summary>Random work until the simulated disk crashes or the steps are done.</summary>
    public void Run(int steps)
    {
        for (var i = 0; i < steps; i++)
        {
            switch (random.Next(10))
            {
                case < 5:
                    WriteGroup();
                    break;
                case < 8:
                    FlushAndCommit();
                    break;
                case 8:
                    Storage!.StepBackground();
                    break;
                default:
                    FlushAndCommit();
                    if (Storage!.Log.WantsMark)
                    {
                        Storage.Log.WriteMark();
                    }

                    break;
            }
        }

        FlushAndCommit();
    }

    public void WriteGroup(int? appends = null)
    {
        var storage = Storage!;
        var tail = storage.Tail;
        if (!_free.TryDequeue(out var group))
        {
            group = new GroupBuffer();
        }

        group.Clear();
        var wanted = appends ?? random.Next(1, 5);
        for (var i = 0; i < wanted; i++)
        {
            var append = RandomAppend();
            storage.Reader.LookUp(append, out _);
            Assert.Equal(AppendCheck.Ok, tail.Check(append, out _));
            if (group.IsEmpty)
            {
                while (tail.CheckRoom(append.EncodedLength) != RoomCheck.Ok)
                {
                    FlushAndCommit();
                    Assert.True(storage.StepBackground(), "The log waits for room that nobody makes.");
                }

                tail.Begin(group, append.EncodedLength, _clock += random.Next(0, 3));
            }
            else if (!tail.Fits(group, append.EncodedLength))
            {
                break;
            }

            foreach (var stream in append.Streams)
            {
                for (var e = 0; e < stream.EventCount; e++)
                {
                    Model.Add(new ModelEvent(
                        Encoding.UTF8.GetString(append.Name(stream)), stream.Actual.Value + 1 + e, Model.Count,
                        append.Event(stream.FirstEvent + e).ToArray(), append.OperationId));
                }
            }

            tail.Add(group, append);
            Appends++;
        }

        tail.Finish(group);
        _written.Enqueue((group, Model.Count));
        storage.Log.Write(group);
    }

    public void FlushAndCommit()
    {
        if (_written.Count == 0)
        {
            return;
        }

        Storage!.Log.Flush();
        while (_written.TryDequeue(out var written))
        {
            Storage.Commit(written.Group);
            Acknowledged = written.EventsAfter;
            _free.Enqueue(written.Group);
        }
    }

    /// <summary>The power fails; what was not flushed is partly gone.</summary>
    public void CutPower()
    {
        // No Dispose: a node without power closes nothing.
        Storage = null;
        Files = Files.Crash(random);
    }

    /// <summary>Starts on what is there, and checks that it is a prefix of the model with everything acknowledged.</summary>
    public void Reopen()
    {
        Open();
        var kept = (int)Storage!.Head.Value + 1;
        Assert.InRange(kept, Acknowledged, Model.Count);
        Assert.True(kept == 0 || kept == Model.Count || Model[kept - 1].OperationId != Model[kept].OperationId, "An append was kept in part.");
        Model.RemoveRange(kept, Model.Count - kept);
        Acknowledged = kept;
        Check();
    }

    /// <summary>A node that stops cleanly.</summary>
    public void CleanStop()
    {
        FlushAndCommit();
        if (Storage!.Log.WantsMark)
        {
            Storage.Log.WriteMark();
        }

        Storage.Dispose();
        Storage = null;
    }

    /// <summary>Compares all reads with the model.</summary>
    public void Check()
    {
        var reader = Storage!.Reader;
        Assert.Equal(Model.Count - 1, reader.Head.Value);
        var seen = new List<ModelEvent>();
        var sink = new ListSink(seen);
        for (var from = 0L; from < Model.Count;)
        {
            var read = reader.ReadAll(new Position(from), new Position(long.MaxValue), backwards: false, ref sink);
            Assert.True(read > 0, $"No event read at {from}, head {reader.Head}, segments {string.Join(", ", Storage.View.Sealed.Select(x => $"sealed {x.Record.Segment} {x.FirstPosition}+{x.Record.EventCount}"))} {string.Join(", ", Storage.View.Unsealed.Select(x => $"{x.Index.Segment} {x.Index.FirstPosition}+{x.Index.EventCount}"))}");
            from += read;
        }

        AssertEqual(Model, seen);
        var streams = new Dictionary<string, List<ModelEvent>>();
        foreach (var e in Model)
        {
            if (!streams.TryGetValue(e.Stream, out var list))
            {
                streams[e.Stream] = list = [];
            }

            Assert.Equal(list.Count, e.Version);
            list.Add(e);
        }

        foreach (var (name, events) in streams)
        {
            var reference = reader.Reference(Encoding.UTF8.GetBytes(name));
            Assert.Equal(events.Count - 1, reader.LastVersion(reference).Value);
            seen.Clear();
            for (var from = 0L; from < events.Count;)
            {
                from += reader.ReadStream(reference, new StreamVersion(from), new StreamVersion(events.Count - 1), backwards: false, ref sink);
            }

            AssertEqual(events, seen);
            seen.Clear();
            for (var from = events.Count - 1L; from >= 0;)
            {
                from -= reader.ReadStream(reference, new StreamVersion(from), new StreamVersion(0), backwards: true, ref sink);
            }

            seen.Reverse();
            AssertEqual(events, seen);
        }

        CheckListing(streams);
        CheckOperations();
    }

    private void CheckListing(Dictionary<string, List<ModelEvent>> streams)
    {
        var names = new List<string>();
        byte[] after = [];
        while (true)
        {
            var page = Storage!.Streams.List(default, after, 7);
            if (page.Count == 0)
            {
                break;
            }

            foreach (var details in page)
            {
                var name = Encoding.UTF8.GetString(details.Name);
                names.Add(name);
                Assert.Equal(streams[name][^1].Position, details.LastPosition.Value);
                Assert.Equal(streams[name].Count - 1, details.LastVersion.Value);
            }

            after = page[^1].Name;
        }

        Assert.Equal(streams.Keys.Order(StringComparer.Ordinal), names);
    }

    // Every append in the log is known by its operation id, with its first answer; one that is not in it is not.
    private void CheckOperations()
    {
        var storage = Storage!;
        foreach (var group in Model.GroupBy(e => e.OperationId))
        {
            var retry = Encoded.Append(storage, group.Key, [.. group.GroupBy(e => e.Stream).Select(s => (s.Key, ExpectedKind.Any, -1L, s.Select(e => e.Bytes).ToArray()))]);
            var known = storage.Reader.LookUp(retry, out var place) || storage.Tail.Check(retry, out place) == AppendCheck.Known;
            Assert.True(known, $"Operation {group.Key:x} is in the log but not known.");
            var answer = storage.Reader.ReadAnswer(place, retry);
            Assert.Equal(group.First().Position, answer.First.Value);
            Assert.Equal(group.Last().Position, answer.Last.Value);
            Assert.Equal(group.GroupBy(e => e.Stream).Select(s => s.Last().Version), answer.Versions.Select(v => v.Value));
            Assert.True(answer.SameContent);
        }

        var unknown = Encoded.Append(storage, NewId(), ("s-new", ExpectedKind.Any, -1, [Encoded.Event(1, "T", "x"u8)]));
        Assert.False(storage.Reader.LookUp(unknown, out _));
        Assert.NotEqual(AppendCheck.Known, storage.Tail.Check(unknown, out _));
    }

    private AppendContent RandomAppend()
    {
        var id = NewId();
        var names = Enumerable.Range(0, random.Next(1, 4)).Select(_ => $"s-{random.Next(12)}").Distinct();
        var sameAsFirst = random.Next(2) == 0;
        var streams = names.Select((name, i) => (name, ExpectedKind.Any, -1L, Enumerable.Range(0, random.Next(1, 4)).Select(e =>
        {
            var data = new byte[random.Next(8) == 0 ? random.Next(6000) : random.Next(200)];
            random.NextBytes(data);
            return Encoded.Event(i == 0 && e == 0 && sameAsFirst ? id : NewId(), "T", data, metadata: [("k", "v")]);
        }).ToArray())).ToArray();
        return Encoded.Append(Storage!, id, streams);
    }

    private UInt128 NewId() => new((ulong)random.NextInt64(), (ulong)random.NextInt64());

    private static void AssertEqual(List<ModelEvent> expected, List<ModelEvent> actual)
    {
        Assert.Equal(expected.Count, actual.Count);
        for (var i = 0; i < expected.Count; i++)
        {
            var (e, a) = (expected[i], actual[i]);
            Assert.True(e.Stream == a.Stream && e.Version == a.Version && e.Position == a.Position && e.Bytes.AsSpan().SequenceEqual(a.Bytes), $"Event {i}: {e} became {a}.");
        }
    }

    private readonly struct ListSink(List<ModelEvent> list) : IEventSink
    {
        public bool Accept(in EventView e)
        {
            list.Add(new ModelEvent(Encoding.UTF8.GetString(e.Stream), e.Version.Value, e.Position.Value, e.EventData.ToArray(), default));
            return true;
        }
    }
}
