using System.Net;
using System.Text.Json;
using EventVault.Node.Tests.Support;
using EventVault.Protocol;
using EventVault.Rpc;

namespace EventVault.Node.Tests.Security;

public sealed class AccessTests
{
    private const string Password = "a-password";

    [Fact]
    public async Task What_somebody_may_not_see_is_refused_alike_whether_it_is_there_or_not()
    {
        await using var node = await SecureNode.StartAsync(tls: false);
        await node.SetUserAsync("eve", Password, "reader");
        await node.SetRoleAsync("only-b", "read:b");
        await node.SetUserAsync("bob", Password, "only-b");
        await node.CallAsync(Methods.Append, Make.Append(Make.Stream("a-1", Make.Any)));
        var bob = SecureNode.As("bob", Password);
        var there = await DeniedAsync(node, Methods.GetStream, new GetStreamRequest { Stream = "a-1" }, bob);
        Assert.Equal(there, await DeniedAsync(node, Methods.GetStream, new GetStreamRequest { Stream = "a-2" }, bob));

        // The vault's own streams are not among "all", and are read only by who may.
        var eve = SecureNode.As("eve", Password);
        await DeniedAsync(node, Methods.ReadStream, new ReadStreamRequest { Stream = "$access" }, eve);
        await DeniedAsync(node, Methods.ReadAll, new ReadAllRequest { IncludeSystem = true }, eve);
        await DeniedAsync(node, Methods.ListStreams, new ListStreamsRequest { Prefix = "$" }, eve);
        await DeniedAsync(node, Methods.ReadAll, new ReadAllRequest { IncludeSystem = true, Filter = new EventFilter { StreamPrefix = "$access" } }, eve);
    }

    [Fact]
    public async Task An_append_takes_the_right_to_each_stream_and_to_what_it_rests_on()
    {
        await using var node = await SecureNode.StartAsync(tls: false);
        await node.SetRoleAsync("clerk", "append:a");
        await node.SetUserAsync("clerk", Password, "clerk");
        var clerk = SecureNode.As("clerk", Password);
        await node.CallAsync(Methods.Append, Make.Append(Make.Stream("a-1", Make.Any)), clerk);
        await DeniedAsync(node, Methods.Append, Make.Append(Make.Stream("a-1", Make.Any), Make.Stream("b-1", Make.Any)), clerk);
        await DeniedAsync(node, Methods.Append, Make.Append(Make.Stream("ab-1", Make.Any)), clerk);
        var requires = Make.Append(Make.Stream("a-1", Make.Any));
        requires.Requires.Add(Make.Requirement("b-1", Make.NoStream));
        await DeniedAsync(node, Methods.Append, requires, clerk);
        var conditional = Make.Append(Make.Stream("a-1", Make.Any));
        conditional.Conditions.Add(Make.Condition(null, Make.Item("never")));
        await DeniedAsync(node, Methods.Append, conditional, clerk);
        await node.SetRoleAsync("clerk", "append:a", "read:*");
        await node.CallAsync(Methods.Append, requires, clerk);
        await node.CallAsync(Methods.Append, conditional, clerk);
    }

