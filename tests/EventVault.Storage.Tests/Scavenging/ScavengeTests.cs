using System.Text;
using EventVault.Storage.Index;
using EventVault.Storage.Io;
using EventVault.Storage.Log;
using EventVault.Storage.Scavenging;
using EventVault.Storage.Tests.Log;
using EventVault.Storage.Tests.Simulated;

namespace EventVault.Storage.Tests.Scavenging;

/// <summary>A scavenge gives space back, and no read tells that it ran.</summary>
public sealed class ScavengeTests
{
    private const int Horizon = 64; // Appends whose ids are kept, in tests of what is behind it.
    private const string LogFolder = SmallVault.Directory + "/log";
    private const string IndexFolder = SmallVault.Directory + "/index";

    // Found by the model of reads: the start was refused, and an old stop would have been the last word.
    [Fact]
    public void A_segment_that_is_walked_again_after_its_index_was_lost_says_nothing_new_of_scavenges()
    {
        var vault = new SmallVault();
        vault.Write(vault.Scavenge());
        vault.Write(vault.Scavenge(ScavengeChange.Stop));
        vault.Flush();
        for (var i = 0; vault.Storage.SegmentCounts.Sealed < 2; i++)
        {
            vault.Append("a", 5_000);
            vault.StepAll();
            if (vault.Storage.SegmentCounts == (1, 1) && vault.Storage.Lives.Scavenge.IsStopped)
            {
                vault.Write(vault.Scavenge()); // In the second segment.
                vault.Flush();
            }
        }

        var mark = vault.Storage.Lives.Scavenge;
        Assert.False(mark.IsStopped);
        foreach (var lost in (string[][])[["00000000000000000000.ix"], ["00000000000000000001.ix"], ["00000000000000000000.ix", "00000000000000000001.ix"]])
        {
            vault.Stop();
            foreach (var name in lost)
            {
                vault.Files.DeleteFile($"{SmallVault.Directory}/index/{name}");
            }

            vault.Reopen();
            Assert.Equal(mark, vault.Storage.Lives.Scavenge);
        }
    }

    [Fact]
    public void Every_read_is_the_same_before_during_and_after()
    {
        var vault = ScavengeVaults.Mixed();
        vault.Model.Check(vault.Storage, new Random(1));
        vault.Write(vault.Scavenge());
        vault.Flush();
        vault.StepAll();
        var steps = 0;
        while (vault.Storage.Scavenger.Step(vault.Storage.CommitIndex))
        {
            if (++steps % 7 == 0)
            {
                vault.Model.CheckAll(vault.Storage.Reader);
                vault.Model.CheckStreams(vault.Storage.Reader);
            }
        }

        var progress = vault.Storage.Scavenger.Progress;
        Assert.Equal(ScavengeState.Done, progress.State);
        Assert.True(progress.SegmentsRewritten > 3 && progress.BytesFreed > 3 * 32 * 1024, progress.ToString());
        CheckEverything(vault);
        vault.Stop();
        Assert.Empty(LogVerifier.Verify(vault.Files, SmallVault.Directory).Damage);
        vault.Reopen();
        CheckEverything(vault);
        Assert.Equal([3ul, 4], vault.Storage.Raft.TermRuns.Select(r => r.Term.Value));
        Assert.Equal([1, 2, 3], Assert.Single(vault.Storage.Raft.Memberships).Content);
    }

    [Fact]
    public void A_segment_of_which_nothing_is_left_takes_little_and_keeps_its_positions()
    {
        var vault = new SmallVault(horizon: 16);
        for (var i = 0; i < 400; i++)
        {
            vault.Append($"s-{i % 3}", 1000);
            vault.StepAll();
        }

        for (var i = 0; i < 3; i++)
        {
            vault.Write(vault.Change(StreamChangeKind.Delete, $"s-{i}"));
        }

        vault.Flush();
        vault.ScavengeAll();
        var empty = vault.Storage.View.Sealed.Where(s => s.Index.KeptCount == 0).ToList();
        Assert.True(empty.Count > 3);
        Assert.All(empty.Take(3), s => Assert.Equal(3 * 4096, s.FileLength));
        Assert.All(empty, s => Assert.True(s.Record.EventCount > 30 && s.Index.Mark.LengthBytes < 1200, $"{s.Index.Mark}"));

        // One page goes over all that is left of a segment.
        var sink = new CompareSink([], backwards: false);
        Assert.Equal((int)empty[0].Record.EventCount, vault.Storage.Reader.ReadAll(empty[0].FirstPosition, new Position(long.MaxValue), false, ref sink));
        Assert.Equal((int)empty[0].Record.EventCount, vault.Storage.Reader.ReadAll(empty[0].Record.LastPosition, new Position(0), true, ref sink));
        vault.Model.CheckAll(vault.Storage.Reader);
        vault.Model.CheckStreams(vault.Storage.Reader);
        vault.Stop();
        Assert.Empty(LogVerifier.Verify(vault.Files, SmallVault.Directory).Damage);
    }

