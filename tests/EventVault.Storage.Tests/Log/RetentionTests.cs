using System.Text;
using EventVault.Storage.Index;
using EventVault.Storage.Io;
using EventVault.Storage.Log;
using EventVault.Storage.Tests.Simulated;

namespace EventVault.Storage.Tests.Log;

/// <summary>Retention rules in a vault: what counts for the sequencer, for readers, and after a start.</summary>
public sealed class RetentionTests
{
    private const string StatePath = SmallVault.Directory + "/index/state";
    private static readonly RetentionRule Held = new() { LegalHold = true };
    private static readonly RetentionRule Last3 = new() { MaxEvents = 3 };

    [Fact]
    public void A_hold_that_is_only_pending_counts_for_the_sequencer_and_not_for_readers()
    {
        var vault = new SmallVault();
        vault.Append("order-1", 10);
        vault.Append("order-2", 10);
        var first = vault.Write(vault.Retain(RetentionScope.Stream, "order-1", Held));
        var second = vault.Write(vault.Retain(RetentionScope.Category, "order", Held), vault.Retain(RetentionScope.Stream, "order-1", rule: null));
        foreach (var kind in (StreamChangeKind[])[StreamChangeKind.Delete, StreamChangeKind.Tombstone, StreamChangeKind.Truncate])
        {
            Assert.Equal(StreamChangeProblem.Held, Problem(vault, kind, "order-1"));
            Assert.Equal(StreamChangeProblem.Held, Problem(vault, kind, "order-2"));
        }

        Assert.Equal(0, vault.Storage.Retention.Count);
        vault.Storage.Log.Flush();
        var before = vault.Storage.Retention;
        vault.Storage.Commit(first.Index);
        Assert.Equal(0, before.Count); // Whoever has it, has it as it was.
        Assert.True(vault.Storage.Retention.IsHeld("order-1"u8));
        Assert.False(vault.Storage.Retention.IsHeld("order-2"u8));
        Assert.Equal(StreamChangeProblem.Held, Problem(vault, StreamChangeKind.Delete, "order-2"));
        vault.Storage.Commit(second.Index);
        Assert.Null(vault.Storage.Retention.Find(RetentionScope.Stream, "order-1"u8));
        Assert.True(vault.Storage.Retention.IsHeld("order-1"u8) && vault.Storage.Retention.IsHeld("order-2"u8));

        vault.Write(vault.Retain(RetentionScope.Category, "order", rule: null));
        Assert.True(vault.Storage.Retention.IsHeld("order-1"u8));
        Assert.Equal(StreamChangeProblem.None, Problem(vault, StreamChangeKind.Delete, "order-1"));
        vault.Write(vault.Change(StreamChangeKind.Delete, "order-1"));
        vault.Flush();
        vault.Model.Check(vault.Storage, new Random(1));
    }

    [Fact]
    public void Other_problems_of_a_stream_come_before_a_hold_and_a_hold_before_what_was_expected()
    {
        var vault = new SmallVault();
        vault.Append("a", 10);
        vault.Append("dead", 10);
        vault.Write(vault.Change(StreamChangeKind.Tombstone, "dead"));
        foreach (var stream in (string[])["a", "dead", "none"])
        {
            vault.Write(vault.Retain(RetentionScope.Stream, stream, Held));
        }

        vault.Flush();
        Assert.Equal(StreamChangeProblem.Tombstoned, Problem(vault, StreamChangeKind.Delete, "dead"));
        Assert.Equal(StreamChangeProblem.NotFound, Problem(vault, StreamChangeKind.Delete, "none"));
        Assert.Equal(StreamChangeProblem.Held, Problem(vault, StreamChangeKind.Truncate, "a", before: 99));
        var content = Encoded.Change(vault.Storage, 900, new ModelChange(StreamChangeKind.Delete, "a", 0, ExpectedKind.NoStream));
        Assert.Equal(AppendCheck.Conflict, Check(vault, content));
        Assert.Equal(StreamChangeProblem.Held, content.Change!.Problem);
    }

