using EventVault.Simulation.Checkers;

namespace EventVault.Simulation.Tests.Checkers;

/// <summary>
/// Histories that a perfect vault makes: a list, one after the other. Requests overlap, each one takes effect at some moment
/// between its sending and its answer, answers get lost and are asked for again. None may be held against it; and one wrong
/// word in any of them must be.
/// </summary>
public sealed class RandomHistoryTests
{
    private const int Histories = 150;
    private const int Steps = 400;

    [Fact]
    public void Correct_histories_pass()
    {
        var outcomes = new long[Enum.GetValues<OperationOutcome>().Length];
        for (var seed = 1; seed <= Histories; seed++)
        {
            var history = new RandomHistory(seed);
            history.Play(Steps);
            foreach (var outcome in Enum.GetValues<OperationOutcome>())
            {
                outcomes[(int)outcome] += history.Run.History.Count(outcome);
            }
        }

        // All of them were in it.
        Assert.DoesNotContain(0, outcomes[1..]);
    }

    [Theory]
    [InlineData((int)Lie.Versions, Rules.AnswerTrue)]
    [InlineData((int)Lie.Position, Rules.AnswerTrue)]
    [InlineData((int)Lie.StaleConflict, Rules.ConflictFounded)]
    [InlineData((int)Lie.FutureConflict, Rules.ConflictFounded)]
    [InlineData((int)Lie.RefuseWritten, Rules.RefusedNeverWritten)]
    [InlineData((int)Lie.WriteTwice, Rules.WrittenOnce)]
    [InlineData((int)Lie.IgnoreExpectation, Rules.ExpectationHeld)]
    [InlineData((int)Lie.AnswerEarly, Rules.AckedIsCommitted)]
    [InlineData((int)Lie.StaleRead, Rules.ReadFresh)]
    [InlineData((int)Lie.SkipEvent, Rules.ReadTrue)]
    [InlineData((int)Lie.SkipDelivery, Rules.SubscriptionIsLog)]
    [InlineData((int)Lie.RepeatDelivery, Rules.SubscriptionIsLog)]
    public void One_lie_in_a_correct_history_is_caught(int lie, string rule)
    {
        var told = 0;
        for (var seed = 1; seed <= Histories && told < 20; seed++)
        {
            var history = new RandomHistory(seed) { Lie = (Lie)lie, LieAfter = 50 + seed };
            try
            {
                history.Play(Steps);
                Assert.False(history.HasLied, $"Seed {seed}: nobody noticed.");
            }
            catch (ViolationException e)
            {
                Assert.True(history.HasLied, $"Seed {seed}: {e.Message}");
                Assert.Equal(rule, e.Rule);
                told++;
            }
        }

        Assert.True(told >= 10, $"Only {told} histories had an occasion.");
    }
}
