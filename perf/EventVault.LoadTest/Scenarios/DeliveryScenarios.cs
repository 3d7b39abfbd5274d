using EventVault.Client;
using EventVault.LoadTest.Running;

namespace EventVault.LoadTest.Scenarios;

/// <summary>Subscriptions: how fast events reach them, and whether all do, over a long time.</summary>
internal static class DeliveryScenarios
{
    // Subscribers that share a connection when there are many: a thousand connections would measure the kernel.
    private const int ClientsAtMost = 100;

    // How long the last events may take to arrive before they count as missing.
    private static readonly TimeSpan ArrivalPatience = TimeSpan.FromMinutes(1);

    /// <summary>One writer's events to many subscribers of the whole vault.</summary>
    public static IEnumerable<Scenario> FanOut(Target target)
    {
        foreach (var subscribers in target.Options.Numbers("subscribers", target.Options.Smoke ? [1, 10] : [1, 10, 100, 1_000]))
        {
            // 20,000 are about as many deliveries a second as two cores can carry beside the clients.
            var rate = target.Options.Rate ?? (subscribers >= 1_000 ? 20 : 200);
            var run = Target.NewRun();
            var data = EventBytes.Payloads(256);
            var audience = new Audience(target, subscribers, $"live-{run}-");
            VaultClient? client = null;
            var appended = 0L;
            yield return new Scenario
            {
                Name = $"fan-out-{subscribers}",
                Description = $"Single events of 256 B to {subscribers:#,0} live subscriber{(subscribers == 1 ? "" : "s")} of all streams. Delivery: from the intended start of the append to the event in a subscriber's hands.",
                Loads = [new Inject(rate, TimeSpan.FromSeconds(1), target.Options.Length)],
                WarmUp = target.Options.WarmUp,
                StatusOf = Target.StatusOf,
                Thresholds = [Threshold.SomethingDone, Threshold.FailedShare(0), Threshold.None("missing deliveries")],
                Init = async () =>
                {
                    client = target.Connect();
                    await audience.OpenAsync();
                },
                Beside = (recording, _) =>
                {
                    audience.Record(recording);
                    return Task.CompletedTask;
                },
                Run = async iteration =>
                {
                    var stamped = EventBytes.Stamped(data.Next(), iteration.Intended);
                    await client!.AppendAsync($"live-{run}-{iteration.Number % 16}", ExpectedVersion.Any, new EventData(EventBytes.Type, stamped));
                    Interlocked.Increment(ref appended);
                },
                Check = async recording => recording.Found("missing deliveries", await audience.MissingAsync(appended * subscribers, ArrivalPatience)),
                Clean = async () =>
                {
                    await audience.DisposeAsync();
                    await (client?.DisposeAsync() ?? default);
                },
            };
        }
    }

    /// <summary>The same for as long as it takes, with a subscriber that checks every position.</summary>
    public static IEnumerable<Scenario> Soak(Target target)
    {
        var rate = target.Options.Rate ?? (target.Options.Smoke ? 200 : 1_000);
        var run = Target.NewRun();
        var data = EventBytes.Payloads(256);
        var check = new PositionCheck($"soak-{run}-");
        var appended = 0L;
        VaultClient? client = null;
        Subscription? subscription = null;
        yield return new Scenario
        {
            Name = "soak",
            Description = "Single events of 256 B to 1,000 streams at an even rate, and a subscriber that checks that every position comes once and in order.",
            Loads = [new Inject(rate, TimeSpan.FromSeconds(1), target.Options.Length)],
            StatusOf = Target.StatusOf,
            Thresholds = [Threshold.SomethingDone, Threshold.FailedShare(0), Threshold.None("missing"), Threshold.None("out of order")],
            Init = async () =>
            {
                client = target.Connect();
                subscription = client.SubscribeToAllAsync(new SubscribeOptions { FromEnd = true });
                await check.BeginAsync(subscription);
            },
            Beside = (_, end) => check.FollowAsync(subscription!, end),
            Run = async iteration =>
            {
                await client!.AppendAsync($"soak-{run}-{iteration.Number % 1_000}", ExpectedVersion.Any, new EventData(EventBytes.Type, data.Next()));
                Interlocked.Increment(ref appended);
            },
            Check = async recording =>
            {
                await ReachesAsync(() => check.Seen >= appended, ArrivalPatience);
                recording.Found("missing", appended - check.Seen);
                recording.Found("out of order", check.OutOfOrder);
            },
            Clean = async () =>
            {
                await (subscription?.DisposeAsync() ?? default);
                await (client?.DisposeAsync() ?? default);
            },
        };
    }

