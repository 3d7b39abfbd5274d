using System.Text;
using EventVault.Storage.Log;
using EventVault.Storage.Tests.Log;
using EventVault.Storage.Tests.Queries;

namespace EventVault.Storage.Tests.Models;

/// <summary>An append as its client sends it, again and again, with all numbers made out.</summary>
internal sealed record Attempt(
    UInt128 Id, ModelAppend? Append, ModelChange? Change, RetentionSetting? Setting, (string Stream, ExpectedKind Kind, long Version)[] Requires, (long After, ModelFilter Filter)[] Conditions, long Seen)
{
    /// <summary>What stands in the log of it; null: nothing.</summary>
    public ModelAppend? Written { get; set; }

    /// <summary>Whether that has the other content, which a retry had.</summary>
    public bool IsChanged { get; set; }

    /// <summary>Whether what it expects says where its events would stand.</summary>
    public bool IsExact => Append is not null && Append.Streams.All(s => s.Expected is ExpectedKind.Exact or ExpectedKind.NoStream);

    /// <summary>
    /// Whether they do stand there: a stream that was deleted and begun again goes on behind its old versions, and what was
    /// deleted may be scavenged.
    /// </summary>
    public bool IsProvable(VaultModel all) => IsExact && all.Events.Skip(Written!.First).Take(Written.EventCount).All(all.IsVisible)
        && Append!.Streams.All(s => s.Expected == ExpectedKind.Exact || all.Events.Skip(Written!.First).First(e => e.Stream == s.Stream).Version == 0);

    public override string ToString() => $"append {Id}";
}

/// <summary>Sends appends to the sequencer, and compares what it says with what plain lists say.</summary>
internal sealed class AppendChecks(ModelVault vault, Action<Step[]> run)
{
    private readonly List<Attempt> _attempts = [];
    private UInt128 _lastId = 1_000;

    private VaultModel All => vault.All;

    private long Last => All.Count - 1;

    /// <summary>One of the appends that were tried, if any was.</summary>
    public Attempt? Pick(int which) => _attempts.Count == 0 ? null : _attempts[which % _attempts.Count];

    public void Append(AppendStep step)
    {
        var id = ++_lastId;
        var streams = step.Streams.Select((s, i) => (s.Expected.Stream, Kind(s.Expected), Version(s.Expected), s.Events.Select((e, k) => Encode(e, i + k == 0 && (int)id % 2 == 0 ? id : ++_lastId)).ToArray())).ToArray();
        var conditions = step.Conditions.Select(c => (Math.Max(-1, Last - c.Back), new ModelFilter("", "", c.Items, "", null))).ToArray();
        var seen = step.SaysSeen ? Math.Max(-1, vault.Committed.Count - 1 - step.SeenBack) : vault.Committed.Count - 1;
        Try(new Attempt(id, new ModelAppend(id, streams), null, null, [.. step.Requires.Select(r => (r.Stream, Kind(r), Version(r)))], conditions, seen), step.SaysSeen, step.Between);
    }

    public void Change(ChangeStep step)
    {
        var before = step.Kind == StreamChangeKind.Truncate ? Math.Max(0, All.Versions.GetValueOrDefault(step.Expected.Stream, -1) + 1 - step.BeforeEnd) : 0;
        var change = new ModelChange(step.Kind, step.Expected.Stream, before, Kind(step.Expected), Version(step.Expected));
        Try(new Attempt(++_lastId, null, change, null, [], [], vault.Committed.Count - 1), saysSeen: false, []);
    }

    public void Retain(RetainStep step)
    {
        var setting = new RetentionSetting(step.Scope, Encoding.UTF8.GetBytes(step.Name), step.Rule);
        Try(new Attempt(++_lastId, null, null, setting, [], [], vault.Committed.Count - 1), saysSeen: false, step.Between);
    }