    // The leader's floor stands in the event: appends before it are forgotten, those behind it answered as ever.
    [Fact]
    public void Operation_ids_within_the_horizon_answer_for_events_that_are_gone_and_others_do_not()
    {
        var vault = new SmallVault(horizon: Horizon);
        for (var i = 0; i < 300; i++)
        {
            vault.Append($"s-{i % 3}", 1000);
            vault.StepAll();
        }

        var before = vault.Storage.OperationFloor;
        Assert.True(before.Value > 100);
        vault.Write(vault.Change(StreamChangeKind.Delete, "s-0"), vault.Change(StreamChangeKind.Delete, "s-1"), vault.Change(StreamChangeKind.Delete, "s-2"));
        vault.Flush();
        vault.StepAll();
        vault.ScavengeAll();
        var floor = vault.Storage.OperationFloor;
        Assert.True(floor >= before);
        var (gone, kept) = (0, 0);
        foreach (var segment in vault.Storage.View.Sealed)
        {
            if (segment.Scavenged is not { } header)
            {
                continue;
            }

            gone += header.KeptAppends == 0 ? 1 : 0;
            kept += header.KeptAppends > 0 ? 1 : 0;
            Assert.Equal(segment.Record.LastPosition >= vault.Storage.Lives.Scavenge.Floor, header.KeptAppends > 0);
        }

        Assert.True(gone > 0 && kept > 0, $"{gone} without, {kept} with operation ids");
        foreach (var e in vault.Model.Events)
        {
            if (e.Position > floor.Value)
            {
                vault.Model.CheckOperation(vault.Storage, e.Append);
                var answer = vault.Storage.Reader.FindAppend(e.Append.Id)!;
                Assert.Equal(e.Append.Streams.Select(s => s.Stream), answer.Streams.Select(s => Encoding.UTF8.GetString(s)));
            }
        }

        Assert.Null(vault.Storage.Reader.FindAppend(vault.Model.Events[0].Append.Id));
        vault.Stop();
        CheckRebuilt(vault, Horizon);
    }

    [Fact]
    public void All_of_index_is_made_again_from_scavenged_segments_in_every_combination()
    {
        var vault = ScavengeVaults.Mixed();
        vault.ScavengeAll();
        vault.Stop();
        CheckRebuilt(vault, SmallVault.DefaultHorizon);
    }

    [Fact]
    public void Vaults_with_the_same_log_come_to_the_same_files()
    {
        var (one, other) = (ScavengeVaults.Mixed(), ScavengeVaults.Mixed());
        one.ScavengeAll();

        // The other one does it in two runs, with its index made again in between.
        other.Write(other.Scavenge());
        other.Flush();
        other.StepAll();
        while (other.Storage.Scavenger.Progress.SegmentsRewritten < 2)
        {
            Assert.True(other.Storage.Scavenger.Step(other.Storage.CommitIndex));
        }

        for (var i = 0; i < 3; i++)
        {
            Assert.True(other.Storage.Scavenger.Step(other.Storage.CommitIndex)); // In the middle of the third.
        }

        other.Stop();
        foreach (var name in other.Files.ListFiles(IndexFolder))
        {
            other.Files.DeleteFile($"{IndexFolder}/{name}");
        }

        other.Reopen();
        Assert.Equal(ScavengeState.Running, other.Storage.Scavenger.Progress.State);
        other.StepAll();
        other.StepScavenge();
        one.Stop();
        other.Stop();
        var files = Files(one);
        Assert.Equal(files.Keys, Files(other).Keys);
        foreach (var (name, bytes) in Files(other).Where(f => !IsLast(one, f.Key)))
        {
            Assert.True(files[name].AsSpan().SequenceEqual(bytes), $"{name} differs");
        }
    }

