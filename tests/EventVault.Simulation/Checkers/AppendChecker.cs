// Appends: what stands in the log was sent, once, whole and with its expectations kept; what clients were told about it is
// true. Works on the ledger as it grows and on each answer as it comes.
namespace EventVault.Simulation.Checkers;

/// <summary>Checks appends and their answers.</summary>
internal sealed class AppendChecker(Ledger ledger, History history)
{
    private readonly Dictionary<UInt128, List<SentAppend>> _sent = [];

    /// <summary>Appends in the log, and how many of them some client was told about.</summary>
    public (int Written, int Acknowledged) Counts { get; private set; }

    /// <summary>Appends that stand in the log, in log order.</summary>
    public List<SentAppend> Written { get; } = [];

    /// <summary>A client sends an append, for the first time or again.</summary>
    public AppendAttempt Begin(int client, uint node, SentAppend append, long? dueBy = null)
    {
        if (!_sent.TryGetValue(append.Id, out var contents))
        {
            _sent.Add(append.Id, contents = []);
        }

        if (!contents.Contains(append))
        {
            contents.Add(append);
        }

        var attempt = new AppendAttempt(client, node, append) { DueBy = dueBy };
        append.OpenAttempts++;
        history.Begin(attempt);
        return attempt;
    }

    /// <summary>Whether something with this attempt's operation id is written, or may be by other attempts.</summary>
    public bool MayBeWrittenByOthers(AppendAttempt attempt)
    {
        var contents = _sent[attempt.Append.Id];
        return contents.Exists(s => s.First is not null) || contents.Sum(s => s.OpenAttempts) > (attempt.IsExcluded ? 0 : 1);
    }

    /// <summary>An append is committed; call when the ledger has all before it, and not yet the append.</summary>
    public void Committed(CommittedAppend append, CommittedGroup group, string where)
    {
        var sent = Match(append, group, where);
        Require.That(Rules.WrittenOnce, !_sent[append.OperationId].Exists(s => s.First is not null),
            $"{where}, group {group.Index}: operation {append.OperationId:x32} stands in the log already.");
        Require.That(Rules.RefusedNeverWritten, sent.OpenAttempts > 0,
            $"{where}, group {group.Index}: {sent} stands in the log, but every attempt was refused as not written.");
        foreach (var stream in sent.Streams)
        {
            var state = ledger.StateOf(stream.Name, long.MaxValue);
            Require.That(Rules.ExpectationHeld, stream.Allows(state) && !state.IsTombstoned,
                $"{where}, group {group.Index}: {sent} was written behind {stream.Name} with {state}.");
        }

        foreach (var required in sent.Requires)
        {
            var state = ledger.StateOf(required.Name, long.MaxValue);
            Require.That(Rules.ExpectationHeld, required.Allows(state), $"{where}, group {group.Index}: {sent} was written although {required.Name} was {state}.");
        }

        foreach (var condition in sent.Conditions)
        {
            Require.That(Rules.ConditionHeld, ledger.FindMatch(condition, long.MaxValue) is not { } match,
                $"{where}, group {group.Index}: {sent} was written behind a match of {condition}, at {ledger.FindMatch(condition, long.MaxValue)}.");
        }

        if (sent.Change is { } change)
        {
            var state = ledger.StateOf(change.Target.Name, long.MaxValue);
            var before = change.Kind == ChangeKind.Truncate ? Math.Max(change.Before, state.First) : state.Last + 1;
            Require.That(Rules.ExpectationHeld, CanChange(change, state) && change.Target.Allows(state) && append.Events[0].Change!.Before == before,
                $"{where}, group {group.Index}: {sent} was written as {append.Events[0].Change} when the stream was {state}.");
            RetentionChecker.CheckChange(ledger, sent, state, $"{where}, group {group.Index}");
        }

        sent.First = append.Events[0].Position;
        Written.Add(sent);
        Counts = (Counts.Written + 1, Counts.Acknowledged);
    }

    /// <summary>The node answered that it speaks of a position which does not exist. Clients here only name what they were shown.</summary>
    public void Ahead(AppendAttempt attempt)
    {
        Require.That(Rules.AheadFounded, attempt.Append.Conditions.Any(c => c.After > attempt.HeadBefore), $"all that it names was committed when it was sent: {attempt}.");
        Refused(attempt, "ahead");
    }

    // A stream that has no readable events is neither deleted nor truncated; a tombstone is for ever.
    private static bool CanChange(SentChange change, in StreamState state) => !state.IsTombstoned
        && (change.Kind == ChangeKind.Tombstone ? state.Last >= 0 : state.HasEvents)
        && (change.Kind != ChangeKind.Truncate || change.Before <= state.Last + 1);

