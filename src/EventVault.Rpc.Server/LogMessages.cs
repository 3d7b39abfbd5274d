using Microsoft.Extensions.Logging;

namespace EventVault.Rpc.Server;

internal static partial class LogMessages
{
    [LoggerMessage(EventId = 1, Level = LogLevel.Error, Message = "The handler of {Method} failed.")]
    public static partial void HandlerFailed(ILogger logger, Exception error, string method);
}