    internal static async Task ReachesAsync(Func<bool> reached, TimeSpan patience)
    {
        using var limit = new CancellationTokenSource(patience);
        while (!reached() && !limit.IsCancellationRequested)
        {
            await Task.Delay(10);
        }
    }

    /// <summary>Follows the whole vault and holds every position against the one before.</summary>
    /// <param name="streams">Beginning of the names of the streams whose events are counted.</param>
    private sealed class PositionCheck(string streams)
    {
        private readonly byte[] _prefix = System.Text.Encoding.UTF8.GetBytes(streams);
        private long _last = -1;
        private long _seen;
        private long _outOfOrder;

        public long Seen => Interlocked.Read(ref _seen);

        public long OutOfOrder => Interlocked.Read(ref _outOfOrder);

        public async Task BeginAsync(Subscription subscription) => _last = (long?)(await subscription.GetHeadAsync()).LastPosition ?? -1;

        public async Task FollowAsync(Subscription subscription, CancellationToken end)
        {
            await foreach (var page in subscription.PagesAsync(end))
            {
                foreach (var e in page)
                {
                    Interlocked.Add(ref _outOfOrder, (long)e.Position <= _last ? 1 : 0);
                    _last = (long)e.Position;
                    Interlocked.Add(ref _seen, e.StreamUtf8.Span.StartsWith(_prefix) ? 1 : 0);
                }
            }
        }
    }

    /// <summary>Subscribers, all of which read from the end on before it is said to be open.</summary>
    private sealed class Audience(Target target, int size, string streams) : IAsyncDisposable
    {
        private readonly List<VaultClient> _clients = [];
        private readonly List<Task> _listening = [];
        private readonly CancellationTokenSource _end = new();
        private readonly byte[] _prefix = System.Text.Encoding.UTF8.GetBytes(streams);
        private Recording? _recording;
        private long _delivered;

        public async Task OpenAsync()
        {
            for (var n = 0; n < size; n++)
            {
                if (n < ClientsAtMost)
                {
                    _clients.Add(target.Connect(new VaultClientOptions { ReadConnections = size > ClientsAtMost ? 1 + (size / ClientsAtMost / 100) : 1 }));
                }

                var subscription = _clients[n % ClientsAtMost].SubscribeToAllAsync(new SubscribeOptions { FromEnd = true });
                await subscription.GetHeadAsync();
                _listening.Add(Task.Run(() => ListenAsync(subscription)));
            }
        }

        /// <summary>Has deliveries recorded from now on.</summary>
        public void Record(Recording recording) => Volatile.Write(ref _recording, recording);

        /// <summary>How many deliveries lack after the patience.</summary>
        public async Task<long> MissingAsync(long wanted, TimeSpan patience)
        {
            await ReachesAsync(() => Interlocked.Read(ref _delivered) >= wanted, patience);
            return wanted - Interlocked.Read(ref _delivered);
        }

        public async ValueTask DisposeAsync()
        {
            await _end.CancelAsync();
            await Task.WhenAll(_listening);
            foreach (var client in _clients)
            {
                await client.DisposeAsync();
            }

            _end.Dispose();
        }

        private async Task ListenAsync(Subscription subscription)
        {
            try
            {
                await foreach (var page in subscription.PagesAsync(_end.Token))
                {
                    foreach (var e in page)
                    {
                        if (e.StreamUtf8.Span.StartsWith(_prefix))
                        {
                            Deliver(EventBytes.Stamp(EventBytes.Data(e)));
                        }
                    }
                }
            }
            catch (OperationCanceledException)
            {
            }
        }

        private void Deliver(TimeSpan intended)
        {
            Interlocked.Increment(ref _delivered);
            if (Volatile.Read(ref _recording) is { } recording && intended >= recording.Begin)
            {
                recording.Record("delivery", target.Clock.Now - intended);
            }
        }
    }
}
