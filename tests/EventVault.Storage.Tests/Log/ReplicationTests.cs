using EventVault.Storage.Io;
using EventVault.Storage.Log;
using EventVault.Storage.Tests.Simulated;

namespace EventVault.Storage.Tests.Log;

public sealed class ReplicationTests
{
    [Fact]
    public void A_follower_takes_appends_and_system_groups_and_shows_them_when_they_are_committed()
    {
        var pair = new ReplicaPair();
        pair.LeadSystem(GroupKind.Membership, [1, 2, 3]);
        pair.LeadSystem(GroupKind.NoOp, []);
        pair.Lead("a-1");
        pair.Send(new LogIndex(1), new LogIndex(3));
        Assert.Equal(-1, pair.Follower.Head.Value);
        Assert.Equal(0, pair.Follower.Tail.Last.Value);
        Assert.Equal(new LogIndex(0), pair.Follower.CommitIndex);
        Assert.Empty(pair.Follower.Streams.List(default, default, 10));

        pair.Follower.Commit(new LogIndex(2));
        Assert.Equal((-1L, 2ul), (pair.Follower.Head.Value, pair.Follower.CommitIndex.Value));
        pair.Follower.Commit(new LogIndex(3));
        Assert.Equal(0, pair.Follower.Head.Value);
        Assert.Single(pair.Follower.Streams.List(default, default, 10));
        for (var index = 1ul; index <= 3; index++)
        {
            Assert.Equal(pair.Leader.ReadGroup(new LogIndex(index)), pair.Follower.ReadGroup(new LogIndex(index)));
        }
    }

    [Fact]
    public void What_is_not_in_the_log_can_not_be_committed()
    {
        var pair = new ReplicaPair();
        pair.Lead("a-1");
        Assert.Throws<InvariantException>(() => pair.Leader.Commit(new LogIndex(2)));
        pair.Leader.Commit(new LogIndex(1));
        pair.Leader.Commit(new LogIndex(0)); // Known already: nothing to do.
        Assert.Equal(1ul, pair.Leader.CommitIndex.Value);
    }

    [Fact]
    public void Every_flipped_bit_of_a_peers_group_is_seen_but_in_the_part_that_is_the_peers_own()
    {
        var pair = new ReplicaPair();
        pair.Lead("a-1", dataBytes: 20);
        var bytes = pair.Leader.ReadGroup(new LogIndex(1));
        for (var bit = 0; bit < bytes.Length * 8; bit++)
        {
            bytes[bit / 8] ^= (byte)(1 << (bit % 8));
            var isOwnPart = bit / 8 is >= GroupHeader.SharedLength and < GroupHeader.Length;
            Assert.True(isOwnPart == pair.Follower.TryInspect(bytes, out _), $"Bit {bit}.");
            bytes[bit / 8] ^= (byte)(1 << (bit % 8));
        }

        Assert.False(pair.Follower.TryInspect(bytes.AsSpan(0, bytes.Length - 8), out _));
        Assert.False(pair.Follower.TryInspect((byte[])[.. bytes, 0, 0, 0, 0, 0, 0, 0, 0], out _));
        Assert.False(pair.Follower.TryInspect(bytes.AsSpan(0, 50), out _));
        Assert.False(new ReplicaPair(vaultSeed: 9).Follower.TryInspect(bytes, out _), "A group of another vault.");
        Assert.True(pair.Follower.TryInspect(bytes, out var group));
        Assert.Equal((1ul, 1ul, GroupKind.Appends, bytes.Length), (group.Index.Value, group.Term.Value, group.Kind, group.Length));
    }

