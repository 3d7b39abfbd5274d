using EventVault.FaultLab.Calls;
using EventVault.FaultLab.History;
using EventVault.Protocol;
using EventVault.Rpc;

namespace EventVault.FaultLab.Workload;

/// <summary>Subscribes from the first event on, and goes to another node, behind the last event it has, when it is cut off or every few seconds.</summary>
internal sealed class Subscriber(int number, string? stream, WorkState state) : LabClient($"subscriber-{number}", state)
{
    private long _next;

    /// <summary>How many events it was given: the position of the next one, of a stream its version.</summary>
    public long Next => Interlocked.Read(ref _next);

    /// <summary>Null: all streams.</summary>
    public string? Stream { get; } = stream;

    public override async Task RunAsync(CancellationToken stop)
    {
        // So that the checker knows of it, even if it is never given anything.
        await State.AddAsync(new Delivery { Client = Name, Stream = Stream, Invoked = Clock.Now, Completed = Clock.Now });
        while (!stop.IsCancellationRequested)
        {
            var node = AnyNode();
            using var stay = CancellationTokenSource.CreateLinkedTokenSource(stop);
            stay.CancelAfter(Random.Next(1000, 8000));
            var delivery = new Delivery { Client = Name, Node = node.Number, Start = node.Starts, Stream = Stream };
            try
            {
                await using var call = To(node).Subscribe(Request(), stay.Token);
                while (await call.MoveNextAsync())
                {
                    await TakeAsync(delivery, call.Current);
                }
            }
            catch (RpcException e)
            {
                if (!stay.IsCancellationRequested)
                {
                    await State.AddAsync(delivery with { Invoked = Clock.Now, Completed = Clock.Now, Failure = new CallFailure(e).Text });
                    await PauseAsync(200, stop);
                }
            }
            catch (OperationCanceledException)
            {
                // On to the next node, or the end.
            }
        }
    }

    private SubscribeRequest Request()
    {
        var next = (ulong)Next;
        return Stream is null
            ? new SubscribeRequest { All = new Empty(), IncludeSystem = true, From = new ReadBound { Position = next } }
            : new SubscribeRequest { Stream = Stream, From = new ReadBound { Version = next } };
    }

    private async Task TakeAsync(Delivery delivery, ReadResponse message)
    {
        if (message.Events is not { } list || list.Events.Count == 0)
        {
            return;
        }

        var now = Clock.Now;
        var events = list.Events.Select(Seen).ToList();
        await State.AddAsync(delivery with { Invoked = now, Completed = now, Events = events });
        Interlocked.Exchange(ref _next, (Stream is null ? events[^1].Position : events[^1].Version) + 1);
    }
}
