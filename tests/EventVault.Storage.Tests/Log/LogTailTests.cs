using EventVault.Storage.Log;
using EventVault.Storage.Tests.Simulated;

namespace EventVault.Storage.Tests.Log;

public sealed class LogTailTests
{
    [Fact]
    public void Expected_versions_and_operation_ids_are_checked_as_a_plain_list_would_over_rolls_seals_and_restarts()
    {
        var random = new Random(9);
        var vault = new SmallVault();
        var outcomes = new Dictionary<AppendCheck, int>();
        var sealedBefore = 0;
        for (var i = 0; i < 1500; i++)
        {
            var retried = vault.Model.Count > 0 && random.Next(4) == 0;
            var append = retried ? vault.Model.Events[random.Next(vault.Model.Count)].Append : RandomAppend(vault, random);
            var content = append.Content(vault.Storage);
            var expected = retried ? AppendCheck.Known
                : append.Streams.All(s => Holds(s.Expected, s.Version, vault.Model.Versions.GetValueOrDefault(s.Stream, -1))) ? AppendCheck.Ok
                : AppendCheck.Conflict;
            var inSealed = vault.Storage.Reader.LookUp(content, out _);
            Between(vault, random); // Seals now and then between the look-up and the check.
            var check = inSealed ? AppendCheck.Known : vault.Storage.Tail.Check(content, out _);
            Assert.Equal(expected, check);
            outcomes[check] = outcomes.GetValueOrDefault(check) + 1;
            if (check != AppendCheck.Known)
            {
                Assert.All(content.Streams.ToArray(), s => Assert.Equal(vault.Model.Versions.GetValueOrDefault(System.Text.Encoding.UTF8.GetString(content.Name(s)), -1), s.Actual.Value));
            }

            if (check == AppendCheck.Ok)
            {
                vault.Write(append);
            }

            if (random.Next(200) == 0)
            {
                sealedBefore += vault.Storage.SegmentCounts.Sealed;
                vault.Stop();
                vault.Reopen();
            }
        }

        Assert.True(sealedBefore > 0 && outcomes.Count == 3 && outcomes.Values.Min() > 100);
        vault.Flush();
        vault.Model.Check(vault.Storage, random);
    }

    [Fact]
    public void An_append_that_expects_another_version_is_told_which_one_stands_there()
    {
        var vault = new SmallVault();
        vault.Append("s-1");
        var content = Encoded.Append(vault.Storage, 999, ("s-1", ExpectedKind.Exact, 7, [Encoded.Event(1, "T", "x"u8)]), ("s-2", ExpectedKind.Exists, -1, [Encoded.Event(2, "T", "x"u8)]));
        vault.Storage.Reader.LookUp(content, out _);
        Assert.Equal(AppendCheck.Conflict, vault.Storage.Tail.Check(content, out _));
        Assert.Equal([0, -1], content.Streams.ToArray().Select(s => s.Actual.Value));
    }

    [Fact]
    public void A_segment_handed_out_stays_the_same_file_while_the_next_one_is_prepared()
    {
        var vault = new SmallVault();
        vault.Append("s-1", 50_000);
        vault.StepAll();
        var group = Begun(vault, "s-1", 20_000);
        Assert.NotNull(group.Spare);

        // The background thread is faster than the writer's.
        vault.StepAll();
        Assert.Equal(SpareState.Ready, vault.Storage.Spares.State);
        Written(vault, group);
        vault.Append("s-1");
        vault.Kill();
        vault.Reopen();
        Assert.Equal(2, vault.Storage.Head.Value);
        Assert.Empty(LogVerifierReport(vault).Damage);
    }

    [Fact]
    public void A_segment_is_sealed_only_when_the_next_one_has_a_durable_group()
    {
        var vault = new SmallVault();
        vault.Append("s-1", 50_000);
        vault.StepAll();
        var group = Begun(vault, "s-1", 20_000);
        vault.StepAll();
        Assert.Equal((0, 2), vault.Storage.SegmentCounts);

        // A crash now leaves the first segment as the last one, to be written on.
        var files = vault.Copy();
        Assert.Empty(LogVerifier.Verify(files, SmallVault.Directory).Damage);
        Written(vault, group);
        vault.StepAll();
        Assert.Equal((1, 1), vault.Storage.SegmentCounts);
    }