    [Fact]
    public void A_group_that_does_not_follow_the_tail_is_not_taken_and_changes_nothing()
    {
        var pair = new ReplicaPair();
        pair.Lead("a-1");
        pair.Lead("a-1");
        pair.Lead("a-2");
        pair.Send(new LogIndex(1), new LogIndex(1));
        Assert.Equal(ReceiveCheck.Mismatch, pair.Receive(pair.Leader.ReadGroup(new LogIndex(1)))); // Again.
        Assert.Equal(ReceiveCheck.Mismatch, pair.Receive(pair.Leader.ReadGroup(new LogIndex(3)))); // One is missing.

        // Another history: same index, place and term, but behind another group.
        var other = new ReplicaPair();
        other.Lead("b-1");
        other.Lead("a-1");
        Assert.Equal(ReceiveCheck.Mismatch, pair.Receive(other.Leader.ReadGroup(new LogIndex(2))));

        // Of an earlier term than the tail.
        pair.Follower.BeginTerm(5);
        pair.LeadSystem(GroupKind.NoOp, [], pair.Follower);
        Assert.Equal(ReceiveCheck.Mismatch, pair.Receive(pair.Leader.ReadGroup(new LogIndex(3))));
        pair.Follower.BeginTerm(6);
        pair.Follower.Log.Truncate(pair.Follower.Tail.Truncate(new LogIndex(1)));
        pair.Send(new LogIndex(2), new LogIndex(3));
        pair.Follower.Commit(new LogIndex(3));
        Assert.Equal(2, pair.Follower.Head.Value);
    }

    [Fact]
    public void A_group_that_opens_a_segment_waits_for_a_prepared_one_and_opens_it_where_the_leader_did()
    {
        var pair = new ReplicaPair();
        pair.Lead("a-1", 40_000);
        pair.Lead("a-1", 40_000);
        pair.Send(new LogIndex(1), new LogIndex(1));
        var bytes = pair.Leader.ReadGroup(new LogIndex(2));
        var buffer = new GroupBuffer();
        Assert.Equal(ReceiveCheck.NoRoom, pair.Follower.Tail.Receive(buffer, bytes));
        Assert.Equal((1ul, 1), (pair.Follower.Tail.LastIndex.Value, pair.Follower.SegmentCounts.Unsealed));
        pair.Send(new LogIndex(2), new LogIndex(2));
        Assert.Equal((2ul, 2), (pair.Follower.Tail.LastIndex.Value, pair.Follower.SegmentCounts.Unsealed));
        Assert.Equal(bytes, pair.Follower.ReadGroup(new LogIndex(2)));
    }

    [Fact]
    public void Whether_a_group_may_open_a_segment_counts_the_segments_that_will_be_left()
    {
        // Simulation (seed 34195931111876): a follower took a leader's groups because its own group stood there, cut that off,
        // freed no segment by it, and stopped because there was no room for the next one.
        var pair = new ReplicaPair();
        pair.Diverge(term: 2, groups: 3, dataBytes: 40_000); // One to a segment.
        for (var i = 0; pair.Follower.SegmentCounts.Unsealed < 4; i++)
        {
            pair.LeadSystem(GroupKind.Membership, new byte[9_000], pair.Follower);
            Assert.True(i < 10);
        }

        while (pair.Follower.StepBackground())
        {
        }

        var tail = pair.Follower.Tail;
        var last = tail.LastIndex;
        Assert.False(tail.CanOpenSegment(last, opened: 0), "Four are unsealed, and all of them stay.");
        Assert.True(tail.CanOpenSegment(new LogIndex(2), opened: 0), "The third and fourth go.");
        Assert.False(tail.CanOpenSegment(new LogIndex(2), opened: 1), "There is one spare.");
    }