    // The leader works out what is due from what is committed; by the time it is sequenced, anything may have been said.
    [Fact]
    public void A_truncation_for_a_rule_is_refused_once_another_rule_counts_or_nothing_is_left_to_do()
    {
        var vault = new SmallVault();
        for (var i = 0; i < 5; i++)
        {
            vault.Append("order-1", 10);
        }

        vault.Write(vault.Retain(RetentionScope.Category, "order", Last3));
        vault.Flush();
        var setAt = vault.Storage.Retention.Rule("order-1"u8)!.SetAt;
        Assert.Equal(StreamChangeProblem.None, Due(2, setAt));
        Assert.Equal(StreamChangeProblem.NotDue, Due(0, setAt));
        vault.Write(vault.Retain(RetentionScope.Stream, "order-1", new RetentionRule { Forever = true })); // Pending only.
        Assert.Equal(StreamChangeProblem.NotDue, Due(2, setAt));
        vault.Write(vault.Retain(RetentionScope.Stream, "order-1", rule: null));
        Assert.Equal(StreamChangeProblem.None, Due(2, setAt));
        vault.Write(vault.Retain(RetentionScope.Category, "order", Last3)); // The same again is another one, too.
        Assert.Equal(StreamChangeProblem.NotDue, Due(2, setAt));
        vault.Write(vault.Retain(RetentionScope.Category, "order", Last3 with { LegalHold = true }));
        Assert.Equal(StreamChangeProblem.Held, Due(2, vault.Storage.Tail.Last));
        vault.Write(vault.Retain(RetentionScope.Category, "order", Last3));
        setAt = vault.Storage.Tail.Last;
        vault.Write(vault.Change(StreamChangeKind.Truncate, "order-1", 2));
        Assert.Equal(StreamChangeProblem.NotDue, Due(2, setAt));
        Assert.Equal(StreamChangeProblem.None, Due(3, setAt));
        vault.Flush();

        StreamChangeProblem Due(long before, Position rule)
        {
            var content = new AppendContent(vault.Storage) { OperationId = 901 };
            content.SetChange(new StreamChange(StreamChangeKind.Truncate, new StreamVersion(before)) { DueBy = rule }, "order-1"u8, ExpectedKind.Any, default);
            content.Check(out _, out _);
            var check = Check(vault, content);
            Assert.Equal(content.Change!.Problem == StreamChangeProblem.None ? AppendCheck.Ok : AppendCheck.Conflict, check);
            return content.Change.Problem;
        }
    }

    [Fact]
    public void Rules_beyond_the_limit_are_refused_pending_ones_counted_and_those_that_are_there_can_still_be_changed()
    {
        var vault = new SmallVault(segmentSizeBytes: 16 * 1024 * 1024);
        const int PerGroup = 100;
        for (var i = 0; i < RetentionRules.MostRules; i += PerGroup)
        {
            vault.Write([.. Enumerable.Range(i, PerGroup).Select(n => vault.Retain(n % 2 == 0 ? RetentionScope.Stream : RetentionScope.Category, $"s{n}", Last3))]);
        }

        Assert.True(IsOverLimit("new", Last3));
        Assert.False(IsOverLimit("s2", Held));
        Assert.False(IsOverLimit("new", rule: null));
        vault.Flush();
        Assert.Equal(RetentionRules.MostRules, vault.Storage.Retention.Count);
        Assert.True(IsOverLimit("new", Last3));
        vault.Write(vault.Retain(RetentionScope.Category, "s1", rule: null));
        Assert.False(IsOverLimit("new", Last3));
        vault.Stop();
        vault.Reopen();
        Assert.Equal(RetentionRules.MostRules - 1, vault.Storage.Retention.Count);

        bool IsOverLimit(string name, RetentionRule? rule)
        {
            var content = Encoded.Retention(vault.Storage, 999_999, new RetentionSetting(RetentionScope.Stream, Encoding.UTF8.GetBytes(name), rule));
            var isRefused = Check(vault, content) == AppendCheck.Conflict;
            Assert.Equal(isRefused, content.Retention!.IsOverLimit);
            return isRefused;
        }
    }