    [Fact]
    public void A_segment_whose_keys_take_too_much_memory_is_followed_by_the_next_one_early()
    {
        const long Most = 300_000;
        using var storage = VaultStorage.Open(
            new SimulatedFileSystem(), "/vault", new StorageOptions { SegmentSizeBytes = 4 << 20, SegmentKeyBytes = Most }, now: 1).CommitAll();
        var group = new GroupBuffer();
        var model = new VaultModel();
        for (UInt128 id = 1; id <= 1500; id++)
        {
            var tags = Enumerable.Range(0, 16).Select(t => $"{id}-{t}").ToArray();
            var append = new ModelAppend(id, [("s-1", ExpectedKind.Any, -1, [Encoded.Event(id, "T", default, tags)])]);
            var content = Encoded.Append(storage, id, append.Streams);
            storage.Reader.LookUp(content, out _);
            Assert.Equal(AppendCheck.Ok, storage.Tail.Check(content, out _));
            while (storage.Tail.CheckRoom(content.EncodedLength) != RoomCheck.Ok)
            {
                Assert.True(storage.StepBackground());
            }

            group.Clear();
            storage.Tail.Begin(group, content.EncodedLength, 1);
            model.Add(append, storage.Tail.Add(group, content).RecordedAt);
            storage.Tail.Finish(group);
            storage.Log.Write(group);
            storage.Log.Flush();
            storage.Commit(group.Index);
            Assert.All(storage.View.Unsealed, s => Assert.InRange(s.OwnIndex.Keys.Bytes, 0, Most + 140_000)); // A block of rows at a time.
        }

        Assert.True(storage.SegmentCounts.Sealed >= 3);
        Assert.All(storage.View.Sealed, s => Assert.True(s.Record.EndOffset < 1 << 20));
        model.Check(storage, new Random(1));
    }

    [Fact]
    public void The_log_always_keeps_room_for_a_commit_mark()
    {
        for (var rest = 0; rest < 300; rest += 8)
        {
            var vault = new SmallVault();
            vault.Append("s-1", vault.Storage.MaxAppendBytes - 400 + rest);
            if (vault.Storage.SegmentCounts.Unsealed == 1)
            {
                vault.Mark();
                vault.Kill();
                vault.Reopen();
                Assert.False(vault.Storage.Log.WantsMark);
                Assert.Equal(0, vault.Storage.Head.Value);
            }
        }
    }

    private static VerifyReport LogVerifierReport(SmallVault vault)
    {
        vault.Stop();
        return LogVerifier.Verify(vault.Files, SmallVault.Directory);
    }

    private static GroupBuffer Begun(SmallVault vault, string stream, int dataBytes)
    {
        var append = vault.Event(stream, dataBytes);
        var content = append.Content(vault.Storage);
        vault.Storage.Reader.LookUp(content, out _);
        Assert.Equal(AppendCheck.Ok, vault.Storage.Tail.Check(content, out _));
        Assert.Equal(RoomCheck.Ok, vault.Storage.Tail.CheckRoom(content.EncodedLength));
        var group = new GroupBuffer();
        vault.Storage.Tail.Begin(group, content.EncodedLength, 5_000_000);
        vault.Storage.Tail.Add(group, content);
        vault.Storage.Tail.Finish(group);
        return group;
    }

    private static void Written(SmallVault vault, GroupBuffer group)
    {
        vault.Storage.Log.Write(group);
        vault.Storage.Log.Flush();
        vault.Storage.Commit(group.Index);
    }

    private static void Between(SmallVault vault, Random random)
    {
        if (random.Next(10) == 0)
        {
            vault.Flush();
        }

        if (random.Next(30) == 0)
        {
            vault.Storage.StepBackground();
        }
    }

    private static bool Holds(ExpectedKind expected, long version, long actual) => expected switch
    {
        ExpectedKind.NoStream => actual == -1,
        ExpectedKind.Exists => actual >= 0,
        ExpectedKind.Exact => actual == version,
        _ => true,
    };

    private static ModelAppend RandomAppend(SmallVault vault, Random random)
    {
        var fresh = vault.Event("", random.Next(600));
        var streams = Enumerable.Range(0, random.Next(1, 3)).Select(_ => $"s-{random.Next(60)}").Distinct().Select(name =>
        {
            var expected = (ExpectedKind)random.Next(1, 5);
            var version = expected == ExpectedKind.Exact ? vault.Model.Versions.GetValueOrDefault(name, -1) + (random.Next(3) == 0 ? random.Next(-1, 2) : 0) : -1;
            return (name, expected, version, fresh.Streams[0].Events);
        });
        return new ModelAppend(fresh.Id, [.. streams]);
    }
}
