using EventVault.Storage.Log;
using EventVault.Storage.Tests.Log;
using EventVault.Storage.Tests.Simulated;

namespace EventVault.Storage.Tests.Shipping;

/// <summary>A disk whose end is damaged begins anew as another one, if others vote.</summary>
public sealed class ReincarnationTests
{
    private const ulong Groups = 100;
    private readonly ShipPair _pair = new(isScavenged: false);

    [Fact]
    public void A_damaged_end_is_moved_aside_and_the_disk_goes_on_as_another_one()
    {
        var (files, before, at) = Damaged(groupInSegment: 3);
        Assert.Throws<DamageException>(() => _pair.Open(files));
        using (var storage = Reopen(files))
        {
            Assert.Equal(before, storage.Reincarnated!.Before);
            Assert.NotEqual(before, storage.Incarnation);
            Assert.True(storage.IsJoined);
            Assert.Equal(at - 1, storage.Tail.LastIndex.Value);
            Assert.True(storage.Vote.Term >= storage.Tail.LastTerm);
            _pair.Send(storage, at, _pair.LastIndex);
            _pair.Leader.Model.Check(storage, new Random(1));
        }

        Assert.Equal(3, files.ListFiles(SmallVault.Directory + "/damaged").Count(n => n.StartsWith($"{before}-", StringComparison.Ordinal))); // Its segment, meta and vote.
        using var again = _pair.Open(files);
        Assert.Null(again.Reincarnated);
        Assert.Empty(LogVerifier.Verify(Closed(again, files), SmallVault.Directory).Damage);
    }

    [Fact]
    public void Who_has_nobody_else_keeps_refusing_and_nothing_is_changed()
    {
        var (files, incarnation, _) = Damaged(groupInSegment: 3);
        var log = Bytes(files);
        var asked = 0;
        Assert.Throws<DamageException>(() => Reopen(files, end =>
        {
            asked++;
            Assert.Equal(incarnation, end.Incarnation);
            return false;
        }));
        Assert.Equal(1, asked);
        Assert.Equal(log, Bytes(files));
        Assert.False(files.DirectoryExists(SmallVault.Directory + "/damaged"));
    }

    [Fact]
    public void The_newest_membership_that_can_be_read_is_what_decides()
    {
        var (files, _, _) = Damaged(groupInSegment: 3);
        using var storage = Reopen(files, end =>
        {
            Assert.Equal(new byte[] { 1, 2, 3 }, Assert.Single(end.Memberships).ToArray());
            return true;
        });
        Assert.NotNull(storage.Reincarnated);
    }

