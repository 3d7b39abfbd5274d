// One machine: its disk, its clocks, and the process on it, which is the product's own code. What the product runs on
// threads is stepped here: the sequencer with consensus, the log's writer, the background work, the completions.
using EventVault.Node;
using EventVault.Node.Replication;
using EventVault.Raft;
using EventVault.Simulation.Network;
using EventVault.Simulation.Scheduling;
using EventVault.Storage;
using EventVault.Storage.Index;
using EventVault.Storage.Io;
using EventVault.Storage.Tests.Simulated;

namespace EventVault.Simulation.Cluster;

/// <summary>One machine and its process.</summary>
internal sealed class SimulatedNode : IPeerTransport, ICompletions
{
    public const string Directory = "/vault";

    /// <summary>More steps without an event in between are an endless loop.</summary>
    private const int MostSteps = 10_000;

    /// <summary>What waits at a paused process; more is lost, as in a socket's buffer.</summary>
    private const int MostDeferred = 2_000;

    /// <summary>The log rests if nothing was written for so long.</summary>
    private static readonly long MarkAfter = TimeSpan.FromMilliseconds(8).Ticks;

    private readonly Simulation _simulation;
    private readonly Queue<IThreadPoolWorkItem> _completions = new();
    private readonly List<SimulatedEvent> _deferred = [];
    private readonly Random _flush;
    private readonly Random _steps;
    private readonly Random _power;
    private readonly Random _interleave;
    private readonly Random _fence;
    private readonly List<(long Time, Task<CloseOutcome> Outcome)> _fences = [];
    private bool _stepAdded;
    private bool _writeAdded;
    private bool _backgroundAdded;
    private bool _markAdded;
    private bool _inBackground;
    private bool _isKilled;
    private long _killAt = long.MaxValue;
    private long _powerInTruncation;
    private ulong _lastIndex;
    private int _opening;
    private bool _reopens;
    private SegmentTransfer _transfer = null!;

    public SimulatedNode(Simulation simulation, int number)
    {
        _simulation = simulation;
        Number = number;
        Clock = new SimulatedClock(() => simulation.Now);
        Files = NewDisk();
        _flush = simulation.RandomFor("flush", number);
        _steps = simulation.RandomFor("step", number);
        _power = simulation.RandomFor("power", number);
        _interleave = simulation.RandomFor("interleave", number);
        _fence = simulation.RandomFor("fence", number);
    }

    public int Number { get; }

    public SimulatedClock Clock { get; }

    /// <summary>The disk that is in it now.</summary>
    public SimulatedFileSystem Files { get; private set; }

    /// <summary>Its own disk, while another one is in the machine by mistake.</summary>
    public SimulatedFileSystem? Aside { get; private set; }

    /// <summary>Whether the process runs and its storage is open.</summary>
    public bool IsRunning { get; private set; }

    public bool IsPaused { get; private set; }

    /// <summary>Counts the process's starts and ends, so that nothing of an earlier one reaches a later one.</summary>
    public int Life { get; private set; }

    public int Starts { get; private set; }

    /// <summary>Who it is, or was when it ran last; null before its first start on this disk.</summary>
    public ReplicaId? Id { get; private set; }

    /// <summary>The disk was damaged by more than crashes: it counts no more until it is replaced.</summary>
    public bool IsDamaged { get; set; }

    /// <summary>Why it could not be opened, or stopped; null while it runs well.</summary>
    public Exception? LastFailure { get; private set; }

    public StopKind LastStop { get; private set; }

    /// <summary>The newest membership in its log, as far as it is known; also while it is down.</summary>
    public Membership? Membership { get; private set; }

    /// <summary>Its term, also while it is down.</summary>
    public ulong Term { get; private set; }

    /// <summary>Flushes that hang for this long from now on, until set to 0.</summary>
    public long ExtraFlushTicks { get; set; }

    public VaultStorage Storage { get; private set; } = null!;

    public Replica Replica { get; private set; } = null!;

    public VaultLoop Loop { get; private set; } = null!;

