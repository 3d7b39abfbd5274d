// Every call of every service × what its caller has to show, in clear text and under TLS. The calls come from the descriptors: one that has no
// rule, or whose request decides and has no sample here, fails.
using System.Reflection;
using EventVault.Node.Security;
using EventVault.Node.Tests.Support;
using EventVault.Protocol;
using EventVault.Rpc;
using EventVault.Rpc.Server;
using Google.Protobuf;
using Google.Protobuf.Reflection;

namespace EventVault.Node.Tests.Security;

public sealed class AccessMatrixTests
{
    private const string Password = "matrix-password";

    /// <summary>For calls whose requests decide: one about the category <c>a</c>, and the least that it takes.</summary>
    private static readonly Dictionary<string, (IMessage Request, string[] Grants)> Samples = new()
    {
        ["Append"] = (Make.Append(Make.Stream("a-1", Make.Any)), ["append:a"]),
        ["AppendSession"] = (new AppendSessionRequest { RequestId = 1, Append = Make.Append(Make.Stream("a-1", Make.Any)) }, ["append:a"]),
        ["ReadStream"] = (new ReadStreamRequest { Stream = "a-1" }, ["read:a"]),
        ["ReadAll"] = (new ReadAllRequest(), ["read:*"]),
        ["Subscribe"] = (new SubscribeRequest { Stream = "a-1" }, ["read:a"]),
        ["GetStream"] = (new GetStreamRequest { Stream = "a-1" }, ["read:a"]),
        ["ListStreams"] = (new ListStreamsRequest { Category = "a" }, ["read:a"]),
        ["CountEvents"] = (new CountEventsRequest { Filter = new EventFilter { Category = "a" } }, ["read:a"]),
        ["GetAppend"] = (new GetAppendRequest { OperationId = Make.Id() }, ["read:*"]),
        ["DeleteStream"] = (new DeleteStreamRequest { OperationId = Make.Id(), Stream = "a-2", Expected = Make.Any }, ["manage:a"]),
        ["TruncateStream"] = (new TruncateStreamRequest { OperationId = Make.Id(), Stream = "a-2", Expected = Make.Any }, ["manage:a"]),
        ["SetRetention"] = (
            new SetRetentionRequest { OperationId = Make.Id(), Scope = new RetentionScope { Category = "a" }, Rule = new RetentionRule { Forever = true } }, ["manage:a"]),
        ["GetRetention"] = (new GetRetentionRequest { Scope = new RetentionScope { Stream = "a-1" } }, ["read:a"]),
        ["ListRetention"] = (new ListRetentionRequest(), ["read:*"]),
        ["GetState"] = (new GetStateRequest { Stream = "a-1" }, ["read:a"]),
        ["GetStates"] = (new GetStatesRequest { Category = "a" }, ["read:a"]),
        ["GetStateHistory"] = (new GetStateHistoryRequest { Stream = "a-1", EachChange = new Empty() }, ["read:a"]),
        ["ReadForFold"] = (new ReadForFoldRequest { Stream = "a-1", Fold = "f" }, ["read:a"]),
        ["PutFoldSnapshot"] = (new PutFoldSnapshotRequest { Stream = "a-1", Fold = "f" }, ["append:a"]),
        ["DefineReducer"] = (
            new DefineReducerRequest { OperationId = Make.Id(), Name = "r", Definition = new ReducerDefinition { MergePatch = new Empty() } }, ["manage:*"]),
    };