    [Fact]
    public async Task Changes_count_at_once_also_for_calls_that_are_open()
    {
        await using var node = await SecureNode.StartAsync(tls: false);
        await node.SetUserAsync("alice", Password, "writer");
        var options = new RpcCallOptions(Headers: SecureNode.As("alice", Password));
        await using var session = node.Channel.Start(Methods.AppendSession, options);
        await using var subscription = node.Channel.Start(Methods.Subscribe, new SubscribeRequest { All = new Empty() }, options);
        Assert.True(await subscription.MoveNextAsync());
        Assert.Null(await SendAsync(session, "a-1"));

        // Less of it: each append is looked at anew, and the session goes on.
        await node.SetRoleAsync("only-b", "append:b", "read:*");
        await node.SetUserAsync("alice", null, "only-b");
        var denied = await SendAsync(session, "a-1");
        Assert.Equal((int)RpcCode.PermissionDenied, denied?.Code);
        Assert.Null(await SendAsync(session, "b-1"));

        // Another password ends what was opened with the old one.
        await node.SetUserAsync("alice", "another-password", "only-b");
        await EndsAsync(async () => await session.MoveNextAsync());
        await EndsAsync(async () =>
        {
            while (await subscription.MoveNextAsync())
            {
            }
        });
        await Fails.WithAsync(RpcCode.Unauthenticated, Reason.NotAuthenticated, () => node.CallAsync(Methods.GetInfo, new GetInfoRequest(), options.Headers).AsTask());
        await node.CallAsync(Methods.GetInfo, new GetInfoRequest(), SecureNode.As("alice", "another-password"));
        await node.CallAsync(AccessMethods.RemoveUser, new RemoveUserRequest { OperationId = Make.Id(), Name = "alice" });
        await Fails.WithAsync(
            RpcCode.Unauthenticated, Reason.NotAuthenticated, () => node.CallAsync(Methods.GetInfo, new GetInfoRequest(), SecureNode.As("alice", "another-password")).AsTask());
        Assert.Equal(0, node.Node.Guard.OpenCalls);

        static async Task EndsAsync(Func<Task> read) => await Fails.WithAsync(RpcCode.Unauthenticated, Reason.CredentialsEnded, read);
    }

    [Fact]
    public async Task Who_repeats_what_was_written_hears_so_whatever_is_allowed_by_then()
    {
        await using var node = await SecureNode.StartAsync(tls: false);
        await node.SetUserAsync("alice", Password, "writer");
        var alice = SecureNode.As("alice", Password);
        await using var session = node.Channel.Start(Methods.AppendSession, new RpcCallOptions(Headers: alice));
        var (append, another) = (Make.Append(Make.Stream("a-1", Make.Any)), Make.Append(Make.Stream("a-1", Make.Any)));
        var written = await SendAsync(session, append);
        Assert.False(written.Result.Deduplicated);
        await node.SetRoleAsync("only-b", "append:b");
        await node.SetUserAsync("alice", null, "only-b");

        Assert.Equal((int)RpcCode.PermissionDenied, (await SendAsync(session, another)).Error?.Code);
        var again = await SendAsync(session, append);
        Assert.Null(again.Error);
        Assert.Equal((written.Result.FirstPosition, true), (again.Result.FirstPosition, again.Result.Deduplicated));

        // And by the call that appends once.
        await DeniedAsync(node, Methods.Append, another, alice);
        var once = await node.CallAsync(Methods.Append, append, alice);
        Assert.Equal((written.Result.FirstPosition, true), (once.FirstPosition, once.Deduplicated));

        // Whoever knows the operation id alone learns nothing by it: neither that there is one, nor where.
        var guess = Make.Append(Make.Stream("a-1", Make.Any, Make.Event(data: "a guess")));
        guess.OperationId = append.OperationId;
        await DeniedAsync(node, Methods.Append, guess, alice);
        Assert.Equal((int)RpcCode.PermissionDenied, (await SendAsync(session, guess)).Error?.Code);
    }

    [Fact]
    public async Task Whoever_is_not_known_costs_the_same_work_and_the_known_are_hashed_once()
    {
        await using var node = await SecureNode.StartAsync(tls: false);
        await node.SetUserAsync("alice", Password, "reader");
        await node.SetUserAsync("by-certificate", null, "reader");
        var checks = node.Node.Guard.Passwords;
        foreach (var (user, password) in new[] { ("alice", "wrong-password"), ("nobody", Password), ("by-certificate", Password), ("admin", "wrong-password") })
        {
            var before = checks.Done;
            await Fails.WithAsync(RpcCode.Unauthenticated, Reason.NotAuthenticated, () => node.CallAsync(Methods.GetInfo, new GetInfoRequest(), SecureNode.As(user, password)).AsTask());
            Assert.Equal(before + 1, checks.Done);
        }

        var once = checks.Done;
        await Task.WhenAll(Enumerable.Range(0, 50).Select(_ => node.CallAsync(Methods.GetInfo, new GetInfoRequest(), SecureNode.As("alice", Password)).AsTask()));
        await node.CallAsync(Methods.GetInfo, new GetInfoRequest(), SecureNode.As("alice", Password));
        Assert.Equal(once + 1, checks.Done);
    }