    public LogWriter Writer { get; private set; } = null!;

    public override string ToString() => !IsRunning
        ? $"node {Number}: down ({LastStop}{(LastFailure is null ? "" : ": " + LastFailure.Message)}), {Starts} starts{(IsDamaged ? ", damaged" : "")}"
        : $"node {Number}: {Describe(Replica.Status())}{(IsPaused ? ", paused" : "")}{(IsDamaged ? ", damaged" : "")}, {Starts} starts, segments {Storage.SegmentCounts.Sealed}+{Storage.SegmentCounts.Unsealed}, head {Storage.Head}";

    /// <summary>Starts the process; it may fail to.</summary>
    /// <param name="crashAfter">The power goes out after so many disk operations; 0: it does not.</param>
    /// <returns>Whether it runs.</returns>
    public bool Start(long crashAfter = 0)
    {
        Invariant.Check(!IsRunning);
        Life++;
        Starts++;
        Reset();
        Files.OnOperation = OnOperation;
        Files.CrashAtOperation = crashAfter > 0 ? Files.Operations + crashAfter : long.MaxValue;
        try
        {
            Open();
        }
        catch (Exception e) when (IsProcessEnd(e, out var kind))
        {
            End(kind, e);
            return false;
        }

        Files.CrashAtOperation = long.MaxValue;
        IsRunning = true;
        LastFailure = null;
        _simulation.OnStarted(this);
        AddTick();
        if (Replica.IsAlone)
        {
            Guard(Replica.Campaign);
        }

        return IsRunning;
    }

    /// <summary>The machine loses power now.</summary>
    public void CutPower() => End(StopKind.PowerLoss, null);

    /// <summary>The power goes out before one of the next disk operations.</summary>
    public void CutPowerAfter(long operations) => Files.CrashAtOperation = Files.Operations + operations;

    /// <summary>The power goes out before one of the disk operations of the next truncation, or soon behind it.</summary>
    public void CutPowerInTruncation(long operations) => _powerInTruncation = operations;

    /// <summary>The process is killed now.</summary>
    public void Kill() => End(StopKind.Kill, null);

    /// <summary>The process is killed before one of the next disk operations.</summary>
    public void KillAfter(long operations) => _killAt = Files.Operations + operations;

    /// <summary>What was to cut the power or kill the process later does not happen.</summary>
    public void SpareProcess()
    {
        Files.CrashAtOperation = long.MaxValue;
        _killAt = long.MaxValue;
        _powerInTruncation = 0;
    }

    /// <summary>The process stands still.</summary>
    public void Pause() => IsPaused = true;

    /// <summary>It goes on, with what came meanwhile.</summary>
    public void Resume()
    {
        if (!IsPaused)
        {
            return;
        }

        IsPaused = false;
        foreach (var e in _deferred)
        {
            _simulation.Add(new SimulatedEvent(_simulation.Now, e.Kind, e.Node, e.Life, e.Payload));
        }

        _deferred.Clear();
    }

    /// <summary>Somebody puts a disk into the machine that is not its own. It is off.</summary>
    public void InsertForeign(SimulatedFileSystem disk)
    {
        Invariant.Check(!IsRunning && Aside is null);
        (Aside, Files) = (Files, disk);
    }

    /// <summary>Its own disk comes back.</summary>
    public void RemoveForeign()
    {
        Invariant.Check(!IsRunning && Aside is not null);
        (Files, Aside) = (Aside, null);
    }

    /// <summary>The disk that was its own before, with whatever happened to it in another machine.</summary>
    public void TakeBack(SimulatedFileSystem disk)
    {
        Invariant.Check(!IsRunning && Aside is null);
        Files = disk;
    }

    /// <summary>The machine is off, and its disk is gone: what starts here next is another replica.</summary>
    public void Wipe()
    {
        if (Id is { } id)
        {
            _simulation.Disks.Retire(id, Files);
        }

        Invariant.Check(!IsRunning && Aside is null);
        Files = NewDisk();
        Id = null;
        Membership = null;
        IsDamaged = false;
    }

