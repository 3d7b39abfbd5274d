using System.Text;
using EventVault.Storage.Log;
using EventVault.Storage.Queries;
using EventVault.Storage.Tests.Simulated;

namespace EventVault.Storage.Tests.Log;

/// <summary>
/// The sequencer against plain lists: expected versions, requirements, conditions, operation ids and their horizon, several
/// streams to an append; with seals, flushes, power losses and restarts between the steps.
/// </summary>
public sealed class SequencerModelTests
{
    private static readonly string[] Types = ["T0", "T1", "T2"];
    private static readonly string[] Tags = ["x", "y", "z"];

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    public void Every_append_is_decided_as_by_plain_lists(int seed)
    {
        var run = new Run(new Random(seed));
        for (var step = 0; step < 1_200; step++)
        {
            try
            {
                run.Step();
            }
            catch (Exception e) when (e is not OutOfMemoryException)
            {
                throw new InvalidOperationException($"Seed {seed}, step {step}: {e.Message}", e);
            }
        }

        run.CheckCoverage();
    }

    private sealed record Event(string Stream, long Version, string Type, string[] Tags, UInt128 Id);

    private sealed record Item(string[] Types, string[] Tags)
    {
        public bool Matches(Event e) => (Types.Length == 0 || Types.Contains(e.Type)) && Tags.All(e.Tags.Contains);
    }

    private sealed record Expectation(string Stream, ExpectedKind Kind, long Version)
    {
        public bool Holds(long actual) => Kind switch
        {
            ExpectedKind.NoStream => actual == -1,
            ExpectedKind.Exists => actual >= 0,
            ExpectedKind.Exact => actual == Version,
            _ => true,
        };
    }

    private sealed record Append(
        UInt128 Id, (Expectation Expected, Event[] Events)[] Streams, Expectation[] Requires, (long After, Item[] Items)[] Conditions)
    {
        /// <summary>Position of the last event when it was tried first.</summary>
        public long Seen { get; init; }

        /// <summary>Position of its first event.</summary>
        public long First { get; set; }

        public int EventCount => Streams.Sum(s => s.Events.Length);

        public bool IsExact => Streams.All(s => s.Expected.Kind is ExpectedKind.Exact or ExpectedKind.NoStream);
    }

    private sealed class Run(Random random)
    {
        private const int Horizon = 64;

        private readonly Queue<GroupBuffer> _written = new();
        private readonly Dictionary<string, int> _seen = [];
        private readonly Random _disk = new(random.Next());
        private readonly int _secrets = random.Next();
        private SimulatedFileSystem _files = new();
        private VaultStorage? _storage;
        private List<Event> _events = [];
        private List<Append> _appends = [];
        private GroupBuffer? _begun;
        private long _clock = 1_000_000;
        private UInt128 _lastId;

        public void Step()
        {
            _storage ??= Open();
            switch (random.Next(40))
            {
                case 0:
                    Finish();
                    Flush();
                    _storage.Dispose();
                    _storage = null;
                    Count("clean stops");
                    break;
                case 1:
                    LosePower();
                    break;
                case < 6:
                    Finish();
                    break;
                case < 10:
                    Finish();
                    Flush();
                    break;
                case < 14:
                    _storage.StepBackground();
                    break;
                default:
                    Try(Choose());
                    break;
            }
        }

        public void CheckCoverage()
        {
            foreach (var what in new[] { "Ok", "Known", "Known in sealed", "reused", "Proven", "TooOld", "versions failed", "requirements failed", "conditions failed", "pending matched", "clean stops", "power losses" })
            {
                Assert.True(_seen.GetValueOrDefault(what) > 0, $"Nothing of: {what}");
            }
        }

        private VaultStorage Open()
        {
            var storage = VaultStorage.Open(
                _files, SmallVault.Directory, new StorageOptions { SegmentSizeBytes = StorageOptions.MinSegmentSizeBytes, OperationHorizon = Horizon, Random = new Random(_secrets) }, now: _clock).CommitAll();
            Assert.Equal(_events.Count - 1, storage.Head.Value);
            return storage;
        }

        private void LosePower()
        {
            Finish();
            _files = _files.Crash(_disk);
            _written.Clear();
            var storage = VaultStorage.Open(
                _files, SmallVault.Directory, new StorageOptions { SegmentSizeBytes = StorageOptions.MinSegmentSizeBytes, OperationHorizon = Horizon, Random = new Random(_secrets) }, now: _clock).CommitAll();
            var kept = (int)storage.Head.Value + 1;
            Assert.InRange(kept, 0, _events.Count);
            _events = _events[..kept];
            Assert.DoesNotContain(_appends, a => a.First < kept && a.First + a.EventCount > kept);
            _appends = [.. _appends.Where(a => a.First < kept)];
            _storage = storage;
            Count("power losses");
        }

