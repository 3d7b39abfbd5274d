using EventVault.Storage.Io;
using EventVault.Storage.Log;
using EventVault.Storage.Tests.Simulated;

namespace EventVault.Storage.Tests.Log;

/// <summary>The promise: a term or vote that Write returned for is never forgotten, whatever power and disk do.</summary>
public sealed class VoteFileTests
{
    private const string Directory = "/vault";
    private const string FilePath = Directory + "/vote";
    private static readonly Guid Other = new("11111111-2222-4333-8444-555555555555");
    private static readonly VaultMeta Meta = VaultMeta.Create(nodeId: 2, StorageOptions.MinSegmentSizeBytes, now: 1, new Random(3));

    [Fact]
    public void A_vote_is_there_after_a_restart()
    {
        var files = new SimulatedFileSystem();
        var vote = Create(files);
        Assert.Equal((1ul, 0u, Guid.Empty), State(vote));
        vote.Write(new Term(1), 0, Guid.Empty);
        vote.Write(new Term(1), 3, Other);
        vote.Write(new Term(1), 3, Other);
        Assert.Equal((1ul, 3u, Other), State(vote));
        Assert.Equal((1ul, 3u, Other), State(Open(files)));
        vote = Open(files);
        vote.Write(new Term(7), 2, Meta.Incarnation);
        Assert.Equal((7ul, 2u, Meta.Incarnation), State(Open(files.Crash(new Random(1)))));
    }

    [Fact]
    public void A_term_that_goes_back_or_a_second_vote_in_a_term_is_refused_and_nothing_is_written()
    {
        var files = new SimulatedFileSystem();
        var vote = Create(files);
        vote.Write(new Term(5), 3, Other);
        var before = files.Operations;
        Assert.Throws<InvariantException>(() => vote.Write(new Term(4), 0, Guid.Empty));
        Assert.Throws<InvariantException>(() => vote.Write(new Term(5), 0, Guid.Empty));
        Assert.Throws<InvariantException>(() => vote.Write(new Term(5), 2, Other));
        Assert.Throws<InvariantException>(() => vote.Write(new Term(5), 3, Meta.Incarnation)); // The same node, its disk another.
        Assert.Throws<InvariantException>(() => vote.Write(new Term(6), 3, Guid.Empty));
        Assert.Throws<InvariantException>(() => vote.Write(new Term(6), 0, Other));
        Assert.Equal(before, files.Operations);
        Assert.Equal((5ul, 3u, Other), State(Open(files)));
    }

    // With one flush for each write into slots in turn, half of these flips would give back the vote before.
    [Fact]
    public void No_flipped_byte_anywhere_takes_a_vote_back()
    {
        for (var writes = 1; writes <= 4; writes++)
        {
            var files = new SimulatedFileSystem();
            var vote = Create(files);
            for (var write = 1; write <= writes; write++)
            {
                vote.Write(new Term((ulong)write + 1), 3, Other);
            }

            for (var offset = 0; offset < 2 * Blocks.Size; offset++)
            {
                var copy = files.Crash(new Random(1));
                Flip(copy, offset);
                Assert.Equal(offset / Blocks.Size * Blocks.Size, VoteFile.Verify(copy, Directory, Meta, default, hasLog: true)?.Offset);
                Assert.Equal(State(vote), State(Open(copy)));

                // Opening has made the bad copy good again, durably: now the other one may go.
                copy = copy.Crash(new Random(1));
                Assert.Null(VoteFile.Verify(copy, Directory, Meta, default, hasLog: true));
                Flip(copy, (offset + Blocks.Size) % (2 * Blocks.Size));
                Assert.Equal(State(vote), State(Open(copy)));
            }
        }
    }

    [Fact]
    public void Two_bad_copies_are_damage_and_never_a_fresh_start()
    {
        var files = new SimulatedFileSystem();
        Create(files).Write(new Term(4), 3, Other);
        Flip(files, 40);
        Flip(files, Blocks.Size + 40);
        var before = Bytes(files);
        var damage = Assert.Throws<DamageException>(() => Open(files));
        Assert.Equal((VoteFile.FileName, 0L), (damage.File, damage.Offset));
        Assert.Contains("add it again", damage.Message, StringComparison.Ordinal);
        Assert.Equal(before, Bytes(files));
        Assert.NotNull(VoteFile.Verify(files, Directory, Meta, default, hasLog: true));
    }

