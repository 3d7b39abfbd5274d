using EventVault.Storage.Log;
using EventVault.Storage.Shipping;
using EventVault.Storage.Tests.Log;
using EventVault.Storage.Tests.Simulated;

namespace EventVault.Storage.Tests.Shipping;

/// <summary>Segments of another node take the place of what a log lacks, and nothing that was acknowledged is lost by that.</summary>
public sealed class ShipInstallTests
{
    private const string ShipDirectory = SmallVault.Directory + "/ship";
    private const string PlanPath = ShipDirectory + "/plan";

    [Theory]
    [InlineData(false, 0)]
    [InlineData(true, 0)]
    [InlineData(false, 77)]
    [InlineData(true, 77)]
    [InlineData(true, 240)]
    public void A_log_that_is_behind_goes_on_behind_what_was_shipped(bool isScavenged, ulong groups)
    {
        var pair = new ShipPair(isScavenged);
        var files = pair.Planned(groups);
        using (var storage = pair.Open(files))
        {
            Assert.Null(storage.Shipped.Dropped);
            Assert.Equal((pair.Beginning, pair.Beginning), (storage.Shipped.Through, storage.CommitIndex));

            // Until the scavenge's own event has come, events are missing that its head does not hide.
            Assert.Equal(!isScavenged, storage.IsWhole);
            Assert.True(storage.Vote.Term >= storage.Tail.LastTerm);
        }

        Assert.False(files.FileExists(PlanPath));
        pair.CheckCaughtUp(files);
    }

    // The scavenge's event stands behind the plan's end: what it removed is not hidden by anything that the log holds.
    [Fact]
    public void What_was_scavenged_at_a_later_point_is_a_state_of_the_vault_only_from_there_on()
    {
        var pair = new ShipPair(isScavenged: true);
        var files = pair.Planned(77);
        using var storage = pair.Open(files);
        Assert.Equal(pair.Leader.Storage.Lives.Scavenge.Point, storage.WholeFrom);
        Assert.True(storage.Head < storage.WholeFrom);
        pair.Send(storage, pair.Beginning.Value + 1, pair.LastIndex);
        Assert.True(storage.Head >= storage.WholeFrom);
        pair.Leader.Model.Check(storage, new Random(1));
        using var unscavenged = new ShipPair(isScavenged: false).Leader.Storage;
        Assert.Equal(Position.None, unscavenged.WholeFrom);
    }

    [Theory]
    [InlineData(0, 3, 2)]
    [InlineData(2, 3, 9)]
    [InlineData(2, 70, 9)]
    public void Groups_that_nobody_else_has_go(ulong groups, int own, ulong term)
    {
        var pair = new ShipPair(isScavenged: true);
        var files = pair.Planned(groups, own, term);
        pair.CheckCaughtUp(files);
        using var storage = pair.Open(files);
        Assert.True(storage.Vote.Term.Value >= term, "The vote stays.");
    }

    // What came while segments were gathered may be acknowledged, and a majority may rest on it.
    [Fact]
    public void A_plan_that_ends_with_a_group_that_the_log_has_is_dropped()
    {
        var pair = new ShipPair(isScavenged: false);
        var files = pair.Follower(5);
        using (var storage = pair.Open(files))
        {
            var folder = pair.Gather(storage);
            pair.Send(storage, 6, pair.LastIndex);
            folder.WritePlan();
        }

        using (var storage = pair.Open(files))
        {
            Assert.Contains("has group", storage.Shipped.Dropped, StringComparison.Ordinal);
            Assert.Equal(pair.LastIndex, storage.Tail.LastIndex.Value);
            storage.CommitAll();
            pair.Leader.Model.Check(storage, new Random(1));
        }

        Assert.False(files.FileExists(PlanPath));
    }

