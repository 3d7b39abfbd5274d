using EventVault.Rpc.Server;
using EventVault.Rpc.Tests.Support;
using EventVault.Rpc.Tests.Wire;

namespace EventVault.Rpc.Tests;

/// <summary>What is wrong with a set of methods is found at start-up.</summary>
public class RegistrationTests
{
    [Fact]
    public void A_method_checks_its_message_types_and_its_name()
    {
        var types = Assert.Throws<ArgumentException>(() => RpcMethod<EchoResponse, EchoResponse>.Of(EchoService.Descriptor, "Unary"));
        Assert.Contains("takes EchoRequest and returns EchoResponse", types.Message, StringComparison.Ordinal);
        var name = Assert.Throws<ArgumentException>(() => RpcMethod<EchoRequest, EchoResponse>.Of(EchoService.Descriptor, "unary"));
        Assert.Contains("Unary, ServerStream", name.Message, StringComparison.Ordinal);
        Assert.Equal("/eventvault.test.v1.Echo/Unary", EchoService.Unary.Path);
    }

    [Fact]
    public void A_handler_of_another_kind_or_a_second_one_is_refused()
    {
        var server = new RpcServer();
        Assert.Throws<ArgumentException>(() => server.Unary(EchoService.ServerStream, (_, _) => ValueTask.FromResult(new EchoResponse())));
        server.Unary(EchoService.Unary, (_, _) => ValueTask.FromResult(new EchoResponse()));
        Assert.Throws<ArgumentException>(() => server.Unary(EchoService.Unary, (_, _) => ValueTask.FromResult(new EchoResponse())));
    }

    [Fact]
    public void What_is_wrong_with_a_method_that_is_described_later_is_found_by_the_check()
    {
        static RpcServer Serving(string name, string service = "eventvault.test.v1.Echo") => new RpcServer().Unary(
            RpcMethod<EchoRequest, EchoResponse>.Of(new RpcService(service, () => EchoService.Descriptor), name), (_, _) => ValueTask.FromResult(new EchoResponse()));
        Assert.Contains("of another kind", Assert.Throws<ArgumentException>(() => Serving("ServerStream").RequireComplete()).Message, StringComparison.Ordinal);
        Assert.Contains("has no method unary", Assert.Throws<ArgumentException>(() => Serving("unary").RequireComplete()).Message, StringComparison.Ordinal);
        Assert.Contains("is the one of", Assert.Throws<InvalidOperationException>(() => Serving("Unary", "other.Echo").RequireComplete()).Message, StringComparison.Ordinal);
        Assert.Contains("Echo.Missing", Assert.Throws<InvalidOperationException>(() => Serving("Unary").RequireComplete()).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Missing_handlers_are_named_unless_declared_absent()
    {
        var server = new EchoService().AddTo(new RpcServer());
        var error = Assert.Throws<InvalidOperationException>(() => server.RequireComplete());
        Assert.Contains("eventvault.test.v1.Echo.Missing", error.Message, StringComparison.Ordinal);
        server.RequireComplete(EchoService.Missing.Descriptor, EchoService.ServerStreamRaw.Descriptor);
    }

    [Fact]
    public async Task Nothing_can_be_added_after_the_first_call()
    {
        await using var host = await TestHost.StartAsync();
        await using var channel = host.Connect();
        await channel.UnaryAsync(EchoService.Unary, new EchoRequest());
        Assert.Throws<InvalidOperationException>(() => host.Server.Use((context, next) => next(context)));
    }

    [Fact]
    public async Task Filters_stand_around_calls_in_order_and_may_refuse()
    {
        var seen = new List<string>();
        await using var host = await TestHost.StartAsync(configure: server => server
            .Use(async (context, next) =>
            {
                seen.Add("outer in");
                await next(context);
                seen.Add("outer out");
            })
            .Use((context, next) =>
            {
                seen.Add("inner");
                return context.RequestMetadata.TryGet("authorization", out _) ? next(context) : throw new RpcException(RpcCode.Unauthenticated, "who are you?");
            }));
        await using var channel = host.Connect();
        var error = await Assert.ThrowsAsync<RpcException>(async () => await channel.UnaryAsync(EchoService.Unary, new EchoRequest()));
        Assert.Equal((RpcCode.Unauthenticated, "who are you?"), (error.Code, error.Message));
        await channel.UnaryAsync(EchoService.Unary, new EchoRequest(), new RpcCallOptions(Headers: new RpcMetadata().Add("authorization", "me")));
        Assert.Equal(["outer in", "inner", "outer in", "inner", "outer out"], seen);
    }

    [Fact]
    public async Task Credentials_are_asked_for_every_call()
    {
        await using var host = await TestHost.StartAsync(configure: server => server.Use((context, next) =>
            context.RequestMetadata.TryGet("authorization", out var value) && value == context.Method ? next(context) : throw new RpcException(RpcCode.PermissionDenied, "no")));
        await using var channel = host.Connect(new RpcChannelOptions
        {
            Credentials = async (info, headers, _) =>
            {
                await Task.Yield();
                headers.Add("authorization", info.Method);
            },
        });
        await channel.UnaryAsync(EchoService.Unary, new EchoRequest());
        await channel.UnaryAsync(EchoService.Unary, new EchoRequest());
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Credentials_that_never_come_hold_up_neither_time_out_nor_cancellation_nor_disposal(bool heedsToken)
    {
        await using var host = await TestHost.StartAsync();
        var never = new TaskCompletionSource();
        await using var channel = host.Connect(new RpcChannelOptions
        {
            Credentials = (_, _, cancellation) => new ValueTask(heedsToken ? Task.Delay(Timeout.InfiniteTimeSpan, cancellation) : never.Task),
        });
        var late = channel.UnaryAsync(EchoService.Unary, new EchoRequest(), new RpcCallOptions(Timeout: TimeSpan.FromMilliseconds(50))).AsTask();
        var error = await Assert.ThrowsAsync<RpcException>(() => late.WaitAsync(Wait.Limit));
        Assert.Equal((RpcCode.DeadlineExceeded, true), (error.Code, error.NotProcessed));
        Assert.Contains("credentials", error.Message, StringComparison.Ordinal);

        using var source = new CancellationTokenSource();
        var cancelled = channel.UnaryAsync(EchoService.Unary, new EchoRequest(), default, source.Token).AsTask();
        await source.CancelAsync();
        Assert.Equal(source.Token, (await Assert.ThrowsAnyAsync<OperationCanceledException>(() => cancelled.WaitAsync(Wait.Limit))).CancellationToken);

        var duplex = channel.Start(EchoService.Duplex);
        var read = duplex.MoveNextAsync().AsTask();
        await duplex.DisposeAsync().AsTask().WaitAsync(Wait.Limit);
        Assert.Equal(RpcCode.Cancelled, (await Assert.ThrowsAsync<RpcException>(() => read.WaitAsync(Wait.Limit))).Code);
        Assert.Empty(host.Echo.Starts);
        Assert.Equal(0, channel.Buffers.Rented);
    }
}
