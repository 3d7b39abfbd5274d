using System.Text;
using EventVault.Storage.Index;
using EventVault.Storage.Io;
using EventVault.Storage.Tests.Simulated;
using FsCheck;
using FsCheck.Fluent;

namespace EventVault.Storage.Tests.Index;

public sealed class StateTableTests
{
    private const string Path = "/state";

    [Fact]
    public void Gives_back_the_last_values() => Prop.ForAll(
        ArbMap.Default.GeneratorFor<Dictionary<NonEmptyString, byte[]>[]>().ToArbitrary(),
        rewrites =>
        {
            var disk = new SimulatedFileSystem(tracksLosses: false);
            StateTable table = StateTable.Open(disk, Path);
            Assert.Equal(-1, table.AppliedThrough);
            for (uint s = 0; s < rewrites.Length; s++)
            {
                Dictionary<string, byte[]> values = [];
                foreach ((NonEmptyString name, byte[]? value) in rewrites[s])
                {
                    values["n" + Convert.ToHexString(Encoding.Unicode.GetBytes(name.Get))] = value ?? [];
                }

                table.Rewrite(s, values);
                CheckEqual(values, s, table);
                CheckEqual(values, s, StateTable.Open(disk, Path));
            }
        }).Check(Config.QuickThrowOnFailure.WithMaxTest(50));

    [Fact]
    public void Applying_a_segment_again_changes_nothing()
    {
        var disk = new SimulatedFileSystem();
        StateTable table = StateTable.Open(disk, Path);
        table.Rewrite(0, Values(1));
        table.Rewrite(1, Values(2));
        table.Rewrite(0, Values(1));
        CheckEqual(Values(2), 1, table);
        table.Rewrite(7, Values(3)); // Values as of a segment, and so whole: none has to come before it.
        CheckEqual(Values(3), 7, StateTable.Open(disk, Path));
    }

    [Fact]
    public void The_same_values_in_any_order_give_the_same_bytes()
    {
        var one = new SimulatedFileSystem();
        var other = new SimulatedFileSystem();
        StateTable.Open(one, Path).Rewrite(0, Values(30));
        StateTable.Open(other, Path).Rewrite(0, Values(30).Reverse());
        Assert.Equal(Bytes(one), Bytes(other));
    }

    [Fact]
    public void A_crash_at_any_operation_leaves_the_old_table_or_the_new_one()
    {
        for (long at = 1; ; at++)
        {
            var disk = new SimulatedFileSystem();
            StateTable table = StateTable.Open(disk, Path);
            table.Rewrite(0, Values(5));
            disk.CrashAtOperation = disk.Operations + at;
            bool done = true;
            try
            {
                table.Rewrite(1, Values(9));
            }
            catch (SimulatedCrashException)
            {
                done = false;
            }

            for (int luck = 0; luck < 30; luck++)
            {
                StateTable survivor = StateTable.Open(disk.Crash(new Random(luck)), Path);
                Assert.InRange(survivor.AppliedThrough, done ? 1 : 0, 1);
                CheckEqual(Values(survivor.AppliedThrough == 0 ? 5 : 9), survivor.AppliedThrough, survivor);
            }

            if (done)
            {
                return;
            }
        }
    }

    [Fact]
    public void Detects_a_flipped_bit_at_every_byte_and_every_other_length()
    {
        var disk = new SimulatedFileSystem(tracksLosses: false);
        StateTable.Open(disk, Path).Rewrite(0, Values(6));
        using IFile file = disk.OpenFile(Path, FileOpening.Existing);
        long length = file.Length;
        for (long offset = 0; offset < length; offset++)
        {
            disk.FlipBit(Path, offset, (int)(offset % 8));
            Assert.Throws<IndexDamageException>(() => StateTable.Open(disk, Path));
            disk.FlipBit(Path, offset, (int)(offset % 8));
        }

        file.SetLength(length + 1);
        Assert.Throws<IndexDamageException>(() => StateTable.Open(disk, Path));
        for (long cut = length - 1; cut >= 0; cut--)
        {
            file.SetLength(cut);
            Assert.Throws<IndexDamageException>(() => StateTable.Open(disk, Path));
        }
    }

    internal static Dictionary<string, byte[]> Values(int count) => Enumerable.Range(0, count).ToDictionary(
        i => $"policy/größe-{i}", i => Enumerable.Range(0, i * 3).Select(b => (byte)b).ToArray());

    private static byte[] Bytes(SimulatedFileSystem disk)
    {
        using IFile file = disk.OpenFile(Path, FileOpening.ReadExisting);
        var bytes = new byte[file.Length];
        file.Read(0, bytes);
        return bytes;
    }

    private static void CheckEqual(Dictionary<string, byte[]> expected, long appliedThrough, StateTable table)
    {
        Assert.Equal(appliedThrough, table.AppliedThrough);
        Assert.Equal(expected.Count, table.Values.Count);
        Assert.All(expected, pair => Assert.Equal(pair.Value, table.Values[pair.Key]));
    }
}