    // The first group of the plan's last segment is damaged here, and groups stand behind it: some may be acknowledged.
    [Fact]
    public void A_plan_does_not_hide_damage_in_front_of_groups_that_it_does_not_bring()
    {
        var pair = new ShipPair(isScavenged: false);
        var files = pair.Follower(5);
        using (var storage = pair.Open(files))
        {
            var folder = pair.Gather(storage);
            pair.Send(storage, 6, pair.Beginning.Value); // Flushed, and only then the rest: what stands behind says that it was durable.
            pair.Send(storage, pair.Beginning.Value + 1, pair.LastIndex);
            folder.WritePlan();
        }

        var last = pair.Leader.Storage.View.Unsealed[0].Number;
        files.FlipBit($"{SmallVault.Directory}/log/{SegmentHeader.FileName(last)}", Blocks.Size + GroupHeader.Length + 3, 1);
        Assert.Throws<DamageException>(() => pair.Open(files));
        Assert.False(files.FileExists(PlanPath));
    }

    [Fact]
    public void Power_may_go_at_any_operation_of_gathering_and_installing()
    {
        var pair = new ShipPair(isScavenged: true);
        var behind = pair.Follower(30, own: 3, ownTerm: 9);
        var (crashes, installs) = (0, 0);
        for (var at = 1; ; at++)
        {
            var files = behind.Copy();
            files.CrashAtOperation = files.Operations + at;
            var isDone = false;
            try
            {
                using (var storage = pair.Open(files))
                {
                    pair.Gather(storage).WritePlan();
                }

                using (pair.Open(files))
                {
                    isDone = true;
                }
            }
            catch (SimulatedCrashException)
            {
                crashes++;
            }

            files = files.Crash(new Random(at));
            using (var storage = pair.Open(files))
            {
                Assert.Contains(storage.Tail.LastIndex.Value, new[] { 33ul, pair.Beginning.Value });
                Assert.True(storage.Vote.Term.Value >= 9);
                installs += storage.Shipped.Installed > 0 ? 1 : 0;
                if (storage.Tail.LastIndex.Value == 33)
                {
                    pair.Gather(storage).WritePlan(); // Goes on where it was.
                }
            }

            if (at % 7 == 0 || isDone)
            {
                pair.CheckCaughtUp(files);
            }

            if (isDone)
            {
                break;
            }
        }

        Assert.True(crashes > 100 && installs > 10, $"{crashes} crashes, {installs} installs behind them.");
    }

    [Fact]
    public void Whatever_was_flipped_behind_the_check_nothing_of_it_is_installed()
    {
        var pair = new ShipPair(isScavenged: true);
        var planned = pair.Planned(30);
        var random = new Random(1);
        var dropped = 0;
        for (var i = 0; i < 300; i++)
        {
            var files = planned.Copy();
            var names = files.ListFiles(ShipDirectory).Where(n => n != "plan").ToList();
            var path = $"{ShipDirectory}/{names[random.Next(names.Count)]}";
            long length;
            using (var file = files.OpenFile(path, Storage.Io.FileOpening.ReadExisting))
            {
                length = file.Length;
            }

            files.FlipBit(path, random.NextInt64(length), random.Next(8));
            using var storage = pair.Open(files);
            Assert.Equal(30ul, storage.Tail.LastIndex.Value);
            Assert.NotNull(storage.Shipped.Dropped);
            dropped++;
        }

        Assert.Equal(300, dropped);
    }

    [Fact]
    public void A_piece_that_was_spoilt_on_the_way_is_refused_and_pulled_again()
    {
        var pair = new ShipPair(isScavenged: true);
        var files = pair.Follower(0);
        var random = new Random(3);
        using (var storage = pair.Open(files))
        {
            var folder = new ShipFolder(storage);
            folder.Open();
            foreach (var segment in pair.Source.List(0, ShipPlan.MostSegments))
            {
                var spoilt = false;
                var problem = pair.Pull(folder, segment, piece =>
                {
                    if (!spoilt && random.Next(3) == 0)
                    {
                        spoilt = true;
                        piece[random.Next(piece.Length)] ^= 0x10;
                    }
                });

                // In the part of a group that is a node's own nothing can be wrong: it is written anew.
                Assert.True(spoilt || problem is null, problem);
                if (problem is not null)
                {
                    Assert.Null(pair.Pull(folder, segment));
                }
            }

            folder.WritePlan();
        }

        pair.CheckCaughtUp(files);
    }

