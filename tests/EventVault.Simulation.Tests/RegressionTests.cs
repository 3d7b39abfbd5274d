namespace EventVault.Simulation.Tests;

/// <summary>
/// What simulation has found once: the runs that failed, and runs in which the same is bound to happen again. A seed is
/// another run after each change of the product, so each bug also has a test of its own where it was.
/// </summary>
public class RegressionTests
{
    /// <summary>
    /// Buffers of groups that were cut off the log were let go before the cut had looked how far they reach: one block was
    /// zeroed where there were two, and a commit mark behind them made the next start take the cut for damage.
    /// </summary>
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    [InlineData(5)]
    [InlineData(6)]
    public void Power_lost_in_a_truncation_leaves_no_damage(ulong seed) =>
        Run.Passes(new CommandLine { Profile = Profile.Elections, Only = FaultClass.PowerLoss | FaultClass.Partition | FaultClass.Pause }.OptionsOf(seed));

    /// <summary>
    /// On a full disk a leader's own entry stands in the core's log and waits for room in the storage's: it can't be sent yet,
    /// and the leader stopped because there was nothing to send.
    /// </summary>
    [Theory]
    [InlineData(236602476976853)]
    [InlineData(11)]
    [InlineData(12)]
    [InlineData(13)]
    public void A_full_disk_stops_no_leader_that_changes_the_membership(ulong seed) =>
        Run.Passes(new CommandLine { Profile = Profile.Membership, Only = FaultClass.FullDisk | FaultClass.Membership | FaultClass.Transfer }.OptionsOf(seed));

    /// <summary>
    /// After a failed flush the page cache showed operations that the disk did not have; the redo took them for written, and
    /// the next power loss took them away: a retry would have been appended twice.
    /// </summary>
    [Theory]
    [InlineData(199795327256702)]
    [InlineData(21)]
    [InlineData(22)]
    [InlineData(23)]
    public void What_a_failed_flush_lost_is_written_again(ulong seed) =>
        Run.Passes(new CommandLine { Profile = Profile.ShortCrashes, Only = FaultClass.FailingDisk | FaultClass.PowerLoss | FaultClass.Kill }.OptionsOf(seed));
}
