// Prepares segments and seals them, a step at a time. Unhurried, so as not to crowd out the flushes of appends, unless an
// append waits for room.
using EventVault.Storage;

namespace EventVault.Node;

/// <summary>Runs the storage's background work.</summary>
/// <param name="storage">Has the work.</param>
/// <param name="onProgress">Called after a step: room may have been made.</param>
/// <param name="isHurried">Whether an append waits for room.</param>
/// <param name="onFailed">Called on this thread, which ends then.</param>
internal sealed class BackgroundThread(VaultStorage storage, Action onProgress, Func<bool> isHurried, Action<Exception, string> onFailed) : IDisposable
{
    /// <summary>How often to look for work; also how soon space on a full disk is noticed.</summary>
    private static readonly TimeSpan LookAgain = TimeSpan.FromMilliseconds(50);

    /// <summary>The pause after a step: a step zeroes up to 1 MiB, so a segment is still prepared at over 0.5 GB/s.</summary>
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(1);

    private readonly AutoResetEvent _wake = new(initialState: false);
    private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private volatile bool _stopping;

    public void Start() => new Thread(Run) { Name = "background", IsBackground = true }.Start();

    /// <summary>Ends its pause. For every thread.</summary>
    public void Wake() => _wake.Set();

    /// <summary>Ends after the step that is running.</summary>
    public Task StopAsync()
    {
        _stopping = true;
        _wake.Set();
        return _ended.Task;
    }

    /// <summary>After the end, when nobody can call <see cref="Wake"/> any more.</summary>
    public void Dispose() => _wake.Dispose();

    private void Run()
    {
        try
        {
            while (!_stopping)
            {
                var worked = storage.StepBackground();
                if (worked)
                {
                    onProgress();
                }

                if (!worked || !isHurried())
                {
                    _wake.WaitOne(worked ? Pause : LookAgain);
                }
            }
        }
        catch (Exception e)
        {
            // The boundary of the thread. A DiskException is not for a full disk: the storage waits for space by itself.
            onFailed(e, "background");
        }

        _ended.SetResult();
    }
}
