using EventVault.FaultLab.Checks;
using EventVault.FaultLab.History;
using EventVault.Protocol;

namespace EventVault.FaultLab.Tests.Checks;

/// <summary>Each rule is broken once in an otherwise perfect history, and must be the one that says so.</summary>
public sealed class HistoryCheckerTests
{
    private static readonly Dictionary<string, Action<PerfectVault>> Canaries = new()
    {
        [LogRules.PositionsDense] = v => AlterEvents(v, events => events.RemoveAt(events.Count / 2)),
        [LogRules.VersionsDense] = v => AlterEvents(v, events => events[^9] = events[^9] with { Version = events[^9].Version + 1 }),
        [LogRules.TimesRise] = v => AlterEvents(v, events => events[^9] = events[^9] with { RecordedAt = 1 }),
        [TimeRules.TimesReal] = v => v.Alter<AppendAttempt>(a => a.Outcome == AppendOutcome.Written, a => a with { RecordedAt = a.RecordedAt + TimeSpan.FromSeconds(71).Ticks }),
        [LogRules.AppendWhole] = v => AlterEvents(v, events => events[^9] = events[^9] with { OperationId = events[3].OperationId }),
        [LogRules.LogsEqual] = v => v.AlterLogs(l => l.Node == 3, l => l with { Groups = [.. l.Groups.Select((g, i) => i == 20 ? g with { Digest = g.Digest + 1 } : g)] }),
        [LogRules.TermsRise] = v => v.AlterLogs(_ => true, l => l with { Groups = [.. l.Groups.Select((g, i) => i == 60 ? g with { Term = 1 } : g)] }),
        [AppendRules.OnlyWhatWasSent] = v =>
        {
            var id = SomeWritten(v).OperationId;
            v.History.RemoveAll(o => o is AppendAttempt a && a.OperationId == id);
        },
        [AppendRules.WrittenWhole] = v => v.Alter<AppendAttempt>(a => a.Outcome == AppendOutcome.Written, a => a with { Writes = [a.Writes[0] with { Events = [.. a.Writes[0].Events, 17] }] }),
        [AppendRules.AckedIsThere] = v => v.Alter<AppendAttempt>(a => a.Outcome == AppendOutcome.Written, a => a with { FirstPosition = a.FirstPosition + 1, LastPosition = a.LastPosition + 1 }),
        [AppendRules.WrittenOnce] = v => v.Alter<AppendAttempt>(a => a.Outcome == AppendOutcome.Duplicate, a => a with { Outcome = AppendOutcome.Written }),
        [AppendRules.RefusedIsGone] = RefuseWritten,
        [AppendRules.RepeatIsKnown] = v => v.Alter<AppendAttempt>(
            a => a.Outcome == AppendOutcome.Duplicate, a => a with { Outcome = AppendOutcome.Refused, Reason = Reason.RetryTooOld, Failure = "refused" }),
        [AppendRules.SessionOrder] = v => v.Alter<AppendAttempt>(a => a.Outcome == AppendOutcome.Written, a => a with { Sequence = 1_000_000 }),
        [AppendRules.ExpectationHeld] = v => v.Alter<AppendAttempt>(
            a => a.Outcome == AppendOutcome.Written, a => a with { Writes = [a.Writes[0] with { Expected = Expected.Exactly(a.Versions[0]) }, .. a.Writes.Skip(1)] }),
        [AppendRules.ConditionHeld] = v =>
        {
            var tagged = v.Logs[0].Events.First(e => e.Tags.Count > 0);
            v.Alter<AppendAttempt>(a => a.Outcome == AppendOutcome.Written && a.FirstPosition > tagged.Position, a => a with { Condition = new TagCondition(tagged.Tags[0], -1) });
        },
        [AppendRules.ConflictFounded] = v => v.Alter<AppendAttempt>(
            a => a.Outcome == AppendOutcome.Conflict && a.Conflicts.Count > 0, a => a with { Conflicts = [a.Conflicts[0] with { Actual = 1_000_000 }] }),
        [RealTime.Rule] = v => v.Alter<ReadAttempt>(r => r.Level == Level.Linearizable, r => r with { Invoked = r.Completed + 5000, Completed = r.Completed + 5001 }),
        [ReadRules.ReadTrue] = v => v.Alter<ReadAttempt>(r => r.Events.Count > 2, r => r with { Events = [r.Events[0], .. r.Events.Skip(2)] }),
        [ReadRules.ReadAtLeast] = v => v.Alter<ReadAttempt>(r => r.Level == Level.AtLeast, r => r with { AtLeast = r.Head + 1 }),
        [ReadRules.ReadNeverBack] = v => v.Alter<ReadAttempt>(r => r.Level == Level.Local, r => r with { Invoked = r.Completed + 3000, Completed = r.Completed + 3001 }),
        [ReadRules.StateTrue] = v => v.Alter<StateAttempt>(_ => true, s => s with { Count = s.Count + 1 }),
        [ReadRules.SubscriptionIsLog] = v => v.Alter<Delivery>(d => d.Events.Count > 2, d => d with { Events = [d.Events[0], .. d.Events.Skip(2)] }),
        [StatusRules.OneLeaderPerTerm] = v => v.Alter<StatusSample>(s => s.Node == 2, s => s with { IsLeader = true }),
        [StatusRules.TermRises] = v => v.Alter<StatusSample>(s => s.Term == 2, s => s with { Term = 9 }),
        [StatusRules.CommitRises] = v => v.Alter<StatusSample>(_ => true, s => s with { CommitIndex = 0 }),
        [StatusRules.CommittedStays] = v => v.Alter<StatusSample>(_ => true, s => s with { CommitIndex = 1_000_000 }),
        [Coverage.Rule] = v => v.History.RemoveAll(o => o is StatusSample { Node: 3 }),
        [StatusRules.Answered] = v => v.Alter<HeadAttempt>(_ => true, h => h with { Completed = h.Invoked + Clock.Ticks(TimeSpan.FromSeconds(61)) }),
    };