    // What goes is a function of the point, and which segments are worth it of what stands in them: here all of them are, each time.
    [Fact]
    public void Two_scavenges_one_after_the_other_come_to_what_the_second_alone_does()
    {
        var (twice, once) = (ScavengeVaults.Mixed(), ScavengeVaults.Mixed());
        foreach (var vault in (SmallVault[])[twice, once])
        {
            vault.Write(vault.Scavenge());
            vault.Flush();
            vault.StepAll();
            if (vault == twice)
            {
                vault.StepScavenge();
            }

            vault.Write(vault.Change(StreamChangeKind.Delete, "stays"), vault.Change(StreamChangeKind.Delete, "cut"));
            vault.Flush();
            Assert.Equal(ScavengeState.Done, vault.ScavengeAll().State);
            CheckEverything(vault);
        }

        var sections = twice.Storage.View.Sealed.Zip(once.Storage.View.Sealed).Where(p => p.First.Scavenged?.Point == p.Second.Scavenged?.Point && p.First.Scavenged is not null).ToList();
        Assert.True(sections.Count > 3);
        Assert.All(sections, p => Assert.Equal(p.Second.Scavenged!.Digest, p.First.Scavenged!.Digest));
        var before = twice.Storage.Scavenger.Progress;
        var after = twice.ScavengeAll();
        Assert.Equal((0, before.BytesFreed), (after.SegmentsRewritten, after.BytesFreed)); // Nothing more to do.
    }

    [Fact]
    public void What_is_hidden_behind_the_point_stays_and_so_does_what_little_would_go()
    {
        var vault = new SmallVault();
        for (var i = 0; i < 200; i++)
        {
            vault.Append(i % 20 == 0 ? "rare" : "often", 1000);
            vault.StepAll();
        }

        vault.Write(vault.Change(StreamChangeKind.Delete, "rare"), vault.Scavenge(), vault.Change(StreamChangeKind.Delete, "often"));
        vault.Flush();
        vault.StepAll();
        var progress = vault.StepScavenge();
        Assert.Equal((ScavengeState.Done, 0, 0L), (progress.State, progress.SegmentsRewritten, progress.BytesFreed));
        Assert.True(progress.SegmentsTotal >= 3 && progress.SegmentsDone == progress.SegmentsTotal);
        progress = vault.ScavengeAll();
        Assert.Equal(progress.SegmentsTotal, progress.SegmentsRewritten);
        vault.Model.Check(vault.Storage, new Random(1));
    }

    [Fact]
    public void Streams_under_a_legal_hold_are_kept_and_go_once_it_ends()
    {
        var vault = new SmallVault();
        for (var i = 0; i < 200; i++)
        {
            vault.Append(i % 2 == 0 ? "case-1" : "free-1", 1000);
            vault.StepAll();
        }

        vault.Write(vault.Change(StreamChangeKind.Delete, "case-1"), vault.Change(StreamChangeKind.Delete, "free-1"));
        vault.Write(vault.Retain(RetentionScope.Category, "case", new RetentionRule { LegalHold = true }));
        vault.Flush();
        var explained = vault.Storage.Scavenger.Explain(0, 100, CancellationToken.None, out _);
        Assert.All(explained.Where(e => e.Rewrites), e => Assert.True(e.HeldEvents > 10 && e.RemovableEvents > 10));
        vault.ScavengeAll();
        Assert.All(vault.Storage.View.Sealed.Where(s => s.Scavenged is not null), s => Assert.InRange(s.Index.KeptCount, 1, (int)s.Record.EventCount - 10));
        vault.Write(vault.Retain(RetentionScope.Category, "case", null));
        vault.Flush();
        vault.ScavengeAll();
        Assert.Contains(vault.Storage.View.Sealed, s => s.Index.KeptCount == 0);
        vault.Model.CheckAll(vault.Storage.Reader);
    }