    /// <summary>The leader truncates a stream because events are due. Whatever comes of it can be retried long after.</summary>
    /// <returns>Whether it was refused: by then there is a hold, another rule, or nothing left to do.</returns>
    public bool TruncateDue(DueEvents due)
    {
        var change = new ModelChange(StreamChangeKind.Truncate, Encoding.UTF8.GetString(due.Stream), due.Before.Value, DueBy: due.Rule);
        var before = _attempts.Find(a => a.Id == due.OperationId);
        if (before is not null && IsLive(before))
        {
            Try(before, saysSeen: false, [], isRetry: true);
            return false;
        }

        // Refused or lost before, and perhaps for another rule.
        _attempts.Remove(before!);
        var attempt = new Attempt(due.OperationId, null, change, null, [], [], vault.Committed.Count - 1);
        Try(attempt, saysSeen: false, []);
        return attempt.Written is null;
    }

    public void Retry(RetryStep step)
    {
        if (Pick(step.Which) is { } attempt)
        {
            Try(attempt, saysSeen: true, step.Between, step.IsChanged && attempt.Append is not null, isRetry: true);
        }
    }

    public void Scavenge(ScavengeStep step)
    {
        var id = ++_lastId;
        var content = Encoded.Scavenge(vault.Storage, id, step.Change);
        Assert.False(vault.Storage.Reader.LookUp(content, out _));
        var floor = vault.Storage.OperationFloor.Value;
        Assert.Equal(AppendCheck.Ok, vault.Storage.Tail.Check(content, out _));
        vault.Write(ModelAppend.Of(id, step.Change, floor), content);
        vault.Count($"scavenge: {step.Change}");
    }

    /// <summary>Every append that was tried is found, or not, as it should be.</summary>
    public void FindAll() => _attempts.ForEach(Find);

    /// <summary>An append is found by its id if it is committed and not forgotten, and answered as it was.</summary>
    public void Find(Attempt attempt)
    {
        var found = vault.Storage.Reader.FindAppend(attempt.Id);
        var committed = IsLive(attempt) && attempt.Written!.First < vault.Committed.Count;
        if (found is not null || (committed && !vault.MayForget(attempt.Written!)))
        {
            Assert.True(committed, $"{attempt} was found and is not committed.");
            Assert.True(found is not null, $"{attempt}, at {attempt.Written!.First}, is not found, and the floor is {vault.Storage.OperationFloor} of {vault.Committed.Count} events.");
            CheckAnswer(attempt, found!);
            vault.Count("append found");
        }
    }

    private bool IsLive(Attempt attempt) => attempt.Written is { } written && written.First < All.Count && ReferenceEquals(All.Events[written.First].Append, written);

    private void Try(Attempt attempt, bool saysSeen, Step[] between, bool isChanged = false, bool isRetry = false)
    {
        if (!isRetry)
        {
            _attempts.Add(attempt);
        }

        var storage = vault.Storage;
        var content = Encode(attempt, isChanged);
        content.AttemptedAfter = saysSeen ? new Position(attempt.Seen) : null;
        var floorBefore = storage.OperationFloor;
        var committedBefore = vault.Committed.Count;
        if (storage.Reader.LookUp(content, out var place))
        {
            CheckKnown(attempt, content, place, isChanged);
            vault.Count("known in sealed");
            return;
        }

        CheckFound(attempt, content);
        run(between);
        var check = storage.Tail.Check(content, out place);
        vault.Count($"{check}");
        if (IsLive(attempt))
        {
            CheckRetried(attempt, content, check, place, isChanged, floorBefore);
        }
        else if (saysSeen && attempt.Seen < storage.OperationFloor.Value)
        {
            Assert.Equal(AppendCheck.TooOld, check);
        }
        else if (attempt.Conditions.Any(c => c.After > Last) || (saysSeen && attempt.Seen > Last))
        {
            Assert.Equal(AppendCheck.Ahead, check);
            Assert.Equal((attempt.Conditions.Any(c => c.After > Last) ? Array.FindIndex(attempt.Conditions, c => c.After > Last) : null, new Position(Last)), content.Ahead);
        }
        else
        {
            Assert.Equal(Decide(attempt, content, committedBefore), check);
            if (check == AppendCheck.Ok)
            {
                attempt.IsChanged = isChanged;
                attempt.Written = attempt.Append ?? (attempt.Setting is { } setting ? ModelAppend.Of(attempt.Id, setting) : ModelAppend.Of(attempt.Id, Resolve(attempt.Change!)));
                vault.Write(attempt.Written, content);
            }
        }
    }