    [Fact]
    public void Every_call_has_a_rule_and_every_rule_a_call()
    {
        Assert.All(All(), m => Assert.True(AccessRules.Find(PathOf(m)) is not null, $"{m.FullName} has no row in AccessRules: say there what it takes."));
        Assert.All(
            All().Where(m => AccessRules.Find(PathOf(m))!.Asks is Asks.Request or Asks.Content),
            m => Assert.True(Samples.ContainsKey(m.Name), $"{m.FullName} takes what its request says: give a sample here."));
        Assert.True(All().Count > 45, "The descriptors are found.");
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Every_call_is_refused_without_the_right_to_it_and_taken_with_it(bool tls)
    {
        await using var node = await SecureNode.StartAsync(tls);
        await node.SetUserAsync("nobody", Password);
        await node.SetUserAsync("other", Password, "all-of-b");
        await node.SetUserAsync("exact", Password, "exact");
        await node.SetRoleAsync("all-of-b", "read:b", "append:b", "manage:b", "read:$*");
        await node.CallAsync(Methods.Append, Make.Append(Make.Stream("a-1", Make.Any)));
        foreach (var method in All())
        {
            var rule = AccessRules.Find(PathOf(method))!;
            var (request, grants) = Samples.TryGetValue(method.Name, out var sample) ? sample : ((IMessage)Activator.CreateInstance(method.InputType.ClrType)!, []);

            // No credentials, and wrong ones of every kind, are told apart by nobody.
            var none = await TryAsync(node, method, request, null);
            var wrong = await TryAsync(node, method, request, SecureNode.As("exact", "not-the-password"));
            var unknown = await TryAsync(node, method, request, SecureNode.As("no-such-user", "not-the-password"));
            var garbage = await TryAsync(node, method, request, new RpcMetadata().Add("authorization", "Bearer x.y.z"));
            if (rule.Asks == Asks.Nothing)
            {
                Assert.All((Outcome[])[none, wrong, unknown, garbage], o => Assert.True(o.IsLetIn, $"{method.FullName}: {o}"));
                continue;
            }

            Assert.All((Outcome[])[none, wrong, unknown, garbage], o => Assert.True(o is { Code: RpcCode.Unauthenticated, Reason: Reason.NotAuthenticated }, $"{method.FullName}: {o}"));
            Assert.Equal(wrong, unknown);

            // Too little.
            var nothing = await TryAsync(node, method, request, SecureNode.As("nobody", Password));
            var elsewhere = await TryAsync(node, method, request, SecureNode.As("other", Password));
            Assert.True(rule.Asks == Asks.Itself ? nothing.IsLetIn : nothing.IsDenied, $"{method.FullName}: {nothing}");
            Assert.True(rule.Asks is Asks.Itself or Asks.Somebody ? elsewhere.IsLetIn : elsewhere.IsDenied, $"{method.FullName}: {elsewhere}");

            // Enough.
            await node.SetRoleAsync("exact", rule.Asks == Asks.Admin ? ["admin"] : grants.Length > 0 ? grants : ["read:z"]);
            var exact = await TryAsync(node, method, request, SecureNode.As("exact", Password));
            var admin = await TryAsync(node, method, request, SecureNode.Admin);
            Assert.True(exact.IsLetIn, $"{method.FullName} with {string.Join(", ", grants)}: {exact}");
            Assert.True(admin.IsLetIn, $"{method.FullName}: {admin}");
        }

        // What was shown stands in no log, at any level; nor as it goes over the wire.
        var log = node.Log.All;
        string[] secrets = [Password, "not-the-password", SecureNode.AdminPassword, "pbkdf2", "x.y.z"];
        RpcMetadata[] headers = [SecureNode.As("exact", Password), SecureNode.As("other", Password), SecureNode.As("exact", "not-the-password"), SecureNode.Admin];
        Assert.All(secrets.Concat(headers.Select(SentIn)), secret => Assert.DoesNotContain(secret, log, StringComparison.Ordinal));

        static string SentIn(RpcMetadata headers) => headers.TryGet("authorization", out var header) ? header.Split(' ')[1] : throw new InvalidOperationException();
    }

    private static List<MethodDescriptor> All() =>
    [
        .. new[] { typeof(StreamsReflection).Assembly, typeof(RpcServer).Assembly }
            .SelectMany(a => a.GetTypes())
            .Where(t => t.Name.EndsWith("Reflection", StringComparison.Ordinal))
            .Select(t => t.GetProperty("Descriptor", BindingFlags.Static | BindingFlags.Public)?.GetValue(null))
            .OfType<FileDescriptor>().Distinct().SelectMany(f => f.Services).SelectMany(s => s.Methods),
    ];

    private static string PathOf(MethodDescriptor method) => $"/{method.Service.FullName}/{method.Name}";

    private static Task<Outcome> TryAsync(SecureNode node, MethodDescriptor method, IMessage request, RpcMetadata? headers) => (Task<Outcome>)typeof(AccessMatrixTests)
        .GetMethod(nameof(CallAsync), BindingFlags.Static | BindingFlags.NonPublic)!
        .MakeGenericMethod(method.InputType.ClrType, method.OutputType.ClrType)
        .Invoke(null, [node.Channel, method, request, headers])!;

    // Up to the first answer: some calls have no last one.
    private static async Task<Outcome> CallAsync<TRequest, TResponse>(RpcChannel channel, MethodDescriptor descriptor, TRequest request, RpcMetadata? headers)
        where TRequest : class, IMessage<TRequest>, new()
        where TResponse : class, IMessage<TResponse>, new()
    {
        var method = RpcMethod<TRequest, TResponse>.Of(descriptor.Service, descriptor.Name);
        var options = new RpcCallOptions(TimeSpan.FromSeconds(30), headers);
        try
        {
            await using var call = descriptor.IsClientStreaming ? channel.Start(method, options) : channel.Start(method, request, options);
            if (descriptor.IsClientStreaming)
            {
                call.Write(request);
                await call.CompleteAsync();
            }

            await call.MoveNextAsync();
            return call.Current is AppendSessionResponse { Results: [{ Error: { } error }] }
                ? new Outcome((RpcCode)error.Code, error.Detail.Failures[0].Reason, error.Message)
                : new Outcome(RpcCode.Ok, default, string.Empty);
        }
        catch (RpcException e)
        {
            var reason = e.Trailers.TryGetBinary("eventvault-error-bin", out var detail) ? ErrorDetail.Parser.ParseFrom(detail.Span).Failures[0].Reason : default;
            return new Outcome(e.Code, reason, e.Status.Message);
        }
        catch (InvalidOperationException)
        {
            return new Outcome(RpcCode.Ok, default, string.Empty); // It ended without an answer.
        }
    }

    private sealed record Outcome(RpcCode Code, Reason Reason, string Message)
    {
        public bool IsDenied => (Code, Reason) == (RpcCode.PermissionDenied, Reason.NotAllowed);

        // Its handler took it or said what is wrong with it; one that broke shows nothing.
        public bool IsLetIn => Code is not (RpcCode.Unauthenticated or RpcCode.PermissionDenied or RpcCode.Unknown or RpcCode.Internal or RpcCode.DeadlineExceeded or RpcCode.Unavailable)
            && (Code == RpcCode.Ok || Reason != default);
    }
}
