using System.Globalization;
using System.Text;
using EventVault.Storage;
using EventVault.Storage.Log;
using EventVault.Temporal.Reducers;

namespace EventVault.Temporal.Tests;

/// <summary>
/// The central promise: two nodes with the same log answer alike, also if a scavenge rewrote the segments on one of them alone. Every
/// answer that there is, before the rewrite, behind it, and after a restart: the same, or the same error.
/// </summary>
public sealed class RewriteTests
{
    private static readonly Reducer[] Reducers = [SlotsReducer.Parse("n = COUNT(*), s = SUM(v)"), SlotsReducer.Parse("l = LAST(v)")];

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    [InlineData(7)]
    [InlineData(6)]
    public void Every_answer_is_the_same_before_a_rewrite_behind_it_and_after_a_restart(int seed)
    {
        using var vault = new TestVault();
        var random = new Random(seed);
        Fill(vault, random);
        vault.Scavenge(isDone: false);
        var before = Answers(vault);
        var times = Enumerable.Range(0, (int)vault.Reader.Head.Value + 1).Select(p => vault.Reader.RecordedAt(new Position(p))).ToList();
        while (vault.Storage.StepBackground() || vault.Storage.Scavenger.Step(vault.Storage.CommitIndex))
        {
        }

        // It took events away, and with them positions and times.
        Assert.Contains(times.Index(), t => !vault.Reader.IsThere(new Position(t.Index)) && vault.Reader.RecordedAt(new Position(t.Index)) != t.Item);
        Assert.True(before.Values.Distinct().Count() > 50);
        Same(before, Answers(vault), "behind the rewrite");
        vault.Restart(loseIndex: seed % 2 == 0);
        Same(before, Answers(vault), "after the restart");

        void Same(Dictionary<string, string> expected, Dictionary<string, string> actual, string when)
        {
            foreach (var (asked, answer) in expected)
            {
                Assert.True(answer == actual[asked], $"Seed {seed}, {asked}, {when}:\nbefore {answer}\nnow    {actual[asked]}");
            }
        }
    }

    private static void Fill(TestVault vault, Random random)
    {
        using var kept = new StateSnapshots(vault.Files, vault.StateFolder, vault.Storage.VaultId, new StateSnapshotRule(8, 0));
        var reader = new StateReader(vault.Reader, kept, FoldLimits.Default);
        for (var step = 0; step < 70; step++)
        {
            var stream = $"s-{random.Next(4)}";
            var (first, last) = (vault.Reader.FirstVisible(vault.Stream(stream)), vault.Reader.LastVersion(vault.Stream(stream)));
            switch (random.Next(16))
            {
                case 0 when last >= first:
                    vault.Change(StreamChangeKind.Delete, stream);
                    break;
                case 1 or 2 when last > first:
                    var until = new StreamVersion(random.NextInt64(first.Value + 1, last.Value + 2));
                    var anchor = random.Next(3) > 0 ? reader.MakeAnchor(Reducers[0], vault.Stream(stream), until, default) : null;
                    vault.Change(StreamChangeKind.Truncate, stream, until.Value, anchor is null ? [] : [anchor.Value]);
                    break;
                case 3 or 4:
                    // Something else between the events of a stream, and enough of it that segments get sealed.
                    vault.Append("filler", $$"""{"x":"{{new string('x', 40_000)}}"}""");
                    break;
                default:
                    vault.Append(stream, Enumerable.Range(0, random.Next(1, 4)).Select(_ => (
                        $$"""{"v":{{random.Next(100)}},"x":"{{new string('x', 900)}}"}""", random.Next(3) == 0 ? vault.Now - random.Next(300) : (long?)null)));
                    break;
            }
        }

        for (var i = 0; i < 10; i++)
        {
            vault.Append("filler", $$"""{"x":"{{new string('x', 40_000)}}"}""");
        }
    }