    [Fact]
    public void Groups_are_read_within_bounds_wherever_they_stand()
    {
        var pair = new ReplicaPair();
        var content = new byte[] { 7, 8, 9 };
        for (var i = 0; i < 60; i++)
        {
            if (i % 10 == 3)
            {
                pair.LeadSystem(i % 20 == 3 ? GroupKind.Membership : GroupKind.NoOp, i % 20 == 3 ? content : []);
            }
            else
            {
                pair.Lead($"a-{i}", 4_000);
            }

            pair.Leader.Commit(new LogIndex((ulong)Math.Max(0, i - 4)));
            pair.Leader.StepBackground();
        }

        Assert.True(pair.Leader.SegmentCounts is ( > 0, > 1));
        var all = new List<StoredGroup>();
        pair.Leader.ReadGroups(new LogIndex(1), new LogIndex(999), 1000, long.MaxValue, all);
        Assert.Equal(Enumerable.Range(1, 60).Select(i => (ulong)i), all.Select(g => g.Index.Value));
        Assert.Equal([4ul, 24, 44], all.Where(g => g.Kind == GroupKind.Membership).Select(g => g.Index.Value));
        Assert.All(all, g => Assert.Equal(g.Kind == GroupKind.Membership ? content : [], g.SystemContent));
        Assert.All(all, g => Assert.Equal(g.Length, pair.Leader.ReadGroup(g.Index).Length));
        var random = new Random(1);
        for (var i = 0; i < 500; i++)
        {
            var (from, until, most, bytes) = (random.Next(1, 61), random.Next(1, 70), random.Next(1, 20), random.Next(50_000));
            var some = new List<StoredGroup>();
            pair.Leader.ReadGroups(new LogIndex((ulong)from), new LogIndex((ulong)until), most, bytes, some);
            var wanted = all.Skip(from - 1).Take(Math.Max(0, until - from + 1)).Take(most).ToList();
            var total = 0L;
            var count = wanted.TakeWhile((g, n) => (total += g.Length) <= bytes || n == 0).Count();
            Assert.Equal(wanted.Take(count).Select(g => g.Index), some.Select(g => g.Index));
        }
    }

    [Fact]
    public void What_is_truncated_was_never_there()
    {
        var pair = new ReplicaPair();
        pair.Lead("a-1");
        pair.Lead("d-1");
        pair.Send(new LogIndex(1), new LogIndex(2));
        pair.Follower.Commit(new LogIndex(1));
        pair.Diverge(term: 2, groups: 30, dataBytes: 5_000);
        Assert.True(pair.Follower.SegmentCounts.Unsealed > 2);
        Assert.Equal(3 - 1 + 29, pair.Follower.Tail.Last.Value);

        pair.Follower.BeginTerm(3);
        var order = pair.Follower.Tail.Truncate(new LogIndex(2));
        Assert.Equal((2ul, 3ul), (order.Last.Value, order.Term.Value));
        Assert.Equal((2ul, 1L, 1ul), (pair.Follower.Tail.LastIndex.Value, pair.Follower.Tail.Last.Value, pair.Follower.Tail.LastTerm.Value));
        Assert.Equal((0, 1), pair.Follower.SegmentCounts);
        AssertTail(pair.Follower, ("a-1", 0), ("d-1", 0), ("d-0", -1), ("d-2", -1));
        pair.Follower.Log.Truncate(order);
        Assert.Equal(2ul, pair.Follower.Log.Durable.Value);
        Assert.Single(pair.FollowerFiles.ListFiles("/vault/log"), n => n.EndsWith(".seg", StringComparison.Ordinal));

        pair.Lead("d-0");
        pair.Send(new LogIndex(3), new LogIndex(3));
        pair.Follower.Commit(new LogIndex(3));
        AssertTail(pair.Follower, ("a-1", 0), ("d-1", 0), ("d-0", 0), ("d-2", -1));
        Assert.Equal(["a-1", "d-0", "d-1"], pair.Follower.Streams.List(default, default, 10).Select(d => System.Text.Encoding.UTF8.GetString(d.Name)));
    }

    // Found by simulation (seed 20 at 97260d9): the list of a segment's new streams was kept by how many streams the segment
    // had, and after a truncation as many, but others, stood there.
    [Fact]
    public void A_stream_that_comes_in_the_place_of_a_truncated_one_is_listed()
    {
        var pair = new ReplicaPair();
        pair.Lead("old", 40_000);
        pair.Lead("first", 40_000); // Opens a segment.
        pair.Send(new LogIndex(1), new LogIndex(2));
        pair.Follower.Commit(new LogIndex(2));
        pair.Follower.BeginTerm(2);
        pair.Lead("old", on: pair.Follower);
        Assert.Equal(2, pair.Follower.Streams.List(default, default, 10).Count);
        pair.Follower.BeginTerm(3);
        pair.Follower.Log.Truncate(pair.Follower.Tail.Truncate(new LogIndex(2)));
        pair.Lead("second");
        pair.Send(new LogIndex(3), new LogIndex(3));
        pair.Follower.Commit(new LogIndex(3));
        Assert.Equal(3, pair.Follower.Streams.List(default, default, 10).Count);
    }

