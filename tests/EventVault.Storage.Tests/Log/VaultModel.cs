using System.Text;
using EventVault.Storage.Log;

namespace EventVault.Storage.Tests.Log;

/// <summary>An append as it was sent.</summary>
internal sealed record ModelAppend(UInt128 Id, (string Stream, ExpectedKind Expected, long Version, byte[][] Events)[] Streams);

/// <summary>An event as the model knows it.</summary>
internal sealed record ModelEvent(string Stream, long Version, long Position, byte[] Bytes, long RecordedAt, ModelAppend? Append);

/// <summary>
/// What a vault must hold: a plain list. Compares every kind of read with it, event by event and byte by byte.
/// </summary>
internal sealed class VaultModel
{
    /// <summary>Everything handed to the log, in order.</summary>
    public List<ModelEvent> Events { get; } = [];

    /// <summary>Last version of each stream.</summary>
    public Dictionary<string, long> Versions { get; } = [];

    public int Count => Events.Count;

    public void Add(ModelAppend append, long recordedAt)
    {
        foreach (var (stream, _, _, events) in append.Streams)
        {
            foreach (var bytes in events)
            {
                var version = Versions.GetValueOrDefault(stream, -1) + 1;
                Versions[stream] = version;
                Events.Add(new ModelEvent(stream, version, Events.Count, bytes, recordedAt, append));
            }
        }
    }

    /// <summary>Forgets what a crash lost; it must not end within an append.</summary>
    public void CutTo(int count)
    {
        Assert.True(count == 0 || count == Count || Events[count - 1].Append != Events[count].Append, "An append was kept in part.");
        Events.RemoveRange(count, Count - count);
        Versions.Clear();
        foreach (var e in Events)
        {
            Assert.Equal(Versions.GetValueOrDefault(e.Stream, -1) + 1, e.Version);
            Versions[e.Stream] = e.Version;
        }
    }

    /// <summary>Compares everything; <paramref name="random"/> picks which operations and times are looked up.</summary>
    public void Check(VaultStorage storage, Random random)
    {
        Assert.Equal(Count - 1, storage.Head.Value);
        CheckAll(storage.Reader);
        CheckStreams(storage.Reader);
        CheckListing(storage);
        CheckTimes(storage.Reader, random);
        CheckOperations(storage, random);
    }

    public void CheckAll(EventReader reader)
    {
        var seen = new List<ModelEvent>(Count);
        var sink = new ListSink(seen);
        for (var from = 0L; from < Count;)
        {
            var read = reader.ReadAll(new Position(from), new Position(long.MaxValue), backwards: false, ref sink);
            Assert.True(read > 0, $"No event read at {from}, head {reader.Head}.");
            from += read;
        }

        AssertEqual(Events, seen);
        seen.Clear();
        for (var from = Count - 1L; from >= 0;)
        {
            var read = reader.ReadAll(new Position(from), new Position(0), backwards: true, ref sink);
            Assert.True(read > 0, $"No event read backwards at {from}, head {reader.Head}.");
            from -= read;
        }

        seen.Reverse();
        AssertEqual(Events, seen);
    }

    public static void AssertEqual(List<ModelEvent> expected, List<ModelEvent> actual)
    {
        Assert.Equal(expected.Count, actual.Count);
        for (var i = 0; i < expected.Count; i++)
        {
            var (e, a) = (expected[i], actual[i]);
            Assert.True(
                e.Stream == a.Stream && e.Version == a.Version && e.Position == a.Position && e.RecordedAt == a.RecordedAt && e.Bytes.AsSpan().SequenceEqual(a.Bytes),
                $"Event {i}: {e} became {a}.");
        }
    }

    private void CheckStreams(EventReader reader)
    {
        var seen = new List<ModelEvent>();
        var sink = new ListSink(seen);
        foreach (var events in Events.GroupBy(e => e.Stream).Select(g => g.ToList()))
        {
            var reference = reader.Reference(Encoding.UTF8.GetBytes(events[0].Stream));
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
    }

    private void CheckListing(VaultStorage storage)
    {
        var names = new List<string>();
        byte[] after = [];
        while (true)
        {
            var page = storage.Streams.List(default, after, 50);
            if (page.Count == 0)
            {
                break;
            }

            foreach (var details in page)
            {
                var name = Encoding.UTF8.GetString(details.Name);
                names.Add(name);
                Assert.Equal(Versions[name], details.LastVersion.Value);
                var last = Events[(int)details.LastPosition.Value];
                Assert.True(last.Stream == name && last.Version == Versions[name] && last.RecordedAt == details.LastRecordedAt);
            }

            after = page[^1].Name;
        }

        Assert.Equal(Versions.Keys.Order(StringComparer.Ordinal), names);
    }

    private void CheckTimes(EventReader reader, Random random)
    {
        for (var i = 0; i < 3 && Count > 0; i++)
        {
            var time = Events[random.Next(Count)].RecordedAt + random.Next(-1, 2);
            var expected = Events.FindIndex(e => e.RecordedAt >= time);
            Assert.Equal(expected < 0 ? Count : expected, reader.FirstAtOrAfter(time).Value);
        }
    }

    // Every append in the log is known by its operation id, with its first answer; one that is not in it is not.
    private void CheckOperations(VaultStorage storage, Random random)
    {
        const int Most = 25;
        var appends = Events.Select(e => e.Append!).Distinct().ToList();
        for (var i = 0; i < Math.Min(Most, appends.Count); i++)
        {
            // The newest and any of the others.
            CheckOperation(storage, i < 5 ? appends[^(i + 1)] : appends[random.Next(appends.Count)]);
        }

        var unknown = Encoded.Append(storage, 12345, ("s-new", ExpectedKind.Any, -1, [Encoded.Event(1, "T", "x"u8)]));
        Assert.False(storage.Reader.LookUp(unknown, out _));
        Assert.NotEqual(AppendCheck.Known, storage.Tail.Check(unknown, out _));
    }

    private void CheckOperation(VaultStorage storage, ModelAppend append)
    {
        var retry = Encoded.Append(storage, append.Id, append.Streams);
        var known = storage.Reader.LookUp(retry, out var place) || storage.Tail.Check(retry, out place) == AppendCheck.Known;
        Assert.True(known, $"Operation {append.Id:x} is in the log but not known.");
        var answer = storage.Reader.ReadAnswer(place, retry);
        var events = Events.Where(e => e.Append == append).ToList();
        Assert.Equal(events[0].Position, answer.First.Value);
        Assert.Equal(events[^1].Position, answer.Last.Value);
        Assert.Equal(events[0].RecordedAt, answer.RecordedAt);
        Assert.Equal(events.GroupBy(e => e.Stream).Select(s => s.Last().Version), answer.Versions.Select(v => v.Value));
        Assert.True(answer.SameContent);
    }
}

/// <summary>Copies what is read.</summary>
internal readonly struct ListSink(List<ModelEvent> list) : IEventSink
{
    public bool Accept(in EventView e)
    {
        list.Add(new ModelEvent(Encoding.UTF8.GetString(e.Stream), e.Version.Value, e.Position.Value, e.EventData.ToArray(), e.RecordedAt, null));
        return true;
    }
}
