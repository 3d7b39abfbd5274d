using EventVault.Rpc.Server;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;

namespace EventVault.Rpc.Tests;

/// <summary>A call that somebody else ends.</summary>
public class EndOfCallTests
{
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(30);

    [Fact]
    public async Task A_call_ends_also_when_cutting_it_has_failed()
    {
        var broken = new Broken();
        foreach (var cut in new Action<RpcContext>[] { static c => c.CutShort(), static c => c.End(new RpcException(RpcCode.Unauthenticated, "It has ended.")) })
        {
            var http = new DefaultHttpContext();
            http.Features.Set<IHttpResetFeature>(broken);
            http.Features.Set<IHttpRequestLifetimeFeature>(broken);
            var context = new RpcContext(new RpcServer(), new RpcServerOptions(), http, "/test", null, requestIsGzip: false);
            Assert.Throws<NotSupportedException>(() => cut(context));
            await Task.Run(context.Release).WaitAsync(Limit);
        }
    }

    private sealed class Broken : IHttpResetFeature, IHttpRequestLifetimeFeature
    {
        public CancellationToken RequestAborted
        {
            get => throw new NotSupportedException();
            set => throw new NotSupportedException();
        }

        public void Abort() => throw new NotSupportedException();

        public void Reset(int errorCode) => throw new NotSupportedException();
    }
}
