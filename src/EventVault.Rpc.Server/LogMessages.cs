using Microsoft.Extensions.Logging;

namespace EventVault.Rpc.Server;

internal static partial class LogMessages
{
    [LoggerMessage(EventId = 1, Level = LogLevel.Error, Message = "The handler of {Method} failed.")]
    public static partial void HandlerFailed(ILogger logger, Exception error, string method);

    [LoggerMessage(EventId = 2, Level = LogLevel.Debug, Message = "The status {Code} could not be sent; the connection is gone.")]
    public static partial void StatusNotSent(ILogger logger, Exception error, RpcCode code);
}