    // Another leader's log does not have them.
    [Fact]
    public void A_truncation_of_the_log_takes_back_pending_rules_and_keeps_those_before_it()
    {
        var vault = new SmallVault();
        vault.Append("a", 10);
        vault.Write(vault.Retain(RetentionScope.Stream, "b", Held));
        vault.Flush();
        var kept = vault.Write(vault.Retain(RetentionScope.Stream, "c", Held));
        vault.Write(vault.Retain(RetentionScope.Stream, "a", Held), vault.Retain(RetentionScope.Stream, "b", rule: null), vault.Retain(RetentionScope.Stream, "c", rule: null));
        Assert.Equal("a", Tail(vault));
        vault.Storage.Log.Flush();
        vault.Storage.BeginTerm(2);
        vault.Storage.Log.Truncate(vault.Storage.Tail.Truncate(kept.Index));
        Assert.Equal("b c", Tail(vault));
        Assert.Equal(StreamChangeProblem.None, Problem(vault, StreamChangeKind.Delete, "a"));
        Assert.Equal("b", Names(vault.Storage.Retention));
        vault.Storage.Commit(kept.Index);
        Assert.Equal("b c", Names(vault.Storage.Retention));
        vault.Kill();
        using var again = SmallVault.Open(vault.Files);
        Assert.Equal("b c", Names(again.Retention));
    }

    [Fact]
    public void Rules_are_there_after_a_start_by_the_state_table_and_by_what_is_not_sealed()
    {
        var vault = WithRules();
        CheckRules(vault.Storage);
        vault.Kill();
        vault.Reopen();
        CheckRules(vault.Storage);
        vault.Stop();
        vault.Reopen();
        CheckRules(vault.Storage);
        vault.Model.Check(vault.Storage, new Random(2));
        var append = Encoded.Change(vault.Storage, 5_000, new ModelChange(StreamChangeKind.Delete, "order-1", 0));
        Assert.Equal(AppendCheck.Conflict, Check(vault, append));
        Assert.Equal(StreamChangeProblem.Held, append.Change!.Problem);
    }

    // Older versions wrote tables without it, and one may have run for a while in between. Then it comes from the log: by the
    // index of each segment, or group by group where there is none. A damaged table is as good as none.
    [Theory]
    [InlineData("lacks")]
    [InlineData("lacks, no index")]
    [InlineData("impossible")]
    [InlineData("damaged")]
    public void A_state_table_that_does_not_know_the_rules_is_made_again_equal(string how)
    {
        var vault = WithRules();
        vault.Stop();
        var before = Bytes(vault.Files, StatePath);
        var table = StateTable.Open(vault.Files, StatePath);
        var values = table.Values.Where(v => v.Key != "retention").ToList();
        Assert.Equal(1, table.AppliedThrough);
        if (how == "damaged")
        {
            using var file = vault.Files.OpenFile(StatePath, FileOpening.Existing);
            file.Write(before.Length - 8, new byte[8]);
            file.Flush();
        }
        else
        {
            vault.Files.DeleteFile(StatePath);
            StateTable.Open(vault.Files, StatePath).Rewrite(1, how == "impossible" ? [.. values, new("retention", new byte[17])] : values);
        }

        if (how == "lacks, no index")
        {
            vault.Files.DeleteFile($"{SmallVault.Directory}/index/{0:D20}.ix");
            vault.Files.DeleteFile($"{SmallVault.Directory}/index/{1:D20}.ix");
        }

        vault.Reopen();
        CheckRules(vault.Storage);
        vault.Stop();
        Assert.Equal(before, Bytes(vault.Files, StatePath));
    }

