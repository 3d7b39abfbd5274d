using System.Globalization;
using EventVault.Node.Tests.Support;
using EventVault.Protocol;
using EventVault.Rpc;

namespace EventVault.Node.Tests;

/// <summary>
/// Sixteen callers at once, round after round. Each answer is held against the log: what was committed held at its place, what
/// was refused was refused for something that stands there. EVENTVAULT_RACE_ROUNDS sets the rounds of each test.
/// </summary>
public sealed class AppendRaceTests
{
    private const int Racers = 16;
    private const int DefaultRounds = 200;

    private static readonly int Rounds = int.Parse(Environment.GetEnvironmentVariable("EVENTVAULT_RACE_ROUNDS") ?? $"{DefaultRounds}", CultureInfo.InvariantCulture);

    [Fact]
    public async Task Of_sixteen_with_the_same_condition_exactly_one_commits()
    {
        await using var node = await TestNode.StartAsync();
        for (var round = 0; round < Rounds; round++)
        {
            var tag = $"name:{round}";
            var attempts = await RaceAsync(node, racer => Claim($"user-{round}-{racer}", tag, after: null));
            Assert.Equal((round, 1), (round, attempts.Count(a => a.Answer is not null)));
            var winner = attempts.Single(a => a.Answer is not null).Answer!.FirstPosition;
            Assert.All(attempts.Where(a => a.Answer is null), a => Assert.Equal(winner, a.Failures!.Single().Position));
        }

        await CheckAsync(node, []);
    }

    [Fact]
    public async Task Sixteen_on_tags_that_have_nothing_in_common_all_commit()
    {
        await using var node = await TestNode.StartAsync();
        for (var round = 0; round < Rounds; round++)
        {
            var attempts = await RaceAsync(node, racer => Claim($"user-{racer}", $"name:{round}:{racer}", after: null));
            Assert.All(attempts, a => Assert.NotNull(a.Answer));
        }

        Assert.Equal(Racers * Rounds, (await node.ReadAllAsync()).Count);
    }

    [Fact]
    public async Task Decisions_on_staggered_reads_while_a_writer_commits_are_never_overtaken()
    {
        await using var node = await TestNode.StartAsync();
        using var stop = new CancellationTokenSource();
        var writer = Task.Run(async () =>
        {
            for (var i = 0; !stop.IsCancellationRequested; i++)
            {
                await node.AppendAsync("noise", Make.Any, Make.Tagged("taken", $"name:{i % 5}:w"));
            }
        });
        var all = new List<Attempt>();
        for (var round = 0; round < Rounds; round++)
        {
            var tag = $"name:{round % 5}:w";
            var attempts = await RaceAsync(node, async racer =>
            {
                // Each has its own picture of the vault by the time it writes.
                for (var i = racer % 4; i > 0; i--)
                {
                    await Task.Yield();
                }

                var (head, _) = await node.ReadAsync(Methods.ReadAll, new ReadAllRequest { Direction = Direction.Backwards, Limit = 1, Filter = new EventFilter { Query = Make.Query(Make.Item("taken", tag)) } });
                return Claim($"user-{racer}", tag, head.HasLastPosition ? head.LastPosition : null);
            });
            all.AddRange(attempts);
        }

        await stop.CancelAsync();
        await writer;
        await CheckAsync(node, all);
        Assert.True(all.Exists(a => a.Answer is not null) && all.Count(a => a.Answer is null) > Rounds);
    }

    [Fact]
    public async Task Mixed_versions_requirements_and_conditions_commit_only_where_all_of_them_hold()
    {
        await using var node = await TestNode.StartAsync();
        await node.AppendAsync("shared", Make.NoStream);
        var all = new List<Attempt>();
        for (var round = 0; round < Rounds; round++)
        {
            var (head, shared) = await node.ReadAsync(Methods.ReadStream, new ReadStreamRequest { Stream = "shared", Direction = Direction.Backwards, Limit = 1 });
            var version = shared[0].Version;
            var attempts = await RaceAsync(node, racer =>
            {
                var e = Make.Tagged("moved", $"lot:{racer % 3}");
                AppendRequest request;
                switch (racer % 4)
                {
                    case 0:
                        request = Make.Append(Make.Stream("shared", Make.Version(version), e));
                        break;
                    case 1:
                        request = Make.Append(Make.Stream($"own-{racer}", Make.Any, e));
                        request.Requires.Add(Make.Requirement("shared", Make.Version(version)));
                        request.Conditions.Add(Make.Condition(head.LastPosition, Make.Item("moved", $"lot:{racer % 3}")));
                        break;
                    case 2:
                        request = Make.Append(Make.Stream($"own-{racer}", Make.Any, e), Make.Stream("shared", Make.Version(version)));
                        request.Conditions.Add(Make.Condition(head.LastPosition, Make.Item("moved")));
                        break;
                    default:
                        request = Make.Append(Make.Stream($"own-{racer}-{round}", Make.NoStream, e));
                        request.Conditions.Add(Make.Condition(head.LastPosition, Make.Item("", "lot:0"), Make.Item("", "lot:1,lot:2")));
                        break;
                }

                return request;
            });
            Assert.Contains(attempts, a => a.Answer is not null);
            all.AddRange(attempts);
        }

        await CheckAsync(node, all);
    }