    /// <summary>Runs what other threads do beside the vault's, which gets its turn between any two disk operations.</summary>
    public void RunBeside(Action action)
    {
        _inBackground = true;
        try
        {
            action();
        }
        finally
        {
            _inBackground = false;
        }
    }

    /// <summary>Segments are to be installed: the process ends in order, and starts again.</summary>
    public void ReopenSoon()
    {
        if (!_reopens)
        {
            _reopens = true;
            var life = Life;
            var most = _steps.Next(3) == 0 ? 30 * TimeSpan.TicksPerSecond : TimeSpan.TicksPerSecond; // Meanwhile others may send it groups.
            _simulation.After((long)_steps.Logarithmic(TimeSpan.TicksPerMillisecond, most), () => Reopen(life));
        }
    }

    /// <summary>Queues an append. If it is not refused at once, it is completed while this life lasts, or never.</summary>
    public AppendOutcome Submit(QueuedAppend append) => Loop.Enqueue(append, append, 1, append.QueuedBytes);

    /// <summary>Something happens at this machine.</summary>
    public void Handle(in SimulatedEvent e)
    {
        if (!IsRunning)
        {
            if (e.Payload is ClientRequest request)
            {
                RefuseLater(request);
            }

            return;
        }

        if (e.Life != 0 && e.Life != Life)
        {
            return;
        }

        if (IsPaused)
        {
            if (_deferred.Count < MostDeferred)
            {
                _deferred.Add(e);
            }

            return;
        }

        var copy = e;
        Guard(() => Run(copy));
    }

    /// <summary>Something else calls the product's code at this machine, such as an operator.</summary>
    public void Guard(Action action)
    {
        var life = Life;
        try
        {
            action();
            if (IsRunning && life == Life)
            {
                Settle();
            }
        }
        catch (Exception e) when (IsProcessEnd(e, out var kind))
        {
            End(kind, e);
        }
    }

    void IPeerTransport.Send(in PeerMessage message)
    {
        _simulation.OnSent(this, message);
        _simulation.Network.Send(Number, message);
    }

    void ICompletions.Queue(IThreadPoolWorkItem item) => _completions.Enqueue(item);

    /// <summary>Stops cleanly, deletes everything that can be made from the log again, and opens the storage once more.</summary>
    public VaultStorage ReopenWithoutIndex()
    {
        const string IndexDirectory = Directory + "/index";
        Files.OnOperation = null;
        IsRunning = false;
        Storage.Dispose();
        foreach (var name in Files.ListFiles(IndexDirectory))
        {
            Files.DeleteFile($"{IndexDirectory}/{name}");
        }

        return VaultStorage.Open(Files, Directory, _simulation.StorageOptionsFor(this, new SeededRandom(0)), VaultLoop.Now(Clock));
    }

    private void Reopen(int life)
    {
        if (!IsRunning || life != Life)
        {
            return;
        }

        try
        {
            RunSteps();
            while (Writer.Step())
            {
                RunSteps();
            }

            RunCompletions();
            _simulation.OnStepped(this);
            Loop.Stop();
            RunCompletions();
            Storage.Stop();
            Storage.Dispose();
        }
        catch (Exception e) when (IsProcessEnd(e, out var kind))
        {
            End(kind, e);
            return;
        }

        End(StopKind.Reopened, null);
    }

    private void RefuseLater(ClientRequest request)
    {
        if (request.Refused is { } refused)
        {
            _simulation.ClientNetwork.ToClient(request.Client, Number, refused);
        }
    }

    private static SimulatedFileSystem NewDisk() => new() { ProcessId = 1 };

    private static string Describe(RaftStatus s) =>
        $"{s.Id} {s.Role}, term {s.Term}, leader {s.Leader?.ToString() ?? "none"}, commit {s.CommitIndex}, durable {s.DurableIndex}, last {s.LastIndex}, membership {s.Membership} at {s.MembershipIndex}";