    [Fact]
    public void The_state_tables_value_gives_back_the_rules_and_an_impossible_one_is_as_good_as_lost()
    {
        var files = new SimulatedFileSystem();
        files.CreateDirectory("/index");
        uint segment = 0;
        Assert.Equal([.. BitConverter.GetBytes(-1L), .. new byte[8]], RetentionValue.Of(new RetentionRules()).Value);
        var rules = new RetentionRules();
        rules.Apply(new RetentionChange(RetentionScope.Stream, "order-17"u8.ToArray(), new RetentionRule { MaxAgeSeconds = 5, MaxEvents = 6, MaxBytes = 7, LegalHold = true }, new Position(3)));
        rules.Apply(new RetentionChange(RetentionScope.Category, "a"u8.ToArray(), new RetentionRule { Forever = true }, new Position(9)));
        rules.Apply(new RetentionChange(RetentionScope.Category, "gone"u8.ToArray(), Rule: null, new Position(12)));
        var value = RetentionValue.Of(rules).Value;
        Assert.Equal(16 + 48 + 48, value.Length);
        var read = Read(value)!;
        Assert.Equal(rules.InOrder().Select(e => (e.Scope, Convert.ToHexString(e.Name), e.Rule, e.SetAt)), read.InOrder().Select(e => (e.Scope, Convert.ToHexString(e.Name), e.Rule, e.SetAt)));
        Assert.Equal((2, new Position(12)), (read.Count, read.LastChange));
        Assert.Equal(value, RetentionValue.Of(read).Value);

        Assert.Null(Read([]));
        Assert.Null(Read(value[..^1]));
        Assert.Null(Read([.. value, 0, 0, 0, 0, 0, 0, 0, 0]));
        Assert.Null(Read([.. value[..16], .. value[64..], .. value[16..64]])); // Not ascending.
        foreach (var (offset, wrong) in (ValueTuple<int, byte>[])
            [(0, 8), (7, 255), (8, 1), (8, 3), (12, 1), (23, 255), (48, 9), (50, 0), (50, 3), (51, 0), (51, 4), (52, 1), (56, (byte)'$'), (57, 1), (24 + 48, 0), (24 + 48 + 7, 255), (56 + 48, 0xff)])
        {
            var bad = value.ToArray();
            bad[offset] = wrong;
            var isName = offset == 56 + 48; // Names need not be UTF-8 here: they were checked long before.
            Assert.True((Read(bad) is null) != (isName || offset == 24 + 48), $"{offset}");
        }

        RetentionRules? Read(byte[] bytes)
        {
            StateTable.Open(files, "/index/state").Rewrite(segment++, [new("retention", bytes)]);
            return RetentionValue.Read(StateTable.Open(files, "/index/state"));
        }
    }

    // Two sealed segments and one that is not, with changes in each of them.
    private static SmallVault WithRules()
    {
        var vault = new SmallVault();
        vault.Append("order-1");
        vault.Write(vault.Retain(RetentionScope.Category, "order", Last3), vault.Retain(RetentionScope.Stream, "a", Held), vault.Retain(RetentionScope.Stream, "gone", Held));
        vault.Flush();
        vault.Append("big", 55_000);
        vault.Write(vault.Retain(RetentionScope.Stream, "gone", rule: null), vault.Retain(RetentionScope.Stream, "b", Last3));
        vault.Flush();
        vault.Append("big", 55_000);
        vault.Append("big", 55_000);
        vault.Write(vault.Retain(RetentionScope.Stream, "b", Held), vault.Retain(RetentionScope.Category, "order", Last3 with { LegalHold = true }));
        vault.Flush();
        vault.StepAll();
        Assert.Equal((2, 1), vault.Storage.SegmentCounts);
        return vault;
    }

    private static void CheckRules(VaultStorage storage) => Assert.Equal(
        [(RetentionScope.Category, "order", Last3 with { LegalHold = true }), (RetentionScope.Stream, "a", Held), (RetentionScope.Stream, "b", Held)],
        storage.Retention.InOrder().Select(e => (e.Scope, Encoding.UTF8.GetString(e.Name), e.Rule)));

    private static string Tail(SmallVault vault) => Names(vault.Storage.Lives.Retention.Tail);

    private static string Names(RetentionRules rules) => string.Join(' ', rules.InOrder().Select(e => Encoding.UTF8.GetString(e.Name)));

    private static StreamChangeProblem Problem(SmallVault vault, StreamChangeKind kind, string stream, long before = 1)
    {
        var content = Encoded.Change(vault.Storage, 900, new ModelChange(kind, stream, before));
        var check = Check(vault, content);
        Assert.Equal(content.Change!.Problem == StreamChangeProblem.None ? AppendCheck.Ok : AppendCheck.Conflict, check);
        return content.Change.Problem;
    }

    private static AppendCheck Check(SmallVault vault, AppendContent content)
    {
        vault.Storage.Reader.LookUp(content, out _);
        return vault.Storage.Tail.Check(content, out _);
    }

    private static byte[] Bytes(SimulatedFileSystem files, string path)
    {
        using var file = files.OpenFile(path, FileOpening.ReadExisting);
        var bytes = new byte[file.Length];
        file.Read(0, bytes);
        return bytes;
    }
}
