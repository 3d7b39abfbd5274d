using System.Text;
using EventVault.Storage.Log;
using EventVault.Storage.Scavenging;
using EventVault.Storage.Tests.Queries;

namespace EventVault.Storage.Tests.Log;

/// <summary>An append as it was sent.</summary>
internal sealed class ModelAppend(UInt128 id, (string Stream, ExpectedKind Expected, long Version, byte[][] Events)[] streams)
{
    public UInt128 Id => id;

    public (string Stream, ExpectedKind Expected, long Version, byte[][] Events)[] Streams => streams;

    public int EventCount { get; } = streams.Sum(s => s.Events.Length);

    /// <summary>Position of its first event, once it is in the model.</summary>
    public int First { get; set; }

    /// <summary>Not null: it changes the life of a stream.</summary>
    public ModelChange? Change { get; private init; }

    /// <summary>Not null: it sets a retention rule.</summary>
    public RetentionSetting? Retention { get; private init; }

    /// <summary>The append that sets a retention rule.</summary>
    public static ModelAppend Of(UInt128 id, RetentionSetting setting) =>
        new(id, [("$streams", ExpectedKind.Any, -1, [RetentionEvent.Encode(id, setting.Scope, setting.Name, setting.Rule)])]) { Retention = setting };

    /// <summary>Not null: it starts or stops a scavenge.</summary>
    public ScavengeChange? Scavenge { get; private init; }

    /// <summary>The append that starts or stops a scavenge.</summary>
    /// <param name="id">Its operation id.</param>
    /// <param name="scavenge">Which of the two.</param>
    /// <param name="floor">The operation floor, as it comes to stand in the log.</param>
    public static ModelAppend Of(UInt128 id, ScavengeChange scavenge, long floor) =>
        new(id, [("$streams", ExpectedKind.Any, -1, [Encoded.ScavengeEvent(id, scavenge, floor)])]) { Scavenge = scavenge };

    /// <summary>The append that changes the life of a stream, once it is known from which version on the stream is kept.</summary>
    public static ModelAppend Of(UInt128 id, ModelChange change) =>
        new(id, [
            ("$streams", ExpectedKind.Any, -1, [Encoded.ChangeEvent(id, change)]),
            .. (change.Anchors?.Events ?? []).Select(a => (a.Stream, ExpectedKind.Any, -1L, (byte[][])[a.Event])),
        ])
        { Change = change };

    /// <summary>As it is handed to the log.</summary>
    public AppendContent Content(VaultStorage storage) => Change is { } change ? Encoded.Change(storage, Id, change)
        : Retention is { } setting ? Encoded.Retention(storage, Id, setting)
        : Scavenge is { } scavenge ? Encoded.Scavenge(storage, Id, scavenge)
        : Encoded.Append(storage, Id, Streams);
}

/// <summary>What is to become of a stream.</summary>
/// <param name="Kind">What.</param>
/// <param name="Stream">Its name.</param>
/// <param name="Before">The first version that is kept, as it comes to stand in the log.</param>
/// <param name="Expected">What is expected of it.</param>
/// <param name="Version">With an exact version: that.</param>
/// <param name="DueBy">Of a truncation for a retention rule: the event that set it.</param>
internal sealed record ModelChange(
    StreamChangeKind Kind, string Stream, long Before, ExpectedKind Expected = ExpectedKind.Any, long Version = 0, Position? DueBy = null)
{
    /// <summary>Of a truncation: events that go with it.</summary>
    public ModelAnchors? Anchors { get; init; }
}

/// <summary>The anchors of a truncation, and what they rest on.</summary>
internal sealed record ModelAnchors(long Reducers, long First, (string Stream, byte[] Event)[] Events);

/// <summary>An event as the model knows it.</summary>
internal sealed record ModelEvent(string Stream, byte[] Name, long Version, long Position, byte[] Bytes, long RecordedAt, ModelAppend Append);