    /// <summary>The node answered that this attempt wrote it.</summary>
    public void Appended(AppendAttempt attempt, AppendedAnswer answer)
    {
        var append = attempt.Append;
        history.End(attempt, OperationOutcome.Appended, answer.ToString());
        CheckAnswer(attempt, answer);
        Require.That(Rules.AnsweredAppendedOnce, append.AppendedBy is null || append.AppendedBy == attempt,
            $"two attempts were told that they wrote it: {append.AppendedBy} and {attempt}.");
        Require.That(Rules.DuplicateFounded, append.First > attempt.HeadBefore,
            $"it was committed before this attempt, which is told that it wrote it: {attempt}.");
        Acknowledge(attempt);
        append.AppendedBy = attempt;
    }

    /// <summary>The node answered that another attempt wrote it before.</summary>
    public void Duplicate(AppendAttempt attempt, AppendedAnswer answer)
    {
        var append = attempt.Append;
        history.End(attempt, OperationOutcome.Duplicate, answer.ToString());
        CheckAnswer(attempt, answer);
        Acknowledge(attempt);
        Require.That(Rules.DuplicateFounded, append.OpenAttempts > (attempt.IsExcluded ? 0 : 1), $"no other attempt can have written it: {attempt}.");
        NotByThis(attempt);
    }

    /// <summary>The node answered that its operation id is taken by an append with other content.</summary>
    public void Reused(AppendAttempt attempt)
    {
        history.End(attempt, OperationOutcome.Reused, "");
        NotByThis(attempt);
        Require.That(Rules.ReuseFounded, _sent[attempt.Append.Id].Exists(s => s != attempt.Append && s.First is not null),
            $"no other content stands in the log under its operation id: {attempt}.");
    }

    /// <summary>The node answered that an expected version did not hold.</summary>
    /// <param name="attempt">The attempt.</param>
    /// <param name="actual">What the streams' last versions were, in the order of the request; −1: no events.</param>
    public void Conflict(AppendAttempt attempt, long[] actual) => Conflict(attempt, ConflictTold.Of(actual));

    /// <summary>The node answered that something that was expected did not hold, or that a condition matched.</summary>
    /// <param name="attempt">The attempt.</param>
    /// <param name="told">What it was held against.</param>
    public void Conflict(AppendAttempt attempt, ConflictTold told)
    {
        history.End(attempt, OperationOutcome.Conflict, $"actual {told}");
        NotByThis(attempt);
        var append = attempt.Append;
        SentStream[] named = [.. append.Streams, .. append.Change is { } change ? [change.Target] : append.Requires];
        StreamState[] actual = [.. told.Streams, .. told.Requires];
        var isFounded = named.Where((s, i) => !s.Allows(actual[i])).Any() || told.Streams.Any(s => s.IsTombstoned) || told.Matches.Any(m => m >= 0)
            || (told.IsUnchangeable && (told.IsHeld || told.IsNotDue || !CanChange(append.Change!, told.Requires[0])));
        Require.That(Rules.ConflictFounded, isFounded, $"all that was expected held: {attempt}.");

        // All streams were seen at one moment: behind the events that were seen and before the next one of any of them.
        long low = -1, high = ledger.Head + 1;
        for (var i = 0; i < named.Length; i++)
        {
            var seen = actual[i].Last < 0 ? -1 : ledger.PositionOf(named[i].Name, actual[i].Last);
            Require.That(Rules.ConflictFounded, seen is not null, $"version {actual[i].Last} of {named[i].Name} is not committed: {attempt}.");
            low = Math.Max(low, seen!.Value);
            high = Math.Min(high, ledger.PositionOf(named[i].Name, actual[i].Last + 1) ?? long.MaxValue);
        }

        // And all that was deleted, and every match.
        var moment = Math.Max(low, attempt.HeadBefore);
        while (moment < high && !IsTrueAt(moment, attempt, named, actual, told))
        {
            moment++;
        }

        Require.That(Rules.ConflictFounded, moment < high, $"what it rests on was true at no moment from position {Math.Max(low, attempt.HeadBefore)} to before {high}: {attempt}.");

        // Once the append itself stands in the log, an attempt finds it and does not look at versions any more.
        foreach (var same in _sent[attempt.Append.Id])
        {
            Require.That(Rules.RetryRecognised, same.First is null || same.First > moment,
                $"its operation id stood in the log at position {same.First}: {attempt}.");
        }
    }

