namespace EventVault.Simulation.Checkers;

/// <summary>
/// Every operation of every client, in the order of virtual time. Keeps the ones that are open and the last ones that
/// ended; what all the others said has been checked when they ended.
/// </summary>
internal sealed class History(Func<long> now, Ledger ledger)
{
    /// <summary>Ended operations that are kept for the report of a failure.</summary>
    public const int KeptOperations = 512;

    private readonly Queue<Operation> _ended = new();
    private readonly HashSet<Operation> _open = [];
    private readonly long[] _outcomes = new long[Enum.GetValues<OperationOutcome>().Length];
    private long _begun;

    /// <summary>Operations begun.</summary>
    public long Begun => _begun;

    /// <summary>Operations without an answer; those whose client gave up are not among them.</summary>
    public int Open => _open.Count;

    /// <summary>How many operations ended so.</summary>
    public long Count(OperationOutcome outcome) => _outcomes[(int)outcome];

    /// <summary>The client sends it now.</summary>
    public void Begin(Operation operation)
    {
        operation.Number = ++_begun;
        operation.InvokedAt = now();
        operation.HeadBefore = ledger.Head;
        _open.Add(operation);
    }

    /// <summary>The answer is there now, or the client gives up. An answer may still come behind Unknown.</summary>
    public void End(Operation operation, OperationOutcome outcome, string answer)
    {
        if (_open.Remove(operation))
        {
            _ended.Enqueue(operation);
            if (_ended.Count > KeptOperations)
            {
                _ended.Dequeue();
            }
        }
        else
        {
            _outcomes[(int)operation.Outcome]--;
        }

        _outcomes[(int)outcome]++;
        operation.CompletedAt = now();
        operation.Outcome = outcome;
        operation.Answer = answer;
    }

    /// <summary>The last operations, oldest first: the ended ones and the open ones.</summary>
    public IEnumerable<Operation> Last(int count) => _ended.Concat(_open).OrderBy(o => o.Number).TakeLast(count);
}
