using EventVault.Storage.Log;
using EventVault.Storage.Scavenging;
using EventVault.Storage.Tests.Queries;
using FsCheck;
using FsCheck.Fluent;

namespace EventVault.Storage.Tests.Models;

/// <summary>Of what kinds the steps of a run are, each a number out of 100; the others are appends and what becomes of them.</summary>
/// <param name="Reads">Reads.</param>
/// <param name="Retention">Rules, time, the leader's retention work, and scavenges of what it took away.</param>
internal sealed record Shares(int Reads, int Retention);

/// <summary>Draws steps: of appends above all, of reads, or of retention. Few names, types and tags, so that all meet all.</summary>
internal static class StepDraw
{
    // Names whose categories and prefixes contain one another, and one that is sorted behind ASCII.
    public static readonly string[] Names = ["a", "a-0", "a-1", "a-1-2", "ab-1", "b-0", "b-1", "\u00e4-0", "c-7"];

    private static readonly string[] Types = ["T", "Placed", "Gr\u00f6\u00dfe"];
    private static readonly string[] Tags = ["x:0", "x:1", "y"];
    private static readonly string[] Correlations = ["", "", "c1", "c2"];
    private static readonly string[] Prefixes = ["", "a", "a-", "a-1", "b", "\u00e4", "$", "never"];

    /// <summary>Runs of so many steps at most.</summary>
    /// <param name="most">Most steps.</param>
    /// <param name="shares">Kinds of steps.</param>
    /// <param name="mayShrink">Whether a shorter run is still looked for, of one that failed.</param>
    public static Arbitrary<Steps> Runs(int most, Shares shares, Func<bool> mayShrink) =>
        Arb.ToArbitrary(Gen.Choose(1, most).SelectMany(length => Gen.Choose(0, int.MaxValue - 1).Select(draw => One(new System.Random(draw), shares)).ArrayOf(length))
            .Select(all => new Steps(all)), run => Steps.Shrink(run).TakeWhile(_ => mayShrink()));

    private static Step One(System.Random random, Shares shares)
    {
        var kind = random.Next(100);
        return kind < shares.Reads ? Read(random) : kind < shares.Reads + shares.Retention ? Retention(random) : Write(random);
    }

    private static Step Write(System.Random random) => random.Next(100) switch
    {
        < 52 => Append(random, isNested: false),
        < 64 => new RetryStep(random.Next(1000), random.Next(5) == 0, Between(random)),
        < 71 => Change(random),
        < 75 => new CloseStep(),
        < 82 => new FlushStep(),
        < 88 => new CommitStep(random.Next(1, 10)),
        < 90 => new CutStep(random.Next(1, 4)),
        < 93 => new SealStep(random.Next(1, 20)),
        < 94 => new ScavengeStep(random.Next(6) == 0 ? ScavengeChange.Stop : ScavengeChange.Start),
        < 97 => new RewriteStep(random.Next(1, 80)),
        < 98 => new RestartStep(IsClean: true, 0, random.Next(2) == 0 ? 0 : random.Next(1, 256)),
        _ => new RestartStep(IsClean: false, random.Next(1000), random.Next(2) == 0 ? 0 : random.Next(1, 256)),
    };

    private static AppendStep Append(System.Random random, bool isNested)
    {
        var names = Names.ToArray();
        random.Shuffle(names);
        var streams = random.Next(4) == 0 ? random.Next(2, 4) : 1;
        var requires = random.Next(4) == 0 ? random.Next(1, 3) : 0;
        var conditions = random.Next(3) == 0 ? random.Next(1, 3) : 0;
        return new AppendStep(
            [.. names.Take(streams).Select(n => (Expectation(random, n), Enumerable.Range(0, random.Next(3) == 0 ? random.Next(1, 5) : 1).Select(_ => Event(random)).ToArray()))],
            [.. names.Skip(streams).Take(requires).Select(n => Expectation(random, n))],
            [.. Enumerable.Range(0, conditions).Select(_ => Condition(random))],
            SaysSeen: random.Next(6) == 0, random.Next(12) == 0 ? random.Next(-3, 80) : random.Next(0, 3), isNested ? [] : Between(random));
    }

    private static Step[] Between(System.Random random) => random.Next(5) != 0 ? [] : [.. Enumerable.Range(0, random.Next(1, 4)).Select(_ => (Step)(random.Next(7) switch
    {
        0 => Append(random, isNested: true),
        1 => Change(random),
        6 => Retain(random, isNested: true),
        2 => new FlushStep(),
        3 => new CommitStep(random.Next(1, 4)),
        4 => new SealStep(random.Next(1, 20)),
        _ => new CloseStep(),
    }))];

    private static Step Retention(System.Random random) => random.Next(16) switch
    {
        < 4 => Retain(random, isNested: false),
        < 6 => new TimeStep(random.NextInt64(random.Next(5) == 0 ? 50_000 : 30)),
        < 13 => new PassStep(
            random.Next(8) switch { 0 => PassTime.Unknown, < 4 => PassTime.Now, < 6 => PassTime.AtTheAge, 6 => PassTime.JustBefore, _ => PassTime.SetBack }, random.Next(1000),
            HoldsFirst: random.Next(4) == 0, random.Next(8) == 0 ? random.Next(3) : int.MaxValue, IsTwice: random.Next(4) == 0, random.Next(2) == 0 ? [] : Meanwhile(random)),
        13 => new SealStep(random.Next(1, 20)),
        14 => new ScavengeStep(ScavengeChange.Start),
        _ => new RewriteStep(random.Next(1, 80)),
    };

