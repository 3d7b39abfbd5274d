// Certificates of clients whose connections stand, while the authorities that count are changed.
using EventVault.Client;
using EventVault.Node.Tests.Support;
using EventVault.Protocol;
using EventVault.Rpc;

namespace EventVault.Node.Tests.Security;

public sealed class AuthorityTests
{
    [Fact]
    public async Task Another_authority_ends_what_certificates_of_the_old_one_have_opened()
    {
        await using var node = await SecureNode.StartAsync(tls: true);
        await using var admin = node.Connect("admin");
        await using var subscription = admin.Start(Methods.Subscribe, new SubscribeRequest { All = new Empty() });
        Assert.True(await subscription.MoveNextAsync());
        using var other = new TestAuthority("another authority");
        await File.WriteAllTextAsync(node.FileIn("authority.pem"), other.Pem);
        await Fails.WithAsync(RpcCode.Unauthenticated, Reason.CredentialsEnded, () => EndAsync().WaitAsync(Wait.Limit));
        Assert.NotNull(await CodeOfAsync(admin));

        // Over the connections of who has a password nothing changes.
        await node.CallAsync(Methods.GetInfo, new GetInfoRequest());

        // The client is led to another connection, where it shows what it has by then.
        other.Issue("admin", Path.GetDirectoryName(node.FileIn("admin.pem"))!);
        await Wait.UntilAsync(async () => await CodeOfAsync(admin) is null, "the certificate of the new authority counts");

        async Task EndAsync()
        {
            while (await subscription.MoveNextAsync())
            {
            }
        }
    }

    [Fact]
    public async Task One_authority_more_ends_nothing()
    {
        await using var node = await SecureNode.StartAsync(tls: true);
        var trust = node.Trust("carol");
        await node.SetUserAsync("carol", null, "writer");
        await node.SetUserAsync("dave", null, "reader");
        await using var carol = new RpcChannel(node.Address, new RpcChannelOptions { Tls = trust });
        await using var session = carol.Start(Methods.AppendSession);
        await AppendAsync();
        using var other = new TestAuthority("another authority");
        other.Issue("dave", Path.GetDirectoryName(node.FileIn("node.pem"))!);
        await File.WriteAllTextAsync(node.FileIn("authority.pem"), node.Authority.Pem + "\n" + other.Pem);
        await using var dave = new RpcChannel(node.Address, new RpcChannelOptions { Tls = VaultTls.FromFiles(node.FileIn("authority.pem"), node.FileIn("dave.pem"), node.FileIn("dave.key")) });
        await Wait.UntilAsync(async () => await CodeOfAsync(dave) is null, "the new authority counts");
        node.Node.Guard.Sweep();
        await AppendAsync();

        async Task AppendAsync()
        {
            session.Write(new AppendSessionRequest { RequestId = 1, Append = Make.Append(Make.Stream("a-1", Make.Any)) });
            await session.FlushAsync();
            Assert.True(await session.MoveNextAsync());
            Assert.Null(Assert.Single(session.Current.Results).Error);
        }
    }

    // Null: it is taken.
    private static async Task<RpcCode?> CodeOfAsync(RpcChannel channel)
    {
        try
        {
            await channel.UnaryAsync(AccessMethods.WhoAmI, new WhoAmIRequest());
            return null;
        }
        catch (RpcException e)
        {
            return e.Code;
        }
    }
}
