using EventVault.Client;
using EventVault.LoadTest.Running;

namespace EventVault.LoadTest.Scenarios;

/// <summary>A day of an order processing application in the time of one run: it opens, is busy, has an uneven afternoon, and closes.</summary>
internal sealed class OrderDay(Target target)
{
    // Orders that payments, shipments and look-ups pick from; older ones are not touched any more, as in life.
    private const int RecentOrders = 10_000;

    private readonly string _category = "order" + Target.NewRun();
    private readonly string?[] _recent = new string?[RecentOrders];
    private readonly Values<string> _customers = Values<string>.AtRandom([.. Enumerable.Range(1, 1_000).Select(n => $"customer:{n}")]);
    private readonly Values<byte[]> _data = EventBytes.Payloads(256);
    private VaultClient? _client;
    private long _placed = -1;

    public static IEnumerable<Scenario> Scenarios(Target target)
    {
        yield return new OrderDay(target).Scenario();
    }

    private Scenario Scenario()
    {
        var rate = target.Options.Rate ?? (target.Options.Smoke ? 100 : 500);
        var (second, length) = (TimeSpan.FromSeconds(1), target.Options.Length);
        return new Scenario
        {
            Name = "order-day",
            Description = "Orders are placed (35 %), paid (20 %), shipped (15 %), read (15 %), looked at as they were (10 %) and listed by customer (5 %).",
            Loads =
            [
                new RampingInject(rate, second, length * 0.2),
                new Inject(rate, second, length * 0.3),
                new InjectRandom((int)(rate / 2), (int)(rate * 1.5), second, length * 0.3),
                new RampingInject(rate, second, length * 0.05),
                new RampingInject(rate / 10, second, length * 0.15),
            ],
            StatusOf = Target.StatusOf,
            Thresholds = [Threshold.SomethingDone, Threshold.FailedShare(0)],
            Init = () => Task.FromResult(_client = target.Connect()),
            Run = RunAsync,
            Clean = () => _client?.DisposeAsync() ?? default,
        };
    }

    private Task RunAsync(Iteration iteration)
    {
        var known = Volatile.Read(ref _placed);
        var order = known < 0 ? null : _recent[Random.Shared.NextInt64(Math.Min(known + 1, RecentOrders))];
        var what = Random.Shared.Next(100);
        return order is null || what < 35 ? PlaceAsync(iteration)
            : what < 55 ? AddAsync(iteration, "pay", order, "OrderPaid")
            : what < 70 ? AddAsync(iteration, "ship", order, "OrderShipped")
            : what < 85 ? iteration.StepAsync("read", () => AppendScenarios.CountAsync(_client!, order))
            : what < 95 ? iteration.StepAsync("as it was", () => _client!.States.GetAsync(order, AsOf.Version(0)), static state => state.Json.Length)
            : iteration.StepAsync("by customer", () => ListAsync(_customers.Next()));
    }

    private async Task PlaceAsync(Iteration iteration)
    {
        var order = $"{_category}-{Guid.NewGuid():N}";
        EventData[] events = [Event("OrderPlaced"), Event("LineAdded"), Event("LineAdded")];
        await iteration.StepAsync("place", () => _client!.AppendAsync(order, ExpectedVersion.NoStream, events));
        iteration.Recording.Count("events", events.Length);

        // Who draws the number before the order stands there places one more.
        Volatile.Write(ref _recent[Interlocked.Increment(ref _placed) % RecentOrders], order);
    }

    private async Task AddAsync(Iteration iteration, string step, string order, string type)
    {
        await iteration.StepAsync(step, () => _client!.AppendAsync(order, ExpectedVersion.Exists, Event(type)));
        iteration.Recording.Count("events");
    }

    private async Task<int> ListAsync(string customer)
    {
        var filter = new EventFilter { Category = _category, Query = EventQuery.Tagged(customer) };
        var events = 0;
        await foreach (var page in _client!.ReadAllAsync(new ReadOptions { Filter = filter, Direction = Direction.Backwards, Limit = 20 }).PagesAsync())
        {
            events += page.Count;
        }

        return events;
    }

    private EventData Event(string type) => new(type, _data.Next()) { Tags = [_customers.Next()] };
}