    // The vault may have shrunk to this disk behind the damage: then nobody else has what it holds.
    [Fact]
    public void Memberships_behind_the_damage_count_too_and_those_before_the_newest_one_do_not()
    {
        var vault = new SmallVault();
        vault.WriteSystem(GroupKind.Membership, [1]);
        vault.WriteSystem(GroupKind.Membership, [1, 2, 3]);
        var damaged = vault.Append("s");
        vault.Append("s");
        vault.WriteSystem(GroupKind.Membership, [1, 0]);
        vault.Append("s");
        vault.Flush();
        vault.Kill();
        vault.Files.FlipBit($"{SmallVault.Directory}/log/{SegmentHeader.FileName(0)}", damaged.Place.Offset + 20, 3);
        IEnumerable<string> told = [];
        var log = Bytes(vault.Files);
        Assert.Throws<DamageException>(() => VaultStorage.Open(vault.Files, SmallVault.Directory, new StorageOptions { Reincarnate = Refuse }, 2_000_000));
        Assert.Equal(["010203", "0100"], told);
        Assert.Equal(log, Bytes(vault.Files));

        bool Refuse(DamagedEnd end)
        {
            told = end.Memberships.Select(m => Convert.ToHexString(m.Span)).ToList();
            return false;
        }
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void The_first_group_behind_a_sealed_segment_may_be_what_is_damaged(bool isHeader)
    {
        var (files, before, at) = Damaged(groupInSegment: isHeader ? -1 : 0);
        using (var storage = Reopen(files))
        {
            Assert.NotEqual(before, storage.Incarnation);
            Assert.Equal(at - 1, storage.Tail.LastIndex.Value);
            _pair.Send(storage, at, _pair.LastIndex);
            _pair.Leader.Model.Check(storage, new Random(1));
        }
    }

    [Fact]
    public void Power_may_go_at_any_operation()
    {
        var (damaged, before, at) = Damaged(groupInSegment: 3);
        for (var crash = 1; ; crash++)
        {
            var files = damaged.Copy();
            files.CrashAtOperation = files.Operations + crash;
            var isDone = false;
            try
            {
                Reopen(files).Dispose();
                isDone = true;
            }
            catch (SimulatedCrashException)
            {
            }

            files = files.Crash(new Random(crash));
            try
            {
                // As who it was the disk is never opened without what it had.
                using var storage = _pair.Open(files.Copy());
                Assert.NotEqual(before, storage.Incarnation);
            }
            catch (DamageException)
            {
            }

            using (var storage = Reopen(files))
            {
                Assert.NotEqual(before, storage.Incarnation);
                Assert.Equal(at - 1, storage.Tail.LastIndex.Value);
                if (crash % 5 == 0)
                {
                    _pair.Send(storage, at, _pair.LastIndex);
                    _pair.Leader.Model.Check(storage, new Random(1));
                }
            }

            if (isDone)
            {
                break;
            }
        }
    }

    private static SimulatedFileSystem Closed(VaultStorage storage, SimulatedFileSystem files)
    {
        storage.Dispose();
        return files;
    }

    private static List<string> Bytes(SimulatedFileSystem files) =>
        [.. files.AllFiles().Where(f => f.Contains("/log/", StringComparison.Ordinal)).Select(f => $"{f} {Convert.ToHexString(files.ReadFlushed(f)!)}")];

    // A disk with a group damaged in its last segment, or that segment's header (-1). With the index of the group, or of the first one that is lost.
    private (SimulatedFileSystem Files, Guid Incarnation, ulong Index) Damaged(int groupInSegment)
    {
        var files = new SimulatedFileSystem();
        Guid incarnation;
        Place place;
        ulong index;
        using (var storage = _pair.Open(files))
        {
            incarnation = storage.Incarnation;
            for (var i = 1ul; i <= Groups || storage.View.Unsealed[^1].FirstIndex.Value + 6 > i; i++)
            {
                _pair.Send(storage, i, i); // Each one flushed before the next: they say so of each other.
                while (storage.StepBackground())
                {
                }
            }

            Assert.Single(storage.View.Unsealed);
            index = storage.View.Unsealed[^1].FirstIndex.Value + (ulong)Math.Max(0, groupInSegment);
            place = new Place(storage.View.Unsealed[^1].Number, Blocks.Size);
            for (var i = storage.View.Unsealed[^1].FirstIndex.Value; i < index; i++)
            {
                place = place with { Offset = place.Offset + (uint)storage.ReadGroup(new LogIndex(i)).Length };
            }
        }

        files.FlipBit($"{SmallVault.Directory}/log/{SegmentHeader.FileName(place.Segment)}", groupInSegment < 0 ? 100 : place.Offset + 20, 3);
        return (files, incarnation, index);
    }

    private VaultStorage Reopen(SimulatedFileSystem files, Func<DamagedEnd, bool>? may = null) => VaultStorage.Open(
        files, SmallVault.Directory, new StorageOptions
        {
            NodeId = 2,
            Join = _pair.Leader.Storage.Identity,
            OperationHorizon = SmallVault.DefaultHorizon,
            Random = new Random((int)files.Operations),
            Reincarnate = may ?? (static _ => true),
        },
        2_000_000);
}
