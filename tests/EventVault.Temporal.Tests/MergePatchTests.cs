using System.Text.Json.Nodes;
using EventVault.Temporal.Reducers;

namespace EventVault.Temporal.Tests;

/// <summary>State of a stream without a definition.</summary>
public sealed class MergePatchTests
{
    // The table of RFC 7396, appendix A: original, patch, result.
    [Theory]
    [InlineData("""{"a":"b"}""", """{"a":"c"}""", """{"a":"c"}""")]
    [InlineData("""{"a":"b"}""", """{"b":"c"}""", """{"a":"b","b":"c"}""")]
    [InlineData("""{"a":"b"}""", """{"a":null}""", """{}""")]
    [InlineData("""{"a":"b","b":"c"}""", """{"a":null}""", """{"b":"c"}""")]
    [InlineData("""{"a":["b"]}""", """{"a":"c"}""", """{"a":"c"}""")]
    [InlineData("""{"a":"c"}""", """{"a":["b"]}""", """{"a":["b"]}""")]
    [InlineData("""{"a":{"b":"c"}}""", """{"a":{"b":"d","c":null}}""", """{"a":{"b":"d"}}""")]
    [InlineData("""{"a":[{"b":"c"}]}""", """{"a":[1]}""", """{"a":[1]}""")]
    [InlineData("""["a","b"]""", """["c","d"]""", """["c","d"]""")]
    [InlineData("""{"a":"b"}""", """["c"]""", """["c"]""")]
    [InlineData("""{"a":"foo"}""", "null", "null")]
    [InlineData("""{"a":"foo"}""", "\"bar\"", "\"bar\"")]
    [InlineData("""{"e":null}""", """{"a":1}""", """{"a":1}""")] // As an event, the original is itself a patch: its null is gone.
    [InlineData("""[1,2]""", """{"a":"b","c":null}""", """{"a":"b"}""")]
    [InlineData("""{}""", """{"a":{"bb":{"ccc":null}}}""", """{"a":{"bb":{}}}""")]
    public void The_table_of_the_RFC_holds(string original, string patch, string result) =>
        Assert.Equal(result, Some.Fold(MergePatchReducer.Instance, new SomeEvent(original), new SomeEvent(patch)).Json());

    [Fact]
    public void Nothing_is_null() => Assert.Equal("null", Some.Fold(MergePatchReducer.Instance).Json());

    [Fact]
    public void Events_that_are_no_JSON_change_nothing_and_are_counted()
    {
        var state = Some.Fold(
            MergePatchReducer.Instance, new("""{"a":1}"""), new("""{"a":2,"b":"""), new(""), new("{\"a\":2}", IsJson: false), new("{\"a\":3} x"));
        Assert.Equal("""{"a":1}""", state.Json());
        Assert.Equal(new FoldCounts(Events: 5, Skipped: 4, Mismatches: 0, Errors: 0), state.Counts);
    }

    [Fact]
    public void Random_histories_agree_with_a_naive_merge_wherever_they_are_cut_and_saved()
    {
        for (var seed = 0; seed < 300; seed++)
        {
            var random = new Random(seed);
            JsonNode? naive = null;
            var state = MergePatchReducer.Instance.Start(FoldLimits.Default);
            for (var i = 0; i < 30; i++)
            {
                var patch = random.Next(20) == 0 ? RandomJson.Value(random, 2) : RandomJson.Object(random, 4);
                naive = Merge(naive, patch);
                new SomeEvent(patch?.ToJsonString() ?? "null").ApplyTo(state);
                Assert.Equal(Some.Canonical(naive?.ToJsonString() ?? "null"), state.Json());
                if (random.Next(4) == 0)
                {
                    var restored = MergePatchReducer.Instance.Restore(state.Saved(), FoldLimits.Default);
                    Assert.Equal((state.Counts, state.Bytes, state.Json()), (restored.Counts, restored.Bytes, restored.Json()));
                    Assert.Equal(state.Saved(), restored.Saved());
                    Assert.Equal(state.JsonHash(), restored.JsonHash());
                    state = restored;
                }
            }
        }
    }

    [Fact]
    public void A_state_that_grows_too_large_is_refused()
    {
        var state = MergePatchReducer.Instance.Start(new FoldLimits(100));
        new SomeEvent("""{"a":"0123456789012345678901234567890123456789","b":"0123456789012345678901234567890123456789"}""").ApplyTo(state);
        new SomeEvent("""{"a":null}""").ApplyTo(state);
        new SomeEvent("""{"c":"0123456789012345678901234567890123456789"}""").ApplyTo(state);
        var e = Assert.Throws<StateTooLargeException>(() => new SomeEvent("""{"d":{"e":"0123456789012345678901234567890123456789"}}""").ApplyTo(state));
        Assert.Equal(100, e.Allowed);
        Assert.True(e.Bytes > 100);
    }

    [Fact]
    public void Damaged_saved_states_are_told()
    {
        var saved = Some.Fold(MergePatchReducer.Instance, new SomeEvent("""{"a":[1,2,{"b":"c"}]}""")).Saved();
        for (var length = 0; length < saved.Length; length++)
        {
            Assert.Throws<InvalidDataException>(() => MergePatchReducer.Instance.Restore(saved.AsSpan(0, length), FoldLimits.Default));
        }

        Assert.Throws<InvalidDataException>(() => MergePatchReducer.Instance.Restore([.. saved, 0], FoldLimits.Default));
    }

    private static JsonNode? Merge(JsonNode? target, JsonNode? patch)
    {
        if (patch is not JsonObject members)
        {
            return patch?.DeepClone();
        }

        var result = target as JsonObject ?? [];
        foreach (var (name, value) in members)
        {
            if (value is null)
            {
                result.Remove(name);
            }
            else
            {
                result.Remove(name, out var before);
                result[name] = Merge(before, value);
            }
        }

        return result;
    }
}
