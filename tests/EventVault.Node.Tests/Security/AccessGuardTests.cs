// What a user, a stranger and an administrator may not do by the calls that they are let into.
using System.Net;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using EventVault.Node.Security;
using EventVault.Node.Tests.Support;
using EventVault.Protocol;
using EventVault.Rpc;
using EventVault.Rpc.Server;
using EventVault.Storage;
using EventVault.Storage.Log;
using EventVault.Storage.Tests.Simulated;
using Google.Protobuf;
using Microsoft.AspNetCore.Http;

namespace EventVault.Node.Tests.Security;

public sealed class AccessGuardTests
{
    private const string Password = "a-password";

    private static readonly RpcMethod<ListBackupRequest, ListBackupResponse> ListBackup =
        RpcMethod<ListBackupRequest, ListBackupResponse>.Of(AdminReflection.Descriptor.Services[0], "ListBackup");

    private static readonly RpcMethod<ListUsersRequest, ListUsersResponse> ListUsers =
        RpcMethod<ListUsersRequest, ListUsersResponse>.Of(AccessReflection.Descriptor.Services[0], "ListUsers");

    [Fact]
    public async Task A_user_gives_itself_one_password_a_minute()
    {
        var clock = new HandClock();
        await using var node = await SecureNode.StartAsync(tls: false, more: o => o with { Clock = clock });
        await node.SetUserAsync("alice", "password-1");
        await ChangeAsync(1);
        var refused = await Fails.WithAsync(RpcCode.ResourceExhausted, Reason.Overloaded, () => ChangeAsync(2));
        Assert.InRange(refused.RetryAfterMs, 59_000u, 60_001u);

        // A minute later again, and at once behind an administrator.
        clock.Pass(TimeSpan.FromSeconds(61));
        await ChangeAsync(2);
        await node.SetUserAsync("alice", "password-3");
        await ChangeAsync(3);

        Task ChangeAsync(int from) => node.CallAsync(
            AccessMethods.ChangePassword,
            new ChangePasswordRequest { OperationId = Make.Id(), OldPassword = $"password-{from}", NewPassword = $"password-{from + 1}" },
            SecureNode.As("alice", $"password-{from}")).AsTask();
    }

