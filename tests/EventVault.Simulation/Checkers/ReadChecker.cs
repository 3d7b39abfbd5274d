// Reads: what they show is committed, is exactly the log up to the head they read at, and is as new as was asked for.
namespace EventVault.Simulation.Checkers;

/// <summary>Checks reads.</summary>
internal sealed class ReadChecker(Ledger ledger, History history)
{
    // The highest head that each node has shown in this life of it.
    private readonly Dictionary<uint, long> _shown = [];

    public ReadOperation Begin(int client, uint node, ReadRequest request)
    {
        var read = new ReadOperation(client, node, request);
        history.Begin(read);
        return read;
    }

    /// <summary>The node stopped: its next life may begin with less than it has shown.</summary>
    public void NodeStopped(uint node) => _shown.Remove(node);

    /// <summary>Nothing was read.</summary>
    public void Refused(ReadOperation read, string why) => history.End(read, OperationOutcome.Refused, why);

    /// <summary>A node read this, at this moment of its life; the answer is on its way.</summary>
    public void Shown(ReadOperation read, ReadAnswer answer)
    {
        var before = _shown.GetValueOrDefault(read.Node, -1);
        Require.That(Rules.ReadForward, answer.Head >= before, $"node {read.Node} has shown head {before} before, now {answer}: {read}.");
        _shown[read.Node] = answer.Head;
    }

    /// <summary>The answer reached the client.</summary>
    public void Answered(ReadOperation read, ReadAnswer answer)
    {
        history.End(read, OperationOutcome.Read, answer.ToString());
        var request = read.Request;
        Require.That(Rules.ReadCommitted, answer.Head <= ledger.Head, $"only {ledger.Head} is committed: {read}.");
        Require.That(Rules.ReadFresh, request.Consistency != Consistency.Linearizable || answer.Head >= read.HeadBefore, $"{read.HeadBefore} was committed when it was sent: {read}.");
        Require.That(Rules.ReadAtLeast, request.Consistency != Consistency.AtLeast || answer.Head >= request.AtLeast, $"it asked for more: {read}.");
        switch (request.Kind)
        {
            case ReadKind.Events:
                CheckStream(read, answer);
                break;
            case ReadKind.All:
                CheckAll(read, answer);
                break;
            case ReadKind.StreamHead:
                var state = ledger.StateOf(request.Stream, answer.Head);
                CheckCount(read, answer, state.HasEvents ? 1 : 0);
                CheckEvents(read, answer, i => ledger.PositionOf(request.Stream, state.Last)!.Value);
                break;
            case ReadKind.List:
                CheckList(read, answer);
                break;
            case ReadKind.Time:
                var first = ledger.FirstAtOrAfter(request.From, answer.Head);
                Require.That(Rules.TimeLookupTrue, answer.Position == first || (ledger.IsScavenged(answer.Head) && NothingBetween(first, answer)), $"position {first} is the first one at or after that time, not {answer.Position}: {read}.");
                break;
        }
    }

    /// <summary>Whether an event is the one that the ledger has at its position.</summary>
    public static bool IsTrue(Ledger ledger, in SeenEvent seen)
    {
        if (seen.Position < 0 || seen.Position > ledger.Head)
        {
            return false;
        }

        var e = ledger.Event(seen.Position);
        return e.Version == seen.Version && e.RecordedAt == seen.RecordedAt && e.Digest == seen.Digest && ledger.Streams[e.Stream] == seen.Stream;
    }

    private void CheckStream(ReadOperation read, ReadAnswer answer)
    {
        var request = read.Request;
        var (last, first, _) = ledger.StateOf(request.Stream, answer.Head);
        var from = request.Backwards ? Math.Min(request.From, last) : Math.Max(request.From, first);
        var available = request.Backwards ? from - first + 1 : last - from + 1;
        CheckCount(read, answer, Math.Min(request.Most, Math.Max(0, available)));
        CheckEvents(read, answer, i => ledger.PositionOf(request.Stream, request.Backwards ? from - i : from + i)!.Value);
    }

    private void CheckAll(ReadOperation read, ReadAnswer answer)
    {
        var request = read.Request;
        var step = request.Backwards ? -1 : 1;
        var expected = new List<long>();
        for (var at = request.Backwards ? Math.Min(request.From, answer.Head) : request.From; at >= 0 && at <= answer.Head && expected.Count < request.Most; at += step)
        {
            if (ledger.IsVisible(at, answer.Head))
            {
                expected.Add(at);
            }
        }

        CheckCount(read, answer, expected.Count);
        CheckEvents(read, answer, i => expected[i]);
    }

    // Where a scavenge removed events their times are known no better than those of what is left on either side.
    private bool NothingBetween(long first, ReadAnswer answer)
    {
        for (var at = Math.Min(first, answer.Position); at < Math.Max(first, answer.Position); at++)
        {
            if (ledger.IsVisible(at, answer.Head))
            {
                return false;
            }
        }

        return answer.Position <= answer.Head + 1;
    }

    private static void CheckCount(ReadOperation read, ReadAnswer answer, long expected) =>
        Require.That(Rules.ReadTrue, answer.Events.Count == expected, $"up to that head there are {expected} events to be shown: {read}.");

    private void CheckEvents(ReadOperation read, ReadAnswer answer, Func<int, long> position)
    {
        for (var i = 0; i < answer.Events.Count; i++)
        {
            var seen = answer.Events[i];
            var expected = position(i);
            Require.That(Rules.ReadTrue, seen.Position == expected && IsTrue(ledger, seen), $"instead of the event at {expected} it shows {seen}: {read}.");
        }
    }

    private void CheckList(ReadOperation read, ReadAnswer answer)
    {
        var request = read.Request;
        var expected = ledger.Streams
            .Where(s => string.CompareOrdinal(s, request.Stream) > 0 && s[0] != '$' && ledger.StateOf(s, answer.Head).HasEvents)
            .Order(StringComparer.Ordinal)
            .Take(request.Most)
            .Select(s => (s, ledger.LastVersion(s, answer.Head)))
            .Select(s => (s.s, s.Item2, ledger.PositionOf(s.s, s.Item2)!.Value));
        Require.That(Rules.ListTrue, expected.SequenceEqual(answer.Streams), $"it lists {string.Join(' ', answer.Streams)}, the log has {string.Join(' ', expected)}: {read}.");
    }
}