    private void Open()
    {
        var random = SeededRandom.For(_simulation.Options.Seed, $"product-{Starts}-{_opening++}", Number);
        Storage = VaultStorage.Open(Files, Directory, _simulation.StorageOptionsFor(this, random), VaultLoop.Now(Clock));
        Writer = new LogWriter(Storage.Log);
        Id = LogEntries.IdOf(Storage);
        Replica = new Replica(Storage, Writer, this, new CommitSignal(), this, Clock, _simulation.RaftOptionsFor(Id.Value, random), random.Next(2) == 0 ? Replica.FarBytes : _simulation.Options.FarBytes);
        _transfer = new SegmentTransfer(_simulation, this);
        Replica.OrderShipping = _transfer.Order;
        Loop = new VaultLoop(Storage, Replica, this, Clock, _simulation.AppendLimits) { Wake = AddStep };
    }

    private void Run(in SimulatedEvent e)
    {
        switch (e.Kind)
        {
            case EventKind.Tick:
                AddTick();
                Loop.Tick();
                AskForFence();
                _transfer.Step();
                AddBackground(0);
                break;
            case EventKind.Message:
                _simulation.Network.Delivered++;
                if (e.Payload is ShipParcel shipped)
                {
                    _transfer.Receive(shipped);
                    break;
                }

                Replica.Receive(((Parcel)e.Payload!).Message);
                break;
            case EventKind.Request:
                ((ClientRequest)e.Payload!).Deliver(this);
                break;
            case EventKind.Step:
                _stepAdded = false;
                break;
            case EventKind.Write:
                _writeAdded = false;
                Writer.Step();
                break;
            case EventKind.Background:
                _backgroundAdded = false;
                StepBackground();
                break;
            case EventKind.Mark:
                _markAdded = false;
                if (Writer.WantsMark)
                {
                    Writer.WriteMark();
                }

                return;
            default:
                throw new InvariantException($"Nothing runs a {e.Kind} at a node.");
        }
    }

    // After anything that ran the product's code: the sequencer takes its turn, now or a little later.
    private void Settle()
    {
        var delay = _simulation.Options.StepDelay.Ticks;
        if (delay > 0 && !_simulation.IsLiveness && _steps.Next(2) == 0)
        {
            AddStep();
        }
        else
        {
            RunSteps();
        }

        RunCompletions();
        _fences.RemoveAll(LookAtFence);
        if (Writer.HasSubmitted)
        {
            AddWrite();
        }
        else if (Writer.WantsMark && !_markAdded)
        {
            _markAdded = true;
            Add(EventKind.Mark, MarkAfter);
        }

        if (Loop.WaitsForRoom)
        {
            AddBackground(TimeSpan.TicksPerMillisecond);
        }

        if (Storage.Tail.LastIndex.Value < _lastIndex && _powerInTruncation > 0)
        {
            CutPowerAfter(_powerInTruncation);
            _powerInTruncation = 0;
        }

        _lastIndex = Storage.Tail.LastIndex.Value;
        Term = Replica.Term.Value;
        Membership = Replica.Membership;
        _simulation.OnStepped(this);
    }

    // Somebody wants a time closed, of a moment ago or just ahead; whoever leads or not.
    private void AskForFence()
    {
        const int OneOf = 16; // Ticks.
        if (_fence.Next(OneOf) == 0 && !_simulation.IsLiveness)
        {
            var time = VaultLoop.Now(Clock) - _fence.NextInt64(-TimeSpan.TicksPerMillisecond, 100 * TimeSpan.TicksPerMillisecond);
            _fences.Add((time, Loop.CloseTimeAsync(time, VaultLoop.NowMs(Clock) + _fence.Next(1_000))));
        }
    }

    private bool LookAtFence((long Time, Task<CloseOutcome> Outcome) fence)
    {
        if (fence.Outcome is { IsCompletedSuccessfully: true, Result: CloseOutcome.Closed })
        {
            Checkers.Referee.Closed(this, fence.Time);
        }

        return fence.Outcome.IsCompleted;
    }