    private bool IsTrueAt(long moment, AppendAttempt attempt, SentStream[] named, StreamState[] actual, ConflictTold told)
    {
        for (var i = 0; i < named.Length; i++)
        {
            if (ledger.StateOf(named[i].Name, moment) != actual[i])
            {
                return false;
            }
        }

        for (var i = 0; i < told.Matches.Length; i++)
        {
            var condition = attempt.Append.Conditions[i];
            var isTrue = told.Matches[i] >= 0 ? ledger.IsMatch(condition, told.Matches[i], moment) : ledger.FindMatch(condition, moment) is null;
            if (!isTrue)
            {
                return false;
            }
        }

        return (!told.IsHeld || ledger.IsHeld(attempt.Append.Change!.Target.Name, moment)) && (!told.IsNotDue || !RetentionChecker.IsDue(ledger, attempt, moment));
    }

    /// <summary>The node, or the network, answered that it is not done: definitely.</summary>
    public void Refused(AppendAttempt attempt, string why)
    {
        history.End(attempt, OperationOutcome.Refused, why);
        NotByThis(attempt);
    }

    /// <summary>Nobody knows: it stays possible that this attempt writes it.</summary>
    public void Unknown(AppendAttempt attempt, string why) => history.End(attempt, OperationOutcome.Unknown, why);

    private SentAppend Match(CommittedAppend append, CommittedGroup group, string where)
    {
        var contents = _sent.GetValueOrDefault(append.OperationId);
        Require.That(Rules.OnlyWhatWasSent, contents is not null, $"{where}, group {group.Index}: nobody sent operation {append.OperationId:x32}.");
        var sent = contents!.Find(s => Has(append, s));
        Require.That(Rules.AppendWhole, sent is not null,
            $"{where}, group {group.Index}: operation {append.OperationId:x32} stands in the log with {append.Events.Length} events; sent was {string.Join(" or ", contents)}.");
        return sent!;
    }

    // Streams in the order of the request, and all events of each one in theirs.
    private static bool Has(CommittedAppend append, SentAppend sent)
    {
        if (sent.Change is { } change)
        {
            // Which version is the first one kept is known only where it is sequenced, so its bytes are not known here.
            return append.Events is [{ Stream: "$streams", Change: { } written }] && written.Kind == change.Kind && written.Stream == change.Target.Name;
        }

        if (sent.Rule is { } rule)
        {
            return append.Events is [{ Stream: "$streams", Rule: { } set }] && set == rule;
        }

        if (sent.Scavenge is { } scavenge)
        {
            return append.Events is [{ Stream: "$streams", Scavenge: { } written }] && written == scavenge;
        }

        if (append.Events.Length != sent.EventCount)
        {
            return false;
        }

        var at = 0;
        foreach (var stream in sent.Streams)
        {
            foreach (var digest in stream.Digests)
            {
                var e = append.Events[at++];
                if (e.Stream != stream.Name || e.Digest != digest)
                {
                    return false;
                }
            }
        }

        return true;
    }

    private void CheckAnswer(AppendAttempt attempt, AppendedAnswer answer)
    {
        var append = attempt.Append;
        Require.That(Rules.AckedIsCommitted, append.First is not null, $"it is not committed on any node: {attempt}.");
        var first = append.First!.Value;
        var last = first + append.EventCount - 1;
        Require.That(Rules.AnswerTrue, answer.First == first && answer.Last == last, $"it stands at {first}–{last}: {attempt}.");
        Require.That(Rules.AnswerTrue, answer.RecordedAt == ledger.Event(first).RecordedAt, $"it was recorded at {ledger.Event(first).RecordedAt}, not {answer.RecordedAt}: {attempt}.");
        for (var i = 0; i < append.Streams.Length; i++)
        {
            var version = ledger.LastVersion(append.Streams[i].Name, last);
            Require.That(Rules.AnswerTrue, answer.Versions[i] == version, $"{append.Streams[i].Name} came to version {version}: {attempt}.");
        }
    }

    private void Acknowledge(AppendAttempt attempt)
    {
        if (!attempt.Append.IsAcknowledged)
        {
            attempt.Append.IsAcknowledged = true;
            Counts = (Counts.Written, Counts.Acknowledged + 1);
        }
    }

    // This attempt has not written it and never will.
    private static void NotByThis(AppendAttempt attempt)
    {
        var append = attempt.Append;
        if (attempt.IsExcluded)
        {
            return;
        }

        attempt.IsExcluded = true;
        append.OpenAttempts--;
        Require.That(Rules.RefusedNeverWritten, append.First is null || append.OpenAttempts > 0,
            $"it stands in the log at {append.First}, but every attempt was refused as not written, also {attempt}.");
    }
}