/// <summary>
/// What a vault must hold: a plain list. Compares every kind of read with it, event by event and byte by byte.
/// </summary>
internal sealed class VaultModel
{
    /// <summary>Everything handed to the log, in order.</summary>
    public List<ModelEvent> Events { get; } = [];

    /// <summary>Last version of each stream.</summary>
    public Dictionary<string, long> Versions { get; } = [];

    /// <summary>First version that can be read, and whether the stream is tombstoned; of streams that were ever changed.</summary>
    public Dictionary<string, (long First, bool IsTombstoned)> Lives { get; } = [];

    /// <summary>The retention rules, and the positions of the events that set them.</summary>
    public Dictionary<(RetentionScope Scope, string Name), (RetentionRule Rule, long SetAt)> Rules { get; } = [];

    public int Count => Events.Count;

    private List<ModelEvent> Visible => [.. Events.Where(IsVisible)];

    /// <summary>Whether a stream has events that can be read.</summary>
    public bool HasEvents(string stream) => Versions.GetValueOrDefault(stream, -1) >= Lives.GetValueOrDefault(stream).First;

    /// <summary>Whether an event can be read.</summary>
    public bool IsVisible(ModelEvent e) => e.Version >= Lives.GetValueOrDefault(e.Stream).First;

    /// <summary>Whether a stream or its category is under a legal hold.</summary>
    public bool IsHeld(string stream) => Own(stream) is { Rule.LegalHold: true } || OfCategory(stream) is { Rule.LegalHold: true };

    /// <summary>The rule that counts for a stream: its own as a whole, else its category's.</summary>
    public (RetentionRule Rule, long SetAt)? RuleOf(string stream) => Own(stream) ?? OfCategory(stream);

    public void Add(ModelAppend append, long recordedAt)
    {
        append.First = Count;
        foreach (var (stream, _, _, events) in append.Streams)
        {
            var name = Encoding.UTF8.GetBytes(stream);
            foreach (var bytes in stream == "$streams" ? Written(append, events) : events)
            {
                var version = Versions.GetValueOrDefault(stream, -1) + 1;
                Versions[stream] = version;
                Events.Add(new ModelEvent(stream, name, version, Events.Count, bytes, recordedAt, append));
            }
        }

        Change(append);
    }

    // A truncation to a version that is gone already says what is gone.
    private byte[][] Written(ModelAppend append, byte[][] events) =>
        append.Change is { Kind: StreamChangeKind.Truncate } change && Lives.GetValueOrDefault(change.Stream).First is var first && first > change.Before
            ? [Encoded.ChangeEvent(append.Id, change with { Before = first })]
            : events;

    /// <summary>Forgets what a crash lost; it must not end within an append.</summary>
    public void CutTo(int count)
    {
        Assert.True(count == 0 || count == Count || Events[count - 1].Append != Events[count].Append, "An append was kept in part.");
        Events.RemoveRange(count, Count - count);
        Versions.Clear();
        Lives.Clear();
        Rules.Clear();
        foreach (var e in Events)
        {
            Assert.Equal(Versions.GetValueOrDefault(e.Stream, -1) + 1, e.Version);
            Versions[e.Stream] = e.Version;
            Change(e.Append);
        }
    }

    private (RetentionRule Rule, long SetAt)? Own(string stream) => Rules.TryGetValue((RetentionScope.Stream, stream), out var rule) ? rule : null;

    private (RetentionRule Rule, long SetAt)? OfCategory(string stream) => Rules.TryGetValue((RetentionScope.Category, stream.Split('-')[0]), out var rule) ? rule : null;

    private void Change(ModelAppend append)
    {
        if (append.Retention is { } setting)
        {
            var name = (setting.Scope, Encoding.UTF8.GetString(setting.Name));
            Rules.Remove(name);
            if (setting.Rule is { } rule)
            {
                Rules.Add(name, (rule, append.First));
            }
        }

        if (append.Change is { } change)
        {
            Assert.InRange(change.Before, 0, Versions[change.Stream] + 1);
            var (first, isTombstoned) = Lives.GetValueOrDefault(change.Stream);
            Lives[change.Stream] = (Math.Max(first, change.Before), isTombstoned || change.Kind == StreamChangeKind.Tombstone);
        }
    }

