using System.Security.Cryptography.X509Certificates;

namespace EventVault.Node.Security;

/// <summary>What the node logs about security. Nothing here shows a password, a hash, a token or a key.</summary>
internal static partial class SecurityLogMessages
{
    [LoggerMessage(EventId = 100, Level = LogLevel.Error, Message = "{File} has changed and can't be used; what it said before counts on, and it is tried again.")]
    public static partial void FileNotRead(ILogger logger, Exception error, string file);

    [LoggerMessage(EventId = 101, Level = LogLevel.Warning, Message = "The keys of tokens can't be read from {Place}; those that are known count on, and it is tried again.")]
    public static partial void KeysNotRead(ILogger logger, Exception error, string place);

    [LoggerMessage(EventId = 102, Level = LogLevel.Warning, Message = "Nobody is asked for credentials (--insecure): whoever reaches {Address} may read, write and administer everything.")]
    public static partial void AsksNobody(ILogger logger, System.Net.IPAddress address);

    [LoggerMessage(EventId = 103, Level = LogLevel.Warning, Message = "Serves in clear text on {Address} (--clear-text): whoever sits between can read passwords and events.")]
    public static partial void InClearText(ILogger logger, System.Net.IPAddress address);

    [LoggerMessage(EventId = 104, Level = LogLevel.Warning, Message = "Credentials from {Peer} for {User} were refused: {Why} {Others} more were refused since the last such line.")]
    public static partial void Refused(ILogger logger, string peer, string user, string why, long others);

    [LoggerMessage(EventId = 105, Level = LogLevel.Information, Message = "{User} at {Peer} called {Method}.")]
    public static partial void Asked(ILogger logger, string user, string peer, string method);

    [LoggerMessage(EventId = 106, Level = LogLevel.Information, Message = "{Method} is in no event of $audit, only here: {Why}")]
    public static partial void NotAudited(ILogger logger, string method, string why);

    [LoggerMessage(EventId = 107, Level = LogLevel.Error, Message = "Whether an open call of {User} may go on could not be looked at; it goes on, and is looked at again. This is a bug: report it with this log.")]
    public static partial void NotLookedAt(ILogger logger, Exception error, string user);

    [LoggerMessage(EventId = 108, Level = LogLevel.Error, Message = "{Method} is in no event of $audit, only here: to record it has failed.")]
    public static partial void AuditFailed(ILogger logger, Exception error, string method);

    [LoggerMessage(EventId = 109, Level = LogLevel.Error, Message = "The certificate {Subject} in {File} is valid from {From:u} until {Until:u} only, so who is shown it now refuses this node. Write a new one to the file, which needs no restart; or set this machine's clock, if that is wrong.")]
    private static partial void OutsideItsTime(ILogger logger, string file, string subject, DateTime from, DateTime until);

    /// <summary>Says so if a certificate that was just read has expired, or is not valid yet.</summary>
    public static void TellOfTime(ILogger logger, string file, X509Certificate2 certificate)
    {
        var (from, until, now) = (certificate.NotBefore.ToUniversalTime(), certificate.NotAfter.ToUniversalTime(), DateTime.UtcNow);
        if (now < from || now > until)
        {
            OutsideItsTime(logger, file, certificate.Subject, from, until);
        }
    }
}