    // A retry of what stands in the log.
    private void CheckRetried(Attempt attempt, AppendContent content, AppendCheck check, OperationPlace place, bool isChanged, Position floorBefore)
    {
        if (check == AppendCheck.Known)
        {
            CheckKnown(attempt, content, place, isChanged);
            return;
        }

        var floor = vault.Storage.OperationFloor;
        Assert.True(vault.MayForget(attempt.Written!) && attempt.Seen < floor.Value, $"{attempt} at {attempt.Written!.First} is not known, and the floor is {floor}: {check}.");
        if (attempt.IsProvable(All) && floor == floorBefore)
        {
            Assert.Equal(AppendCheck.Proven, check);
        }

        Assert.True(check is AppendCheck.TooOld || (check is AppendCheck.Proven && attempt.IsExact), $"{attempt} is {check}.");
        if (check == AppendCheck.Proven)
        {
            CheckAnswer(attempt, content.Proof!);
        }
    }

    private void CheckKnown(Attempt attempt, AppendContent content, OperationPlace place, bool isChanged)
    {
        Assert.True(IsLive(attempt), $"{attempt} is known and does not stand in the log.");
        var pending = attempt.Written!.First >= vault.Committed.Count;
        Assert.Equal(pending, vault.Storage.Tail.IsPending(place));
        if (!pending)
        {
            var answer = vault.Storage.Reader.ReadAnswer(place, content)!;
            CheckAnswer(attempt, answer);
            Assert.Equal(isChanged == attempt.IsChanged, answer.SameContent);
            vault.Count(!answer.SameContent ? "id reused" : "first answer");
        }
    }

    private void CheckAnswer(Attempt attempt, AppendAnswer answer)
    {
        var events = All.Events.GetRange(attempt.Written!.First, attempt.Written.EventCount);
        Assert.Equal((events[0].Position, events[^1].Position, events[0].RecordedAt), (answer.First.Value, answer.Last.Value, answer.RecordedAt));
        var streams = events.GroupBy(e => e.Stream).ToList();
        Assert.Equal(streams.Select(s => s.Key), answer.Streams.Select(s => Encoding.UTF8.GetString(s)));
        Assert.Equal(streams.Select(s => s.Last().Version), answer.Versions.Select(v => v.Value));
    }

    // What the caller's thread finds of conditions: a committed match, if there is one.
    private void CheckFound(Attempt attempt, AppendContent content)
    {
        for (var i = 0; i < attempt.Conditions.Length; i++)
        {
            QueryModel.CheckMatch(vault.Committed, attempt.Conditions[i].Filter, attempt.Conditions[i].After, content.Conditions[i].Found);
        }
    }

    // What plain lists say, and whether the content was told the same of every stream and condition.
    private AppendCheck Decide(Attempt attempt, AppendContent content, int lookedAt)
    {
        var holds = true;
        (string Stream, ExpectedKind Kind, long Version)[] written = attempt.Append is { } append ? [.. append.Streams.Select(s => (s.Stream, s.Expected, s.Version))] : [];
        for (var i = 0; i < written.Length; i++)
        {
            holds &= CheckStream(written[i], content.Streams[i], isWritten: true);
        }

        var required = attempt.Change is { } c ? [(c.Stream, c.Expected, c.Version)] : attempt.Requires;
        for (var i = 0; i < required.Length; i++)
        {
            holds &= CheckStream(required[i], content.Requires[i], isWritten: false);
        }

        var open = false;
        for (var i = 0; i < attempt.Conditions.Length; i++)
        {
            var (after, filter) = attempt.Conditions[i];
            var condition = content.Conditions[i];
            var found = condition.Found.Value;
            var isOpen = found >= 0 && !All.IsVisible(All.Events[(int)found]);
            if (!isOpen || condition.Match > Position.None)
            {
                QueryModel.CheckMatch(All, filter, after, condition.Match, isNewest: !isOpen && found < 0);
                holds &= Counted(condition.Match == Position.None, condition.Match > vault.Storage.Head ? "condition failed by what is pending" : "condition failed");
            }
            else
            {
                // Nothing behind what was looked at: only then may the sequencer leave it open.
                QueryModel.CheckMatch(All, filter, Math.Max(after, lookedAt - 1), condition.Match);
                open = true;
            }
        }

        return open ? AppendCheck.LookAgain
            : attempt.Change is { } change && !Counted(CheckChange(change, content), "change refused") ? AppendCheck.Conflict
            : holds ? AppendCheck.Ok : AppendCheck.Conflict;
    }

