namespace EventVault.Admin.Tests;

public sealed class CommandWordsTests
{
    [Theory]
    [InlineData("The field streams[0].expected.version is too large.", "The field --expected is too large.")]
    [InlineData("streams[12].expected is missing", "--expected is missing")]
    [InlineData("requires[3].stream is written, too", "--require is written, too")]
    [InlineData("reducer.inline.slots, character 7", "--slots, character 7")]
    [InlineData("definition.slots has", "--slots has")]
    [InlineData("Ask later, or set wait.", "Ask later, or give --wait.")]
    [InlineData("DefineReducer makes one, ListReducers tells which there are; GetReducer tells more.", "reducers define makes one, reducers ls tells which there are; reducers show tells more.")]
    [InlineData("The time in as_of.time has not passed", "The time in --at-time has not passed")]
    [InlineData("grants[0] allows nothing", "--allow allows nothing")]
    [InlineData("The stream set-wait has allow_partial_2 and GetReducers.", "The stream set-wait has allow_partial_2 and GetReducers.")]
    public void The_words_of_the_api_become_those_that_are_typed(string told, string shown) => Assert.Equal(shown, CommandWords.In(told));
}