    // All that can be asked, by what is asked. With states kept on the way: they change no answer, neither.
    private static Dictionary<string, string> Answers(TestVault vault)
    {
        using var kept = new StateSnapshots(vault.Files, vault.StateFolder, vault.Storage.VaultId, new StateSnapshotRule(8, 0));
        var (reader, answers, head) = (new StateReader(vault.Reader, kept, FoldLimits.Default), new Dictionary<string, string>(StringComparer.Ordinal), vault.Reader.Head);
        foreach (var options in (StateOptions[])[new(null, false, long.MaxValue), new(null, true, long.MaxValue), new(SomeEvent.Time + 250, true, long.MaxValue)])
        {
            for (var s = 0; s < 5; s++)
            {
                var stream = vault.Stream($"s-{s}"); // The last one there never was.
                for (var r = 0; r < Reducers.Length; r++)
                {
                    var (reducer, about) = (Reducers[r], $"s-{s}, reducer {r}, {options.Occurred}, {options.AllowPartial}");
                    for (var position = Position.None; position <= head; position += 1)
                    {
                        answers[$"{about}, position {position}"] = Told(() => reader.Read(reducer, stream, position, options, default));
                    }

                    for (var version = new StreamVersion(0); version <= vault.Reader.LastVersion(stream) + 1; version += 1)
                    {
                        answers[$"{about}, version {version}"] = Told(() => reader.ReadAtVersion(reducer, stream, version, options, default));
                    }

                    for (var time = SomeEvent.Time - 5; time <= vault.Now + 5; time += 5)
                    {
                        var at = options with { CutTime = time };
                        answers[$"{about}, time {time}"] = Told(() => reader.Read(reducer, stream, vault.Reader.LastAtOrBefore(time), at, default));
                    }

                    if (options.Occurred is null)
                    {
                        Histories(vault, reader, reducer, stream, options, about, answers);
                    }
                }

                answers[$"s-{s}, {options.AllowPartial}, fold of a client"] = string.Join('\n', Enumerable.Range(0, (int)head.Value + 1).Select(
                    p => Told(() => reader.StartFold("f", stream, new Position(p), options.AllowPartial) is var f ? $"{f.Exists} {f.Deleted} {f.First} {f.Last} {f.PartialFrom}" : "")));
            }
        }

        for (var time = SomeEvent.Time - 5; time <= vault.Now + 5; time += 5)
        {
            answers[$"names, time {time}"] = Names(vault.Reader.LastAtOrBefore(time));
        }

        for (var position = Position.None; position <= head; position += 1)
        {
            answers[$"names, position {position}"] = Names(position);
        }

        return answers;

        string Names(Position cut) => string.Join(' ', vault.Storage.Streams.ListCategoryAsOf("s"u8, cut, [], 100, 100, out _).Select(n => Encoding.UTF8.GetString(n)));
    }

    private static void Histories(
        TestVault vault, StateReader reader, Reducer reducer, StreamReference stream, StateOptions options, string about, Dictionary<string, string> answers)
    {
        var head = vault.Reader.Head;
        for (var at = 0L; at <= head.Value; at++)
        {
            var time = SomeEvent.Time + (at * (vault.Now - SomeEvent.Time) / head.Value / 5 * 5);
            foreach (var every in (long[])[0, 1, 5])
            {
                Add($"from position {at}", new HistoryRange(new Position(at), head, every), options);
                Add($"until position {at}", new HistoryRange(null, new Position(at), every), options);
                Add($"from time {time}", new HistoryRange(null, head, every) { FromTime = time }, options);
                foreach (var end in (long[])[time + 5, time + 100])
                {
                    var until = new HistoryRange(null, vault.Reader.LastAtOrBefore(end), every);
                    Add($"until time {end}", until, options with { CutTime = end });
                    Add($"from time {time} until {end}", until with { FromTime = time }, options with { CutTime = end });
                }
            }
        }

        void Add(string range, HistoryRange asked, StateOptions with) => answers[$"{about}, history {range}, every {asked.EveryEvents}"] =
            Told(() => string.Join('\n', reader.ReadHistory(reducer, stream, asked, with, default).Select(Text)));
    }

    private static string Text(StateAnswer answer) => string.Create(
        CultureInfo.InvariantCulture,
        $"{answer.Exists} {answer.Deleted} {answer.Version} {answer.Position} {answer.RecordedAt} {answer.OccurredAt} {answer.State?.Json()} {answer.PartialFrom}");

    private static string Told(Func<StateAnswer> ask) => Told(() => Text(ask()));

    private static string Told(Func<string> ask)
    {
        try
        {
            return ask();
        }
        catch (HistoryTruncatedException e)
        {
            return $"truncated, earliest {e.Earliest}";
        }
        catch (IncompleteHistoryException e)
        {
            return $"incomplete, earliest {e.Earliest}";
        }
        catch (Exception e) when (e is StreamNotFoundException or VersionNotReachedException)
        {
            return e.GetType().Name;
        }
    }
}