    // Between what was found due and the truncation.
    private static Step[] Meanwhile(System.Random random) => [.. Enumerable.Range(0, random.Next(1, 4)).Select(_ => (Step)(random.Next(6) switch
    {
        < 3 => Retain(random, isNested: true),
        3 => Change(random),
        4 => Append(random, isNested: true),
        _ => new CommitStep(random.Next(1, 4)),
    }))];

    private static RetainStep Retain(System.Random random, bool isNested)
    {
        var name = Names[random.Next(Names.Length)];
        return random.Next(2) == 0
            ? new RetainStep(RetentionScope.Stream, name, Rule(random), isNested ? [] : Between(random))
            : new RetainStep(RetentionScope.Category, name.Split('-')[0], Rule(random), isNested ? [] : Between(random));
    }

    // Limits that streams of some ten events reach, and some so large that their tenth is more than nothing, or more than an hour.
    private static RetentionRule? Rule(System.Random random) => random.Next(12) switch
    {
        < 3 => null,
        3 => new RetentionRule { Forever = true, LegalHold = random.Next(4) == 0 },
        4 => new RetentionRule { LegalHold = true, MaxEvents = random.Next(2) == 0 ? 1 : null },
        var kind => new RetentionRule
        {
            MaxEvents = kind is 5 or 6 or 11 ? random.Next(3) == 0 ? random.Next(20, 25) : random.Next(1, 7) : null,
            MaxBytes = kind is 7 or 8 ? random.Next(1, 20_000) : null,
            MaxAgeSeconds = kind is 9 or 10 or 11 || random.Next(4) == 0 ? random.Next(4) == 0 ? random.Next(37_000, 50_000) : random.Next(1, 60) : null,
            LegalHold = random.Next(16) == 0,
        },
    };

    private static ChangeStep Change(System.Random random) => new(
        random.Next(16) switch { 0 => StreamChangeKind.Tombstone, < 5 => StreamChangeKind.Delete, _ => StreamChangeKind.Truncate },
        random.Next(3) == 0 ? Expectation(random, Names[random.Next(Names.Length)]) : new Expect(Names[random.Next(Names.Length)], ExpectedKind.Any, 0), random.Next(-1, 5));

    // Right more often than not.
    private static Expect Expectation(System.Random random, string name) => random.Next(24) switch
    {
        < 9 => new(name, ExpectedKind.Any, 0),
        9 => new(name, ExpectedKind.NoStream, 0),
        10 or 11 => new(name, ExpectedKind.Exists, 0),
        12 => new(name, ExpectedKind.Exact, random.Next(-1, 2)),
        _ => new(name, ExpectedKind.Exact, 0),
    };

    private static EventPart Event(System.Random random) => new(
        Types[random.Next(Types.Length)], [.. Tags.Where(_ => random.Next(3) == 0)], Correlations[random.Next(Correlations.Length)], random.Next(4_000));

    private static ConditionPart Condition(System.Random random) => new(
        random.Next(3) switch { 0 => 1_000_000, 1 => random.Next(10) == 0 ? -1 : random.Next(4), _ => random.Next(60) }, Items(random));

    private static (string[] Types, string[] Tags)[] Items(System.Random random) => [.. Enumerable.Range(0, random.Next(3) == 0 ? 2 : 1).Select(_ =>
    {
        string[] types = random.Next(3) == 0 ? [] : [.. Types.Append("never").Where(_ => random.Next(3) == 0)];
        string[] tags = types.Length == 0 || random.Next(2) == 0 ? [Tags[random.Next(Tags.Length)], .. random.Next(3) == 0 ? Tags.Take(2) : []] : [];
        return (types, tags);
    })];

    private static Step Read(System.Random random)
    {
        var (from, until) = (Bound(random), Bound(random));
        var page = random.Next(2) == 0 ? random.Next(1, 8) : 1_000;
        return random.Next(9) switch
        {
            0 => new ReadAllStep(from, until, random.Next(2) == 0, page),
            1 or 2 => new ReadStreamStep(random.Next(8) == 0 ? "$streams" : Names[random.Next(Names.Length)], from, until, random.Next(2) == 0, page),
            3 or 4 => new ListStep(Prefixes[random.Next(Prefixes.Length)], random.Next(2) == 0, random.Next(1, 6), random.Next(2) == 0 ? random.Next(1, 6) : 1_000),
            5 => new FindAppendStep(random.Next(1000)),
            _ => Filter(random, from, until),
        };
    }

    private static FilterStep Filter(System.Random random, int from, int until)
    {
        var filter = new ModelFilter("", "", [], "", null);
        var id = -1;
        for (var parts = random.Next(3) == 0 ? 2 : 1; parts > 0; parts--)
        {
            switch (random.Next(6))
            {
                case 0:
                    filter = filter with { Category = Prefixes[random.Next(1, Prefixes.Length)].Split('-')[0] };
                    break;
                case 1:
                    filter = filter with { Prefix = Prefixes[random.Next(1, Prefixes.Length)] };
                    break;
                case 2:
                    filter = filter with { CorrelationId = $"c{random.Next(1, 4)}" };
                    break;
                case 3:
                    id = random.Next(1000);
                    break;
                default:
                    filter = filter with { Items = Items(random) };
                    break;
            }
        }

        return new FilterStep(filter, id, from, until, random.Next(1000));
    }

    // In thousandths of what there is; a little before and behind it, too.
    private static int Bound(System.Random random) => random.Next(3) switch { 0 => -20, 1 => 1_020, _ => random.Next(1_001) };
}