    // What is held now was not held at its point: it would remove it.
    [Fact]
    public void A_legal_hold_that_is_set_behind_its_point_stops_it_for_good()
    {
        var vault = ScavengeVaults.Mixed();
        vault.Write(vault.Scavenge());
        vault.Flush();
        vault.StepAll();
        while (vault.Storage.Scavenger.Progress.SegmentsRewritten < 1)
        {
            Assert.True(vault.Storage.Scavenger.Step(vault.Storage.CommitIndex));
        }

        vault.Write(vault.Retain(RetentionScope.Stream, "other", new RetentionRule { MaxEvents = 5 }));
        vault.Flush();
        Assert.Equal(ScavengeState.Running, vault.Storage.Scavenger.Progress.State);
        vault.Write(vault.Retain(RetentionScope.Stream, "dead", new RetentionRule { LegalHold = true }));
        Assert.Equal(ScavengeState.Running, vault.Storage.Scavenger.Progress.State); // Pending.
        vault.Flush();
        CheckStopped();
        vault.Write(vault.Retain(RetentionScope.Stream, "dead", null)); // It ends: nodes that came later stop all the same.
        vault.Flush();
        CheckStopped();
        vault.Stop();
        vault.Reopen();
        CheckStopped();
        vault.Lead(5);
        vault.Append("big", 50_000);
        vault.Append("big", 50_000);
        vault.StepAll(); // Now by the state table.
        vault.Stop();
        vault.Reopen();
        CheckStopped();
        vault.Stop();
        vault.Files.DeleteFile(IndexFolder + "/state");
        vault.Reopen();
        CheckStopped();
        vault.Lead(6);
        vault.Write(vault.Retain(RetentionScope.Stream, "dead", new RetentionRule { LegalHold = true }));
        vault.Flush();
        vault.StepAll();
        Assert.Equal(ScavengeState.Done, vault.ScavengeAll().State);
        Assert.True(vault.Storage.Scavenger.Progress.SegmentsRewritten > 1);
        Assert.Contains(vault.Storage.Scavenger.Explain(0, 100, CancellationToken.None, out _), e => e.HeldEvents > 0);
        CheckEverything(vault);

        void CheckStopped()
        {
            Assert.False(vault.Storage.Scavenger.Step(vault.Storage.CommitIndex));
            var progress = vault.Storage.Scavenger.Progress;
            Assert.Equal((ScavengeState.Stopped, 1, true), (progress.State, progress.SegmentsRewritten, progress.IsStoppedByHold));
            Assert.Contains("a legal hold was set", progress.Why, StringComparison.Ordinal);
        }
    }

    // Whoever stops one has a reason, and a hold does not take it back.
    [Fact]
    public void Who_stops_a_scavenge_is_told_apart_from_a_hold()
    {
        var started = new ScavengeMark(new Position(50), 9, new Position(41), false, new Position(50));
        var stop = ScavengeMark.None with { IsStopped = true, At = new Position(60) };
        Assert.True(started.Join(ScavengeMark.Hold(new Position(55))) is { IsStopped: true, IsByHold: true });
        Assert.True(started.Join(ScavengeMark.Hold(new Position(55))).Join(stop) is { IsStopped: true, IsByHold: false });
        Assert.True(started.Join(stop).Join(ScavengeMark.Hold(new Position(65))) is { IsStopped: true, IsByHold: false });
        Assert.True(ScavengeMark.None.Join(ScavengeMark.Hold(new Position(45))).Join(started) is { IsStopped: false, IsByHold: false });
    }

    // What a first scavenge kept for retries goes with a later one, though no event goes with it.
    [Fact]
    public void Operation_ids_that_one_scavenge_kept_go_with_a_later_one()
    {
        var vault = new SmallVault(horizon: Horizon);
        for (var i = 0; i < 800; i++)
        {
            vault.Append(i % 2 == 0 ? "gone" : "stays", 100);
            vault.StepAll();
        }

        vault.Write(vault.Change(StreamChangeKind.Delete, "gone"));
        vault.Flush();
        vault.ScavengeAll();
        var kept = vault.Storage.View.Sealed.Where(s => s.Scavenged is { KeptAppends: > 0 }).ToList();
        Assert.NotEmpty(kept);
        for (var i = 0; i < 3 * Horizon; i++)
        {
            vault.Append("later", 1000);
            vault.StepAll();
        }

        Assert.True(vault.Storage.OperationFloor > kept[^1].Record.LastPosition);
        var explained = vault.Storage.Scavenger.Explain(0, Scavenger.MostExplained, CancellationToken.None, out _);
        Assert.All(kept, s => Assert.True(explained[(int)s.Record.Segment] is { Rewrites: true, RemovableEvents: 0, RemovableBytes: > 0 }, $"{explained[(int)s.Record.Segment]}"));
        var freed = vault.Storage.Scavenger.Progress.BytesFreed;
        Assert.True(vault.ScavengeAll().BytesFreed > freed);
        Assert.All(kept, s => Assert.Equal(0, vault.Storage.View.Sealed[s.Record.Segment].Scavenged!.KeptAppends));
        Assert.DoesNotContain(vault.Storage.Scavenger.Explain(0, Scavenger.MostExplained, CancellationToken.None, out _), e => e.Rewrites);
        vault.Model.CheckAll(vault.Storage.Reader);
        vault.Model.CheckStreams(vault.Storage.Reader);
    }

