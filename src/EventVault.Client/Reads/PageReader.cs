using System.Runtime.CompilerServices;

namespace EventVault.Client;

/// <summary>A read or a subscription as a sequence of pages. One consumer; goes through once.</summary>
internal abstract class PageReader : IAsyncDisposable
{
    private readonly CancellationToken _callerToken;
    private CancellationToken _enumeratorToken;
    private int _used;

    protected PageReader(CancellationToken callerToken, CancellationToken clientClosed)
    {
        _callerToken = callerToken;
        Stop = CancellationTokenSource.CreateLinkedTokenSource(callerToken, clientClosed);
        StopToken = Stop.Token;
    }

    /// <summary>What the node said before its first event; null: nothing yet.</summary>
    public ReadHead? Head { get; protected set; }

    /// <summary>The page of the last successful <see cref="NextAsync"/>; the same object every time.</summary>
    public EventPage Page { get; } = new();

    /// <summary>Survives the disposal of its source, which may come from another thread.</summary>
    protected CancellationToken StopToken { get; }

    private CancellationTokenSource Stop { get; }

    /// <summary>Waits for the head.</summary>
    public abstract ValueTask<ReadHead> OpenAsync();

    /// <summary>Waits for the next page; false at the end.</summary>
    public abstract ValueTask<bool> NextAsync();

    /// <summary>All pages; the reader is disposed at their end.</summary>
    public async IAsyncEnumerable<EventPage> PagesAsync([EnumeratorCancellation] CancellationToken cancellation)
    {
        if (Interlocked.Exchange(ref _used, 1) != 0)
        {
            throw new InvalidOperationException("A read or subscription can be enumerated once; ask the client for another one.");
        }

        _enumeratorToken = cancellation;
        CancellationTokenRegistration registration = cancellation.UnsafeRegister(static reader => ((PageReader)reader!).Cancel(), this);
        try
        {
            while (await NextAsync().ConfigureAwait(false))
            {
                yield return Page;
            }
        }
        finally
        {
            await registration.DisposeAsync().ConfigureAwait(false);
            await EndAsync(isPageInUse: false).ConfigureAwait(false);
        }
    }

    /// <summary>
    /// Ends the read, from any thread and also in the middle of a page: that stays valid for who goes through it, and no further
    /// one comes.
    /// </summary>
    public ValueTask DisposeAsync() => EndAsync(isPageInUse: true);

    /// <summary>For who takes a page apart: whether to go on with it.</summary>
    /// <exception cref="OperationCanceledException">The read was cancelled.</exception>
    /// <exception cref="VaultException">It, or its client, was disposed.</exception>
    public void ThrowIfStopped()
    {
        if (StopToken.IsCancellationRequested)
        {
            throw Cancelled();
        }
    }

    /// <summary>Closes what is open.</summary>
    /// <param name="isPageInUse">Somebody may be using the memory of the last page.</param>
    protected abstract ValueTask CloseAsync(bool isPageInUse);

    /// <summary>What to throw when the work was cancelled, by whomever.</summary>
    protected Exception Cancelled()
    {
        if (_callerToken.IsCancellationRequested)
        {
            return new OperationCanceledException(_callerToken);
        }

        return _enumeratorToken.IsCancellationRequested
            ? new OperationCanceledException(_enumeratorToken)
            : new VaultException(VaultErrorCode.Closed, "The read was cut short: it, or its client, was disposed.");
    }

    private ValueTask EndAsync(bool isPageInUse)
    {
        Cancel();
        Stop.Dispose();
        return CloseAsync(isPageInUse);
    }

    private void Cancel()
    {
        try
        {
            Stop.Cancel();
        }
        catch (ObjectDisposedException)
        {
            // Disposed means cancelled before.
        }
    }
}