        private Append Choose()
        {
            if (_appends.Count > 0 && random.Next(4) == 0)
            {
                // The oldest now and then: they are beyond the horizon.
                return _appends[random.Next(3) == 0 ? random.Next(Math.Min(_appends.Count, 20)) : random.Next(_appends.Count)];
            }

            var names = Enumerable.Range(0, 25).Select(i => $"s-{i}").ToArray();
            random.Shuffle(names);
            var written = random.Next(1, 4);
            var streams = names.Take(written).Select(name => (Expect(name), Enumerable.Range(0, random.Next(1, 4)).Select(_ => NewEvent(name)).ToArray())).ToArray();
            var requires = names.Skip(written).Take(random.Next(3) == 0 ? random.Next(1, 4) : 0).Select(Expect).ToArray();
            var conditions = Enumerable.Range(0, random.Next(2) == 0 ? random.Next(1, 3) : 0).Select(_ => (NewAfter(), Enumerable.Range(0, random.Next(1, 3)).Select(_ => NewItem()).ToArray())).ToArray();
            return new Append(++_lastId, streams, requires, conditions) { Seen = random.Next(10) == 0 ? random.Next(-1, _events.Count) : _events.Count - 1, First = -1 };
        }

        private Expectation Expect(string stream)
        {
            var last = LastVersion(stream);
            return random.Next(8) switch
            {
                0 => new(stream, ExpectedKind.Any, -1),
                1 => new(stream, last < 0 || random.Next(4) == 0 ? ExpectedKind.NoStream : ExpectedKind.Exists, -1),
                _ when last < 0 => new(stream, ExpectedKind.NoStream, -1),
                _ => new(stream, ExpectedKind.Exact, Math.Max(0, last + (random.Next(8) == 0 ? random.Next(-1, 2) : 0))),
            };
        }

        private Event NewEvent(string stream) => new(stream, -1, Types[random.Next(Types.Length)], [.. Tags.Where(_ => random.Next(3) == 0)], ++_lastId);

        private long NewAfter() => random.Next(3) == 0 ? random.Next(-1, _events.Count + 3) : Math.Max(-1, _events.Count - 1 - random.Next(4));

        private Item NewItem()
        {
            string[] types = [.. Types.Where(_ => random.Next(3) == 0)];
            return new Item(types, types.Length == 0 || random.Next(2) == 0 ? [Tags[random.Next(Tags.Length)], .. Tags.Where(_ => random.Next(6) == 0).Take(1)] : []);
        }

        private void Try(Append append)
        {
            var storage = _storage!;
            var isRetry = append.First >= 0;
            var reused = isRetry && random.Next(5) == 0;
            var content = Encode(reused ? append with { Requires = [.. append.Requires, new Expectation("another", ExpectedKind.Any, -1)] } : append);
            content.AttemptedAfter = isRetry || append.Seen != _events.Count - 1 ? new Position(append.Seen) : null;
            var check = storage.Reader.LookUp(content, out var place) ? AppendCheck.Known : AppendCheck.Ok;
            if (check == AppendCheck.Known)
            {
                Count("Known in sealed");
            }
            else
            {
                Between();
                check = storage.Tail.Check(content, out place);
            }

            Count($"{check}");
            if (isRetry)
            {
                CheckRetry(append, content, check, place, reused);
            }
            else if (append.Seen < storage.OperationFloor.Value)
            {
                Assert.Equal(AppendCheck.TooOld, check);
            }
            else if (CheckHolds(append, content))
            {
                Assert.Equal(AppendCheck.Ok, check);
                Write(append, content);
            }
            else
            {
                Assert.Equal(AppendCheck.Conflict, check);
            }
        }

        private void CheckRetry(Append append, AppendContent content, AppendCheck check, OperationPlace place, bool reused)
        {
            var floor = _storage!.OperationFloor.Value;
            if (check != AppendCheck.Known)
            {
                // Forgotten, which only what lies under the floor may be.
                Assert.InRange(append.First, 0, floor);
                Assert.True(append.Seen < floor);
                Assert.Equal(append.IsExact ? AppendCheck.Proven : AppendCheck.TooOld, check);
            }

            if (check == AppendCheck.Known && _storage.Tail.IsPending(place))
            {
                return;
            }

            var answer = check == AppendCheck.Known ? _storage.Reader.ReadAnswer(place, content) : content.Proof;
            if (answer is not null)
            {
                Assert.Equal((append.First, append.First + append.EventCount - 1), (answer.First.Value, answer.Last.Value));
                Assert.Equal(append.Streams.Select(s => s.Expected.Stream), answer.Streams.Select(Encoding.UTF8.GetString));
                Assert.Equal(append.Streams.Select(s => s.Events[^1].Version), answer.Versions.Select(v => v.Value));
            }

            if (check == AppendCheck.Known)
            {
                Assert.Equal(!reused, answer!.SameContent);
                Count(reused ? "reused" : "same");
            }
        }