    // The id was found, and then its segment was written anew without ids.
    [Fact]
    public void An_answer_that_a_scavenge_removed_meanwhile_is_no_answer()
    {
        var vault = new SmallVault(horizon: Horizon);
        var retried = vault.Event("gone", 100);
        vault.Write(retried);
        vault.Flush();
        for (var i = 0; i < 3 * Horizon; i++)
        {
            vault.Append("gone", 1000);
            vault.StepAll();
        }

        var place = new OperationPlace(0, 4096);
        var content = retried.Content(vault.Storage);
        Assert.NotNull(vault.Storage.Reader.ReadAnswer(place, content));
        vault.Write(vault.Change(StreamChangeKind.Delete, "gone"));
        vault.Flush();
        vault.ScavengeAll();
        Assert.Equal(0, vault.Storage.View.Sealed[0].Scavenged!.KeptAppends);
        Assert.Null(vault.Storage.Reader.ReadAnswer(place, content));
        Assert.Null(vault.Storage.Reader.FindAppend(retried.Id));
    }

    [Fact]
    public void A_scavenge_that_is_stopped_stays_so_over_a_restart_and_another_one_goes_on()
    {
        var vault = ScavengeVaults.Mixed();
        Assert.Equal(ScavengeState.Never, vault.Storage.Scavenger.Progress.State);
        Assert.False(vault.Storage.Scavenger.Step(vault.Storage.CommitIndex));
        vault.Write(vault.Scavenge());
        vault.Flush();
        vault.StepAll();
        while (vault.Storage.Scavenger.Progress.SegmentsRewritten < 1)
        {
            Assert.True(vault.Storage.Scavenger.Step(vault.Storage.CommitIndex));
        }

        Assert.True(vault.Storage.Scavenger.Step(vault.Storage.CommitIndex) && vault.Storage.Scavenger.Step(vault.Storage.CommitIndex));
        vault.Write(vault.Scavenge(ScavengeChange.Stop));
        vault.Flush();
        Assert.False(vault.Storage.Scavenger.Step(vault.Storage.CommitIndex));
        Assert.Equal((ScavengeState.Stopped, 1), (vault.Storage.Scavenger.Progress.State, vault.Storage.Scavenger.Progress.SegmentsRewritten));
        Assert.DoesNotContain(vault.Files.ListFiles(LogFolder), n => n.StartsWith("scavenge", StringComparison.Ordinal));
        vault.Append("big", 50_000);
        vault.Append("big", 50_000);
        vault.StepAll(); // The state table has it now.
        vault.Stop();
        vault.Reopen();
        Assert.Equal(ScavengeState.Stopped, vault.Storage.Scavenger.Progress.State);
        Assert.False(vault.Storage.Scavenger.Step(vault.Storage.CommitIndex));
        vault.Lead(5);
        vault.Flush();
        Assert.Equal(ScavengeState.Done, vault.ScavengeAll().State);
        CheckEverything(vault);
    }

    // Groups that another node lacks are not taken away, and whoever asks for one that is gone is told so.
    [Fact]
    public void Only_what_all_nodes_hold_is_touched_and_its_groups_are_refused_from_then_on()
    {
        var vault = ScavengeVaults.Mixed();
        vault.Write(vault.Scavenge());
        vault.Flush();
        vault.StepAll();
        var held = vault.Storage.View.Sealed[1].Record.LastLogIndex;
        while (vault.Storage.Scavenger.Step(held))
        {
        }

        var progress = vault.Storage.Scavenger.Progress;
        Assert.Equal((ScavengeState.Waiting, 2), (progress.State, progress.SegmentsDone));
        Assert.Contains("not all nodes", progress.Why, StringComparison.Ordinal);
        var first = vault.Storage.FirstGroup;
        Assert.Equal(held.Value + 1, first.Value);
        Assert.NotEmpty(vault.Storage.ReadGroup(first));
        Assert.Equal(first, Assert.Throws<ScavengedGroupException>(() => vault.Storage.ReadGroup(held)).First);
        Assert.Throws<ScavengedGroupException>(() => vault.Storage.ReadGroups(held, first, 10, 1_000_000, []));
        Assert.Equal(ScavengeState.Done, vault.StepScavenge().State);
    }