    private static AppendRequest Claim(string stream, string tag, ulong? after)
    {
        var request = Make.Append(Make.Stream(stream, Make.Any, Make.Tagged("taken", tag)));
        request.Conditions.Add(Make.Condition(after, Make.Item("taken", tag)));
        return request;
    }

    private static Task<Attempt[]> RaceAsync(TestNode node, Func<int, AppendRequest> request) => RaceAsync(node, racer => Task.FromResult(request(racer)));

    private static async Task<Attempt[]> RaceAsync(TestNode node, Func<int, Task<AppendRequest>> request)
    {
        var barrier = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var racers = Enumerable.Range(0, Racers).Select(racer => Task.Run(async () =>
        {
            await barrier.Task;
            var sent = await request(racer);
            try
            {
                return new Attempt(sent, await node.AppendAsync(sent), null);
            }
            catch (RpcException e)
            {
                return new Attempt(sent, null, [.. Fails.Detail(RpcCode.Aborted, e).Failures]);
            }
        })).ToList();
        barrier.SetResult();
        return await Task.WhenAll(racers).WaitAsync(Wait.Limit);
    }

    // Replays the log, and asks of each answer whether it was right at its place.
    private static async Task CheckAsync(TestNode node, List<Attempt> attempts)
    {
        var log = await node.ReadAllAsync();
        Assert.Equal(Enumerable.Range(0, log.Count).Select(i => (ulong)i), log.Select(e => e.Position));
        var streams = log.GroupBy(e => e.Stream).ToDictionary(g => g.Key, g => g.ToList());
        foreach (var attempt in attempts)
        {
            if (attempt.Answer is { } answer)
            {
                var first = (int)answer.FirstPosition;
                foreach (var (stream, expected) in attempt.Request.Streams.Select(s => (s.Stream, s.Expected)).Concat(attempt.Request.Requires.Select(r => (r.Stream, r.Expected))))
                {
                    var last = streams.GetValueOrDefault(stream)?.FindLast(e => e.Position < answer.FirstPosition);
                    Assert.True(Holds(expected, last), $"{attempt.Request} was committed at {first}, behind {last}.");
                }

                foreach (var condition in attempt.Request.Conditions)
                {
                    var after = condition.HasAfter ? (int)condition.After + 1 : 0;
                    Assert.DoesNotContain(log.GetRange(after, first - after), e => Matches(condition.Query, e));
                }

                continue;
            }

            foreach (var failure in attempt.Failures!)
            {
                if (failure.Reason == Reason.ConditionFailed)
                {
                    var condition = attempt.Request.Conditions[(int)failure.Index];
                    Assert.True((!condition.HasAfter || failure.Position > condition.After) && Matches(condition.Query, log[(int)failure.Position]));
                }
                else
                {
                    Assert.Equal(failure.VersionConflict.Actual, streams[failure.Stream][(int)failure.VersionConflict.Actual].Version);
                    Assert.NotEqual(failure.VersionConflict.Expected, failure.VersionConflict.Actual.ToString(CultureInfo.InvariantCulture));
                }
            }
        }
    }

    private static bool Holds(ExpectedVersion expected, RecordedEvent? last) => expected.ExpectedCase switch
    {
        ExpectedVersion.ExpectedOneofCase.NoStream => last is null,
        ExpectedVersion.ExpectedOneofCase.Exists => last is not null,
        ExpectedVersion.ExpectedOneofCase.Version => last is not null && last.Version == expected.Version,
        _ => true,
    };

    private static bool Matches(Query query, RecordedEvent e) => query.Items.Any(item =>
        (item.Types_.Count == 0 || item.Types_.Contains(e.Event.Type)) && item.Tags.All(e.Event.Tags.Contains));

    private sealed record Attempt(AppendRequest Request, AppendResponse? Answer, Failure[]? Failures);
}