    private bool CheckStream((string Name, ExpectedKind Kind, long Version) expected, in AppendStream told, bool isWritten)
    {
        var actual = All.Versions.GetValueOrDefault(expected.Name, -1);
        var life = All.Lives.GetValueOrDefault(expected.Name);
        Assert.Equal((expected.Name, actual, life.First, life.IsTombstoned), (expected.Name, told.Actual.Value, told.FirstVisible.Value, told.IsTombstoned));
        var has = All.HasEvents(expected.Name);
        var holds = expected.Kind switch
        {
            ExpectedKind.NoStream => !has,
            ExpectedKind.Exists => has,
            ExpectedKind.Exact => actual == expected.Version,
            _ => true,
        };
        Assert.Equal(holds, LogTail.Holds(told));
        return Counted(holds, isWritten ? "version failed" : "requirement failed") & Counted(!isWritten || !life.IsTombstoned, "tombstoned");
    }

    private bool CheckChange(ModelChange change, AppendContent content)
    {
        var last = All.Versions.GetValueOrDefault(change.Stream, -1);
        var isDue = change.DueBy is not { } rule || (All.RuleOf(change.Stream)?.SetAt == rule.Value && change.Before > All.Lives.GetValueOrDefault(change.Stream).First);
        var problem = All.Lives.GetValueOrDefault(change.Stream).IsTombstoned ? StreamChangeProblem.Tombstoned
            : last < 0 || (!All.HasEvents(change.Stream) && change.Kind != StreamChangeKind.Tombstone) ? StreamChangeProblem.NotFound
            : All.IsHeld(change.Stream) ? StreamChangeProblem.Held
            : !isDue ? StreamChangeProblem.NotDue
            : change.Kind == StreamChangeKind.Truncate && change.Before > last + 1 && LogTail.Holds(content.Requires[0]) ? StreamChangeProblem.BehindEnd
            : StreamChangeProblem.None;
        Assert.Equal(problem, content.Change!.Problem);
        if (problem is StreamChangeProblem.Held or StreamChangeProblem.NotDue)
        {
            vault.Count($"change refused: {problem}");
        }

        return problem == StreamChangeProblem.None;
    }

    private bool Counted(bool holds, string failure)
    {
        if (!holds)
        {
            vault.Count(failure);
        }

        return holds;
    }

    private ModelChange Resolve(ModelChange change) =>
        change.Kind == StreamChangeKind.Truncate ? change : change with { Before = All.Versions[change.Stream] + 1 };

    // Exactly where it stands, or so far off; a stream that was never written stands nowhere.
    private ExpectedKind Kind(Expect expected) =>
        expected.Kind == ExpectedKind.Exact && All.Versions.GetValueOrDefault(expected.Stream, -1) + expected.Off < 0 ? ExpectedKind.NoStream : expected.Kind;

    private long Version(Expect expected) => Kind(expected) == ExpectedKind.Exact ? All.Versions.GetValueOrDefault(expected.Stream, -1) + expected.Off : -1;

    private static byte[] Encode(EventPart e, UInt128 id) =>
        Encoded.Event(id, e.Type, new byte[e.DataBytes], e.Tags, e.Correlation == "" ? [] : [("correlationId", e.Correlation)]);

    private AppendContent Encode(Attempt attempt, bool isChanged)
    {
        if (attempt.Change is { } change)
        {
            return Encoded.Change(vault.Storage, attempt.Id, change);
        }

        if (attempt.Setting is { } setting)
        {
            return Encoded.Retention(vault.Storage, attempt.Id, setting);
        }

        var requires = isChanged ? [.. attempt.Requires, ("another", ExpectedKind.Any, -1L)] : attempt.Requires;
        return Encoded.Append(vault.Storage, attempt.Id, attempt.Append!.Streams, requires, [.. attempt.Conditions.Select(c => (c.After, c.Filter.QueryItems))]);
    }
}