    [Fact]
    public async Task Users_change_their_own_password_and_know_the_old_one()
    {
        await using var node = await SecureNode.StartAsync(tls: false);
        await node.SetUserAsync("alice", Password);
        var alice = SecureNode.As("alice", Password);
        Assert.Equal("alice", (await node.CallAsync(AccessMethods.WhoAmI, new WhoAmIRequest(), alice)).Name);
        var change = new ChangePasswordRequest { OperationId = Make.Id(), OldPassword = "not-the-old-one", NewPassword = "the-new-one" };
        await Fails.WithAsync(RpcCode.Unauthenticated, Reason.NotAuthenticated, () => node.CallAsync(AccessMethods.ChangePassword, change, alice).AsTask());
        change.OldPassword = Password;
        var first = await node.CallAsync(AccessMethods.ChangePassword, change, alice);
        Assert.Equal("alice", (await node.CallAsync(AccessMethods.WhoAmI, new WhoAmIRequest(), SecureNode.As("alice", "the-new-one"))).Name);

        // A set is a retry if it comes again under its operation id.
        var set = new SetUserRequest { OperationId = Make.Id(), Name = "carol", Password = Password };
        var written = await node.CallAsync(AccessMethods.SetUser, set);
        var again = await node.CallAsync(AccessMethods.SetUser, set);
        Assert.Equal((written.FirstPosition, true), (again.FirstPosition, again.Deduplicated));
        Assert.True(written.FirstPosition > first.FirstPosition);
    }

