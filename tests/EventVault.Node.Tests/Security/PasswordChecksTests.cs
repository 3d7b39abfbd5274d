using System.Net;
using EventVault.Node.Security;
using EventVault.Node.Tests.Support;
using EventVault.Protocol;
using EventVault.Rpc;
using EventVault.Rpc.Server;
using Microsoft.AspNetCore.Http;

namespace EventVault.Node.Tests.Security;

/// <summary>Who floods the queue of passwords keeps nobody else out.</summary>
public sealed class PasswordChecksTests
{
    private const int MostWaiting = 64;

    [Fact]
    public async Task A_full_queue_is_shared_by_addresses_and_at_one_address_by_connections()
    {
        using var busy = new Busy();
        await busy.BeginAsync();
        var (flood, other, elsewhere) = (Origin("10.0.0.1"), Origin("10.0.0.1"), Origin("10.0.0.2"));
        await busy.FillAsync(flood, "flood");
        await busy.UntilWaitAsync(("flood", MostWaiting));
        await busy.FillAsync(other, "other");
        await busy.UntilWaitAsync(("flood", MostWaiting / 2), ("other", MostWaiting / 2));
        await busy.FillAsync(elsewhere, "elsewhere");
        await busy.UntilWaitAsync(("flood", MostWaiting / 4), ("other", MostWaiting / 4), ("elsewhere", MostWaiting / 2));

        // Whoever has a network of his own has all of its addresses.
        for (var i = 1; i < 20; i++)
        {
            await busy.FillAsync(Origin($"2001:db8:1:2::{i}"), "network");
        }

        await Wait.UntilAsync(() => new[] { "flood", "other", "elsewhere", "network" }.Sum(busy.WaitsOf) == MostWaiting, "those who were pushed out to hear of it");
        Assert.InRange(busy.WaitsOf("network"), (MostWaiting / 3) - 1, (MostWaiting / 3) + 1);
        Assert.InRange(busy.WaitsOf("elsewhere"), (MostWaiting / 3) - 1, (MostWaiting / 3) + 1);
        Assert.Equal(MostWaiting, busy.Checks.WaitingNow);
        await busy.EndAsync();
    }

    [Fact]
    public async Task Of_many_connections_of_one_address_the_one_that_came_last_makes_room()
    {
        using var busy = new Busy();
        await busy.BeginAsync();
        var theirs = Enumerable.Range(0, MostWaiting).Select(_ => busy.Enqueue(Origin("10.0.0.1"), "theirs")).ToList();
        var elsewhere = busy.Enqueue(Origin("10.0.0.2"), "elsewhere");
        Assert.Equal(RpcCode.ResourceExhausted, (await Assert.ThrowsAsync<RpcException>(() => theirs[^1])).Code);
        await busy.EndAsync();
        Assert.True(await elsewhere);
        Assert.All(await Task.WhenAll(theirs[..^1]), Assert.True);
    }

    [Fact]
    public async Task Fewer_addresses_than_there_are_places_keep_nobody_out_and_push_nobody_out_who_waits_for_one()
    {
        using var busy = new Busy();
        await busy.BeginAsync();
        var before = busy.Enqueue(Origin("192.0.2.2"), "before");
        for (var i = 1; i < MostWaiting - 1; i++)
        {
            await busy.FillAsync(Origin($"10.0.0.{i}"), "flood");
        }

        var behind = busy.Enqueue(Origin("192.0.2.3"), "behind");
        Assert.Equal(MostWaiting, busy.Checks.WaitingNow);

        // As many as there are places do: nobody has more than the one who comes.
        var refused = await Assert.ThrowsAsync<RpcException>(() => busy.Enqueue(Origin("192.0.2.4"), "refused"));
        Assert.Equal(RpcCode.ResourceExhausted, refused.Code);
        await busy.EndAsync();
        Assert.True(await before);
        Assert.True(await behind);
    }

    [Fact]
    public async Task Those_who_wait_are_taken_in_turns_by_address_and_then_by_connection()
    {
        using var busy = new Busy();
        await busy.BeginAsync();
        var (flood, late, elsewhere) = (Origin("10.0.0.1"), Origin("10.0.0.1"), Origin("10.0.0.2"));
        for (var i = 0; i < 10; i++)
        {
            _ = busy.Enqueue(flood, "flood");
        }

        _ = busy.Enqueue(late, "late");
        _ = busy.Enqueue(elsewhere, "elsewhere");
        _ = busy.Enqueue(elsewhere, "elsewhere");
        await busy.EndAsync();
        Assert.Equal(13, busy.Order.Count);

        // By the second turn of the one who floods all others had theirs, and the one at his address had it before his third.
        Assert.InRange(busy.Order.IndexOf("elsewhere"), 0, 1);
        Assert.InRange(busy.Order.IndexOf("late"), 0, 3);
        Assert.InRange(busy.Order.LastIndexOf("elsewhere"), 0, 4);
    }