    [Fact]
    public void Committed_groups_and_groups_of_the_own_term_are_never_truncated()
    {
        var pair = new ReplicaPair();
        pair.Lead("a-1");
        pair.Lead("a-2");
        pair.Leader.Commit(new LogIndex(1));
        Assert.Throws<InvariantException>(() => pair.Leader.Tail.Truncate(new LogIndex(0)));
        Assert.Throws<InvariantException>(() => pair.Leader.Tail.Truncate(new LogIndex(2)));
        Assert.Throws<InvariantException>(() => pair.Leader.Tail.Truncate(new LogIndex(1)));
    }

    [Fact]
    public void A_group_of_an_older_term_that_came_after_a_truncation_survives_a_restart()
    {
        // The new leader of term 7 sends what it has of term 1: recovery must not take that for what was truncated.
        var pair = new ReplicaPair();
        pair.Lead("a-1");
        pair.Lead("a-1");
        pair.Send(new LogIndex(1), new LogIndex(1));
        pair.Diverge(term: 2, groups: 3);
        pair.Follower.BeginTerm(7);
        pair.Follower.Log.Truncate(pair.Follower.Tail.Truncate(new LogIndex(1)));
        pair.Send(new LogIndex(2), new LogIndex(2));
        pair.KillFollower();
        Assert.Equal((2ul, 1ul), (pair.Follower.Tail.LastIndex.Value, pair.Follower.Tail.LastTerm.Value));
        Assert.Equal(pair.Leader.ReadGroup(new LogIndex(2)), pair.Follower.ReadGroup(new LogIndex(2)));
    }

    [Theory]
    [InlineData(3, 60)]
    [InlineData(10, 14_000)]
    public void A_power_loss_anywhere_in_a_truncation_leaves_all_of_the_log_or_what_is_kept(int groups, int dataBytes)
    {
        var outcomes = new HashSet<ulong>();
        for (var operation = 1; ; operation++)
        {
            var ended = false;
            for (var seed = 0; seed < 3; seed++)
            {
                var pair = new ReplicaPair();
                pair.Lead("a-1");
                pair.Lead("a-2");
                pair.Send(new LogIndex(1), new LogIndex(2));
                pair.Diverge(term: 2, groups, dataBytes);
                pair.Follower.BeginTerm(3);
                var order = pair.Follower.Tail.Truncate(new LogIndex(2));
                pair.FollowerFiles.CrashAtOperation = pair.FollowerFiles.Operations + operation;
                try
                {
                    pair.Follower.Log.Truncate(order);
                    ended = true;
                }
                catch (SimulatedCrashException)
                {
                }

                pair.CutFollowersPower(new Random(seed));
                AssertNoDamage(pair);
                pair.ReopenFollower();
                var last = pair.Follower.Tail.LastIndex.Value;
                outcomes.Add(last);
                Assert.True(last == 2 || (!ended && last == 2 + (ulong)groups), $"Operation {operation}: {last} groups.");
                if (last == 2)
                {
                    pair.Lead("a-1");
                    pair.Send(new LogIndex(3), new LogIndex(3));
                    pair.KillFollower();
                    Assert.Equal(3ul, pair.Follower.Tail.LastIndex.Value);
                }
            }

            if (ended)
            {
                Assert.Equal(2, outcomes.Count);
                return;
            }
        }
    }

