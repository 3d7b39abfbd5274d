using System.Text;
using EventVault.Storage.Log;
using EventVault.Storage.Scavenging;
using EventVault.Storage.Tests.Queries;

namespace EventVault.Storage.Tests.Models;

/// <summary>
/// One step of a run, as data: what it does to a vault follows from it and from what the vault holds by then. So any list of
/// steps is a run, and a run that fails shrinks to fewer and simpler ones.
/// </summary>
internal abstract record Step
{
    /// <summary>Shorter or simpler steps of the same kind.</summary>
    public virtual IEnumerable<Step> Shrink() => [];
}

/// <summary>What is expected of a stream: with an exact version so much behind the last one.</summary>
internal sealed record Expect(string Stream, ExpectedKind Kind, int Off)
{
    public override string ToString() => Kind == ExpectedKind.Exact ? $"{Stream} at last{Off:+0;-0;''}" : $"{Stream} {Kind}";
}

/// <summary>An event to be written.</summary>
internal sealed record EventPart(string Type, string[] Tags, string Correlation, int DataBytes)
{
    public override string ToString() => $"{Type}({string.Join(' ', Tags)}{(Correlation == "" ? "" : $" {Correlation}")}, {DataBytes} B)";
}

/// <summary>A condition, its <c>after</c> so many events before the last one; negative: it lies ahead.</summary>
internal sealed record ConditionPart(int Back, (string[] Types, string[] Tags)[] Items)
{
    public override string ToString() =>
        $"none behind last-{Back} of {string.Join(" or ", Items.Select(i => $"[{string.Join('|', i.Types)}:{string.Join('&', i.Tags)}]"))}";
}

/// <summary>A new append. <see cref="Between"/> comes between the look-up on the caller's thread and the check on the sequencer's.</summary>
internal sealed record AppendStep((Expect Expected, EventPart[] Events)[] Streams, Expect[] Requires, ConditionPart[] Conditions, bool SaysSeen, int SeenBack, Step[] Between) : Step
{
    public override IEnumerable<Step> Shrink() => Lists.Fewer(Between).Select(b => this with { Between = b })
        .Concat(Lists.Fewer(Conditions).Select(c => this with { Conditions = c }))
        .Concat(Lists.Fewer(Requires).Select(r => this with { Requires = r }))
        .Concat(Lists.Fewer(Streams).Where(s => s.Length > 0).Select(s => this with { Streams = s }))
        .Concat(Streams.SelectMany((s, i) => Lists.Fewer(s.Events).Where(e => e.Length > 0).Select(e => this with { Streams = Lists.With(Streams, i, (s.Expected, e)) })));

    public override string ToString() =>
        $"append {string.Join("; ", Streams.Select(s => $"{s.Expected}: {string.Join(", ", s.Events.AsEnumerable())}"))}"
        + $"{(Requires.Length == 0 ? "" : $" requires {string.Join(", ", Requires.AsEnumerable())}")}{(Conditions.Length == 0 ? "" : $" if {string.Join(" and ", Conditions.AsEnumerable())}")}"
        + $"{(SaysSeen ? $" seen head-{SeenBack}" : "")}{Steps.Between(Between)}";
}

/// <summary>An append that was tried before, written or not, is sent again.</summary>
internal sealed record RetryStep(int Which, bool IsChanged, Step[] Between) : Step
{
    public override IEnumerable<Step> Shrink() => Lists.Fewer(Between).Select(b => this with { Between = b });

    public override string ToString() => $"retry #{Which}{(IsChanged ? " with other content" : "")}{Steps.Between(Between)}";
}

/// <summary>A stream is deleted, tombstoned or truncated; the first version kept so much before the end.</summary>
internal sealed record ChangeStep(StreamChangeKind Kind, Expect Expected, int BeforeEnd) : Step
{
    public override string ToString() => $"{Kind} {Expected}{(Kind == StreamChangeKind.Truncate ? $", keep {BeforeEnd}" : "")}";
}

/// <summary>A retention rule is set, or taken back.</summary>
internal sealed record RetainStep(RetentionScope Scope, string Name, RetentionRule? Rule, Step[] Between) : Step
{
    public override IEnumerable<Step> Shrink() => Lists.Fewer(Between).Select(b => this with { Between = b });

    public override string ToString() => $"retain {Scope} {Name}: {Rule?.ToString() ?? "no rule"}{Steps.Between(Between)}";
}

/// <summary>Time goes by.</summary>
internal sealed record TimeStep(long Seconds) : Step
{
    public override string ToString() => $"{Seconds} s go by";
}

/// <summary>
/// The leader looks what is due and truncates it. <see cref="Between"/> comes between the two; then there is another pass, if
/// <see cref="IsTwice"/>.
/// </summary>
/// <param name="Time">By which time.</param>
/// <param name="Which">With <see cref="PassTime.AtTheAge"/>: of which event, in thousandths. With <see cref="PassTime.SetBack"/>: by how many tenths of a second.</param>
/// <param name="HoldsFirst">Whether the first stream that is found due is held before it is truncated, and released before anybody looks again.</param>
/// <param name="Most">Truncations that it comes to; then another node leads for a moment.</param>
/// <param name="IsTwice">Whether it looks again at once, and finds nothing.</param>
/// <param name="Between">What clients do meanwhile.</param>
internal sealed record PassStep(PassTime Time, int Which, bool HoldsFirst, int Most, bool IsTwice, Step[] Between) : Step
{
    public override IEnumerable<Step> Shrink() => Lists.Fewer(Between).Select(b => this with { Between = b }).Concat(IsTwice ? [this with { IsTwice = false }] : [])
        .Concat(HoldsFirst ? [this with { HoldsFirst = false }] : []);