        // What the lists say, and whether the content was told the same of each stream and condition.
        private bool CheckHolds(Append append, AppendContent content)
        {
            var holds = true;
            for (var i = 0; i < append.Streams.Length; i++)
            {
                var actual = LastVersion(append.Streams[i].Expected.Stream);
                Assert.Equal(actual, content.Streams[i].Actual.Value);
                holds &= Counted(append.Streams[i].Expected.Holds(actual), "versions failed");
            }

            for (var i = 0; i < append.Requires.Length; i++)
            {
                var actual = LastVersion(append.Requires[i].Stream);
                Assert.Equal(actual, content.Requires[i].Actual.Value);
                holds &= Counted(append.Requires[i].Holds(actual), "requirements failed");
            }

            for (var i = 0; i < append.Conditions.Length; i++)
            {
                var (after, items) = append.Conditions[i];
                var matches = Enumerable.Range(0, _events.Count).Where(p => p > after && items.Any(item => item.Matches(_events[p]))).ToList();
                var match = content.Conditions[i].Match;
                Assert.True(matches.Count == 0 ? match == Position.None : matches.Contains((int)match.Value), $"Condition {i}: {match}, matches are {string.Join(' ', matches)}");
                holds &= Counted(matches.Count == 0, "conditions failed");
                if (match > _storage!.Head)
                {
                    Count("pending matched");
                }
            }

            return holds;
        }

        private bool Counted(bool holds, string failure)
        {
            if (!holds)
            {
                Count(failure);
            }

            return holds;
        }

        // Something may happen between the look-up on the caller's thread and the check on the sequencer's.
        private void Between()
        {
            if (random.Next(6) == 0)
            {
                Finish();
                Flush();
            }

            if (random.Next(6) == 0)
            {
                _storage!.StepBackground();
            }
        }

        private void Write(Append append, AppendContent content)
        {
            var tail = _storage!.Tail;
            if (_begun is not null && !tail.Fits(_begun, content.EncodedLength))
            {
                Finish();
            }

            if (_begun is null)
            {
                while (tail.CheckRoom(content.EncodedLength) != RoomCheck.Ok)
                {
                    Flush();
                    Assert.True(_storage.StepBackground());
                }

                _begun = new GroupBuffer();
                tail.Begin(_begun, content.EncodedLength, ++_clock);
            }

            append.First = _events.Count;
            Assert.Equal(append.First, tail.Add(_begun, content).First.Value);
            foreach (var (expected, events) in append.Streams)
            {
                for (var i = 0; i < events.Length; i++)
                {
                    events[i] = events[i] with { Version = LastVersion(expected.Stream) + 1 };
                    _events.Add(events[i]);
                }
            }

            _appends.Add(append);
        }

        private void Finish()
        {
            if (_begun is { } group)
            {
                _begun = null;
                _storage!.Tail.Finish(group);
                _storage.Log.Write(group);
                _written.Enqueue(group);
            }
        }

        private void Flush()
        {
            if (_written.Count > 0)
            {
                _storage!.Log.Flush();
                while (_written.TryDequeue(out var group))
                {
                    _storage.Commit(group.Index);
                }
            }
        }

        private AppendContent Encode(Append append)
        {
            var bytes = new List<byte>();
            var rows = new List<Action<AppendContent>>();
            int Put(byte[] part)
            {
                bytes.AddRange(part);
                return bytes.Count - part.Length;
            }

            foreach (var (expected, events) in append.Streams)
            {
                var name = Encoding.UTF8.GetBytes(expected.Stream);
                var at = Put(name);
                rows.Add(c => c.AddStream(at, name.Length, expected.Kind, new StreamVersion(expected.Version)));
                foreach (var e in events)
                {
                    // Large enough that a segment is full after some hundred.
                    var encoded = Encoded.Event(e.Id, e.Type, new byte[300], e.Tags);
                    var offset = Put(encoded);
                    rows.Add(c => c.AddEvent(offset, encoded.Length));
                }
            }

            foreach (var required in append.Requires)
            {
                var name = Encoding.UTF8.GetBytes(required.Stream);
                var at = Put(name);
                rows.Add(c => c.AddRequirement(at, name.Length, required.Kind, new StreamVersion(required.Version)));
            }

            foreach (var (after, items) in append.Conditions)
            {
                rows.Add(c => c.AddCondition([.. items.Select(i => new QueryItem(Terms(i.Types), Terms(i.Tags)))], new Position(after)));
            }

            var content = new AppendContent(_storage!);
            content.Reset([.. bytes]);
            content.OperationId = append.Id;
            rows.ForEach(row => row(content));
            Assert.Equal(EventProblemKind.None, content.Check(out _, out _).Kind);
            return content;
        }

        private static ReadOnlyMemory<byte>[] Terms(string[] terms) => [.. terms.Select(t => (ReadOnlyMemory<byte>)Encoding.UTF8.GetBytes(t))];

        private long LastVersion(string stream) => _events.FindLast(e => e.Stream == stream)?.Version ?? -1;

        private void Count(string what) => _seen[what] = _seen.GetValueOrDefault(what) + 1;
    }
}
