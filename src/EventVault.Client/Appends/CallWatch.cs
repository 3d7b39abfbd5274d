namespace EventVault.Client;

/// <summary>
/// Watches over one session call: when its node answers nothing for a while, others are asked about it, and when it has been lost or another
/// one leads by then, the call ends. Whatever it left unanswered is sent again, so ending a call that would have gone on costs time, never an append.
/// </summary>
internal sealed class CallWatch : IDisposable
{
    private readonly NodeRoster _nodes;
    private readonly CancellationTokenSource _stop;
    private long _askedAt;

    public CallWatch(NodeRoster nodes, VaultNode node, CancellationToken stopping)
    {
        _nodes = nodes;
        Node = node;
        _stop = CancellationTokenSource.CreateLinkedTokenSource(stopping, node.Lost);
        Stop = _stop.Token;
    }

    /// <summary>Where the call goes.</summary>
    public VaultNode Node { get; }

    /// <summary>Ends the call.</summary>
    public CancellationToken Stop { get; }

    /// <summary>Something was sent that is to be answered.</summary>
    public void Asked() => Interlocked.CompareExchange(ref _askedAt, Environment.TickCount64, 0);

    /// <summary>An answer came.</summary>
    public void Heard() => Volatile.Write(ref _askedAt, 0);

    /// <summary>Called now and then.</summary>
    /// <param name="isAnswerDue">Whether something is to be answered.</param>
    public void Tick(bool isAnswerDue)
    {
        if (isAnswerDue)
        {
            Asked();
        }

        if (Volatile.Read(ref _askedAt) is not 0 and var asked && Environment.TickCount64 - asked > NodeRoster.Patience.TotalMilliseconds)
        {
            _nodes.Suspect(Node);
            if (_nodes.LeadsElsewhere(Node))
            {
                Cancel();
            }
        }
    }

    public void Dispose() => _stop.Dispose();

    private void Cancel()
    {
        try
        {
            _stop.Cancel();
        }
        catch (ObjectDisposedException)
        {
            // The call ended meanwhile.
        }
    }
}