    [Fact]
    public async Task A_password_that_comes_behind_the_users_removal_makes_no_user()
    {
        await using var node = await SecureNode.StartAsync(tls: false);
        await node.SetUserAsync("alice", Password, "reader");
        await node.CallAsync(Methods.GetInfo, new GetInfoRequest(), SecureNode.As("alice", Password));

        // It waits for its hash while the user goes.
        var checks = node.Node.Guard.Passwords;
        using var release = new ManualResetEventSlim();
        var busy = Enumerable.Range(0, Math.Max(1, Environment.ProcessorCount / 2)).Select(_ => checks.RunAsync(() => release.Wait(Wait.Limit), Origin(), default)).ToList();
        var change = node.CallAsync(
            AccessMethods.ChangePassword, new ChangePasswordRequest { OperationId = Make.Id(), OldPassword = Password, NewPassword = "the-new-one" }, SecureNode.As("alice", Password)).AsTask();
        await Wait.UntilAsync(() => checks.WaitingNow == 1, "the change waits");
        await node.CallAsync(AccessMethods.RemoveUser, new RemoveUserRequest { OperationId = Make.Id(), Name = "alice" });
        release.Set();
        Assert.Equal(RpcCode.Unauthenticated, (await Assert.ThrowsAsync<RpcException>(() => change)).Code);
        await Task.WhenAll(busy);

        // Also if the two are queued in the other order than they were asked for.
        var append = new SingleAppend(node.Node.Storage);
        append.Content.Reset([]);
        append.Content.OperationId = 1;
        append.Content.SetVaultEvent(
            AccessEvent.Stream, Encoding.UTF8.GetBytes(AccessEvent.UserSet), AccessEvent.Schema, AccessEvent.OwnPassword("alice", PasswordHash.Of("the-new-one")));
        Assert.Equal(EventProblemKind.None, append.Content.Check(out _, out _).Kind);
        Assert.Equal(AppendOutcome.Appended, await node.Node.AppendAsync(append));
        Assert.Empty((await node.CallAsync(ListUsers, new ListUsersRequest())).Users);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)] // Something else: of no concern.
    public async Task A_password_that_an_administrator_sets_in_the_same_moment_stays(bool isReset)
    {
        await using var node = await SecureNode.StartAsync(tls: false);
        await node.SetUserAsync("alice", Password);
        var alice = SecureNode.As("alice", Password);
        await node.CallAsync(AccessMethods.WhoAmI, new WhoAmIRequest(), alice);

        // The administrator's is on its way to the disk when that of the user is queued, who showed the password that still counts.
        using var gate = new DiskGate(node.Inner.Disk);
        await gate.CloseAsync(node.Node);
        var first = new SingleAppend(node.Node.Storage);
        first.Content.Reset([]);
        first.Content.OperationId = 1;
        var (type, json) = isReset ? (AccessEvent.UserSet, AccessEvent.User("alice", null, PasswordHash.Of("the-reset-one"))) : (AccessEvent.RoleSet, AccessEvent.Role("clerk", []));
        first.Content.SetVaultEvent(AccessEvent.Stream, Encoding.UTF8.GetBytes(type), AccessEvent.Schema, json);
        Assert.Equal(EventProblemKind.None, first.Content.Check(out _, out _).Kind);
        var set = node.Node.AppendAsync(first).AsTask();
        await gate.UntilSomeoneWaitsAsync();
        var waiting = node.Node.Loop.Waiting;
        var change = node.CallAsync(
            AccessMethods.ChangePassword, new ChangePasswordRequest { OperationId = Make.Id(), OldPassword = Password, NewPassword = "the-new-one" }, alice).AsTask();
        await Wait.UntilAsync(() => node.Node.Loop.Waiting > waiting, "the user's change is queued");
        gate.Open();

        Assert.Equal(AppendOutcome.Appended, await set);
        if (isReset)
        {
            await Fails.WithAsync(RpcCode.Unauthenticated, Reason.CredentialsEnded, () => change);
        }
        else
        {
            await change;
        }

        await node.CallAsync(AccessMethods.WhoAmI, new WhoAmIRequest(), SecureNode.As("alice", isReset ? "the-reset-one" : "the-new-one"));
    }

    [Fact]
    public async Task What_goes_wrong_in_a_look_at_open_calls_is_told_and_ends_neither_the_look_nor_the_process()
    {
        await using var node = await SecureNode.StartAsync(tls: false);
        await node.SetUserAsync("alice", Password, "reader");
        var alice = new RpcCallOptions(Headers: SecureNode.As("alice", Password));
        await using var first = node.Channel.Start(Methods.Subscribe, new SubscribeRequest { All = new Empty() }, alice);
        await using var second = node.Channel.Start(Methods.Subscribe, new SubscribeRequest { All = new Empty() }, alice);
        Assert.True(await first.MoveNextAsync());
        Assert.True(await second.MoveNextAsync());
        var (guard, self, looks) = (node.Node.Guard, Environment.CurrentManagedThreadId, 0);
        guard.IsCutOff = () =>
        {
            if (Environment.CurrentManagedThreadId != self)
            {
                return false; // The node's own look.
            }

            looks++;
            throw new NotSupportedException("It goes wrong on cue.");
        };

        guard.Sweep();

        guard.IsCutOff = static () => false;
        Assert.Equal(2, looks);
        Assert.Contains("an open call of alice may go on could not be looked at", node.Log.All, StringComparison.Ordinal);
        Assert.Contains("It goes wrong on cue.", node.Log.All, StringComparison.Ordinal);
        Assert.Equal(2, guard.OpenCalls);
    }

    [Fact]
    public async Task Pages_of_a_node_that_is_cut_off_are_for_the_built_in_administrator_alone()
    {
        await using var node = await SecureNode.StartAsync(tls: false);
        await node.SetUserAsync("alice", Password, "reader");
        using var http = new HttpClient();
        Assert.Equal(HttpStatusCode.OK, await AskAsync(SecureNode.As("alice", Password)));
        node.Node.Guard.IsCutOff = static () => true;
        Assert.Equal(HttpStatusCode.ServiceUnavailable, await AskAsync(SecureNode.As("alice", Password)));
        Assert.Equal(HttpStatusCode.OK, await AskAsync(SecureNode.Admin));

        async Task<HttpStatusCode> AskAsync(RpcMetadata caller)
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, $"http://{node.Node.HttpEndPoint}/metrics");
            Assert.True(caller.TryGet("authorization", out var header));
            request.Headers.Add("Authorization", header);
            using var response = await http.SendAsync(request);
            return response.StatusCode;
        }
    }

    [Fact]
    public async Task A_backup_is_made_also_when_recording_it_goes_wrong_and_any_other_act_is_not_done()
    {
        await using var node = await SecureNode.StartAsync(tls: false);
        await node.CallAsync(Methods.Append, Make.Append(Make.Stream("s", Make.Any)));
        node.Node.Guard.Audit = new AuditTrail(null!, null!, null!); // It throws what nobody expects.

        Assert.NotEmpty((await node.CallAsync(ListBackup, new ListBackupRequest())).Segments);
        Assert.Contains("/eventvault.v1.Admin/ListBackup is in no event of $audit, only here: to record it has failed. System.NullReferenceException", node.Log.All, StringComparison.Ordinal);
        await Assert.ThrowsAsync<RpcException>(() => node.SetUserAsync("alice", Password));
        Assert.Empty((await node.CallAsync(ListUsers, new ListUsersRequest())).Users);
    }

    [Fact]
    public async Task What_is_malformed_is_no_act()
    {
        await using var node = await SecureNode.StartAsync(tls: false);
        await node.SetUserAsync("alice", Password, "manager");
        var before = (await AuditAsync(node)).Count;
        var alice = SecureNode.As("alice", Password);
        await Fails.WithAsync(RpcCode.InvalidArgument, Reason.InvalidRequest, () => DeleteAsync(new DeleteStreamRequest { OperationId = ByteString.CopyFrom(1, 2, 3), Stream = "a-1", Expected = Make.Any }));
        await Fails.WithAsync(RpcCode.InvalidArgument, Reason.InvalidName, () => DeleteAsync(new DeleteStreamRequest { OperationId = Make.Id(), Stream = "", Expected = Make.Any }));
        Assert.Equal(before, (await AuditAsync(node)).Count);
        await Fails.WithAsync(RpcCode.NotFound, Reason.StreamNotFound, () => DeleteAsync(new DeleteStreamRequest { OperationId = Make.Id(), Stream = "a-1", Expected = Make.Any }));
        Assert.Equal(before + 1, (await AuditAsync(node)).Count);

        Task DeleteAsync(DeleteStreamRequest request) => node.CallAsync(Methods.DeleteStream, request, alice).AsTask();
    }

    [Fact]
    public async Task Backups_are_recorded_and_made_also_where_that_can_not_be()
    {
        await using var node = await SecureNode.StartAsync(tls: false, more: o => o with
        {
            Files = new SimulatedFileSystem(tracksLosses: false) { CapacityBytes = (2 * TestNode.SegmentSizeBytes) + 500_000 },
        });
        await node.SetUserAsync("alice", Password, "reader");
        await node.CallAsync(ListBackup, new ListBackupRequest());
        var act = (await AuditAsync(node))[^1];
        Assert.Equal(("admin", "Admin/ListBackup"), (act.GetProperty("user").GetString(), act.GetProperty("call").GetString()));
        Assert.Contains("called /eventvault.v1.Admin/ListBackup", node.Log.All, StringComparison.Ordinal);

        // A full disk takes no event, and is a reason to want a backup.
        foreach (var payload in new[] { new string('x', 50_000), new string('x', 1_000), "x" })
        {
            var full = await Assert.ThrowsAsync<RpcException>(async () =>
            {
                for (var i = 0; i < 1000; i++)
                {
                    await node.CallAsync(Methods.Append, Make.Append(Make.Stream("s", Make.Any, Make.Event(data: payload))));
                }
            });
            Assert.Equal(RpcCode.ResourceExhausted, full.Code);
        }

        Assert.NotEmpty((await node.CallAsync(ListBackup, new ListBackupRequest())).Segments);
        Assert.Contains("is in no event of $audit", node.Log.All, StringComparison.Ordinal);

        // And why the node is not ready is told to who may call it; others hear that it is not.
        Assert.Equal("""{"status":"full"}""", await ReadyAsync(node.Node.HttpEndPoint, null));
        Assert.Equal("""{"status":"full"}""", await ReadyAsync(node.Node.HttpEndPoint, SecureNode.As("admin", "not-the-password")));
        Assert.Contains("the disk is full", await ReadyAsync(node.Node.HttpEndPoint, SecureNode.Admin), StringComparison.Ordinal);
        Assert.Contains("the disk is full", await ReadyAsync(node.Node.HttpEndPoint, SecureNode.As("alice", Password)), StringComparison.Ordinal);
        node.Node.Guard.IsCutOff = static () => true; // What it knows of alice may be old.
        Assert.Equal("""{"status":"full"}""", await ReadyAsync(node.Node.HttpEndPoint, SecureNode.As("alice", Password)));
    }

    [Fact]
    public async Task An_opening_node_tells_strangers_that_it_opens_and_no_more()
    {
        var folder = Directory.CreateTempSubdirectory("eventvault-opening-").FullName;
        var file = Path.Combine(folder, "admin.password");
        await File.WriteAllTextAsync(file, SecureNode.AdminPassword);
        var watch = new OpeningWatch(CancellationToken.None);
        watch.Begin("reads /secret/place");
        using var log = new KeptLog();
        var ports = await OpeningPorts.StartAsync(new NodeOptions { Directory = folder, Access = new AccessOptions { AdminPasswordFile = file } }, watch, log);
        var told = Regex.Match(log.All, @"refused on ([^ ]+) \(HTTP ([^)]+)\)");
        var http = IPEndPoint.Parse(told.Groups[2].Value);
        await using (var channel = new RpcChannel(new Uri($"http://{told.Groups[1].Value}")))
        {
            var refused = await Fails.WithAsync(RpcCode.Unavailable, Reason.Opening, () => channel.UnaryAsync(Methods.GetInfo, new GetInfoRequest()).AsTask());
            Assert.DoesNotContain("secret", refused.Message, StringComparison.Ordinal);
            Assert.Equal("""{"status":"opening"}""", await ReadyAsync(http, null));
            Assert.Equal("""{"status":"opening","reason":"reads /secret/place"}""", await ReadyAsync(http, SecureNode.Admin));
        }

        await ports.StopAsync();
        Directory.Delete(folder, recursive: true);
    }

    [Fact]
    public async Task Refused_credentials_are_logged_with_whom_they_are_for_and_no_secret()
    {
        await using var node = await SecureNode.StartAsync(tls: false);
        await node.SetUserAsync("alice", Password, "reader");
        await RefusedAsync("alice", "wrong-secret");
        Assert.Matches("Credentials from 127.0.0.1:[0-9]+ for alice were refused", node.Log.All);
        await RefusedAsync("typed-in-the-wrong-field", Password);
        Assert.DoesNotContain("typed-in-the-wrong-field", node.Log.All, StringComparison.Ordinal);
        Assert.DoesNotContain("wrong-secret", node.Log.All, StringComparison.Ordinal);

        Task RefusedAsync(string user, string password) => Fails.WithAsync(
            RpcCode.Unauthenticated, Reason.NotAuthenticated, () => node.CallAsync(Methods.GetInfo, new GetInfoRequest(), SecureNode.As(user, password)).AsTask());
    }

    [Fact]
    public void Who_guesses_gets_a_line_a_second()
    {
        using var log = new KeptLog();
        var clock = new HandClock();
        var refused = new RefusedCredentials(log, clock);
        for (var i = 0; i < 3; i++)
        {
            refused.Tell(Origin(), "alice", "Why.");
        }

        Assert.Equal(1, Lines());
        clock.Pass(TimeSpan.FromSeconds(1));
        refused.Tell(Origin(), null, "Why.");
        Assert.Equal(2, Lines());
        Assert.Contains("for nobody who is known were refused: Why. 2 more", log.All, StringComparison.Ordinal);

        int Lines() => log.All.Split('\n').Length;
    }

    [Fact]
    public async Task Many_headers_of_one_user_push_out_no_other()
    {
        using var signer = new TokenSigner("HS256");
        var folder = Directory.CreateTempSubdirectory("eventvault-headers-").FullName;
        await File.WriteAllTextAsync(Path.Combine(folder, "keys.json"), signer.KeySet());
        using var keys = new TokenKeys(Path.Combine(folder, "keys.json"), e => Assert.Fail(e.Message), TimeProvider.System);
        var tokens = new Tokens(new TokenOptions { Keys = "", Issuer = TokenSigner.Issuer, Audience = "vault" }, keys);
        var checks = new PasswordChecks();
        await File.WriteAllTextAsync(Path.Combine(folder, "password"), Password);
        var admin = new FileValue<PasswordHash>([Path.Combine(folder, "password")], () => PasswordHash.Of(Password), e => Assert.Fail(e.Message));
        var authenticator = new Authenticator(null, admin, tokens, null, checks);
        await authenticator.FindAsync(Origin(Header(SecureNode.As("admin", Password))));
        Assert.Equal(1, checks.Done);
        var token = signer.Token("x");
        for (var i = 0; i < 10_100; i++)
        {
            // Spaces and tabs behind a token are no part of it: so many different headers, all good.
            var behind = new string([.. Enumerable.Range(0, 14).Select(bit => (i >> bit & 1) == 0 ? ' ' : '\t')]);
            await authenticator.FindAsync(Origin($"Bearer {token}{behind}"));
        }

        await authenticator.FindAsync(Origin(Header(SecureNode.As("admin", Password))));
        Assert.Equal(1, checks.Done);
        Directory.Delete(folder, recursive: true);

        static string Header(RpcMetadata headers) => headers.TryGet("authorization", out var header) ? header : throw new InvalidOperationException();
    }

    private static CallOrigin Origin(string? authorization = null)
    {
        var http = new DefaultHttpContext();
        http.Features.Set(new RpcConnection());
        http.Connection.RemoteIpAddress = IPAddress.Loopback;
        http.Request.Headers.Authorization = authorization;
        return new CallOrigin(http);
    }

    private static async Task<string> ReadyAsync(IPEndPoint port, RpcMetadata? caller)
    {
        using var http = new HttpClient();
        using var request = new HttpRequestMessage(HttpMethod.Get, $"http://{port}/health/ready");
        if (caller?.TryGet("authorization", out var header) == true)
        {
            request.Headers.Add("Authorization", header);
        }

        using var response = await http.SendAsync(request);
        Assert.Equal(HttpStatusCode.ServiceUnavailable, response.StatusCode);
        return await response.Content.ReadAsStringAsync();
    }

    private static async Task<List<JsonElement>> AuditAsync(SecureNode node)
    {
        var acts = new List<JsonElement>();
        await using var read = node.Channel.Start(
            Methods.ReadStream, new ReadStreamRequest { Stream = "$audit" }, new RpcCallOptions(Headers: SecureNode.Admin));
        while (await read.MoveNextAsync())
        {
            acts.AddRange((read.Current.Events?.Events ?? []).Select(e => JsonDocument.Parse(e.Event.Data.Memory).RootElement));
        }

        return acts;
    }
}