    private void RunSteps()
    {
        var steps = 0;
        while (Loop.Step())
        {
            if (++steps > MostSteps)
            {
                Simulation.Fail("endless-steps", $"{this} has something to do after {steps} steps.");
            }
        }
    }

    private void RunCompletions()
    {
        while (_completions.TryDequeue(out var item))
        {
            item.Execute();
        }
    }

    private void StepBackground() => RunBeside(() =>
    {
        if (Storage.StepBackground() | Storage.Scavenger.Step(Storage.CommitIndex))
        {
            AddBackground(_flush.Exponential(_simulation.Options.FlushMean.Ticks) + 1);
        }
    });

    private void AddTick() => Add(EventKind.Tick, Clock.TrueTicks(SimulationOptions.TickTicks));

    private void AddStep()
    {
        if (!_stepAdded)
        {
            _stepAdded = true;
            Add(EventKind.Step, _steps.NextInt64(_simulation.Options.StepDelay.Ticks + 1));
        }
    }

    private void AddWrite()
    {
        if (_writeAdded)
        {
            return;
        }

        _writeAdded = true;
        var latency = _flush.Exponential(_simulation.Options.FlushMean.Ticks) + 1;
        var isSlow = _flush.Chance(_simulation.Options.SlowFlushProbability);
        if (isSlow && _simulation.Options.Has(FaultClass.SlowDisk) && !_simulation.IsLiveness)
        {
            latency += _flush.Exponential(TimeSpan.FromSeconds(1).Ticks);
        }

        Add(EventKind.Write, latency + ExtraFlushTicks);
    }

    private void AddBackground(long delay)
    {
        if (!_backgroundAdded)
        {
            _backgroundAdded = true;
            Add(EventKind.Background, delay);
        }
    }

    private void Add(EventKind kind, long delay) => _simulation.Add(new SimulatedEvent(_simulation.Now + delay, kind, Number, Life, null));

    private void OnOperation(DiskOperation operation)
    {
        _simulation.Trace.Verbose?.WriteLine($"    node {Number}: {operation.Kind} {operation.Path} at {operation.Offset}, {operation.Length} bytes");
        if (_isKilled || operation.Number >= _killAt)
        {
            _isKilled = true;
            throw new ProcessKilledException();
        }

        // The background thread runs beside the vault's thread: that one gets its turn between any two operations.
        if (_inBackground && IsRunning && _simulation.Options.Has(FaultClass.Interleave) && _interleave.Next(3) == 0)
        {
            _inBackground = false;
            if (_interleave.Next(2) == 0)
            {
                Writer.Step();
            }

            RunSteps();
            RunCompletions();
            _inBackground = true;
        }
    }

    private bool IsProcessEnd(Exception e, out StopKind kind)
    {
        kind = e switch
        {
            SimulatedCrashException => StopKind.PowerLoss,
            ProcessKilledException => StopKind.Kill,
            DiskException => StopKind.DiskFailure,
            DamageException or IndexDamageException or UnsupportedFormatException or ForeignDirectoryException => StopKind.Refused,
            _ => StopKind.Invariant,
        };

        // What a checker found is no event of the node; a broken rule of its own is a bug unless its disk was spoilt.
        return e is not Checkers.ViolationException && (kind != StopKind.Invariant || _simulation.IsExcused(this, e));
    }

    private void End(StopKind kind, Exception? failure)
    {
        LastStop = kind;
        LastFailure = failure;
        IsRunning = false;
        _simulation.OnStopped(this, kind);

        Life++;
        Reset();
        if (kind == StopKind.PowerLoss)
        {
            Files = Files.Crash(_power);
        }
        else
        {
            Files.EndProcess();
        }

        _simulation.OnEnded(this);
    }

    private void Reset()
    {
        _completions.Clear();
        _deferred.Clear();
        _fences.Clear();
        IsPaused = false;
        _stepAdded = _writeAdded = _backgroundAdded = _markAdded = _inBackground = _isKilled = _reopens = false;
        _lastIndex = 0;
        _killAt = long.MaxValue;
    }
}