    [Fact]
    public async Task Every_act_is_recorded_before_it_is_tried_with_who_and_what_and_no_secret()
    {
        await using var node = await SecureNode.StartAsync(tls: false);
        await node.SetUserAsync("alice", "a-secret-of-alice", "manager");
        var alice = SecureNode.As("alice", "a-secret-of-alice");
        await node.CallAsync(Methods.Append, Make.Append(Make.Stream("a-1", Make.Any)));
        var delete = new DeleteStreamRequest { OperationId = Make.Id(), Stream = "a-1", Expected = Make.Any };
        await node.CallAsync(Methods.DeleteStream, delete, alice);
        delete.OperationId = Make.Id();
        await Fails.WithAsync(RpcCode.NotFound, Reason.StreamNotFound, () => node.CallAsync(Methods.DeleteStream, delete, alice).AsTask());
        var acts = new List<JsonElement>();
        await using var read = node.Channel.Start(
            Methods.ReadStream, new ReadStreamRequest { Stream = "$audit" }, new RpcCallOptions(Headers: SecureNode.Admin));
        while (await read.MoveNextAsync())
        {
            acts.AddRange((read.Current.Events?.Events ?? []).Select(e => JsonDocument.Parse(e.Event.Data.Memory).RootElement));
        }

        Assert.Equal(
            new (string?, string?)[] { ("admin", "Access/SetUser"), ("alice", "Streams/DeleteStream"), ("alice", "Streams/DeleteStream") },
            acts.Select(a => (a.GetProperty("user").GetString(), a.GetProperty("call").GetString())).ToArray());
        Assert.Equal("a-1", acts[1].GetProperty("request").GetProperty("stream").GetString());
        Assert.DoesNotContain(acts, a => a.GetRawText().Contains("a-secret-of-alice", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_certificate_speaks_for_its_user_and_that_of_another_authority_for_nobody()
    {
        await using var node = await SecureNode.StartAsync(tls: true);
        await node.SetUserAsync("carol", null, "reader");
        await using var carol = node.Connect("carol");
        var known = await carol.UnaryAsync(AccessMethods.WhoAmI, new WhoAmIRequest());
        Assert.Equal(("carol", "reader"), (known.Name, Assert.Single(known.Roles)));
        await using var admin = node.Connect("admin");
        Assert.Equal("admin", Assert.Single((await admin.UnaryAsync(AccessMethods.WhoAmI, new WhoAmIRequest())).Grants));
        using var other = new TestAuthority();
        other.Issue("mallory", Path.GetDirectoryName(node.FileIn("x"))!);
        var options = Client.VaultTls.FromFiles(node.FileIn("authority.pem"), node.FileIn("mallory.pem"), node.FileIn("mallory.key"));
        await using var mallory = new RpcChannel(node.Address, new RpcChannelOptions { Tls = options });
        var refused = await Assert.ThrowsAsync<RpcException>(() => mallory.UnaryAsync(AccessMethods.WhoAmI, new WhoAmIRequest()).AsTask());
        Assert.NotEqual(RpcCode.Ok, refused.Code);
    }

    [Theory]
    [InlineData("localhost", "/health/live", null, null, HttpStatusCode.OK)]
    [InlineData("evil.example", "/health/live", null, null, HttpStatusCode.Forbidden)]
    [InlineData("localhost", "/health/live", "https://evil.example", null, HttpStatusCode.Forbidden)]
    [InlineData("localhost", "/health/live", null, "cross-site", HttpStatusCode.Forbidden)]
    public async Task Without_credentials_http_answers_this_machine_alone_and_no_other_origin(string host, string path, string? origin, string? site, HttpStatusCode expected)
    {
        await using var node = await TestNode.StartAsync();
        using var http = new HttpClient();
        using var request = new HttpRequestMessage(HttpMethod.Get, $"http://{node.Node.HttpEndPoint}{path}");
        request.Headers.Host = host;
        if (origin is not null)
        {
            request.Headers.Add("Origin", origin);
        }

        if (site is not null)
        {
            request.Headers.Add("Sec-Fetch-Site", site);
        }

        using var response = await http.SendAsync(request);
        Assert.Equal(expected, response.StatusCode);
    }

    [Fact]
    public async Task With_credentials_http_shows_health_to_everybody_and_nothing_else()
    {
        await using var node = await SecureNode.StartAsync(tls: true);
        using var handler = new SocketsHttpHandler { SslOptions = node.Trust() };
        using var http = new HttpClient(handler) { BaseAddress = new Uri($"https://localhost:{node.Node.HttpEndPoint.Port}") };
        Assert.Equal(HttpStatusCode.OK, (await http.GetAsync(new Uri("/health/live", UriKind.Relative))).StatusCode);
        Assert.Equal(HttpStatusCode.Unauthorized, (await http.GetAsync(new Uri("/metrics", UriKind.Relative))).StatusCode);
        Assert.True(SecureNode.Admin.TryGet("authorization", out var header));
        http.DefaultRequestHeaders.Add("Authorization", header);
        using var metrics = await http.GetAsync(new Uri("/metrics", UriKind.Relative));
        Assert.Equal(HttpStatusCode.OK, metrics.StatusCode);
        Assert.Contains("eventvault_node_ready", await metrics.Content.ReadAsStringAsync(), StringComparison.Ordinal);
    }

    private static async Task<AppendError?> SendAsync(RpcCall<AppendSessionRequest, AppendSessionResponse> session, string stream) =>
        (await SendAsync(session, Make.Append(Make.Stream(stream, Make.Any)))).Error;

    private static async Task<AppendSessionResult> SendAsync(RpcCall<AppendSessionRequest, AppendSessionResponse> session, AppendRequest append)
    {
        session.Write(new AppendSessionRequest { RequestId = 1, Append = append });
        await session.FlushAsync();
        Assert.True(await session.MoveNextAsync());
        return Assert.Single(session.Current.Results);
    }

    private static async Task<string> DeniedAsync<TRequest, TResponse>(SecureNode node, RpcMethod<TRequest, TResponse> method, TRequest request, RpcMetadata caller)
        where TRequest : class, Google.Protobuf.IMessage<TRequest>, new()
        where TResponse : class, Google.Protobuf.IMessage<TResponse>, new()
    {
        var failure = await Fails.WithAsync(RpcCode.PermissionDenied, Reason.NotAllowed, async () =>
        {
            await using var call = node.Channel.Start(method, request, new RpcCallOptions(Headers: caller));
            await call.MoveNextAsync();
        });
        return failure.Message;
    }
}