    /// <summary>Compares everything; <paramref name="random"/> picks which operations and times are looked up.</summary>
    public void Check(VaultStorage storage, Random random)
    {
        CheckReads(storage, random);
        CheckOperations(storage, random);
    }

    /// <summary>Compares all that can be read; <paramref name="random"/> picks which times are looked up.</summary>
    public void CheckReads(VaultStorage storage, Random random)
    {
        Assert.Equal(Count - 1, storage.Head.Value);
        CheckAll(storage.Reader);
        CheckStreams(storage.Reader);
        CheckListing(storage);
        CheckTimes(storage, random);
        CheckRules(storage);
        LivesCheck.Some(storage, this, random);
        KeysCheck.All(storage, this);
        QueryModel.Check(storage, this, filters: 6, new Random(Count)); // Draws of its own: the run stays as it is.
    }

    /// <summary>Reads the whole vault, in both directions.</summary>
    public void CheckAll(EventReader reader)
    {
        var visible = Visible;
        var sink = new CompareSink(visible, backwards: false);
        for (var at = 0; at < Count;)
        {
            var read = reader.ReadAll(new Position(at), new Position(long.MaxValue), backwards: false, ref sink);
            Assert.True(read > 0, $"No event read at {at}, head {reader.Head}.");
            at += read;
        }

        Assert.Equal(visible.Count, sink.Compared);
        sink = new CompareSink(visible, backwards: true);
        for (var at = Count - 1; at >= 0;)
        {
            var read = reader.ReadAll(new Position(at), new Position(0), backwards: true, ref sink);
            Assert.True(read > 0, $"No event read backwards at {at}, head {reader.Head}.");
            at -= read;
        }

        Assert.Equal(visible.Count, sink.Compared);
    }

    /// <summary>Reads every stream, in both directions.</summary>
    public void CheckStreams(EventReader reader)
    {
        foreach (var events in Events.GroupBy(e => e.Stream).Select(g => g.ToList()))
        {
            var reference = reader.Reference(events[0].Name);
            var last = reader.LastVersion(reference);
            Assert.Equal(events.Count - 1, last.Value);
            Assert.Equal(Lives.GetValueOrDefault(events[0].Stream).First, reader.FirstVisible(reference).Value);
            var visible = events.FindAll(IsVisible);
            foreach (var backwards in (bool[])[false, true])
            {
                var sink = new CompareSink(visible, backwards);
                for (var done = 0; done < events.Count;)
                {
                    var from = new StreamVersion(backwards ? last.Value - done : done);
                    var read = reader.ReadStream(reference, from, backwards ? new StreamVersion(0) : last, backwards, ref sink);
                    Assert.True(read > 0, $"No event of {events[0].Stream} read from version {from}.");
                    done += read;
                }

                Assert.Equal(visible.Count, sink.Compared);
            }
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
                Assert.Equal(Lives.GetValueOrDefault(name).First, details.FirstVersion.Value);
                var last = Events[(int)details.LastPosition.Value];
                Assert.True(last.Stream == name && last.Version == Versions[name] && last.RecordedAt == details.LastRecordedAt);
            }

            after = page[^1].Name;
        }