    [Fact]
    public void A_cut_or_missing_file_is_damage()
    {
        var files = new SimulatedFileSystem();
        Create(files).Write(new Term(4), 3, Other);
        using (var file = files.OpenFile(FilePath, FileOpening.Existing))
        {
            file.SetLength(Blocks.Size);
        }

        Assert.Equal((4ul, 3u, Other), State(Open(files.Crash(new Random(1)))));
        using (var file = files.OpenFile(FilePath, FileOpening.Existing))
        {
            file.SetLength(0);
        }

        Assert.Throws<DamageException>(() => Open(files));
        files.DeleteFile(FilePath);
        Assert.Throws<DamageException>(() => Open(files));
    }

    [Fact]
    public void Another_disks_vote_is_damage()
    {
        var files = new SimulatedFileSystem();
        Create(files);
        var restored = Meta with { Incarnation = Other };
        Assert.Throws<DamageException>(() => VoteFile.Open(files, Directory, restored));
        Assert.Throws<DamageException>(() => VoteFile.Open(files, Directory, Meta with { VaultId = Other }));
    }

    [Fact]
    public void Two_whole_copies_that_contradict_each_other_are_damage()
    {
        var files = new SimulatedFileSystem();
        Create(files).Write(new Term(4), 3, Other);
        var foreign = new SimulatedFileSystem();
        Create(foreign).Write(new Term(4), 5, Other); // As many writes, another vote.
        var bytes = Bytes(foreign).AsSpan(Blocks.Size).ToArray();
        using (var file = files.OpenFile(FilePath, FileOpening.Existing))
        {
            file.Write(Blocks.Size, bytes);
        }

        Assert.Contains("contradict", Assert.Throws<DamageException>(() => Open(files)).Message, StringComparison.Ordinal);
    }