    public static TheoryData<string> Rules => [.. HistoryChecker.Rules.Keys];

    [Fact]
    public void Random_histories_of_a_perfect_vault_are_clean()
    {
        for (var seed = 1; seed <= 50; seed++)
        {
            Assert.Empty(new PerfectVault(seed).Check());
        }
    }

    [Theory]
    [MemberData(nameof(Rules))]
    public void What_breaks_a_rule_is_found_by_it(string rule)
    {
        for (var seed = 1; seed <= 10; seed++)
        {
            var vault = new PerfectVault(seed);
            Canaries[rule](vault);
            Assert.Contains(vault.Check(), f => f.Rule == rule);
        }
    }

    [Fact]
    public void A_lost_acknowledged_append_is_found()
    {
        var vault = new PerfectVault(1);
        var lost = SomeWritten(vault).OperationId;
        AlterEvents(vault, events => events.RemoveAll(e => e.OperationId == lost));
        Assert.Contains(vault.Check(), f => f.Rule == AppendRules.AckedIsThere);
    }

    [Fact]
    public void An_event_that_stands_twice_is_found()
    {
        var vault = new PerfectVault(1);
        AlterEvents(vault, events => events.Add(events[5] with { Position = events.Count, Version = events.Count(e => e.Stream == events[5].Stream), RecordedAt = events[^1].RecordedAt + 1 }));
        Assert.Contains(vault.Check(), f => f.Rule == AppendRules.WrittenOnce);
    }

    [Fact]
    public void A_linearizable_read_that_misses_an_append_that_was_acknowledged_before_is_found()
    {
        var vault = new PerfectVault(1);
        var append = SomeWritten(vault);
        vault.History.Add(new HeadAttempt
        {
            Client = "late",
            Stream = append.Writes[0].Stream,
            Level = Level.Linearizable,
            LastVersion = append.Versions[0] - 2,
            LastPosition = vault.Logs[0].Events.Last(e => e.Stream == append.Writes[0].Stream && e.Version == append.Versions[0] - 2).Position,
            Invoked = append.Completed + 1,
            Completed = append.Completed + 2,
        });
        Assert.Equal([RealTime.Rule], vault.Check().Select(f => f.Rule));
    }

