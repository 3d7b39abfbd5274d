using EventVault.Simulation.Checkers;
using static EventVault.Simulation.Tests.Checkers.PlantedRun;

namespace EventVault.Simulation.Tests.Checkers;

public sealed class ReadCheckerTests
{
    private readonly PlantedRun _run = new();

    public ReadCheckerTests()
    {
        _run.Write(Append(1, ("a", Expectation.Any, 0, 2), ("b", Expectation.Any, 0, 1)));
        _run.Write(Append(2, "a"));
        _run.Write(Append(3, "c"));
    }

    public static TheoryData<int, bool> Kinds()
    {
        var kinds = new TheoryData<int, bool>();
        foreach (var kind in Enum.GetValues<ReadKind>())
        {
            kinds.Add((int)kind, false);
            kinds.Add((int)kind, true);
        }

        return kinds;
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void True_answers_pass_at_every_head(int kind, bool backwards)
    {
        for (var head = -1L; head <= _run.Ledger.Head; head++)
        {
            for (var from = 0; from < 6; from++)
            {
                var request = new ReadRequest((ReadKind)kind, Consistency.AtLeast, head, "a", (ReadKind)kind == ReadKind.Time ? 1_000 + from : from, 2, backwards);
                _run.Reads.Answered(_run.Reads.Begin(1, 1, request), _run.TrueAnswer(request, head));
            }
        }

        Assert.Equal(0, _run.History.Open);
    }

    [Fact]
    public void A_head_that_is_not_committed_is_caught() =>
        BreaksRead(Rules.ReadCommitted, new ReadRequest(ReadKind.Head, Consistency.Local), _ => new ReadAnswer { Head = 5 });

    [Fact]
    public void A_stale_linearizable_read_is_caught() =>
        BreaksRead(Rules.ReadFresh, new ReadRequest(ReadKind.Head, Consistency.Linearizable), _ => new ReadAnswer { Head = 3 });

    [Fact]
    public void A_linearizable_read_may_miss_what_was_committed_after_it_was_sent()
    {
        var request = new ReadRequest(ReadKind.All, Consistency.Linearizable);
        var read = _run.Reads.Begin(1, 1, request);
        _run.Write(Append(4, "d"));
        _run.Reads.Answered(read, _run.TrueAnswer(request, 4));
        Assert.Equal(1, _run.History.Count(OperationOutcome.Read));
    }

    [Fact]
    public void A_read_below_the_position_that_was_asked_for_is_caught() =>
        BreaksRead(Rules.ReadAtLeast, new ReadRequest(ReadKind.Head, Consistency.AtLeast, AtLeast: 4), _ => new ReadAnswer { Head = 3 });

    [Fact]
    public void A_node_that_shows_less_than_before_is_caught()
    {
        var read = _run.Reads.Begin(1, 1, new ReadRequest(ReadKind.Head, Consistency.Local));
        _run.Reads.Shown(read, new ReadAnswer { Head = 4 });
        Breaks(Rules.ReadForward, () => _run.Reads.Shown(read, new ReadAnswer { Head = 3 }));
        _run.Reads.NodeStopped(1);
        _run.Reads.Shown(read, new ReadAnswer { Head = 3 });
    }

    [Fact]
    public void An_event_left_out_is_caught() => BreaksEvents(e => e.RemoveAt(1));

    [Fact]
    public void An_event_shown_twice_is_caught() => BreaksEvents(e => e[1] = e[0]);

    [Fact]
    public void An_event_with_other_bytes_is_caught() => BreaksEvents(e => e[1] = e[1] with { Digest = 3 });

    [Fact]
    public void An_event_of_another_stream_is_caught() => BreaksEvents(e => e[1] = _run.Seen(2));

    [Fact]
    public void An_event_with_another_time_is_caught() => BreaksEvents(e => e[1] = e[1] with { RecordedAt = 1 });

    [Fact]
    public void An_event_behind_the_head_of_the_answer_is_caught()
    {
        var request = new ReadRequest(ReadKind.Events, Consistency.Local, Stream: "a");
        BreaksRead(Rules.ReadTrue, request, _ =>
        {
            var answer = new ReadAnswer { Head = 2 };
            answer.Events.AddRange(_run.TrueAnswer(request, 4).Events);
            return answer;
        });
    }

    [Fact]
    public void A_backward_read_in_forward_order_is_caught() =>
        BreaksRead(Rules.ReadTrue, new ReadRequest(ReadKind.All, Consistency.Local, From: 4, Backwards: true), a => Change(a, e => e.Reverse()));

    [Fact]
    public void A_stream_left_out_of_a_list_is_caught() =>
        BreaksRead(Rules.ListTrue, new ReadRequest(ReadKind.List, Consistency.Local), a =>
        {
            a.Streams.RemoveAt(0);
            return a;
        });

    [Fact]
    public void A_wrong_head_of_a_stream_is_caught() =>
        BreaksRead(Rules.ReadTrue, new ReadRequest(ReadKind.StreamHead, Consistency.Local, Stream: "a"), a => Change(a, e => e[0] = _run.Seen(1)));

    [Fact]
    public void A_wrong_place_in_time_is_caught() =>
        BreaksRead(Rules.TimeLookupTrue, new ReadRequest(ReadKind.Time, Consistency.Local, From: 1_001), a =>
        {
            a.Position++;
            return a;
        });

    private static ReadAnswer Change(ReadAnswer answer, Action<List<SeenEvent>> change)
    {
        change(answer.Events);
        return answer;
    }

    private void BreaksEvents(Action<List<SeenEvent>> change) =>
        BreaksRead(Rules.ReadTrue, new ReadRequest(ReadKind.Events, Consistency.Local, Stream: "a"), a => Change(a, change));

    private void BreaksRead(string rule, ReadRequest request, Func<ReadAnswer, ReadAnswer> change)
    {
        var read = _run.Reads.Begin(1, 1, request);
        Breaks(rule, () => _run.Reads.Answered(read, change(_run.TrueAnswer(request, 4))));
    }
}