    [Fact]
    public async Task What_waits_for_nobody_is_given_up_and_its_place_is_free()
    {
        using var busy = new Busy();
        await busy.BeginAsync();
        using var gone = new CancellationTokenSource();
        var origin = Origin("10.0.0.1");
        var filled = await busy.FillAsync(origin, "given up", gone.Token);
        Assert.Equal(filled, busy.Checks.WaitingNow);
        await gone.CancelAsync();
        Assert.Equal(0, busy.Checks.WaitingNow);
        Assert.Equal(filled, await busy.FillAsync(origin, "filled"));
        await busy.EndAsync();
        Assert.Equal(filled, busy.Order.Count); // Not those that were given up.
    }

    [Fact]
    public async Task A_call_that_is_gone_gives_up_its_check_unless_others_wait_for_it()
    {
        await using var node = await SecureNode.StartAsync(tls: false);
        await node.SetUserAsync("alice", "a-password", "reader");
        var checks = node.Node.Guard.Passwords;
        using var release = new ManualResetEventSlim();
        var busy = Enumerable.Range(0, Math.Max(1, Environment.ProcessorCount / 2)).Select(i => checks.RunAsync(() => release.Wait(Wait.Limit), Origin($"10.0.0.{i + 1}"), default)).ToList();
        using var gone = new CancellationTokenSource();
        var wrong = CallAsync("nobody", gone.Token);
        await Wait.UntilAsync(() => checks.WaitingNow == 1, "the wrong one waits");
        var first = CallAsync("alice", gone.Token);
        await Wait.UntilAsync(() => checks.WaitingNow == 2, "the right one waits");
        var second = CallAsync("alice", default);
        await Wait.UntilAsync(() => node.Node.Guard.CallsAtTheDoor == 3, "the second call has the same credentials");
        await gone.CancelAsync();
        await Assert.ThrowsAnyAsync<Exception>(() => wrong);
        await Assert.ThrowsAnyAsync<Exception>(() => first);
        await Wait.UntilAsync(() => checks.WaitingNow == 1, "one is given up, and the one for which another call waits is not");
        Assert.False(second.IsCompleted);
        release.Set();
        await second;
        await Task.WhenAll(busy);

        Task CallAsync(string user, CancellationToken cancellation) => node.Channel.UnaryAsync(
            Methods.GetInfo, new GetInfoRequest(), new RpcCallOptions(Headers: SecureNode.As(user, "a-password")), cancellation).AsTask();
    }

    private static CallOrigin Origin(string address)
    {
        var http = new DefaultHttpContext();
        http.Features.Set(new RpcConnection());
        http.Connection.RemoteIpAddress = IPAddress.Parse(address);
        return new CallOrigin(http);
    }

    /// <summary>Checks with one place, which is taken.</summary>
    private sealed class Busy : IDisposable
    {
        private readonly TaskCompletionSource _begun = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private readonly ManualResetEventSlim _release = new();
        private readonly List<(string Name, Task Check)> _added = [];

        public PasswordChecks Checks { get; } = new(places: 1);

        /// <summary>Names of those that were checked, as they were.</summary>
        public List<string> Order { get; } = [];

        public void Dispose() => _release.Dispose();

        public Task BeginAsync()
        {
            var first = Checks.RunAsync(
                () =>
                {
                    _begun.SetResult();
                    return _release.Wait(Wait.Limit);
                },
                Origin("192.0.2.1"),
                default);
            _added.Add(("first", first));
            return _begun.Task;
        }

        public Task<bool> Enqueue(CallOrigin origin, string name, CancellationToken gone = default)
        {
            var task = Checks.RunAsync(
                () =>
                {
                    Order.Add(name); // One at a time.
                    return true;
                },
                origin,
                gone);
            _added.Add((name, task));
            return task;
        }

        /// <summary>Adds until it is refused; says how many there were.</summary>
        public async Task<int> FillAsync(CallOrigin origin, string name, CancellationToken gone = default)
        {
            for (var count = 0; ; count++)
            {
                var added = Enqueue(origin, name, gone);
                if (added.IsCompleted)
                {
                    Assert.Equal(RpcCode.ResourceExhausted, (await Assert.ThrowsAsync<RpcException>(() => added)).Code);
                    return count;
                }
            }
        }

        /// <summary>How many of a name wait.</summary>
        public int WaitsOf(string name) => _added.Count(a => a.Name == name && !a.Check.IsCompleted);

        /// <summary>Those who are pushed out hear of it on another thread.</summary>
        public async Task UntilWaitAsync(params (string Name, int Count)[] expected)
        {
            foreach (var (name, count) in expected)
            {
                await Wait.UntilAsync(() => WaitsOf(name) == count, $"{count} of {name}; there are {WaitsOf(name)}");
            }
        }

        public async Task EndAsync()
        {
            _release.Set();
            foreach (var (_, added) in _added)
            {
                await added.WaitAsync(Wait.Limit).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                Assert.True(added.IsCompletedSuccessfully || added.IsCanceled || added.Exception?.InnerException is RpcException { Code: RpcCode.ResourceExhausted });
            }
        }
    }
}
