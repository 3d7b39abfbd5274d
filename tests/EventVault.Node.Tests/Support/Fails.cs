using EventVault.Node.Services;
using EventVault.Protocol;
using EventVault.Rpc;

namespace EventVault.Node.Tests.Support;

/// <summary>Expects a call to fail with a typed detail.</summary>
internal static class Fails
{
    public static async Task<Failure> WithAsync(RpcCode code, Reason reason, Func<Task> call)
    {
        var detail = await WithAsync(code, call);
        Assert.All(detail.Failures, failure => Assert.Equal(reason, failure.Reason));
        return detail.Failures[0];
    }

    public static async Task<ErrorDetail> WithAsync(RpcCode code, Func<Task> call) => Detail(code, await Assert.ThrowsAsync<RpcException>(call));

    public static ErrorDetail Detail(RpcCode code, RpcException e)
    {
        Assert.True(code == e.Code, $"Expected {code}, got {e.Status}.");
        Assert.True(e.Trailers.TryGetBinary(Refusal.TrailerKey, out var bytes), $"No detail: {e.Status}.");
        var detail = ErrorDetail.Parser.ParseFrom(bytes.Span);
        Assert.NotEmpty(detail.Failures);
        Assert.All(detail.Failures, failure => Assert.True(failure.Message.Length > 10 && failure.Message.EndsWith('.'), failure.Message));
        var (message, status) = (detail.Failures[0].Message, e.Status.Message);
        Assert.True(status == message || (status.EndsWith("...", StringComparison.Ordinal) && message.StartsWith(status[..^3], StringComparison.Ordinal)), status);
        return detail;
    }
}
