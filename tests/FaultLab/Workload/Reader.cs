using EventVault.FaultLab.Calls;
using EventVault.FaultLab.History;
using EventVault.FaultLab.Machine;
using EventVault.Protocol;
using EventVault.Rpc;

namespace EventVault.FaultLab.Workload;

/// <summary>Reads everything, from any node, in both directions, at every level.</summary>
internal sealed class Reader(int number, WorkState state) : LabClient($"reader-{number}", state)
{
    private const int PauseMilliseconds = 40;

    public override async Task RunAsync(CancellationToken stop)
    {
        while (!stop.IsCancellationRequested)
        {
            if (State.AnyStream(Random) is { } stream)
            {
                await State.AddAsync(await DrawAsync(stream));
            }

            await PauseAsync(PauseMilliseconds, stop);
        }
    }

    private Task<Operation> DrawAsync(string stream) => Random.Next(10) switch
    {
        < 3 => ReadAllAsync(),
        < 6 => ReadStreamAsync(stream),
        < 9 => HeadAsync(stream),
        _ => StateAsync(stream),
    };

    private async Task<Operation> ReadAllAsync()
    {
        var node = AnyNode();
        var seen = State.Seen;
        var isBackwards = Random.Next(2) == 0;
        var from = Random.Next(2) == 0 ? Random.NextInt64(seen + 2) : isBackwards ? -1 : Math.Max(0, seen - Random.Next(100));
        var read = Begin(node) with { IsBackwards = isBackwards, From = from, Limit = Random.Next(1, 200) };
        var request = new ReadAllRequest
        {
            Direction = isBackwards ? Direction.Backwards : Direction.Forwards,
            From = from < 0 ? null : new ReadBound { Position = (ulong)from },
            Limit = (ulong)read.Limit,
            IncludeSystem = true,
            Consistency = Message(read.Level, read.AtLeast),
        };
        return await FinishAsync(read, () => To(node).ReadAllAsync(request));
    }

    private async Task<Operation> ReadStreamAsync(string stream)
    {
        var node = AnyNode();
        var isBackwards = Random.Next(2) == 0;
        var from = Random.Next(2) == 0 ? Random.Next(50) : -1;
        var read = Begin(node) with { Stream = stream, IsBackwards = isBackwards, From = from, Limit = Random.Next(1, 200) };
        var request = new ReadStreamRequest
        {
            Stream = stream,
            Direction = isBackwards ? Direction.Backwards : Direction.Forwards,
            From = from < 0 ? null : new ReadBound { Version = (ulong)from },
            Limit = (ulong)read.Limit,
            Consistency = Message(read.Level, read.AtLeast),
        };
        return await FinishAsync(read, () => To(node).ReadStreamAsync(request));
    }

    private ReadAttempt Begin(LabNode node)
    {
        var level = DrawLevel();
        return new ReadAttempt
        {
            Client = Name,
            Node = node.Number,
            Start = node.Starts,
            Level = level,
            AtLeast = level == Level.AtLeast ? State.Seen : -1,
            Invoked = Clock.Now,
        };
    }

    private async Task<Operation> FinishAsync(ReadAttempt read, Func<Task<(ReadHead Head, List<RecordedEvent> Events)>> ask)
    {
        try
        {
            var (head, events) = await ask();
            read = read with
            {
                Completed = Clock.Now,
                Head = head.HasLastPosition ? (long)head.LastPosition : -1,
                LastVersion = head.HasLastVersion ? (long)head.LastVersion : -1,
                Events = [.. events.Select(Seen)],
            };
            State.Saw(read.Head);
            return read;
        }
        catch (RpcException e)
        {
            var failure = new CallFailure(e);

            // It has no events: without a head, but at the level that was asked for.
            return failure.Reason == Reason.StreamNotFound
                ? new HeadAttempt { Client = Name, Node = read.Node, Start = read.Start, Stream = read.Stream!, Level = read.Level, AtLeast = read.AtLeast, Invoked = read.Invoked, Completed = Clock.Now }
                : read with { Completed = Clock.Now, Failure = failure.Text };
        }
    }

    private async Task<Operation> HeadAsync(string stream)
    {
        var node = AnyNode();
        var level = DrawLevel();
        var head = new HeadAttempt
        {
            Client = Name,
            Node = node.Number,
            Start = node.Starts,
            Stream = stream,
            Level = level,
            AtLeast = level == Level.AtLeast ? State.Seen : -1,
            Invoked = Clock.Now,
        };
        try
        {
            var info = await To(node).GetStreamAsync(new GetStreamRequest { Stream = stream, Consistency = Message(level, head.AtLeast) });
            return head with { Completed = Clock.Now, LastVersion = (long)info.LastVersion, LastPosition = (long)info.LastPosition };
        }
        catch (RpcException e)
        {
            var failure = new CallFailure(e);
            return head with { Completed = Clock.Now, Failure = failure.Reason == Reason.StreamNotFound ? null : failure.Text };
        }
    }

    private async Task<Operation> StateAsync(string stream)
    {
        var node = AnyNode();
        var state = new StateAttempt
        {
            Client = Name,
            Node = node.Number,
            Start = node.Starts,
            Stream = stream,
            AsOf = Random.NextInt64(Math.Max(1, State.Seen)),
            Invoked = Clock.Now,
        };
        try
        {
            var answer = await To(node).GetStateAsync(new GetStateRequest
            {
                Stream = stream,
                Reducer = new ReducerReference { Inline = new ReducerDefinition { Slots = "n = COUNT(*)" } },
                AsOf = new AsOf { Position = (ulong)state.AsOf },
                Consistency = Message(State.Seen < 0 ? Level.Local : DrawLevel(), State.Seen),
            });
            return state with { Completed = Clock.Now, Version = answer.HasVersion ? (long)answer.Version : -1, Count = (long)(answer.Counts?.Events ?? 0) };
        }
        catch (RpcException e)
        {
            return state with { Completed = Clock.Now, Failure = new CallFailure(e).Text };
        }
    }

    private Level DrawLevel() => Random.Next(4) switch
    {
        < 2 => Level.Linearizable,
        2 when State.Seen >= 0 => Level.AtLeast,
        _ => Level.Local,
    };

    private static Consistency Message(Level level, long atLeast) => level switch
    {
        Level.Linearizable => new Consistency { Linearizable = new Empty() },
        Level.AtLeast => new Consistency { AtLeast = (ulong)atLeast },
        _ => new Consistency { Local = new Empty() },
    };
}
