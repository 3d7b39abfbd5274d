namespace EventVault.Simulation.Tests;

public class CommandLineTests
{
    [Fact]
    public void The_replay_command_runs_the_same()
    {
        var options = new CommandLine { Profile = Profile.Membership, Without = FaultClass.Wipe | FaultClass.Clock, Seconds = 12.5, Clients = 3, Requests = 77 }.OptionsOf(99);
        var command = options.ReplayCommand();
        var arguments = command[(command.IndexOf("-- ", StringComparison.Ordinal) + 3)..].Split(' ');
        var replayed = CommandLine.Parse(arguments);
        Assert.Equal(options, replayed.OptionsOf(replayed.Seed!.Value));
    }

    [Theory]
    [InlineData("--seed")]
    [InlineData("--seed", "x")]
    [InlineData("--seeds", "1-5")]
    [InlineData("--nonsense", "1")]
    [InlineData("--profile", "none-such")]
    [InlineData("--without", "Everything")]
    public void Wrong_arguments_are_refused(params string[] arguments) => Assert.Throws<FormatException>(() => CommandLine.Parse(arguments));
}