    public override string ToString() =>
        $"retention {Time}{(Time is PassTime.Unknown or PassTime.Now ? "" : $" {Which}")}{(HoldsFirst ? ", the first one held meanwhile" : "")}{(Most < int.MaxValue ? $", {Most} truncations" : "")}{(IsTwice ? ", twice" : "")}{Steps.Between(Between)}";
}

/// <summary>The time by which the leader goes.</summary>
internal enum PassTime
{
    /// <summary>Its clock can't be trusted.</summary>
    Unknown,

    /// <summary>The clock.</summary>
    Now,

    /// <summary>The clock, once some event has come to where its rule's age no longer bears it.</summary>
    AtTheAge,

    /// <summary>A tick before that.</summary>
    JustBefore,

    /// <summary>The clock was set back, by up to 100 s.</summary>
    SetBack,
}

/// <summary>The begun group is closed and written.</summary>
internal sealed record CloseStep : Step
{
    public override string ToString() => "close group";
}

/// <summary>What is written becomes durable; nobody knows it to be committed yet.</summary>
internal sealed record FlushStep : Step
{
    public override string ToString() => "flush";
}

/// <summary>So many durable groups are committed.</summary>
internal sealed record CommitStep(int Groups) : Step
{
    public override string ToString() => $"commit {Groups} groups";
}

/// <summary>Another node leads: so many groups that were not committed are taken back.</summary>
internal sealed record CutStep(int Groups) : Step
{
    public override string ToString() => $"cut {Groups} groups";
}

/// <summary>Background work: sealing, and preparing segments.</summary>
internal sealed record SealStep(int Times) : Step
{
    public override string ToString() => $"background x{Times}";
}

/// <summary>An append starts or stops a scavenge.</summary>
internal sealed record ScavengeStep(ScavengeChange Change) : Step
{
    public override string ToString() => $"scavenge: {Change}";
}

/// <summary>The scavenge that was started does so much work.</summary>
internal sealed record RewriteStep(int Times) : Step
{
    public override string ToString() => $"rewrite x{Times}";
}

/// <summary>A clean stop, or a power loss, which keeps what luck wants of what was not flushed; then a start without some of the index files.</summary>
internal sealed record RestartStep(bool IsClean, int Luck, int LostIndexFiles) : Step
{
    public override IEnumerable<Step> Shrink() => LostIndexFiles == 0 ? [] : [this with { LostIndexFiles = 0 }];

    public override string ToString() => $"{(IsClean ? "restart" : $"power loss ({Luck})")}{(LostIndexFiles == 0 ? "" : $", index files lost: {LostIndexFiles:x}")}";
}

/// <summary>A range of the whole vault is read, in thousandths of it, by pages.</summary>
internal sealed record ReadAllStep(int From, int Until, bool Backwards, int Page) : Step
{
    public override string ToString() => $"read all {From}..{Until}{(Backwards ? " backwards" : "")}, pages of {Page}";
}

/// <summary>A range of a stream is read, in thousandths of it, by pages.</summary>
internal sealed record ReadStreamStep(string Stream, int From, int Until, bool Backwards, int Page) : Step
{
    public override string ToString() => $"read {Stream} {From}..{Until}{(Backwards ? " backwards" : "")}, pages of {Page}";
}

/// <summary>A range is read and counted with a filter, both ways, and its last match is looked up.</summary>
internal sealed record FilterStep(ModelFilter Filter, int IdOf, int From, int Until, int Draw) : Step
{
    public override string ToString() => $"read {Filter}{(IdOf < 0 ? "" : $", id of {IdOf}")} {From}..{Until} ({Draw})";
}

/// <summary>Streams are listed by pages.</summary>
internal sealed record ListStep(string Prefix, bool IsCategory, int Page, int Looks) : Step
{
    public override string ToString() => $"list {(IsCategory ? "category" : "prefix")} '{Prefix}', pages of {Page}, {Looks} looks";
}

/// <summary>An append is asked for by its operation id.</summary>
internal sealed record FindAppendStep(int Which) : Step
{
    public override string ToString() => $"find append #{Which}";
}

/// <summary>A run, readable line by line.</summary>
internal sealed record Steps(Step[] All)
{
    public static string Between(Step[] steps) => steps.Length == 0 ? "" : $" | between: {string.Join("; ", steps.AsEnumerable())}";

    /// <summary>Shorter and simpler runs: large parts left out first, then single steps, then parts of steps.</summary>
    public static IEnumerable<Steps> Shrink(Steps run) =>
        Lists.Fewer(run.All).Select(all => new Steps(all))
            .Concat(run.All.SelectMany((step, i) => step.Shrink().Select(s => new Steps(Lists.With(run.All, i, s)))));

    public override string ToString() => All.Aggregate(new StringBuilder($"{All.Length} steps"), (text, step) => text.Append("\n  ").Append(step)).ToString();
}

/// <summary>Lists that are one another's parts.</summary>
internal static class Lists
{
    public static T[] With<T>(T[] list, int i, T item)
    {
        T[] changed = [.. list];
        changed[i] = item;
        return changed;
    }

    /// <summary>The list without its halves, quarters, and so on to single items.</summary>
    public static IEnumerable<T[]> Fewer<T>(T[] list)
    {
        for (var length = (list.Length + 1) / 2; length > 0; length = length == 1 ? 0 : (length + 1) / 2)
        {
            for (var at = 0; at < list.Length; at += length)
            {
                yield return [.. list.Take(at), .. list.Skip(at + length)];
            }
        }
    }
}