    [Fact]
    public void A_conflict_from_a_leader_that_was_deposed_before_is_found()
    {
        var vault = new PerfectVault(1);
        var append = SomeWritten(vault);
        var (stream, old) = (append.Writes[0].Stream, append.Versions[0] - append.Writes[0].Events.Length);
        vault.History.Add(new AppendAttempt
        {
            Client = "late",
            OperationId = new Guid(7, 7, 7, new byte[8]),
            Writes = [new StreamWrite(stream, Expected.Exactly(old + 100), [1])],
            Outcome = AppendOutcome.Conflict,
            Conflicts = [new ToldVersion(stream, old)],
            Invoked = append.Completed + 1,
            Completed = append.Completed + 2,
        });
        Assert.Equal([RealTime.Rule], vault.Check().Select(f => f.Rule));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_repeat_that_is_told_a_conflict_with_its_own_append_is_found(bool firstWasAnswered)
    {
        var vault = new PerfectVault(1);
        var append = SomeWritten(vault);
        var (stream, version) = (append.Writes[0].Stream, append.Versions[0]);
        var expected = vault.Logs[0].Events.First(e => e.OperationId == append.OperationId && e.Stream == stream).Version - 1;
        AlterAttempts(vault, append.OperationId, a => a with { Outcome = a == append && !firstWasAnswered ? AppendOutcome.Unknown : a.Outcome, Writes = [append.Writes[0] with { Expected = Expected.Exactly(expected) }, .. append.Writes.Skip(1)] });
        Assert.Empty(vault.Check());
        vault.History.Add(append with
        {
            Writes = [append.Writes[0] with { Expected = Expected.Exactly(expected) }, .. append.Writes.Skip(1)],
            Outcome = AppendOutcome.Conflict,
            Conflicts = [new ToldVersion(stream, version)],
            Invoked = append.Completed + 1,
            Completed = append.Completed + 2,
        });
        Assert.Contains(vault.Check(), f => f.Rule == AppendRules.RepeatIsKnown);
    }

    [Fact]
    public void A_conflict_before_the_append_stood_is_none_with_itself()
    {
        var vault = new PerfectVault(1);
        var append = vault.History.OfType<AppendAttempt>().First(a => a.Outcome == AppendOutcome.Written && a.FirstPosition > 50);
        var stream = append.Writes[0].Stream;
        var before = vault.Logs[0].Events.Last(e => e.Stream == stream && e.Position < append.FirstPosition - 20);
        append = append with { Writes = [append.Writes[0] with { Expected = Expected.Exactly(append.Versions[0] - append.Writes[0].Events.Length) }, .. append.Writes.Skip(1)] };
        AlterAttempts(vault, append.OperationId, a => a with { Writes = append.Writes });
        vault.History.Add(append with
        {
            Outcome = AppendOutcome.Conflict,
            Conflicts = [new ToldVersion(stream, before.Version)],
            Versions = [],
            Invoked = 0,
            Completed = append.Invoked - 1,
        });
        Assert.Empty(vault.Check());
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_repeat_that_is_told_another_version_or_time_is_found(bool firstWasAnswered)
    {
        foreach (var alter in new Func<AppendAttempt, AppendAttempt>[]
        {
            a => a with { Versions = [a.Versions[0] + 1, .. a.Versions.Skip(1)] },
            a => a with { RecordedAt = a.RecordedAt + 1 },
        })
        {
            var vault = new PerfectVault(1);
            var append = SomeWritten(vault);
            AlterAttempts(vault, append.OperationId, a => a == append && !firstWasAnswered ? a with { Outcome = AppendOutcome.Unknown } : a);
            var repeat = append with { Outcome = AppendOutcome.Duplicate, Invoked = append.Completed + 1, Completed = append.Completed + 2 };
            vault.History.Add(repeat);
            Assert.Empty(vault.Check());
            vault.History[^1] = alter(repeat);
            Assert.Equal([AppendRules.AckedIsThere], vault.Check().Select(f => f.Rule));
        }
    }

    [Theory]
    [InlineData(1, 0)]
    [InlineData(2, 1)]
    [InlineData(3, 2)]
    public void A_node_that_answers_no_read_of_a_level_is_found(int node, int level)
    {
        var vault = new PerfectVault(1);
        for (var i = 0; i < vault.History.Count; i++)
        {
            vault.History[i] = vault.History[i] switch
            {
                ReadAttempt r when r.Node == node && (int)r.Level == level => r with { Failure = "NoQuorum" },
                HeadAttempt h when h.Node == node && (int)h.Level == level => h with { Failure = "NoQuorum" },
                var other => other,
            };
        }

        Assert.Equal([Coverage.Rule], vault.Check().Select(f => f.Rule));
    }

    [Fact]
    public void A_history_that_was_never_healed_is_found()
    {
        var vault = new PerfectVault(1);
        vault.History.RemoveAll(o => o is Mark);
        Assert.All(vault.Check(), f => Assert.Equal(Coverage.Rule, f.Rule));
        Assert.NotEmpty(vault.Check());
    }

    [Theory]
    [InlineData(0, 3600, true)]
    [InlineData(0, 3700, false)]
    [InlineData(1, 3601, true)]
    [InlineData(1, 3610, false)]
    [InlineData(0, -80, false)]
    public void Times_of_a_wrong_clock_are_given_only_until_another_node_leads(int isAfter, int seconds, bool isClean)
    {
        var findings = new Findings();
        var hour = TimeSpan.FromHours(1).Ticks;
        AppendAttempt At(long moment, long ahead) => new() { Outcome = AppendOutcome.Written, Invoked = moment, Completed = moment, RecordedAt = Clock.RealTime(moment) + ahead };
        TimeRules.Check([new WrongClock { Ahead = hour, Invoked = 10, Completed = 100 }, At(50, hour), At(50 + (isAfter * 100), TimeSpan.FromSeconds(seconds).Ticks)], findings);
        Assert.Equal(isClean, findings.All.Count == 0);
    }

    [Theory]
    [InlineData(null)]
    [InlineData("s-0")]
    public void A_subscriber_that_was_given_nothing_is_found(string? stream)
    {
        var vault = new PerfectVault(1);
        vault.History.Add(new Delivery { Client = "forgotten", Stream = stream, Invoked = 1, Completed = 1 });
        Assert.Equal([ReadRules.SubscriptionIsLog], vault.Check().Select(f => f.Rule));
    }

    [Fact]
    public void An_append_of_which_only_a_part_stands_there_is_found()
    {
        var vault = new PerfectVault(1);
        var torn = vault.Logs[0].Events[^1].OperationId;
        AlterEvents(vault, events => events.RemoveAt(events.FindLastIndex(e => e.OperationId == torn)));
        Assert.Contains(vault.Check(), f => f.Rule == AppendRules.WrittenWhole);
    }

    [Fact]
    public void An_event_that_a_subscription_got_again_after_it_went_elsewhere_is_found()
    {
        var vault = new PerfectVault(1);
        vault.Alter<Delivery>(d => d.Events.Count > 2, d => d with { Events = [.. d.Events, d.Events[^1]] });
        Assert.Equal([ReadRules.SubscriptionIsLog], vault.Check().Select(f => f.Rule).Distinct());
    }

    private static AppendAttempt SomeWritten(PerfectVault vault) =>
        vault.History.OfType<AppendAttempt>().Where(a => a.Outcome == AppendOutcome.Written && a.Versions[0] > 4).ElementAt(20);

    private static void AlterAttempts(PerfectVault vault, Guid id, Func<AppendAttempt, AppendAttempt> alter)
    {
        for (var i = 0; i < vault.History.Count; i++)
        {
            vault.History[i] = vault.History[i] is AppendAttempt a && a.OperationId == id ? alter(a) : vault.History[i];
        }
    }

    private static void RefuseWritten(PerfectVault vault)
    {
        AlterAttempts(vault, SomeWritten(vault).OperationId, a => a with { Outcome = AppendOutcome.Refused, Failure = "refused" });
    }

    private static void AlterEvents(PerfectVault vault, Action<List<LogEvent>> alter)
    {
        List<LogEvent> events = [.. vault.Logs[0].Events];
        alter(events);
        vault.AlterLogs(_ => true, l => l with { Events = events });
    }
}
