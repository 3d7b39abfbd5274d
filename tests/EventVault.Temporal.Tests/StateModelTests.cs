using EventVault.Storage;
using EventVault.Storage.Log;
using EventVault.Temporal.Reducers;

namespace EventVault.Temporal.Tests;

/// <summary>
/// Random histories of a real vault against plain lists: appends, deletions, truncations with and without anchors, scavenges that
/// were only started and such that were done, restarts, lost indexes and state snapshots, damage; and random cuts all the time.
/// </summary>
public sealed class StateModelTests
{
    // The first one is registered from the beginning: each truncation has its anchor. The others never are.
    private static readonly Reducer[] Reducers =
    [
        SlotsReducer.Parse("n = COUNT(*), s = SUM(v), l = LAST(w), set = SET_ADD(v % 7)"),
        MergePatchReducer.Instance,
        SlotsReducer.Parse("n = COUNT(*) BY v"),
    ];

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(7)]
    [InlineData(64)]
    [InlineData(1024)]
    [InlineData(int.MaxValue)]
    public void Every_state_is_that_of_a_naive_replay(int interval)
    {
        var fromKept = 0;
        for (var seed = 1; seed <= 3; seed++)
        {
            using var run = new Run(seed, interval);
            run.Begin(interval == 1024 ? 1200 : 0); // So long that states are kept: by themselves streams come to some hundred events.
            run.Look(30);
            for (var step = 0; step < 120; step++)
            {
                run.Step();
                run.Look(4);
            }

            run.LookAtAll();
            fromKept += run.FromKept;
        }

        Assert.Equal(interval < int.MaxValue, fromKept > 0);
    }

    private sealed class Run : IDisposable
    {
        private readonly TestVault _vault = new();
        private readonly Random _random;
        private readonly StateSnapshotRule _rule;
        private readonly NaiveStream[] _streams = [new("s-0"), new("s-1"), new("other"), new("never")];
        private readonly string _about;
        private readonly List<(long At, long Position)> _changed = [];
        private readonly List<string> _done = [];
        private StateSnapshots _kept;
        private StateReader _reader;
        private long _newestScavenge = -1;

        // Histories begin here or later: to work one out plainly takes the square of its length.
        private long _begun;

        public Run(int seed, int interval)
        {
            _random = new Random(seed);
            _about = $"seed {seed}, interval {interval}";
            _rule = new StateSnapshotRule(interval, 0);
            (_kept, _reader) = Open();
        }

        /// <summary>Answers whose fold went on from a state that was kept on the way.</summary>
        public int FromKept { get; private set; }

        private long Head => _vault.Reader.Head.Value;

        /// <summary>Gives each stream so many events.</summary>
        public void Begin(int events)
        {
            foreach (var stream in _streams[..3])
            {
                for (var left = events; left > 0; left -= 50)
                {
                    Append(stream, 50);
                }
            }

            _begun = Math.Max(0, Head);
        }

        public void Step()
        {
            var stream = _streams[_random.Next(3)];
            switch (_random.Next(24))
            {
                case 0 when stream.IsAlive:
                    Change(stream, StreamChangeKind.Delete, stream.Events.Count);
                    break;
                case 1 or 2 or 3 when stream.IsAlive:
                    var least = _random.Next(8) == 0 ? 1 : stream.FirstVisible + 1;
                    Change(stream, StreamChangeKind.Truncate, _random.NextInt64(Math.Min(least, stream.Events.Count), stream.Events.Count + 1));
                    break;
                case 4 when stream.IsAlive && _done.Count > 90:
                    Change(stream, StreamChangeKind.Tombstone, stream.Events.Count);
                    break;
                case 5:
                    var isDone = _random.Next(3) > 0;
                    _vault.Scavenge(isDone);
                    _newestScavenge = Head;
                    _changed.Add((_vault.Now, Head));
                    _done.Add($"scavenge at {Head}{(isDone ? ", done" : "")}");
                    break;
                case 6 or 7:
                    Restart();
                    break;
                default:
                    if (!stream.IsTombstoned)
                    {
                        Append(stream, _random.Next(1, _random.Next(6) == 0 ? 60 : 6));
                    }

                    break;
            }
        }

        public void Look(int times)
        {
            for (; times > 0; times--)
            {
                var stream = _streams[_random.Next(_streams.Length)];
                var reducer = _random.Next(Reducers.Length);
                var options = new StateOptions(
                    _random.Next(4) == 0 ? SomeEvent.Time + _random.NextInt64(_vault.Now - SomeEvent.Time + 20) : null, _random.Next(3) == 0, long.MaxValue);
                switch (_random.Next(3))
                {
                    case 0:
                        Compare(stream, reducer, new Position(_random.NextInt64(-1, Head + 1)), options);
                        break;
                    case 1 when stream.Events.Count > 0:
                        CompareVersion(stream, reducer, _random.Next(stream.Events.Count), options);
                        break;
                    default:
                        CompareTime(stream, reducer, SomeEvent.Time + _random.NextInt64(-5, _vault.Now - SomeEvent.Time + 15), options);
                        break;
                }
            }
        }

        /// <summary>Each cut of each stream, and histories.</summary>
        public void LookAtAll()
        {
            foreach (var stream in _streams)
            {
                for (var cut = -1L; cut <= Head; cut += _random.Next(1, _begun == 0 ? 8 : 80))
                {
                    Compare(stream, 0, new Position(cut), new StateOptions(null, false, long.MaxValue));
                }

                foreach (var every in new[] { 0, 1, 5 })
                {
                    CompareHistory(stream, 0, every);
                    CompareHistory(stream, 1, every);
                }

                CompareTimes(stream);
            }
        }

        public void Dispose()
        {
            _kept.Dispose();
            _vault.Dispose();
        }

        private (StateSnapshots Kept, StateReader Reader) Open()
        {
            var kept = new StateSnapshots(_vault.Files, _vault.StateFolder, _vault.Storage.VaultId, _rule, 4 * 1024 * 1024);
            return (kept, new StateReader(_vault.Reader, kept, FoldLimits.Default));
        }

        private void Append(NaiveStream stream, int count)
        {
            var events = Enumerable.Range(0, count).Select(_ => (
                Data: _random.Next(20) == 0 ? "no JSON" : $$"""{"v":{{_random.Next(100)}},"w":{{RandomJson.Object(_random, 2).ToJsonString()}}}""",
                OccurredAt: _random.Next(3) == 0 ? _vault.Now + 10 - _random.Next(300) : (long?)null)).ToList();
            var first = Head + 1;
            _vault.Append(stream.Name, events);
            for (var i = 0; i < count; i++)
            {
                stream.Events.Add(new NaiveEvent(events[i].Data, stream.Events.Count, first + i, _vault.Now, events[i].OccurredAt ?? _vault.Now));
            }

            _done.Add($"append {count} to {stream.Name} at {first}");
        }

        private void Change(NaiveStream stream, StreamChangeKind kind, long before)
        {
            AnchorEvent? anchor = null;
            if (kind == StreamChangeKind.Truncate && _random.Next(8) > 0)
            {
                anchor = _reader.MakeAnchor(Reducers[0], _vault.Stream(stream.Name), new StreamVersion(before), default);
            }

            _vault.Change(kind, stream.Name, before, anchor is null ? [] : [anchor.Value]);
            stream.Change(Head - (anchor is null ? 0 : 1), kind, before, anchor is not null);
            _changed.Add((_vault.Now, Head));
            _done.Add($"{kind} {stream.Name} before {before} at {Head}{(anchor is null ? "" : ", anchored")}");
        }

        private void Restart()
        {
            _kept.Dispose();
            var files = Directory.Exists(_vault.StateFolder) ? Directory.GetFiles(_vault.StateFolder) : [];
            var loss = _random.Next(4);
            foreach (var file in files)
            {
                var bytes = File.ReadAllBytes(file);
                if (loss == 0)
                {
                    File.Delete(file);
                }
                else if (loss == 1)
                {
                    bytes[_random.Next(bytes.Length)] ^= 4;
                    File.WriteAllBytes(file, bytes);
                }
                else if (loss == 2)
                {
                    File.WriteAllBytes(file, bytes[.._random.Next(bytes.Length)]);
                }
            }

            _vault.Restart(loseIndex: _random.Next(3) == 0);
            (_kept, _reader) = Open();
            _done.Add($"restart, loss {loss}");
        }

        // The first reducer's folds may go on from an anchor, too.
        private StateAnswer Count(int reducer, StateAnswer answer)
        {
            FromKept += reducer > 0 && answer.KeptVersion is not null ? 1 : 0;
            return answer;
        }

        private NaiveAnswer Naive(NaiveStream stream, int reducer, long cut, StateOptions options) =>
            stream.StateAt(Reducers[reducer], isAnchored: reducer == 0, cut, options.Occurred, options.AllowPartial, _newestScavenge);

        private void Compare(NaiveStream stream, int reducer, Position cut, StateOptions options)
        {
            var expected = Naive(stream, reducer, cut.Value, options);
            var actual = Ask(() => Count(reducer, _reader.Read(Reducers[reducer], _vault.Stream(stream.Name), cut, options, default)), out var earliest);
            Check(expected, actual, $"{stream.Name} {reducer} at {cut}, {options}");
            if (actual.Error == typeof(HistoryTruncatedException) && earliest!.Value.Position > Position.None)
            {
                // What is named as the earliest moment can be told, with a partial state if need be; the one before can't.
                var partial = options with { AllowPartial = true };
                var position = earliest.Value.Position;
                Assert.True(position > cut);
                Assert.Null(Ask(() => _reader.Read(Reducers[reducer], _vault.Stream(stream.Name), position, partial, default), out _).Error);
                Assert.Equal(typeof(HistoryTruncatedException), Ask(() => _reader.Read(Reducers[reducer], _vault.Stream(stream.Name), position + -1, partial, default), out _).Error);
            }
        }

        private void CompareVersion(NaiveStream stream, int reducer, long version, StateOptions options)
        {
            var expected = Naive(stream, reducer, stream.Events[(int)version].Position, options);
            var actual = Ask(() => Count(reducer, _reader.ReadAtVersion(Reducers[reducer], _vault.Stream(stream.Name), new StreamVersion(version), options, default)), out _);
            Check(expected, actual, $"{stream.Name} {reducer} at version {version}, {options}");
        }

        private void CompareTime(NaiveStream stream, int reducer, long time, StateOptions options)
        {
            var expected = Naive(stream, reducer, LastUntil(time), options);
            var cut = _vault.Reader.LastAtOrBefore(time);
            var actual = Ask(() => Count(reducer, _reader.Read(Reducers[reducer], _vault.Stream(stream.Name), cut, options with { CutTime = time }, default)), out _);
            Check(expected, actual, $"{stream.Name} {reducer} at time {time}, {options}");
        }

        private void CompareHistory(NaiveStream stream, int reducer, long every)
        {
            var from = _random.Next(3) == 0 && _begun == 0 ? (Position?)null : new Position(_random.NextInt64(_begun, Head + 1));
            var until = new Position(_random.NextInt64(from?.Value ?? 0, Head + 1));
            var options = new StateOptions(null, AllowPartial: true, long.MaxValue);
            var expected = new List<NaiveAnswer>();
            var range = stream.Events.Where(e => e.Position >= (from?.Value ?? 0) && e.Position <= until.Value).ToList();
            if (from is null)
            {
                range = [.. range.SkipWhile(e => Naive(stream, 2, e.Position, options).Error is not null)]; // No anchor: what is left.
            }
            else if (Naive(stream, reducer, from.Value.Value, options).Error is { } error)
            {
                expected.Add(new NaiveAnswer(error));
                range = [];
            }

            foreach (var (i, e) in range.Index())
            {
                var state = Naive(stream, reducer, e.Position, options);
                var isLast = i == range.Count - 1;
                var isShown = every == 0 ? expected.Count == 0 || expected[^1].Json != state.Json || expected[^1].PartialFrom != state.PartialFrom : isLast || (i + 1) % every == 0;
                if (isShown || state.Error is not null)
                {
                    expected.Add(state);
                }

                if (state.Error is not null)
                {
                    break;
                }

                if (stream.IsDeletedBetween(e.Position, isLast ? until.Value : range[i + 1].Position))
                {
                    expected.Add(new NaiveAnswer(null, Deleted: true));
                }
            }

            if (Naive(stream, reducer, until.Value, options) is { Error: not null } atEnd)
            {
                expected = [atEnd];
            }

            var actual = new List<NaiveAnswer>();
            var steps = _reader.ReadHistory(Reducers[reducer], _vault.Stream(stream.Name), new HistoryRange(from, until, every), options, default).GetEnumerator();
            for (var isMore = true; isMore;)
            {
                var step = Ask(() => (isMore = steps.MoveNext()) ? steps.Current : null, out _);
                isMore &= step.Error is null;
                if (isMore || step.Error is not null)
                {
                    actual.Add(step.Deleted ? step with { Position = -1, RecordedAt = 0 } : step);
                }
            }

            var about = $"history of {stream.Name} {reducer} from {from} until {until}, every {every}";
            Assert.True(expected.SequenceEqual(actual), $"{_about}: {about}\nexpected {string.Join("\n  ", expected)}\nactual {string.Join("\n  ", actual)}\n{string.Join("\n", _done)}");
        }

        private void CompareTimes(NaiveStream stream)
        {
            var options = new StateOptions(null, AllowPartial: true, long.MaxValue);
            var times = Enumerable.Range(0, 20).Select(_ => SomeEvent.Time + _random.NextInt64(0, _vault.Now - SomeEvent.Time + 15)).Order().ToList();
            times = [.. times.SkipWhile(t => Naive(stream, 0, LastUntil(t), options).Error is not null)];
            times = [.. times.TakeWhile(t => Naive(stream, 0, LastUntil(t), options).Error is null)];
            foreach (var (time, answer) in _reader.ReadAtTimes(Reducers[0], _vault.Stream(stream.Name), times, options, default))
            {
                Check(Naive(stream, 0, LastUntil(time), options), Ask(() => answer, out _), $"{stream.Name} along times, at {time}");
            }
        }

        // Of the events that the lists know: those of the vault's own streams lie in no state.
        private long LastUntil(long time) => _streams.SelectMany(s => s.Events).Where(e => e.RecordedAt <= time).Select(e => e.Position)
            .Concat(_changed.Where(c => c.At <= time).Select(c => c.Position)).DefaultIfEmpty(-1).Max();

        private static NaiveAnswer Ask(Func<StateAnswer?> ask, out EarliestMoment? earliest)
        {
            earliest = null;
            try
            {
                return ask() is { } a
                    ? new NaiveAnswer(null, a.Exists, a.Deleted, a.Version.Value, a.Position.Value, a.RecordedAt, a.OccurredAt, a.State?.Json() ?? "", a.PartialFrom?.Value)
                    : new NaiveAnswer(null);
            }
            catch (Exception e) when (e is StreamNotFoundException or StreamTombstonedException or HistoryTruncatedException or IncompleteHistoryException)
            {
                earliest = (e as HistoryTruncatedException)?.Earliest;
                return new NaiveAnswer(e.GetType());
            }
        }

        private void Check(NaiveAnswer expected, NaiveAnswer actual, string about) =>
            Assert.True(expected == actual, $"{_about}: {about}\nexpected {expected}\nactual   {actual}\n{string.Join("\n", _done)}");
    }
}