    [Fact]
    public void A_removed_event_proves_nothing()
    {
        var vault = new SmallVault();
        var append = new ModelAppend(500_000, [("a", ExpectedKind.NoStream, -1, [Encoded.Event(501, "T", new byte[9000]), Encoded.Event(502, "T", "2"u8)])]);
        vault.Write(append);
        vault.Flush();
        Assert.NotNull(AppendProof.Find(vault.Storage.Reader, append.Content(vault.Storage)));
        vault.Append("b", 50_000);
        vault.Write(vault.Change(StreamChangeKind.Truncate, "a", 1));
        vault.Flush();
        vault.Append("b", 50_000);
        vault.StepAll();
        vault.ScavengeAll();
        Assert.Equal(1, vault.Storage.View.Sealed[0].Index.KeptCount - vault.Storage.View.Sealed[0].Index.EventCount + 2);
        Assert.Null(AppendProof.Find(vault.Storage.Reader, append.Content(vault.Storage)));
    }

    private static void CheckEverything(SmallVault vault)
    {
        vault.Model.Check(vault.Storage, new Random(2));
        foreach (var append in vault.Model.Events.Select(e => e.Append).Distinct())
        {
            vault.Model.CheckOperation(vault.Storage, append);
        }
    }

    // Every combination of files that are gone, though not of each segment's.
    private static void CheckRebuilt(SmallVault vault, int horizon)
    {
        var scavenged = vault.Storage.View.Sealed.Where(s => s.Scavenged is not null).Select(s => Path.GetFileName(s.IndexPath)).ToList();
        var wanted = RebuildTests.IndexContent.Read(vault.Files, vault.Storage.Meta.SipKey, horizon);
        var state = Read(vault.Files, IndexFolder + "/state");
        var kinds = new Func<string, bool>[]
        {
            name => name is "heads" or "state",
            name => name == "catalog",
            name => name.StartsWith("operations", StringComparison.Ordinal),
            name => name == scavenged[0],
            name => name.EndsWith(".ix", StringComparison.Ordinal) && name != scavenged[0],
            name => name.EndsWith(".kx", StringComparison.Ordinal),
        };
        for (var combination = 1; combination < 1 << kinds.Length; combination++)
        {
            var files = vault.Copy();
            foreach (var name in files.ListFiles(IndexFolder))
            {
                if (Enumerable.Range(0, kinds.Length).Any(k => (combination >> k & 1) != 0 && kinds[k](name)))
                {
                    files.DeleteFile($"{IndexFolder}/{name}");
                }
            }

            using (var storage = SmallVault.Open(files, horizon: horizon))
            {
                vault.Model.CheckAll(storage.Reader);
                if (combination % 9 == 0)
                {
                    vault.Model.CheckStreams(storage.Reader);
                }

                while (storage.StepBackground())
                {
                }
            }

            wanted.AssertEqual(RebuildTests.IndexContent.Read(files, vault.Storage.Meta.SipKey, horizon));
            Assert.Equal(state, Read(files, IndexFolder + "/state"));
            Assert.Empty(LogVerifier.Verify(files, SmallVault.Directory).Damage);
        }
    }

    private static bool IsLast(SmallVault vault, string name) => name == SegmentHeader.FileName((uint)vault.Storage.View.Sealed.Length);

    // What both have to have in common: segments, indexes and keys, catalog and state.
    private static SortedDictionary<string, byte[]> Files(SmallVault vault)
    {
        var files = new SortedDictionary<string, byte[]>(StringComparer.Ordinal);
        foreach (var folder in (string[])[LogFolder, IndexFolder])
        {
            foreach (var name in vault.Files.ListFiles(folder).Where(n => n is not ("heads" or CleanStop.FileName or ActiveIndexFile.FileName) && !n.StartsWith("operations", StringComparison.Ordinal)))
            {
                files[name] = Read(vault.Files, $"{folder}/{name}");
            }
        }

        return files;
    }

    private static byte[] Read(SimulatedFileSystem files, string path)
    {
        using var file = files.OpenFile(path, FileOpening.ReadExisting);
        var bytes = new byte[file.Length];
        file.Read(0, bytes);
        return bytes;
    }
}
