// Work that may be done before somebody needs it: by another thread, if one has time, otherwise by who needs it. So nobody ever waits
// for a thread to have time. What failed is told to who takes the work, and to nobody if nobody does.
using System.Runtime.ExceptionServices;

namespace EventVault.Storage.Io;

/// <summary>A piece of work that is done once. One thread begins it, and takes or drops it; any other may do it.</summary>
#pragma warning disable CA1001 // Nobody asks for the event's handle, so it holds nothing that would have to be given back.
public abstract class WorkAhead : IThreadPoolWorkItem
#pragma warning restore CA1001
{
    private readonly ManualResetEventSlim _ended = new();
    private ExceptionDispatchInfo? _failure;
    private int _begun;

    /// <summary>Lets another thread do it.</summary>
    public void Begin() => ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);

    /// <summary>Does it, unless another thread does or did.</summary>
    public void Execute()
    {
        if (Interlocked.Exchange(ref _begun, 1) != 0)
        {
            return;
        }

        try
        {
            Work();
        }
#pragma warning disable CA1031 // The boundary of a thread: whatever it is, it is thrown where the work is taken.
        catch (Exception e)
#pragma warning restore CA1031
        {
            _failure = ExceptionDispatchInfo.Capture(e);
        }

        _ended.Set();
    }

    /// <summary>Nobody needs it: when this returns nobody does it, nor will.</summary>
    public void Drop()
    {
        if (Interlocked.Exchange(ref _begun, 1) != 0)
        {
            _ended.Wait();
        }
    }

    /// <summary>Does it, or waits for who does. Throws what it threw.</summary>
    protected void End()
    {
        Execute();
        _ended.Wait();
        _failure?.Throw();
    }

    /// <summary>The work.</summary>
    protected abstract void Work();
}
