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
    public async Task One_connection_and_one_address_get_a_part_of_the_queue()
    {
        using var busy = new Busy();
        await busy.BeginAsync();
        var (flood, other) = (Origin("10.0.0.1"), Origin("10.0.0.1"));
        var first = await busy.FillAsync(flood);
        var second = await busy.FillAsync(other);
        Assert.InRange(first, MostWaiting / 4, MostWaiting / 2 - 1);
        Assert.True(second > 0);
        Assert.Equal(MostWaiting / 2, first + second);
        Assert.Equal(0, await busy.FillAsync(Origin("10.0.0.1")));

        // Whoever has a network of his own has all of its addresses.
        var network = await busy.FillAsync(Origin("2001:db8:1:2::1"));
        Assert.True(network > 0);
        Assert.Equal(network + first + second, busy.Checks.WaitingNow);
        for (var more = 2; more < 20; more++)
        {
            await busy.FillAsync(Origin($"2001:db8:1:2::{more}"));
        }

        Assert.InRange(await busy.FillAsync(Origin("10.0.0.2")), 1, MostWaiting);
        await busy.EndAsync();
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
        var filled = await busy.FillAsync(origin, gone.Token);
        Assert.Equal(filled, busy.Checks.WaitingNow);
        await gone.CancelAsync();
        Assert.Equal(0, busy.Checks.WaitingNow);
        Assert.Equal(filled, await busy.FillAsync(origin));
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
        private readonly List<Task> _added = [];

        public PasswordChecks Checks { get; } = new(places: 1);

        /// <summary>Names of those that were checked, as they were.</summary>
        public List<string> Order { get; } = [];

        public void Dispose() => _release.Dispose();

        public Task BeginAsync()
        {
            _added.Add(Checks.RunAsync(
                () =>
                {
                    _begun.SetResult();
                    return _release.Wait(Wait.Limit);
                },
                Origin("192.0.2.1"),
                default));
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
            _added.Add(task);
            return task;
        }

        /// <summary>Adds until it is refused; says how many there were.</summary>
        public async Task<int> FillAsync(CallOrigin origin, CancellationToken gone = default)
        {
            for (var count = 0; ; count++)
            {
                var added = Enqueue(origin, "filled", gone);
                if (added.IsCompleted)
                {
                    _added.Remove(added);
                    Assert.Equal(RpcCode.ResourceExhausted, (await Assert.ThrowsAsync<RpcException>(() => added)).Code);
                    return count;
                }
            }
        }

        public async Task EndAsync()
        {
            _release.Set();
            foreach (var added in _added)
            {
                await ((Task)added.WaitAsync(Wait.Limit)).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                Assert.True(added.IsCompletedSuccessfully || added.IsCanceled);
            }
        }
    }
}