    // Before Write returns the old or the new vote may stand; once it has returned only the new one.
    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(2)]
    public void A_power_loss_at_any_operation_of_a_write_keeps_the_old_vote_or_the_new(int writesBefore)
    {
        var newStands = 0;
        var oldStands = 0;
        for (var at = 1; at <= 5; at++) // A write is four operations; the fifth never comes.
        {
            for (var seed = 0; seed < 40; seed++)
            {
                var files = new SimulatedFileSystem();
                var vote = Create(files);
                for (var write = 0; write < writesBefore; write++)
                {
                    vote.Write(new Term((ulong)write + 2), 3, Other);
                }

                var before = State(vote);
                files.CrashAtOperation = files.Operations + at;
                var crashed = false;
                try
                {
                    vote.Write(new Term(9), 2, Meta.Incarnation);
                }
                catch (SimulatedCrashException)
                {
                    crashed = true;
                }

                Assert.Equal(at <= 4, crashed);
                files = files.Crash(new Random(seed));
                var after = State(Open(files));
                Assert.True(after == (9ul, 2u, Meta.Incarnation) || (crashed && after == before), $"operation {at}, seed {seed}: {after}");
                newStands += crashed && after != before ? 1 : 0;
                oldStands += crashed && after == before ? 1 : 0;

                // Whatever stood: it stands, and the next write is as safe.
                var reopened = Open(files.Crash(new Random(seed + 1)));
                Assert.Equal(after, State(reopened));
            }
        }

        Assert.True(newStands > 0 && oldStands > 0);
    }

    // The first write after a crash left the copies apart: the copy that was not the newest must be good again by then.
    [Fact]
    public void A_second_power_loss_in_the_write_after_a_first_one_loses_nothing()
    {
        for (var first = 1; first <= 4; first++)
        {
            for (var second = 1; second <= 8; second++)
            {
                for (var seed = 0; seed < 20; seed++)
                {
                    var random = new Random(seed);
                    var files = new SimulatedFileSystem();
                    var vote = Create(files);
                    vote.Write(new Term(2), 3, Other);
                    files.CrashAtOperation = files.Operations + first;
                    Assert.Throws<SimulatedCrashException>(() => vote.Write(new Term(3), 3, Other));
                    files = files.Crash(random);
                    files.CrashAtOperation = files.Operations + second;
                    (ulong Term, uint, Guid)? told = null;
                    try
                    {
                        var opened = Open(files);
                        told = State(opened);
                        opened.Write(new Term(told.Value.Term + 1), 2, Meta.Incarnation);
                        told = State(opened);
                    }
                    catch (SimulatedCrashException)
                    {
                    }

                    var after = State(Open(files.Crash(random)));
                    Assert.InRange(after.Term, told?.Term ?? 2, 4ul);
                }
            }
        }
    }

    [Theory]
    [InlineData(40)]
    [InlineData(Blocks.Size + 40)]
    public void A_copy_that_goes_bad_while_the_node_runs_is_no_loss_if_the_power_fails_in_the_next_write(int offset)
    {
        for (var at = 1; at <= 5; at++)
        {
            for (var seed = 0; seed < 30; seed++)
            {
                var files = new SimulatedFileSystem();
                var vote = Create(files);
                vote.Write(new Term(2), 3, Other);
                Flip(files, offset);
                var writing = 0L;
                files.OnOperation = o => writing = o.Kind == DiskOperationKind.Write ? o.Offset : writing;
                files.CrashAtOperation = files.Operations + at;
                try
                {
                    vote.Write(new Term(3), 3, Other);
                    Assert.Equal(5, at);
                    files.CrashAtOperation = long.MaxValue;
                }
                catch (SimulatedCrashException e)
                {
                    writing = e.Operation.Kind == DiskOperationKind.Write ? e.Operation.Offset : writing;

                    // The simulated disk writes sectors whole or not at all; another one may lose the block in the writing.
                    files = files.Crash(new Random(seed));
                    using var file = files.OpenFile(FilePath, FileOpening.Existing);
                    file.Write(writing + 32, [0xee]);
                }

                Assert.InRange(Open(files).Term.Value, at == 5 ? 3ul : 2ul, 3ul);
            }
        }
    }

    // Found by simulation: writes that failed, or a kill, had left a newer vote in the page cache only, in one copy or both.
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void A_vote_that_was_read_at_the_start_survives_a_power_loss_although_nobody_had_flushed_it(int copies)
    {
        var newer = new SimulatedFileSystem();
        var vote = Create(newer);
        vote.Write(new Term(2), 3, Other);
        vote.Write(new Term(3), 2, Meta.Incarnation);
        for (var seed = 0; seed < 40; seed++)
        {
            var files = new SimulatedFileSystem();
            Create(files).Write(new Term(2), 3, Other);
            using (var file = files.OpenFile(FilePath, FileOpening.Existing))
            {
                file.Write(0, Bytes(newer).AsSpan(0, copies * 4096));
            }

            Assert.Equal(3ul, Open(files).Term.Value);
            Assert.Equal((3ul, 2u, Meta.Incarnation), State(Open(files.Crash(new Random(seed)))));
        }
    }

    [Fact]
    public void After_a_failed_flush_nothing_more_is_written()
    {
        for (var flush = 1; flush <= 2; flush++)
        {
            var files = new SimulatedFileSystem();
            var vote = Create(files);
            files.FailingFlush.StrikeAt(flush);
            Assert.Throws<DiskException>(() => vote.Write(new Term(2), 3, Other));
            Assert.Equal(1ul, vote.Term.Value);
            files.FailingFlush.Off();
            Assert.Throws<InvariantException>(() => vote.Write(new Term(2), 3, Other));
        }
    }

    private static VoteFile Create(SimulatedFileSystem files)
    {
        files.CreateDirectory(Directory);
        files.FlushDirectory("/");
        return VoteFile.Create(files, Directory, Meta);
    }

    private static VoteFile Open(SimulatedFileSystem files) => VoteFile.Open(files, Directory, Meta);

    private static (ulong Term, uint Node, Guid Incarnation) State(VoteFile vote) => (vote.Term.Value, vote.VotedNode, vote.VotedIncarnation);

    private static byte[] Bytes(SimulatedFileSystem files)
    {
        using var file = files.OpenFile(FilePath, FileOpening.ReadExisting);
        var bytes = new byte[file.Length];
        file.Read(0, bytes);
        return bytes;
    }

    private static void Flip(SimulatedFileSystem files, int offset)
    {
        using var file = files.OpenFile(FilePath, FileOpening.Existing);
        Span<byte> bytes = stackalloc byte[1];
        file.Read(offset, bytes);
        bytes[0] ^= (byte)(1 << (offset % 8));
        file.Write(offset, bytes);
        file.Flush();
    }
}