    [Fact]
    public void Segments_of_another_vault_are_refused()
    {
        var pair = new ShipPair(isScavenged: false);
        var files = new SimulatedFileSystem();
        var other = new SmallVault(seed: 5);
        using var storage = VaultStorage.Open(files, SmallVault.Directory, new StorageOptions { NodeId = 2, Join = other.Storage.Identity, Random = new Random(2) }, 1);
        var folder = new ShipFolder(storage);
        folder.Open();
        Assert.NotNull(pair.Pull(folder, pair.Source.List(0, 1)[0]));
        Assert.Equal(0, folder.WholeCount);
    }

    [Fact]
    public void What_was_whole_before_a_restart_is_not_pulled_again()
    {
        var pair = new ShipPair(isScavenged: true);
        var files = pair.Follower(0);
        var list = pair.Source.List(0, ShipPlan.MostSegments);
        using (var storage = pair.Open(files))
        {
            var folder = new ShipFolder(storage);
            folder.Open();
            foreach (var segment in list.Take(4))
            {
                Assert.Null(pair.Pull(folder, segment));
            }

            folder.BeginPart(list[4]);
            var piece = new byte[9_000];
            Assert.Equal(piece.Length, pair.Source.Read(list[4], 0, piece));
            folder.Add(piece);
            folder.Close();
        }

        using (var storage = pair.Open(files))
        {
            var folder = new ShipFolder(storage);
            folder.Open();
            Assert.Equal((4u, 4), (folder.Next, folder.WholeCount));
            Assert.Equal(8192, folder.BeginPart(list[4]));
            pair.Gather(storage).WritePlan();
        }

        pair.CheckCaughtUp(files);
    }

    [Fact]
    public void A_truncation_that_was_under_way_ends_with_the_install()
    {
        var pair = new ShipPair(isScavenged: true);
        var files = pair.Planned(2, own: 5, ownTerm: 9);
        using (var file = files.OpenFile(SmallVault.Directory + "/meta", Storage.Io.FileOpening.ReadExisting))
        {
            VaultMeta.Read(file)!.BeginTruncation(files, SmallVault.Directory, new LogTruncation(new LogIndex(4), new Term(10)));
        }

        pair.CheckCaughtUp(files);
    }

    [Fact]
    public void A_damaged_sealed_segment_is_replaced_by_a_repair()
    {
        var pair = new ShipPair(isScavenged: false);
        var files = pair.Follower(pair.LastIndex);
        using (var storage = pair.Open(files))
        {
            storage.CommitAll();
            while (storage.StepBackground())
            {
            }
        }

        files.FlipBit($"{SmallVault.Directory}/log/{SegmentHeader.FileName(2)}", 20_000, 4);
        Assert.NotEmpty(LogVerifier.Verify(files, SmallVault.Directory).Damage);
        using (var storage = pair.Open(files))
        {
            var folder = new ShipFolder(storage);
            folder.OpenForRepair(2);
            Assert.Null(pair.Pull(folder, pair.Source.List(2, 1)[0]));
            folder.WriteRepair();
        }

        using (var storage = pair.Open(files))
        {
            Assert.Equal((1, (string?)null), (storage.Shipped.Installed, storage.Shipped.Dropped));
            storage.CommitAll();
            pair.Leader.Model.Check(storage, new Random(1));
        }

        Assert.Empty(LogVerifier.Verify(files, SmallVault.Directory).Damage);
    }
}
