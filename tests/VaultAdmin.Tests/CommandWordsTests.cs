using System.CommandLine;

namespace EventVault.Admin.Tests;

public sealed class CommandWordsTests
{
    [Theory]
    [InlineData("The field streams[0].expected.version is too large.", "The field --expected is too large.")]
    [InlineData("streams[12].expected is missing", "--expected is missing")]
    [InlineData("requires[3].stream is written, too", "--require is written, too")]
    [InlineData("reducer.inline.slots, character 7", "--slots, character 7")]
    [InlineData("definition.slots has", "--slots has")]
    [InlineData("Ask later, or set wait.", "Ask later, or --wait.")]
    [InlineData("DefineReducer makes one, ListReducers tells which there are; GetReducer tells more.", "reducers define makes one, reducers ls tells which there are; reducers show tells more.")]
    [InlineData("The time in as_of.time has not passed", "The time in --at-time has not passed")]
    [InlineData("grants[0] allows nothing", "--allow allows nothing")]
    [InlineData("The stream set wait has my-allow_partial, GetReducers and mydefinition.slots.", "The stream set wait has my-allow_partial, GetReducers and mydefinition.slots.")]
    [InlineData("/eventvault.v1.Temporal/GetReducer: no answer", "/eventvault.v1.Temporal/GetReducer: no answer")]
    public void The_words_of_the_api_become_those_that_are_typed(string told, string shown) =>
        Assert.Equal(shown, CommandWords.In(told, CommandWith("--expected", "--require", "--slots", "--wait", "--at-time", "--allow", "--allow-partial")));

    [Fact]
    public void An_option_that_a_command_does_not_have_is_not_named() =>
        Assert.Equal("The time in as_of.time has not passed. Ask later, or set wait.", CommandWords.In("The time in as_of.time has not passed. Ask later, or set wait.", CommandWith("--to")));

    private static Command CommandWith(params string[] options)
    {
        var command = new Command("some");
        foreach (var option in options)
        {
            command.Options.Add(new Option<string>(option));
        }

        return command;
    }
}