        Assert.Equal(Versions.Keys.Where(n => n[0] != '$' && HasEvents(n)).Order(StringComparer.Ordinal), names);
    }

    private void CheckRules(VaultStorage storage)
    {
        var rules = storage.Retention.InOrder().ToDictionary(e => (e.Scope, Encoding.UTF8.GetString(e.Name)), e => (e.Rule, e.SetAt.Value));
        Assert.Equal(Rules.Count, rules.Count);
        foreach (var (name, rule) in Rules)
        {
            Assert.Equal((name, rule), (name, rules.GetValueOrDefault(name)));
        }
    }

    // A time that lies among removed events is answered by a position between the same events that are left.
    private void CheckTimes(VaultStorage storage, Random random)
    {
        var isScavenged = storage.View.Sealed.Any(s => s.Scavenged is not null);
        for (var i = 0; i < 3 && Count > 0; i++)
        {
            var time = Events[random.Next(Count)].RecordedAt + random.Next(-1, 2);
            var expected = Events.FindIndex(e => e.RecordedAt >= time);
            var found = storage.Reader.FirstAtOrAfter(time).Value;
            expected = expected < 0 ? Count : expected;
            Assert.True(found == expected || (isScavenged && found < expected && !Events.Skip((int)found).Take((int)(expected - found)).Any(IsVisible)), $"Time {time} is answered by {found}, not {expected}.");
            Assert.Equal(storage.Reader.FirstAtOrAfter(time + 1).Value - 1, storage.Reader.LastAtOrBefore(time).Value);
            Assert.InRange(storage.ClosedTime, Events[^1].RecordedAt, long.MaxValue);
        }
    }

    // Every append in the log is known by its operation id, with its first answer; one that is not in it is not.
    private void CheckOperations(VaultStorage storage, Random random)
    {
        const int Most = 8;
        for (var i = 0; i < Math.Min(Most, Count); i++)
        {
            // The newest and any of the others.
            CheckOperation(storage, i < 3 ? Events[^(i + 1)].Append : Events[random.Next(Count)].Append);
        }

        var unknown = Encoded.Append(storage, 12345, ("s-new", ExpectedKind.Any, -1, [Encoded.Event(1, "T", "x"u8)]));
        Assert.False(storage.Reader.LookUp(unknown, out _));
        Assert.NotEqual(AppendCheck.Known, storage.Tail.Check(unknown, out _));
    }

    /// <summary>A retry of this append is known and gets the first answer.</summary>
    public void CheckOperation(VaultStorage storage, ModelAppend append)
    {
        var retry = append.Content(storage);
        var known = storage.Reader.LookUp(retry, out var place) || storage.Tail.Check(retry, out place) == AppendCheck.Known;
        Assert.True(known, $"Operation {append.Id:x} is in the log but not known.");
        var answer = storage.Reader.ReadAnswer(place, retry)!;
        var events = Events.GetRange(append.First, append.EventCount);
        Assert.Equal(events[0].Position, answer.First.Value);
        Assert.Equal(events[^1].Position, answer.Last.Value);
        Assert.Equal(events[0].RecordedAt, answer.RecordedAt);
        Assert.Equal(events.GroupBy(e => e.Stream).Select(s => s.Last().Version), answer.Versions.Select(v => v.Value));
        Assert.True(answer.SameContent);
    }
}

/// <summary>Compares what is read with what is expected, one by one.</summary>
internal struct CompareSink(List<ModelEvent> expected, bool backwards) : IEventSink
{
    public int Compared { get; private set; }

    public bool Accept(in EventView e)
    {
        if (Compared == expected.Count)
        {
            Assert.Fail($"Event {e.Position}, version {e.Version} of {Encoding.UTF8.GetString(e.Stream)}, was read and can't be.");
        }

        var model = expected[backwards ? expected.Count - 1 - Compared : Compared];
        Compared++;
        var same = e.Position.Value == model.Position && e.Version.Value == model.Version && e.RecordedAt == model.RecordedAt
            && e.Stream.SequenceEqual(model.Name) && e.EventData.SequenceEqual(model.Bytes);
        if (!same)
        {
            Assert.Fail($"Instead of event {model.Position}, version {model.Version} of {model.Stream}, {e.Position} was read, version {e.Version} of {Encoding.UTF8.GetString(e.Stream)}.");
        }

        return true;
    }
}
