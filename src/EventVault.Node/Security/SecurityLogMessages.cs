namespace EventVault.Node.Security;

/// <summary>What the node logs about security. Nothing here shows a password, a hash, a token or a key.</summary>
internal static partial class SecurityLogMessages
{
    [LoggerMessage(EventId = 60, Level = LogLevel.Error, Message = "{File} has changed and can't be used; what it said before counts on, and it is tried again.")]
    public static partial void FileNotRead(ILogger logger, Exception error, string file);

    [LoggerMessage(EventId = 61, Level = LogLevel.Warning, Message = "The keys of tokens can't be read from {Place}; those that are known count on, and it is tried again.")]
    public static partial void KeysNotRead(ILogger logger, Exception error, string place);

    [LoggerMessage(EventId = 62, Level = LogLevel.Warning, Message = "Nobody is asked for credentials (--insecure): whoever reaches {Address} may read, write and administer everything.")]
    public static partial void AsksNobody(ILogger logger, System.Net.IPAddress address);

    [LoggerMessage(EventId = 63, Level = LogLevel.Warning, Message = "Serves in clear text on {Address} (--clear-text): whoever sits between can read passwords and events.")]
    public static partial void InClearText(ILogger logger, System.Net.IPAddress address);
}