    [Fact]
    public void The_group_for_which_a_segment_was_sealed_can_not_be_torn()
    {
        var vault = new SmallVault();
        vault.Append("a-1", 40_000);
        vault.Append("a-1", 40_000);
        vault.StepAll();
        Assert.Equal((1, 1), vault.Storage.SegmentCounts);
        vault.Kill();
        using (var file = vault.Files.OpenFile("/vault/log/" + SegmentHeader.FileName(1), FileOpening.Existing))
        {
            file.Write(Blocks.Size, new byte[48_000]);
            file.Flush();
        }

        var e = Assert.Throws<DamageException>(vault.Reopen);
        Assert.Contains("sealed", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Damage_before_the_cut_of_a_truncation_is_refused()
    {
        var pair = HalfTruncated();
        Flip(pair.FollowerFiles, Blocks.Size + 300);
        var e = Assert.Throws<DamageException>(pair.ReopenFollower);
        Assert.Contains("truncation", e.Message, StringComparison.Ordinal);
        pair.FollowerFiles.ReleaseLocks();
        Assert.NotEmpty(LogVerifier.Verify(pair.FollowerFiles, SmallVault.Directory).Damage);
    }

    [Fact]
    public void A_group_that_a_truncation_can_not_have_meant_is_not_cut_off()
    {
        // As if the note had been left behind by a disk that lost its end, while the log went on.
        var pair = new ReplicaPair();
        pair.Lead("a-1");
        pair.Send(new LogIndex(1), new LogIndex(1));
        pair.Diverge(term: 4, groups: 1);
        pair.FollowerFiles.ReleaseLocks();
        using (var file = pair.FollowerFiles.OpenFile("/vault/meta", FileOpening.ReadExisting))
        {
            VaultMeta.Read(file)!.BeginTruncation(pair.FollowerFiles, SmallVault.Directory, new LogTruncation(new LogIndex(1), new Term(4)));
        }

        var e = Assert.Throws<DamageException>(pair.ReopenFollower);
        Assert.Contains("term 4", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Verify_tells_an_unfinished_truncation_from_damage_and_changes_nothing()
    {
        var pair = HalfTruncated();
        var before = Content(pair.FollowerFiles);
        var report = LogVerifier.Verify(pair.FollowerFiles, SmallVault.Directory);
        Assert.Empty(report.Damage);
        Assert.NotNull(report.Torn);
        Assert.Equal(2, report.Events);
        Assert.Equal(before, Content(pair.FollowerFiles));
        pair.ReopenFollower();
        Assert.Equal(2ul, pair.Follower.Tail.LastIndex.Value);
        Assert.True(pair.Follower.CutBytes > 0);
        pair.Follower.Dispose();
        report = LogVerifier.Verify(pair.FollowerFiles, SmallVault.Directory);
        Assert.Empty(report.Damage);
        Assert.Null(report.Torn);
    }

    [Fact]
    public void A_segment_that_a_crash_left_without_a_group_gives_way_to_another_leaders_group()
    {
        var pair = new ReplicaPair();
        pair.Lead("a-1", 30_000);
        pair.Send(new LogIndex(1), new LogIndex(1));

        // The follower leads, and its power goes when the new segment has its name, and its first group is not on the disk.
        pair.FollowerFiles.OnOperation = o =>
        {
            if (o.Kind == DiskOperationKind.Write && o.Path.Contains("spare", StringComparison.Ordinal) && o.Offset > 0)
            {
                throw new SimulatedCrashException(o);
            }
        };
        Assert.Throws<SimulatedCrashException>(() => pair.Diverge(term: 2, groups: 1, dataBytes: 40_000));
        pair.CutFollowersPower(new Random(1));
        Assert.Equal(2, pair.FollowerFiles.ListFiles("/vault/log").Count(n => n.EndsWith(".seg", StringComparison.Ordinal)));
        pair.ReopenFollower();
        Assert.Equal((0, 1), pair.Follower.SegmentCounts);

        pair.Lead("a-1");
        pair.Send(new LogIndex(2), new LogIndex(2));
        pair.KillFollower();
        Assert.Equal(2ul, pair.Follower.Tail.LastIndex.Value);
    }

    [Fact]
    public void A_new_leader_gets_its_no_op_in_though_all_unsealed_segments_are_full_of_uncommitted_groups()
    {
        var pair = new ReplicaPair();
        while (pair.Leader.SegmentCounts.Unsealed < VaultStorage.MaxUnsealedSegments)
        {
            pair.Lead("a-1", 50_000);
        }

        var append = Encoded.Append(pair.Leader, 999, ("a-1", ExpectedKind.Any, -1, [Encoded.Event(999, "T", new byte[50_000])]));
        while (pair.Leader.StepBackground())
        {
        }

        Assert.Equal(RoomCheck.Wait, pair.Leader.Tail.CheckRoom(append.EncodedLength));
        pair.Leader.BeginTerm(2);
        var noOps = 0;
        while (pair.Leader.SegmentCounts.Unsealed == VaultStorage.MaxUnsealedSegments)
        {
            pair.LeadSystem(GroupKind.Membership, new byte[SystemRecord.MaxContentBytes]);
            noOps++;
        }

        Assert.Equal(RoomCheck.Wait, pair.Leader.Tail.CheckRoom(200)); // The room there is is for system groups.
        pair.Send(new LogIndex(1), pair.Leader.Tail.LastIndex);
        pair.Leader.CommitAll();
        while (pair.Leader.StepBackground())
        {
        }

        Assert.Equal(RoomCheck.Ok, pair.Leader.Tail.CheckRoom(append.EncodedLength));
        pair.Lead("a-1", 50_000);
        pair.Follower.CommitAll();
        pair.Send(pair.Leader.Tail.LastIndex, pair.Leader.Tail.LastIndex);
    }

    // Readers on threads while a node receives, commits, leads terms that nobody follows and takes their groups back, over
    // segments' starts, with sealing beside it: every read equals the model.
    [Fact]
    public async Task Readers_see_what_is_committed_while_groups_come_and_are_taken_back()
    {
        const int Groups = 500;
        var pair = new ReplicaPair(tracksLosses: false);
        var all = new VaultModel();
        for (var i = 0; i < Groups; i++)
        {
            var append = pair.Append(i % 9 == 0 ? $"rare-{i % 200}" : $"s-{i % 7}", i % 13 == 0 ? 9_000 : 300);
            all.Add(append, 0);
            pair.Lead(append);
            pair.Leader.CommitAll();
        }

        var byStream = all.Events.GroupBy(e => e.Stream).ToDictionary(g => g.Key, g => g.ToList());
        using var done = new CancellationTokenSource();
        var readers = Enumerable.Range(0, 2).Select(r => Task.Run(() =>
        {
            var random = new Random(r);
            var pages = 0;
            while (!done.IsCancellationRequested)
            {
                pages += ReaderTests.ReadSomething(pair.Follower, all, byStream, random);
                var listed = pair.Follower.Streams.List(default, default, 50);
                Assert.DoesNotContain(listed, d => d.Name[0] == (byte)'d');
            }

            return pages;
        })).ToList();
        var background = Task.Run(async () =>
        {
            while (!done.IsCancellationRequested)
            {
                if (!pair.Follower.StepBackground())
                {
                    await Task.Delay(1);
                }
            }
        });

        await Task.Run(() => ReceiveAndTakeBack(pair, Groups));
        await done.CancelAsync();
        await background.WaitAsync(TimeSpan.FromSeconds(60));
        await Task.WhenAll(readers).WaitAsync(TimeSpan.FromSeconds(60));
        Assert.True(pair.Follower.SegmentCounts.Sealed > 1);
        Assert.Equal(Groups - 1, pair.Follower.Head.Value);
    }

    private static void ReceiveAndTakeBack(ReplicaPair pair, int groups)
    {
        var random = new Random(7);
        var follower = pair.Follower;
        var term = 1ul;
        while (follower.CommitIndex.Value < (ulong)groups)
        {
            var until = Math.Min((ulong)groups, follower.Tail.LastIndex.Value + (ulong)random.Next(1, 12));
            for (var index = follower.Tail.LastIndex.Value + 1; index <= until; index++)
            {
                var buffer = new GroupBuffer();
                var bytes = pair.Leader.ReadGroup(new LogIndex(index));
                Assert.True(SpinWait.SpinUntil(() => follower.Tail.Receive(buffer, bytes) != ReceiveCheck.NoRoom, TimeSpan.FromSeconds(60)));
                follower.Log.Write(buffer);
                if (index == until - 2)
                {
                    follower.Log.Flush();
                    follower.Commit(new LogIndex(index));
                }
            }

            follower.Log.Flush();
            if (until == (ulong)groups)
            {
                follower.CommitAll();
                continue;
            }

            var kept = follower.Tail.LastIndex;
            follower.BeginTerm(++term);
            for (var i = random.Next(1, 6); i > 0; i--)
            {
                var content = Encoded.Append(follower, (UInt128)random.NextInt64() << 64, ($"d-{i}", ExpectedKind.Any, -1, [Encoded.Event(1, "T", new byte[random.Next(20_000)])]));
                follower.Reader.LookUp(content, out _);
                follower.Tail.Check(content, out _);
                if (follower.Tail.CheckRoom(content.EncodedLength) == RoomCheck.Ok)
                {
                    var group = new GroupBuffer();
                    follower.Tail.Begin(group, content.EncodedLength, 1);
                    follower.Tail.Add(group, content);
                    follower.Tail.Finish(group);
                    follower.Log.Write(group);
                }
            }

            follower.BeginTerm(++term);
            if (follower.Tail.LastIndex > kept)
            {
                follower.Log.Truncate(follower.Tail.Truncate(kept));
            }
        }
    }

    private static void AssertTail(VaultStorage storage, params (string Stream, long Last)[] streams)
    {
        foreach (var (stream, last) in streams)
        {
            var append = Encoded.Append(storage, 5555, (stream, ExpectedKind.Exact, last, [Encoded.Event(1, "T", "x"u8)]));
            storage.Reader.LookUp(append, out _);
            Assert.Equal((stream, AppendCheck.Ok), (stream, storage.Tail.Check(append, out _)));
        }
    }

    // The power went when the note was written and a part of the suffix overwritten.
    private static ReplicaPair HalfTruncated()
    {
        var pair = new ReplicaPair();
        pair.Lead("a-1", 300);
        pair.Lead("a-2", 300);
        pair.Send(new LogIndex(1), new LogIndex(2));
        pair.Diverge(term: 2, groups: 8, dataBytes: 2_000);
        pair.Follower.BeginTerm(3);
        var order = pair.Follower.Tail.Truncate(new LogIndex(2));
        pair.FollowerFiles.OnOperation = o =>
        {
            if (o.Kind == DiskOperationKind.Write && o.Path.StartsWith("/vault/log/", StringComparison.Ordinal))
            {
                throw new SimulatedCrashException(o);
            }
        };
        Assert.Throws<SimulatedCrashException>(() => pair.Follower.Log.Truncate(order));
        pair.CutFollowersPower(new Random(1));
        return pair;
    }

    private static void Flip(SimulatedFileSystem files, long offset)
    {
        using var file = files.OpenFile("/vault/log/" + SegmentHeader.FileName(0), FileOpening.Existing);
        var bytes = new byte[1];
        file.Read(offset, bytes);
        bytes[0] ^= 1;
        file.Write(offset, bytes);
        file.Flush();
    }

    private static List<byte> Content(SimulatedFileSystem files)
    {
        var all = new List<byte>();
        foreach (var folder in (string[])["/vault", "/vault/log", "/vault/index"])
        {
            foreach (var name in files.ListFiles(folder).Where(n => n != VaultStorage.LockName))
            {
                using var file = files.OpenFile($"{folder}/{name}", FileOpening.ReadExisting);
                var bytes = new byte[file.Length];
                file.Read(0, bytes);
                all.AddRange(bytes);
            }
        }

        return all;
    }

    private static void AssertNoDamage(ReplicaPair pair) =>
        Assert.Empty(LogVerifier.Verify(pair.FollowerFiles, SmallVault.Directory).Damage);
}
