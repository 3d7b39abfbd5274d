// Keeps states on the way as events come, for reducers that ask for it, so that nobody waits for the first fold of a long stream.
// Nothing rests on it: what it keeps are state snapshots, which answers check and can do without.
//
// It follows the log and folds a stream whenever that has another 1,024 events, by the version of the event alone: there is
// nothing to remember about streams, and nothing to catch up with after a start.
//
// Unhurried: behind each step it rests three times as long as the step took, on a thread of low priority.
using System.Diagnostics;
using EventVault.Node.Services;
using EventVault.Storage;
using EventVault.Storage.Index;
using EventVault.Storage.Log;
using EventVault.Temporal;

namespace EventVault.Node.States;

/// <summary>Folds streams of eager reducers in the background.</summary>
/// <param name="reader">The vault.</param>
/// <param name="isWhole">Whether the head shows a state that has been: what is folded is kept.</param>
/// <param name="states">Folds.</param>
/// <param name="registry">Named reducers.</param>
/// <param name="limits">What one fold may take.</param>
/// <param name="onFailed">Called on this thread, which ends then.</param>
internal sealed class EagerFolds(EventReader reader, Func<bool> isWhole, StateReader states, ReducerRegistry registry, NodeLimits limits, Action<Exception, string> onFailed) : IDisposable
{
    /// <summary>A stream is folded when it has another so many events: as many as lie between two state snapshots at the least.</summary>
    private const long EveryEvents = 1024;

    /// <summary>Pages of the log looked at before what they showed is folded.</summary>
    private const int MostPages = 64;

    /// <summary>Rest behind a step, in multiples of what it took.</summary>
    private const int Rest = 3;

    /// <summary>How often to look for new events.</summary>
    private static readonly TimeSpan LookAgain = TimeSpan.FromMilliseconds(100);

    private readonly CancellationTokenSource _stopping = new();
    private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private long _through = reader.Head.Value; // Everything up to here was looked at.
    private bool _isStarted;

    /// <summary>Everything up to here was looked at, and folded where it was due; for tests.</summary>
    public Position Through => new(Volatile.Read(ref _through));

    public void Start()
    {
        _isStarted = true;
        new Thread(Run) { Name = "eager folds", IsBackground = true, Priority = ThreadPriority.BelowNormal }.Start();
    }

    /// <summary>Ends soon, in the middle of a fold if need be.</summary>
    public Task StopAsync()
    {
        _stopping.Cancel();
        return _isStarted ? _ended.Task : Task.CompletedTask;
    }

    /// <summary>After the end.</summary>
    public void Dispose() => _stopping.Dispose();

    private void Run()
    {
        try
        {
            while (!_stopping.IsCancellationRequested)
            {
                var began = Stopwatch.GetTimestamp();
                var worked = Step();
                _stopping.Token.WaitHandle.WaitOne(worked ? Rest * Stopwatch.GetElapsedTime(began) : LookAgain);
            }
        }
        catch (OperationCanceledException) when (_stopping.IsCancellationRequested)
        {
        }
        catch (Exception e)
        {
            // The boundary of the thread: a rule of the program is broken.
            onFailed(e, "eager folds");
        }

        _ended.SetResult();
    }

    // Damage, and states that can't be told, are for those who ask for them to hear of.
    private bool Step()
    {
        var head = reader.Head;
        if (head == Through || !isWhole())
        {
            return false;
        }

        try
        {
            var reducers = registry.Current();
            if (reducers.Eager.Count == 0)
            {
                Volatile.Write(ref _through, head.Value);
                return false;
            }

            var (due, through) = Look(reducers, head);
            foreach (var (stream, position) in due)
            {
                Fold(reducers, stream, position);
            }

            Volatile.Write(ref _through, through.Value);
        }
        catch (Exception e) when (e is DamageException or IndexDamageException)
        {
            Volatile.Write(ref _through, head.Value);
        }

        return true;
    }

    private (List<(byte[] Stream, Position Position)> Due, Position Through) Look(NamedReducers reducers, Position head)
    {
        var sink = new Sink(reducers.Eager);
        var next = Through + 1;
        for (var pages = 0; pages < MostPages && next <= head; pages++)
        {
            next += reader.ReadAll(next, head, backwards: false, ref sink);
        }

        return (sink.Due, next + -1);
    }

    private void Fold(NamedReducers reducers, byte[] stream, Position position)
    {
        foreach (var defined in reducers.Eager.Where(r => r.Covers(stream)))
        {
            try
            {
                var options = new StateOptions(null, AllowPartial: false, limits[NodeLimits.FoldEvents].Allowed);
                states.Read(defined.Reducer!, reader.Reference(stream), position, options, _stopping.Token);
            }
            catch (Exception e) when (e is DamageException or IndexDamageException || Errors.OfState(e, string.Empty, limits) is not null)
            {
                // Whoever asks for the state hears of it.
            }
        }
    }

    private readonly struct Sink(IReadOnlyList<DefinedReducer> eager) : IEventSink
    {
        public List<(byte[] Stream, Position Position)> Due { get; } = [];

        public bool Accept(in EventView e)
        {
            if ((e.Version.Value + 1) % EveryEvents == 0)
            {
                foreach (var defined in eager)
                {
                    if (defined.Covers(e.Stream))
                    {
                        Due.Add((e.Stream.ToArray(), e.Position));
                        break;
                    }
                }
            }

            return true;
        }
    }
}
